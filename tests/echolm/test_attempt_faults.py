"""A run record when processes are killed and disks are full.

Nothing is lost, and the run goes on.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from echolm.attempt import Attempt, Complete
from echolm.errors import StorageError
from echolm.record import RunRecord

WORKER = Path(__file__).with_name("attempt_worker.py")
IDENTITY, whole_run, check_complete = map(
    runpy.run_path(str(WORKER)).get, ("IDENTITY", "whole_run", "check_complete")
)


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    record = RunRecord(tmp_path / "runs" / "cell" / "fingerprint")
    record.create(IDENTITY)
    return record


class TestKilled:
    """Processes end at any instruction.

    What was complete stays readable, and what was not can be completed.
    """

    def finish(self, record: RunRecord) -> None:
        """Complete a run in whatever state a dead process left it. A reader understands it."""
        assert record.state().name in ("pending", "interrupted", "complete", "running")
        assert record.state().name != "running" or record.state().evidence == {"unseen": True}
        record.history()
        if record.summary() is None:
            whole_run(record, 0.3, "finished")
        check_complete(record)
        with pytest.raises(Complete):
            Attempt.acquire(record, 0.0)

    def test_before_every_change_of_a_file(self, tmp_path: Path) -> None:
        for number in itertools.count(1):
            record = RunRecord(tmp_path / str(number))
            done = subprocess.run(
                [sys.executable, str(WORKER), "crash", str(record.path), str(number)],
                capture_output=True,
                text=True,
            )
            assert done.stderr == ""
            self.finish(record)
            if done.stdout:
                break
            assert done.returncode == -signal.SIGKILL
        assert number > 15 and check_complete(record)["attempt"] == 1

    def test_at_random_times(self, tmp_path: Path) -> None:
        draw, complete = random.Random(1), 0
        for round in range(20):
            folder = tmp_path / str(round)
            worker = subprocess.Popen(
                [sys.executable, str(WORKER), "forever", str(folder)], stdout=subprocess.PIPE
            )
            assert worker.stdout
            for _ in range(draw.randint(1, 3)):
                worker.stdout.readline()
            time.sleep(draw.uniform(0, 0.03))
            worker.kill()
            worker.communicate()
            for path in folder.iterdir():
                record = RunRecord(path)
                complete += record.summary() is not None
                self.finish(record)
        assert complete > 10


class Disk:
    """What a power cut would leave under a folder.

    That is contents that were flushed, under names that their folder was flushed with. Calls go
    through to the real file system.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.flushed, self.names = root, set[int](), dict[Path, dict[str, int]]()
        fsync, link = os.fsync, os.link

        def flush(handle: int) -> None:
            fsync(handle)
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            if path.is_dir():
                self.names[path] = {entry.name: entry.inode() for entry in os.scandir(path)}
            else:
                self.flushed.add(os.fstat(handle).st_ino)

        def linked(source: Path, target: Path) -> None:
            link(source, target)
            if target.name == "summary.json":
                self.at_link = {
                    name
                    for name in os.listdir(source.parent)
                    if self.has(source.parent / name, source.parent)
                }

        monkeypatch.setattr(os, "fsync", flush)
        monkeypatch.setattr(os, "link", linked)

    def has(self, path: Path, above: Path | None = None) -> bool:
        """Check whether a file or a folder is there afterwards with its content.

        Its folder ``above`` is taken to be there.
        """
        inode = path.stat().st_ino
        known = self.names.get(path.parent, {}).get(path.name) == inode and (
            path.is_dir() or inode in self.flushed
        )
        return known and (path.parent == (above or self.root) or self.has(path.parent, above))


def test_a_summary_never_outlives_what_it_speaks_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut at the link, or after it.

    The best weights are a second name of what was the best after an epoch.
    """
    disk = Disk(tmp_path / "runs", monkeypatch)
    record = RunRecord(tmp_path / "runs" / "cell" / "fingerprint")
    record.create(IDENTITY)
    attempt = Attempt.acquire(record)
    attempt.write("best-00003.safetensors", b"weights")
    attempt.write("predictions.parquet", b"rows")
    os.link(attempt.path / "best-00003.safetensors", attempt.path / "best.safetensors")
    (attempt.path / "notes.txt").write_text("never flushed")
    attempt.publish({}, ["best.safetensors", "predictions.parquet", "notes.txt"])
    assert disk.at_link >= {"best.safetensors", "predictions.parquet", "summary.json", "notes.txt"}
    for path in (
        record.path / "summary.json",
        record.path / "config.json",
        *(attempt.path / name for name in disk.at_link),
    ):
        assert disk.has(path), path


def test_a_file_system_that_cannot_flush_folders_will_do(
    record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_folders(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").is_dir():
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    attempt = Attempt.acquire(record)
    monkeypatch.setattr(os, "fsync", no_folders)
    attempt.publish({}, [])
    assert record.state().name == "complete"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write until the disk is full."""
    path = folder / "full"
    with open(path, "wb", buffering=0) as file:
        for size in (4096, 1):
            try:
                while file.write(b"x" * size):
                    pass
            except OSError as error:
                assert error.errno == errno.ENOSPC
    return path


