"""The run record: the durable truth about one run, a directory that needs no server and no network.

::

    <runs>/<cell>/cancelled              a mark: loops of this cell stop, launches leave it alone
    <runs>/<cell>/<fingerprint[:16]>/
        config.json                      cell, fingerprint, resolved configuration and the parts of its identity
        attempts/<n>/holder.json         who holds attempt n (host, boot, process, SLURM job)
                     heartbeat           a counter, judged by the observer's own clock
                     events.jsonl        append-only: started, epoch, checkpoint, and one ending
                     checkpoint-*.pt     at an optimiser step; the name carries the content's SHA-256
                     log.txt             the text log of the attempt
                     retried             a mark: this attempt's failure does not count any more
                     best.safetensors, predictions.parquet, summary.json
        summary.json                     made once, by hard link, from the winner's attempt: the run is complete

This module reads; ``echolm.attempt`` writes. Reading never changes a state.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from echolm.errors import EchoLMError, StorageError
from echolm.liveness import presence

ENDINGS = ("complete", "failed", "pruned", "cancelled", "interrupted", "superseded")
"""Events after which an attempt has no holder."""
STATES = ("pending", "running", "interrupted", "complete", "failed", "pruned", "cancelled")
STOPPED = ("failed", "pruned", "cancelled")
"""States that wait for ``echolm retry``."""
FINGERPRINT_DIGITS = 16
PREDICTIONS_SCHEMA, PREDICTIONS_KEY = 1, b"echolm.predictions"
"""The number of what the columns of predictions.parquet are called and mean (``echolm.tasks.Task.rows``), and its key in the
file's metadata. Raised when either changes. A file without it has number 1."""
_NAMES_ENDING = re.compile(rb'"(' + "|".join(ENDINGS).encode() + rb')"')


@dataclass(frozen=True)
class RunState:
    """What a record says at the moment of looking.

    ``name``: one of ``STATES``; ``pending`` has no attempt (or a failure that was marked for retry),
    ``interrupted`` has a checkpoint or a dead holder and waits for the next launch. ``running`` has the evidence
    ``unseen`` when its holder cannot be looked for from here (another host, or this one before it was started again):
    only who acquires the run watches its heartbeat.
    """

    name: str
    attempt: int = 0
    evidence: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunRecord:
    """One record directory."""

    path: Path

    @classmethod
    def at(cls, runs: Path, cell: str, fingerprint: str) -> RunRecord:
        """The record of a cell and fingerprint under the folder ``runs``; it need not exist."""
        return cls(Path(f"{runs}/{cell}/{fingerprint[:FINGERPRINT_DIGITS]}"))

    def create(self, identity: dict[str, Any]) -> None:
        """Make the directory and ``config.json`` (once). ``identity``: cell, fingerprint, config, protocols, data, weights."""
        with writing(self.path / "attempts") as folder:
            folder.mkdir(parents=True, exist_ok=True)
        target = self.path / "config.json"
        if target.exists():
            stored = read_json(target).get("fingerprint")
            if stored != identity["fingerprint"]:
                raise EchoLMError(f"{target}: holds fingerprint {stored}, not {identity['fingerprint']}; move the folder away")
            return
        write_atomic(target, json.dumps(identity, indent=1, sort_keys=True).encode())

    def identity(self) -> dict[str, Any]:
        """The content of ``config.json``."""
        return read_json(self.path / "config.json", "fingerprint")

    def attempts(self) -> list[int]:
        """Numbers of all attempts, ascending."""
        try:
            names = os.listdir(f"{self.path}/attempts")
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def attempt_path(self, number: int) -> Path:
        """The folder of an attempt."""
        return Path(f"{self.path}/attempts/{number}")

    def events(self, attempt: int) -> list[dict[str, Any]]:
        """The events of an attempt; a line cut off by a crash is left out."""
        return read_lines(self.attempt_path(attempt) / "events.jsonl", "event")

    def _ending(self, attempt: int) -> dict[str, Any] | None:
        events = read_lines(Path(f"{self.path}/attempts/{attempt}/events.jsonl"), "event", _NAMES_ENDING)
        return next((event for event in reversed(events) if event["event"] in ENDINGS), None)

    def _has_summary(self) -> bool:
        return os.path.exists(f"{self.path}/summary.json")

    def summary(self) -> dict[str, Any] | None:
        """The summary of a complete run, else None."""
        try:
            return read_json(self.path / "summary.json", "attempt")
        except FileNotFoundError:
            return None

    def file(self, name: str) -> Path:
        """``best.safetensors`` or ``predictions.parquet`` of a complete run."""
        summary = self.summary()
        if summary is None:
            raise EchoLMError(f"{self.path}: the run is {self.state().name}, not complete; it has no {name}")
        return self.attempt_path(summary["attempt"]) / name

    def history(self) -> list[dict[str, Any]]:
        """One epoch event per epoch, ascending; of epochs that were run again, the latest attempt's. An event without its
        number and metrics is left out."""
        epochs: dict[int, dict[str, Any]] = {}
        for attempt in self.attempts():
            found = (event for event in self.events(attempt) if event["event"] == "epoch")
            epochs.update({event["epoch"]: event for event in found if _is_epoch(event)})
        return [epochs[number] for number in sorted(epochs)]

    def failures(self) -> list[dict[str, Any]]:
        """The ``failed`` events that still count: of attempts not marked for retry, oldest first."""
        found = []
        for attempt in self.attempts():
            if not (self.attempt_path(attempt) / "retried").exists():
                found += [event for event in self.events(attempt) if event["event"] == "failed"]
        return found

    def place(self) -> tuple[int, int]:
        """(epoch, step) of the furthest checkpoint by its name, (0, 0) without one."""
        names = (path.name.split("-") for path in self.path.glob("attempts/*/checkpoint-*-*-*.pt"))
        return max(((int(name[1]), int(name[2])) for name in names), default=(0, 0))

    def cancelled(self) -> bool:
        """Whether the cell is marked as cancelled."""
        return os.path.exists(f"{self.path.parent}/cancelled")

    def state(self) -> RunState:
        """Judge the record; see RunState."""
        attempts = self.attempts()
        newest = attempts[-1] if attempts else 0
        if self._has_summary():
            return RunState("complete", newest)
        if not attempts:
            return RunState("cancelled" if self.cancelled() else "pending")
        path, ending, holder = self.attempt_path(newest), self._ending(newest), "dead"
        if ending is None and (holder := presence(path)) == "dead":
            ending = self._ending(newest)  # a holder links the summary, writes its ending, and then goes
        if self._has_summary():
            return RunState("complete", newest)
        if ending is None and holder != "dead":
            return RunState("running", newest, {} if holder == "here" else {"unseen": True})
        if self.cancelled():
            return RunState("cancelled", newest, ending or {})
        if (path / "retried").exists():
            return RunState("pending", newest)
        name = ending["event"] if ending and ending["event"] in STOPPED else "interrupted"
        return RunState(name, newest, ending or {"reason": "the process that held it is gone"})


