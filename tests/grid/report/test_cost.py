"""Seconds that runs of a cohort share are counted once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from echolm.text import duration
from grid.report.content import ReportContent, Run, Setting
from grid.report.cost import cost
from grid.report.page import REPORT
from grid.report.runs import run_lines
from grid.results.shared_seconds import share_seconds
from grid.tables.render.templates import environment

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def run(cell: str, seconds: float | None, after: float = 0.0, **changes: Any) -> Run:
    facts = {
        "host": "node1",
        "device": "cpu",
        "epochs": 10.0,
        "end": NOON + timedelta(seconds=after),
        **changes,
    }
    return Run(cell, "0", "complete", run_id=cell, seconds=seconds, **facts)


def test_a_cohort_counts_once() -> None:
    runs = [run("a", 90.0), run("b", 30.0), run("c", 90.0, 0.2), run("d", 90.0, 0.4)]
    by_cell = share_seconds(runs)
    assert {cell: (part.seconds, part.together) for cell, part in by_cell.items()} == {
        "a": (30.0, 3),
        "b": (30.0, 1),
        "c": (30.0, 3),
        "d": (30.0, 3),
    }
    assert sum(part.seconds for part in by_cell.values()) == pytest.approx(120.0)


@pytest.mark.parametrize(
    "changes", [{"host": "node2"}, {"device": "cuda"}, {"after": 600.0}, {"end": None}]
)
def test_equal_seconds_elsewhere_or_later_are_another_training(changes: dict[str, Any]) -> None:
    by_cell = share_seconds([run("a", 90.0), run("b", 90.0, **changes)])
    assert [part.together for part in by_cell.values()] == [1, 1]


def test_runs_without_seconds_are_left_out_and_the_sentence_adds_the_parts() -> None:
    settings = (
        Setting("x", {"head": "a"}, (run("a", 3600.0), run("b", None))),
        Setting("y", {"head": "b"}, (run("c", 3600.0, 1.0),)),
    )
    total = cost(ReportContent("g", "", settings, Path(), records=False))
    text = environment(REPORT).get_template("part_cost.html.j2").render(cost=total)
    assert "2 runs took 60 min on cpu" in text and "trained together" in text
    assert text.count(">1800.0<") == 2 and text.count(">3600.0<") == 2


def test_a_cell_shows_its_own_part_beside_the_clock_of_its_cohort() -> None:
    runs = (run("a", 90.0), run("b", 90.0, 0.2), run("c", 30.0), run("d", None))
    lines = run_lines(Setting("x", {"head": "a"}, runs), Path(), None, share_seconds(runs))
    shown = environment(REPORT).get_template("runs.html.j2").render(lines=lines)
    heads = re.findall(r"<th[^>]*>(.*?)</th>", shown)
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", line) for line in shown.split("<tr>")[2:]]
    clock, own = heads.index("clock seconds"), heads.index("own seconds")
    assert [(row[clock], row[own]) for row in rows] == [
        ("90.0", "45.0"),
        ("90.0", "45.0"),
        ("30.0", "30.0"),
        ("", ""),
    ]


def test_durations_are_read_easily() -> None:
    assert [duration(seconds) for seconds in (45, 720, 12600)] == ["45 s", "12 min", "3.5 h"]
