"""A run that is killed or told to stop ends as if nothing had happened, wherever it is: bitwise."""

from __future__ import annotations

import random
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from training_support import (
    QUICK,
    Config,
    Fault,
    Reference,
    Result,
    config,
    join,
    outcomes,
    record_of,
    start,
    train,
)

from echolm.record import RunRecord
from echolm.training import checkpoint, signals
from echolm.workspace import Workspace

FALLING = {"name": "plateau", "patience": 0, "threshold": 0.9}
"""Halves the learning rate in every epoch but the first, so that its state matters."""
CONVOLUTIONS = config(
    encoder={"name": "toy-r3d", "batch_norm": "batch"}, epochs=3, schedule=FALLING
)
TRANSFORMER = config(encoder="tiny-mvit", epochs=2, schedule={"name": "cosine", "warmup": 0.3})
RUNS = pytest.mark.parametrize("run", [CONVOLUTIONS, TRANSFORMER], ids=["batch-norm", "dropout"])
BATCH = "echolm.training.batches:Batches.batch"
"""4 calls an epoch (3 of train, 1 of val), then one of val and one of test."""


def finish(workspace: Workspace, run: Config) -> RunRecord:
    """Continue until complete, in this process."""
    [outcome] = train(workspace, run, compute=QUICK)
    assert outcome.state == "complete", outcome
    return record_of(workspace, run)