def names(folder: Path) -> set[str]:
    """What lies in a folder, by name; nothing when it is not there."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


def find_records(runs: Path, cell: str) -> list[RunRecord]:
    """All records of a cell, newest first by creation of ``config.json``."""
    found = [path for path in (runs / cell).glob("*/config.json")] if (runs / cell).is_dir() else []
    return [RunRecord(path.parent) for path in sorted(found, key=lambda p: (-p.stat().st_mtime_ns, p.parent.name))]


def _is_epoch(event: dict[str, Any]) -> bool:
    return isinstance(event.get("epoch"), int) and isinstance(event.get("metrics"), dict)


def cell_state(runs: Path, cell: str) -> str:
    """The state of a cell, whatever data and weights its records are of: complete if one of them is, else the newest's."""
    states = [record.state().name for record in find_records(runs, cell)]
    if not states:
        return "cancelled" if (runs / cell / "cancelled").exists() else "pending"
    return "complete" if "complete" in states else states[0]


def cell_standing(runs: Path, cell: str) -> str:
    """``cell_state``, or ``diverged`` for a failed cell whose newest run ended with a loss that is not finite: it would again."""
    if (state := cell_state(runs, cell)) != "failed":
        return state
    return "diverged" if find_records(runs, cell)[0].state().evidence.get("class") == "diverged" else state


def read_json(path: Path, *needed: str) -> dict[str, Any]:
    """A JSON object from a file; EchoLMError when it is damaged or lacks a ``needed`` field, FileNotFoundError when it
    is not there."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EchoLMError(f"{path}: damaged ({error}); delete it or restore it from a copy") from error
    if not isinstance(content, dict):
        raise EchoLMError(f"{path}: holds {type(content).__name__}, not an object; it is not one of EchoLM's files")
    if missing := [field for field in needed if field not in content]:
        raise EchoLMError(f"{path}: has no field {missing[0]!r}; it is not one of EchoLM's files: delete it or move it away")
    return content


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Turns an OSError of the block into a StorageError that names ``path``."""
    try:
        yield path
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the name ``path`` at the end of the block, once it is on the disk: readers see the old
    file or the whole new one. After an error nothing is left of it. Raises StorageError."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with writing(path):
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file by ``atomic``."""
    with atomic(path) as file:
        file.write(content)


def settle(folder: Path) -> None:
    """Flush the names of a folder's files to the disk, where its file system can: a power cut does not take them back.
    Raises StorageError."""
    with writing(folder):
        handle = None
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EACCES):  # the last: a folder one may not list
                raise
        finally:
            if handle is not None:
                os.close(handle)


def read_lines(path: Path, needed: str, having: re.Pattern[bytes] | None = None) -> list[dict[str, Any]]:
    """The JSON objects of an append-only file, one a line; [] when it is not there. Lines without the field ``needed``,
    cut off by a crash or damaged, are left out, and those in which ``having`` is not found."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    if having and not having.search(content):
        return []
    lines = [line for line in content.split(b"\n") if line and (not having or having.search(line))]
    return [value for value in _values(lines) if isinstance(value, dict) and needed in value]


def _values(lines: Sequence[bytes]) -> Iterator[Any]:
    """The JSON values of lines, all at once when none is damaged, which is faster."""
    with contextlib.suppress(ValueError):
        values = json.loads(b"[" + b",".join(lines) + b"]")
        if len(values) == len(lines):
            yield from values
            return
    for line in lines:
        with contextlib.suppress(ValueError):
            yield json.loads(line)
