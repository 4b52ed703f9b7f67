"""The lock of a folder: one holder at a time, whatever becomes of holders."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest

from echolm.liveness import beat, describe_self
from grid.tracking.lock import RELEASED, FolderLock, LostLock

FORK = multiprocessing.get_context("fork")


def count_up(folder: Path, times: int, start: Any) -> None:
    """Add one to a number in a file, which loses some where two do so at once."""
    start.wait()
    for _ in range(times):
        with FolderLock(folder / ".lock"):
            number = int((folder / "number").read_text())
            time.sleep(0.001)
            (folder / "number").write_text(str(number + 1))


def test_many_processes_take_turns(tmp_path: Path) -> None:
    (tmp_path / "number").write_text("0")
    start = FORK.Barrier(4)
    processes = [FORK.Process(target=count_up, args=(tmp_path, 15, start)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "number").read_text() == "60"
    assert len(list((tmp_path / ".lock").iterdir())) <= 2, "old turns are removed"


def hold_and_die(folder: Path) -> None:
    FolderLock(folder).__enter__()
    os._exit(9)


def test_a_holder_that_died_is_replaced_at_once(tmp_path: Path) -> None:
    child = FORK.Process(target=hold_and_die, args=(tmp_path / "lock",))
    child.start()
    child.join()
    began = time.monotonic()
    with FolderLock(tmp_path / "lock", patience_s=600):
        assert time.monotonic() - began < 60


def held_elsewhere(folder: Path, turn: int) -> Path:
    """A turn of a process on another host."""
    held = folder / str(turn)
    held.mkdir(parents=True)
    (held / "holder.json").write_text(json.dumps({**describe_self(), "boot": "another"}))
    (held / "heartbeat").write_bytes(beat(1))
    return held


def test_a_silent_holder_on_another_host_is_replaced_and_stops(tmp_path: Path) -> None:
    held_elsewhere(tmp_path, 3)
    lock = FolderLock(tmp_path, patience_s=0.5)
    with pytest.raises(LostLock, match="took the lock over"), lock:
        lock.check_still_held()
        held_elsewhere(tmp_path, 5)  # now this one was too slow
        lock.check_still_held()


def test_one_that_beats_is_waited_for(tmp_path: Path) -> None:
    held = held_elsewhere(tmp_path, 1)

    def beats() -> None:
        for count in range(2, 22):
            (held / "heartbeat").write_bytes(beat(count))
            time.sleep(0.1)
        (held / RELEASED).touch()

    child = FORK.Process(target=beats)
    child.start()
    with FolderLock(tmp_path, patience_s=1.0):
        assert (held / RELEASED).exists() or not held.exists()
    child.join()


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    """Also where a slow process makes the folder of a turn that was removed long ago."""
    for turn in range(1, 4):
        with FolderLock(tmp_path):
            assert [path.name for path in tmp_path.iterdir()] == [str(turn)]
    slow = FolderLock(tmp_path)
    newest = iter([1, 3])
    slow._newest = lambda: next(newest)  # type: ignore[method-assign]
    assert not slow._take_next(), "it saw turn 1, and by now there is 3"
    assert [path.name for path in tmp_path.iterdir()] == ["3"]


def test_the_error_of_the_block_counts_before_the_lock_s(tmp_path: Path) -> None:
    with pytest.raises(KeyError), FolderLock(tmp_path):
        held_elsewhere(tmp_path, 7)
        raise KeyError
