"""What one reads while cells train: lines where there is no terminal, and numbers as people write
them.
"""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.forecast import _number
from echolm.cli import launch_progress, train_progress
from echolm.cli.hints import plain_seconds
from echolm.cli.launch_progress import LaunchProgress
from echolm.cli.train_progress import TrainProgress
from echolm.config import parse_config
from echolm.training.live import LiveProgress
from grid.definition.grid import Cell
from grid.units import Report


def cells(count: int) -> list[Cell]:
    config = parse_config(
        {
            "data": "tiny",
            "task": "landmarks",
            "encoder": "none",
            "trainable": "k0",
            "head": "mlp",
            "epochs": 10,
        }
    )
    return [
        Cell(
            id=f"{number:016x}",
            coordinates={"seed": str(number)},
            config=config,
            tables=(),
            subgrids=(),
        )
        for number in range(count)
    ]


def step(cell: Cell, epoch: int, number: int, phase: str = "training") -> Report:
    return Report("step", cell.id, LiveProgress(phase, epoch, 10, number, 20, 5.0).plain())


def test_a_line_a_minute_says_where_the_cells_stand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 0.0
    monkeypatch.setattr(launch_progress.time, "monotonic", lambda: seconds)
    one, two = cells(2)
    progress = LaunchProgress([one, two])
    with progress.bar:
        for seconds in range(300):  # noqa: B007 - the clock reads it
            epoch, number = divmod(seconds, 20)
            progress.show(step(one, epoch // 4 + 1, number + 1))
            progress.show(step(two, 1, 3, "final evaluation"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4, "at most one a minute"
    assert re.fullmatch(
        r"\[0/2\]    60 s  training    0{8} epoch 1/10, step 1/20; 0{8} final evaluation, batch"
        r" 3/20; about \d+ (s|min|h) left",
        lines[0],
    ), lines


def test_what_is_away_is_told_once_whoever_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LaunchProgress(cells(1))
    with progress.bar:
        for line in (
            "the store x is not there; waiting",
            "the store x is not there; waiting",
            "all is there again, after 4 s",
            "all is there again, after 5 s",
            "the store x is not there; waiting",
        ):
            progress.show(Report("outage", "", {"line": line}))
        progress.show(Report("stopping", "", {"signal": "SIGINT"}))
    assert capsys.readouterr().err.splitlines() == [
        "the store x is not there; waiting",
        "all is there again, after 4 s",
        "the store x is not there; waiting",
        "stopping (SIGINT): each run saves a checkpoint first; a second signal does not wait for"
        " it",
    ]


def test_a_run_in_the_foreground_tells_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_progress, "LINE_S", 0.0)
    for hidden in (False, True):
        shown = TrainProgress(10, hidden)
        with shown.bar:
            shown.step(None, LiveProgress("validation", 3, 10, 2, 5, 600.0))  # type: ignore[arg-type]
        lines = capsys.readouterr().err.splitlines()
        assert lines == ([] if hidden else ["epoch 3/10, validation, batch 2/5, about 10 min left"])


@given(st.floats(0, 1e7))
def test_numbers_are_written_as_people_write_them(value: float) -> None:
    for text in (plain_seconds(value), _number(value)):
        assert re.fullmatch(r"[\d,]+(\.\d+)?", text), text
        assert float(text.replace(",", "")) == pytest.approx(value, rel=0.06, abs=0.006)
