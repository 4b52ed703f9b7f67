"""Distributions over patients are what tables read, and the same as when they are read alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grid.report.content import gather
from grid.report.curves import _append, _stretches
from grid.report.measures import DistributionReader
from grid.report.page import encoded_page
from grid.results import files
from grid.tables.build import build


def content_of(made: Any) -> Any:
    return gather(made.grid, made.workspace.results("small"), made.workspace.root)


def test_what_was_seen_beside_tables_is_what_is_read_alone(made: Any) -> None:
    content = content_of(made)
    watching = DistributionReader(content)
    results = made.workspace.results("small")
    build(made.grid, "main", results, watch=watching)
    alone = DistributionReader(content)
    pages = []
    for reader in (watching, alone):
        pages.append(encoded_page(content, [], made.workspace.root, distributions=reader).decode())
    assert pages[0] == pages[1]
    for setting in content.settings:
        seen = DistributionReader(content).read(setting)
        assert seen, setting.name
        for distributions in seen.values():
            for one in distributions:
                assert np.isfinite(one.patients).all()


def test_a_report_reads_the_values_of_each_file_once(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[Path] = Counter()
    read_known_columns = files.read_known_columns

    def counted(path: Path, *names: Any) -> Any:
        reads[path] += 1
        return read_known_columns(path, *names)

    monkeypatch.setattr("grid.tables.predictions.read_known_columns", counted)
    monkeypatch.setattr("grid.report.measures.read_known_columns", counted)
    content = content_of(made)
    reader = DistributionReader(content)
    build(made.grid, "main", made.workspace.results("small"), watch=reader)
    encoded_page(content, [], made.workspace.root, distributions=reader)
    collected = [run.predictions for run in content.runs if run.predictions]
    assert collected and {path: reads[path] for path in collected} == dict.fromkeys(collected, 1)


def test_points_of_one_step_count_once_however_the_history_is_cut() -> None:
    runs = np.array([0, 0, 0, 0, 1, 1, 1])
    keys = np.array([5, 5, 5, 6, 6, 6, 6])
    assert [(one.start, one.stop) for one in _stretches(runs, keys)] == [(0, 3), (3, 4), (4, 7)]
    assert list(_stretches(np.array([]), np.array([]))) == []
    steps = np.array([0, 0, 1, 2, 2, 3])
    values = np.arange(6.0)
    for cut in range(len(steps) + 1):
        series: tuple[list[int], list[float]] = ([], [])
        for rows in (slice(0, cut), slice(cut, None)):
            if len(steps[rows]):
                _append(series, steps[rows], values[rows])
        assert series == ([1, 2, 3, 4], [0.0, 2.0, 3.0, 5.0]), cut
