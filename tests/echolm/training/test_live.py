"""Where a run stands between two validations: what is told, what is written, what is read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_support import config, record_of, train

from echolm.record import RunRecord
from echolm.training import loop
from echolm.training.live import FILE, LiveProgress, read_live, write_live
from echolm.training.prepare import PreparedRun
from echolm.workspace import Workspace

RUN = config(epochs=2)
STEPS = 3


def test_every_step_and_batch_is_told_and_can_be_read(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "EVERY_S", 0.0)
    seen: list[LiveProgress] = []

    def see(run: PreparedRun, live: LiveProgress) -> None:
        seen.append(live)
        assert read_live(run.record, 1) == live, "status sees the same"

    [outcome] = train(workspace, RUN, on_live=see)
    assert outcome.state == "complete"
    record = record_of(workspace, RUN)
    assert read_live(record, 1) is None, "a complete run keeps nothing of it"

    training = [(live.epoch, live.step, live.steps) for live in seen if live.phase == "training"]
    assert training == [(epoch, step + 1, STEPS) for epoch in (1, 2) for step in range(STEPS)]
    phases = [live.phase for live in seen]
    assert phases.index("validation") == STEPS and phases[-1] == "final evaluation"
    assert sorted(live.epochs_done for live in seen) == [live.epochs_done for live in seen]
    assert seen[-1].epochs_done == 2
    left = [live.seconds_left for live in seen]
    assert None not in left and left[-1] == 0.0


def test_a_run_that_is_watched_is_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Once a second at most, and nothing where a second has not passed."""
    monkeypatch.setattr(loop, "EVERY_S", 3600.0)
    seen: list[LiveProgress] = []
    train(workspace, RUN, on_live=lambda run, live: seen.append(live))
    assert seen == []


lives = st.builds(
    LiveProgress,
    phase=st.sampled_from(["training", "validation", "final evaluation"]),
    epoch=st.integers(1, 10**6),
    epochs=st.integers(1, 10**6),
    step=st.integers(0, 10**9),
    steps=st.integers(0, 10**9),
    seconds_left=st.none() | st.floats(0, 1e9),
)


@given(lives, lives)
def test_a_shorter_note_leaves_nothing_of_a_longer_one(
    tmp_path_factory: pytest.TempPathFactory, one: LiveProgress, two: LiveProgress
) -> None:
    record = RunRecord(tmp_path_factory.mktemp("record"))
    attempt = record.attempt_path(1)
    attempt.mkdir(parents=True)
    for live in (one, two):
        write_live(attempt, live)
        assert read_live(record, 1) == live
        assert str(live.steps) in live.words


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"phase": "training"}', b"\xff\x00"])
def test_a_torn_note_says_nothing(content: bytes, tmp_path: Path) -> None:
    record = RunRecord(tmp_path)
    assert read_live(record, 1) is None
    record.attempt_path(1).mkdir(parents=True)
    (record.attempt_path(1) / FILE).write_bytes(content)
    assert read_live(record, 1) is None
    write_live(tmp_path / "not there", LiveProgress("training", 1, 2, 1, 3))