@RUNS
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kill_at_random_moments(
    run: Config, seed: int, workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    """SIGKILL by the clock, several times over, up to the end."""
    expected, rng = reference(run), random.Random(seed)
    record = record_of(workspace, run)
    for delay in (rng.uniform(0.0, 0.7) for _ in range(4)):
        before, process = record.attempts(), start(workspace, [run], tmp_path / "out")
        while record.attempts() == before and process.is_alive():
            time.sleep(0.005)
        time.sleep(delay)
        process.kill()
        process.join()
    if record.summary() is None:
        assert record.state().name == "interrupted"
        finish(workspace, run)
    assert Result.of(record) == expected


POINTS = [
    ("os:replace", 1, False),
    ("os:replace", 2, True),
    ("os:fsync", 3, True),
    ("os:replace", 4, True),
    ("os:fsync", 5, False),
    ("os:unlink", 1, True),
    ("os:link", 1, False),
    ("os:link", 1, True),
    ("os:link", 2, False),
    ("os:link", 2, True),
    ("echolm.attempt:Attempt.event", 2, False),
    ("echolm.attempt:Attempt.event", 3, True),
    (BATCH, 4, False),
    (BATCH, 8, True),
    (BATCH, 13, False),
    (BATCH, 14, True),
    ("echolm.training.run_handle:RunHandle.publish", 1, False),
    ("echolm.attempt:write_atomic", 1, False),
    ("echolm.training.checkpoint:discard", 1, False),
    ("pathlib:Path.unlink", 2, True),
]


@pytest.mark.parametrize("seed", range(3))
def test_kill_between_two_system_calls(
    seed: int, workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    """SIGKILL inside the writing of checkpoints, weights and results, and in both evaluations."""
    record, rng = record_of(workspace, CONVOLUTIONS), random.Random(seed)
    for where, call, after in rng.sample(POINTS, 7):
        process = start(
            workspace, [CONVOLUTIONS], tmp_path / "out", [Fault(where, call, "SIGKILL", after)]
        )
        [code] = join(process)
        if record.summary() is not None:
            break
        assert code == -signal.SIGKILL
        assert record.state().name in ("pending", "running", "interrupted")
    if record.summary() is None:
        finish(workspace, CONVOLUTIONS)
    assert Result.of(record) == reference(CONVOLUTIONS)


@RUNS
@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGUSR2", "SIGINT"])
def test_a_signal_leaves_a_checkpoint_at_the_next_step(
    run: Config,
    name: str,
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Real signals to this process, until the run is complete.

    They come at a random batch of training, validation or final evaluation.
    """
    record, rng, interrupted = record_of(workspace, run), random.Random(name), 0
    while record.summary() is None and interrupted < 6:
        with monkeypatch.context() as patch:
            Fault(BATCH, rng.randint(1, 5), name).install(patch.setattr)
            [outcome] = train(workspace, run)
        if outcome.state == "interrupted":
            interrupted += 1
            assert outcome.detail == name
            assert record.state().name == "interrupted"
            assert checkpoint.newest(record) is not None
    assert interrupted >= 2
    assert Result.of(finish(workspace, run) if record.summary() is None else record) == reference(
        run
    )


@pytest.mark.parametrize(
    ("call", "place"),
    [
        (1, (0, 1)),
        (2, (0, 2)),
        (3, (0, 3)),
        (4, (0, 3)),
        (5, (1, 1)),
        (8, (1, 3)),
        (9, (2, 0)),
        (10, (2, 0)),
    ],
)
def test_where_a_signal_stops_a_run(
    call: int,
    place: tuple[int, int],
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In training after the step, in validation and in the final evaluation between batches."""
    with monkeypatch.context() as patch:
        Fault(BATCH, call, "SIGTERM").install(patch.setattr)
        [outcome] = train(workspace, config())
    record = record_of(workspace, config())
    newest = checkpoint.newest(record)
    assert outcome.state == "interrupted" and newest
    assert checkpoint.position(newest) == place
    assert Result.of(finish(workspace, config())) == reference(config())


def test_a_signal_before_the_first_step_is_heard(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Fault("echolm.training.loop:cohorts", 1, "SIGTERM").install(patch.setattr)
        [outcome] = train(workspace, config())
    assert outcome.state == "interrupted"
    assert record_of(workspace, config()).history() == []


def test_handlers_are_put_back(workspace: Workspace) -> None:
    before = {number: signal.getsignal(number) for number in signals.WATCHED}
    train(workspace, config(epochs=1))
    assert {number: signal.getsignal(number) for number in signals.WATCHED} == before


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "gone"])
def test_a_damaged_newest_checkpoint_is_passed_over(
    damage: str, workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CONVOLUTIONS
    with monkeypatch.context() as patch:
        Fault(BATCH, 10, "SIGTERM").install(patch.setattr)
        train(workspace, run)
    record = record_of(workspace, run)
    newest = checkpoint.newest(record)
    assert newest and checkpoint.position(newest) == (2, 2)
    content = newest.read_bytes()
    if damage == "gone":
        newest.unlink()
    else:
        flipped = content[:1000] + bytes([content[1000] ^ 1]) + content[1001:]
        newest.write_bytes(
            {"truncated": content[: len(content) // 2], "flipped": flipped, "empty": b""}[damage]
        )
    before = checkpoint.newest(record)
    assert before and checkpoint.position(before) == (2, 0)
    assert Result.of(finish(workspace, run)) == reference(run)


def test_all_checkpoints_damaged_is_a_run_from_the_start(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Fault(BATCH, 6, "SIGTERM").install(patch.setattr)
        train(workspace, config())
    record = record_of(workspace, config())
    for path in record.attempt_path(1).glob("checkpoint-*.pt"):
        path.write_bytes(b"")
    assert Result.of(finish(workspace, config())) == reference(config())


def test_old_checkpoints_and_weights_do_not_pile_up(workspace: Workspace) -> None:
    run, record = config(epochs=8), record_of(workspace, config(epochs=8))
    most = {"checkpoint": 0, "best": 0}

    def count(*_: Any) -> str:
        for kind in most:
            most[kind] = max(most[kind], len(list(record.attempt_path(1).glob(f"{kind}-*"))))
        return "continue"

    train(workspace, run, on_epoch=count)
    assert most["checkpoint"] == 2 and most["best"] <= 4


def test_nothing_unfinished_remains_after_kills(workspace: Workspace, tmp_path: Path) -> None:
    """A kill between write and rename leaves a temporary file.

    Completion removes it, with all checkpoints.
    """
    join(start(workspace, [config()], tmp_path / "out", [Fault("os:replace", 5, "SIGKILL")]))
    record = record_of(workspace, config())
    assert list(record.path.glob("attempts/1/.*.tmp"))
    finish(workspace, config())
    names = [path.name for path in record.path.rglob("*")]
    assert not [name for name in names if re.match(r"checkpoint|best-|\.", name)]


def test_the_first_and_the_tenth_run_of_a_process_equal_runs_of_fresh_processes(
    workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    """Cells of a warm worker, against each in a process of its own."""
    cells = [
        config(
            seed=seed,
            epochs=1,
            encoder="tiny-mvit" if seed % 2 else "toy-r3d",
            trainable=f"k{seed % 3}",
        )
        for seed in range(10)
    ]
    for run in cells:
        train(workspace, run)
    fresh = Workspace(tmp_path / "fresh")
    fresh.store("tiny").parent.mkdir(parents=True)
    fresh.store("tiny").symlink_to(workspace.store("tiny").resolve())
    for run in (cells[0], cells[9]):
        out = tmp_path / run.encoder.name
        join(start(fresh, [run], out))
        assert outcomes(out)[0].state == "complete"
        assert Result.of(record_of(workspace, run)) == Result.of(record_of(fresh, run))