def no_space(*arguments: Any, **named: Any) -> None:
    """In the place of a system call."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TestFullDisk:
    """A disk that fills up is an error that names the file.

    Nothing is lost, and the run goes on when there is space.
    """

    def test_while_a_run_is_held(self, small_disk: Path) -> None:
        record = RunRecord(small_disk / "record")
        record.create(IDENTITY)
        attempt = Attempt.acquire(record, heartbeat_s=0.02)
        attempt.write("checkpoint.pt", b"old")
        attempt.event("epoch", epoch=0, text="x" * 4000)
        full = fill(small_disk)
        with pytest.raises(
            StorageError, match="checkpoint.pt: cannot be written: No space left on device"
        ):
            attempt.write("checkpoint.pt", b"new" * 10_000)
        with pytest.raises(StorageError, match="summary.json: cannot be written: No space left"):
            attempt.publish({"x": "x" * 5000}, [])
        with pytest.raises(StorageError, match="events.jsonl: cannot be written: No space left"):
            attempt.event("epoch", epoch=1, text="x" * 10_000)
        assert (record.attempt_path(1) / "checkpoint.pt").read_bytes() == b"old"
        assert [event["epoch"] for event in record.events(1)] == [0]
        beat = (record.attempt_path(1) / "heartbeat").read_text()
        time.sleep(0.2)
        assert int((record.attempt_path(1) / "heartbeat").read_text()) > int(beat), (
            "it is still alive"
        )
        full.unlink()
        attempt.event("epoch", epoch=2)
        attempt.publish({}, ["checkpoint.pt"])
        attempt.release()
        assert [event.get("epoch") for event in record.events(1)] == [0, 2, None]
        check_complete(record)
        assert not list(record.path.rglob("*.tmp"))

    def test_before_a_run_is_held(self, small_disk: Path) -> None:
        record = RunRecord(small_disk / "record")
        record.create(IDENTITY)
        full = fill(small_disk)
        with pytest.raises(StorageError, match="No space left"):
            Attempt.acquire(record)
        with pytest.raises(StorageError, match="No space left"):
            RunRecord(small_disk / "other").create(IDENTITY)
        assert record.state().name == "pending", "nobody holds it"
        full.unlink()
        whole_run(record, 0.3, "x")
        whole_run(RunRecord(small_disk / "other"), 0.3, "x")

    def test_an_ending_that_cannot_be_written_still_ends_the_heartbeat(
        self, small_disk: Path
    ) -> None:
        record = RunRecord(small_disk / "record")
        record.create(IDENTITY)
        before = threading.active_count()
        attempt = Attempt.acquire(record, heartbeat_s=0.02)
        fill(small_disk)
        with pytest.raises(StorageError):
            attempt.release("failed", traceback="x" * 10_000)
        assert threading.active_count() == before

    @pytest.mark.parametrize("call", ["fsync", "replace", "link", "mkdir"])
    def test_wherever_it_is_noticed(
        self, record: RunRecord, call: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same without a small disk."""
        attempt = Attempt.acquire(record, heartbeat_s=1000) if call != "mkdir" else None
        with monkeypatch.context() as patch:
            patch.setattr(os, call, no_space)
            with pytest.raises(
                StorageError, match=r"/.*: cannot be written: No space left on device"
            ) as caught:
                attempt.publish({}, []) if attempt else Attempt.acquire(record)
        assert str(record.path) in str(caught.value)
        if attempt:
            attempt.release("failed")
        whole_run(record, 0.3, "x")

    def test_a_complete_run_is_complete_also_when_its_last_event_cannot_be_written(
        self, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempt = Attempt.acquire(record, heartbeat_s=1000)
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", no_space)
            with pytest.raises(StorageError, match="events.jsonl"):
                attempt.event("epoch")
            attempt.publish({}, [])
        attempt.release()
        check_complete(record)

    def test_a_half_written_event_does_not_spoil_the_next(
        self, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        attempt = Attempt.acquire(record, heartbeat_s=1000)
        write = os.write
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", lambda file, content: write(file, content[:10]))
            with pytest.raises(
                StorageError, match="events.jsonl: cannot be written: No space left"
            ):
                attempt.event("epoch", epoch=0)
        attempt.event("epoch", epoch=1, metrics={})
        attempt.release("failed")
        assert [event["event"] for event in record.events(1)] == ["epoch", "failed"]
        assert record.history()[0]["epoch"] == 1


def test_a_folder_that_may_not_be_written(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if os.getuid() == 0:
        folder = request.getfixturevalue("small_disk")
        protect = ["mount", "-o", "remount,ro", str(folder)]
    else:
        folder = tmp_path
        protect = ["chmod", "-R", "a-w", str(folder)]
        request.addfinalizer(
            lambda: subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
        )
    record = RunRecord(folder / "record")
    record.create(IDENTITY)
    subprocess.run(protect, check=True)
    for act in (
        lambda: Attempt.acquire(record),
        lambda: RunRecord(folder / "other").create(IDENTITY),
    ):
        with pytest.raises(
            StorageError, match="cannot be written: (Read-only file system|Permission denied)"
        ) as caught:
            act()
        assert str(folder) in str(caught.value)
    assert record.state().name == "pending"
