"""Batches read ahead of their step: the overlap, the order, errors, and nothing that hangs."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_support import Result, config, record_of, states, train

from echolm.errors import EchoLMError
from echolm.outages import OutageError
from echolm.stores.clips import ClipStore
from echolm.training.batches import Batches, ClipRequest
from echolm.training.cohorts import Compute
from echolm.training.read_ahead import DEPTH, ReadAhead
from echolm.workspace import Workspace

PATIENCE_S = 60.0
"""It ends a test that hangs, and nothing else."""


def test_the_next_batch_is_read_while_one_is_computed() -> None:
    """The reader of batch 1 begins and ends between the taking of batch 0 and of batch 1."""
    begun = [threading.Event() for _ in range(3)]
    computing = threading.Event()

    def read(number: int) -> int:
        begun[number].set()
        if number:
            assert computing.wait(PATIENCE_S), "nothing computed while batch 1 was read"
        return 10 * number

    reader = ReadAhead(read, depth=1)
    reader.announce(range(3))
    assert reader.take(0) == 0
    assert begun[1].wait(PATIENCE_S), "batch 1 was not begun before it was asked for"
    computing.set()
    assert [reader.take(1), reader.take(2)] == [10, 20]
    reader.close()


def test_it_is_ahead_by_no_more_than_its_depth() -> None:
    reads: list[int] = []
    third = threading.Event()

    def read(number: int) -> int:
        reads.append(number)
        if len(reads) == 1 + DEPTH:
            third.set()
        return number

    reader = ReadAhead(read)
    reader.announce(range(100))
    assert reader.take(0) == 0 and third.wait(PATIENCE_S)
    reader.take(1)
    reader.close()
    assert max(reads) <= 1 + DEPTH and reads == sorted(reads)


def test_what_was_not_announced_is_read_and_what_is_skipped_is_left_out() -> None:
    reader = ReadAhead(lambda number: 10 * number)
    reader.announce([1, 2, 3, 4])
    assert [reader.take(number) for number in (7, 2, 9, 3, 1, 4)] == [70, 20, 90, 30, 10, 40]
    reader.announce([5])
    assert reader.take(5) == 50
    reader.close()
    assert reader.take(6) == 60


def test_an_error_is_raised_where_the_batch_is_taken() -> None:
    def read(number: int) -> int:
        if number == 1:
            raise OutageError("the disk is away")
        return number

    reader = ReadAhead(read)
    reader.announce(range(4))
    assert reader.take(0) == 0
    with pytest.raises(OutageError, match="the disk is away"):
        reader.take(1)
    assert reader.take(2) == 2
    reader.close()


def test_a_reader_that_hangs_keeps_nobody_from_closing() -> None:
    begun, goes_on = threading.Event(), threading.Event()

    def read(number: int) -> int:
        begun.set()
        assert goes_on.wait(PATIENCE_S)
        return number

    # One of a test before may be about to end.
    others = readers()
    reader = ReadAhead(read)
    reader.announce(range(2))
    assert begun.wait(PATIENCE_S)
    [thread] = readers() - others
    reader.close()
    assert thread.is_alive() and thread.daemon
    goes_on.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def readers() -> set[threading.Thread]:
    """The threads of this process that read ahead."""
    return {thread for thread in threading.enumerate() if thread.name == "read-ahead"}


@pytest.mark.parametrize("depth", [0, 5])
def test_a_run_is_bitwise_the_same_without(
    depth: int, workspace: Workspace, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a thread, and far ahead: with drawn clips, views and dropout."""
    run = config(head={"name": "mlp", "width": 16, "dropout": 0.5})
    expected = reference(run)
    monkeypatch.setattr(
        "echolm.training.batches.ReadAhead", lambda read: ReadAhead(read, depth=depth)
    )
    train(workspace, run)
    assert Result.of(record_of(workspace, run)) == expected


def test_batches_are_read_in_the_thread_and_its_errors_are_the_run_s(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that goes away interrupts the run, as when the step itself reads."""
    original, threads = ClipStore.read, []

    def read(self: ClipStore, row: int, frames: np.ndarray) -> np.ndarray:
        name = threading.current_thread().name
        threads.append(name)
        if name == "read-ahead" and threads.count(name) > 12:
            raise OutageError("the store is away")
        return original(self, row, frames)

    monkeypatch.setattr(ClipStore, "read", read)
    others = readers()
    [outcome] = train(workspace, config(), compute=Compute(outage_s=0))
    assert outcome.state == "interrupted" and outcome.outage
    assert "the store is away" in outcome.detail
    for thread in readers() - others:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_another_error_of_the_thread_fails_all_members(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(*_: Any) -> Any:
        raise EchoLMError("no draw")

    monkeypatch.setattr("echolm.augmentation.bhoodoo2026.Bhoodoo2026.draw", draw)
    runs = [config(trainable="k2"), config(trainable="k3")]
    outcomes = train(workspace, *runs)
    assert states(outcomes) == ["failed", "failed"] and "no draw" in outcomes[0].detail


def test_the_kept_buffer_holds_one_batch_at_a_time(tiny: Path) -> None:
    run = config()
    store = ClipStore.open(tiny / "store")
    cpu = torch.device("cpu")
    plain = Batches(store, run.goal, run.encoder, run.augmentation, cpu)
    kept = Batches(store, run.goal, run.encoder, run.augmentation, cpu, keeps_buffer=True)
    places = set()
    for rows in (np.arange(4), np.arange(4, 6), np.arange(6, 10)):
        with torch.inference_mode(len(rows) == 2):
            batch = kept.batch(rows, None)
        assert torch.equal(batch.clips, plain.batch(rows, None).clips)
        places.add(batch.clips.data_ptr())
        assert not batch.clips.is_inference()
    assert len(places) == 1


def test_requests_are_equal_by_what_their_arrays_hold() -> None:
    rows, view = np.arange(3), np.arange(3, dtype=np.uint64)
    assert ClipRequest(rows, view) == ClipRequest(rows.copy(), view.copy())
    assert ClipRequest(rows, view) != ClipRequest(rows, view + np.uint64(1))
    assert ClipRequest(rows, None) != ClipRequest(rows, view)
    assert ClipRequest(rows, None, 1) != ClipRequest(rows, None, 2)
    assert ClipRequest(rows, None) != ClipRequest(rows[:2], None)
