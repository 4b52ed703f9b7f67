"""Units that begin from cells of another launch are never forgotten."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

from cluster import supervision
from cluster.supervision import Supervision
from grid.units import Job, Limits, Unit

CONFIG = json.dumps({"weights": "run:0123456789abcdef"})


@pytest.mark.parametrize("moment", range(8))
def test_whenever_another_launch_ends_a_cell_what_begins_from_it_starts(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends between two questions: before the first, after it, and so on."""
    questions = count()
    monkeypatch.setattr(supervision, "is_ready", lambda *_: next(questions) >= moment)
    monkeypatch.setattr(supervision, "is_running", lambda *_: next(questions) < moment)
    monkeypatch.setattr(supervision, "ELSEWHERE_S", 0.0)
    job = Job(tmp_path, "toy", (Unit(("a",), {"a": CONFIG}),))
    units = Supervision(job, Limits(), lambda report: None)
    while units.waits_elsewhere:
        units.look_elsewhere()
    assert units.waits == 1
    assert next(questions) >= moment


def test_what_nobody_trains_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "is_ready", lambda *_: False)
    monkeypatch.setattr(supervision, "is_running", lambda *_: False)
    job = Job(tmp_path, "toy", (Unit(("a",), {"a": CONFIG}),))
    units = Supervision(job, Limits(), lambda report: None)
    units.look_elsewhere()
    assert not units.waits_elsewhere and not units.waits
