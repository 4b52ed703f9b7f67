"""The run record: the durable truth about one run, a directory that needs no server and no network.

::

    <runs>/<cell>/cancelled              a mark: loops of this cell stop, launches leave it alone
    <runs>/<cell>/<fingerprint[:16]>/
        config.json                      cell, fingerprint, resolved configuration and the parts of
                                         its identity
        attempts/<n>/holder.json         who holds attempt n (host, boot, process, SLURM job)
                     heartbeat           a counter, judged by the observer's own clock
                     events.jsonl        append-only: started, epoch, checkpoint, and one ending
                     checkpoint-*.pt     at an optimiser step, with the SHA-256 in the name
                     log.txt             the text log of the attempt
                     retried             a mark: this attempt's failure does not count any more
                     best.safetensors, predictions.parquet, summary.json
                                         (what a run does not keep is not among its ``files``)
        summary.json                     made once, by hard link, from the winner's attempt: the
                                         run is complete

Folders of other names (copies that somebody made) are no records. This module reads.
``echolm.attempt`` writes. Reading never changes a state. Paths of files that
``state`` looks for are built as text: a survey of a large grid spends its time on them.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.files import list_names, read_json, read_lines, write_atomic, writing
from echolm.kept_weights import Keep, kept
from echolm.liveness import presence
from echolm.states import FailureClass, RunState

STOPPED = (RunState.FAILED, RunState.PRUNED, RunState.CANCELLED)
"""States that wait for ``echolm retry``."""
ENDINGS = (RunState.COMPLETE, *STOPPED, RunState.INTERRUPTED, "superseded")
"""Events after which an attempt has no holder."""
WEIGHTS = "best.safetensors"
"""The file of a complete run that holds its weights."""
FINGERPRINT_DIGITS = 16
KEY = re.compile(r"[0-9a-f]{16}")
"""The name of a cell's folder, and of a record's folder in it."""
PREDICTIONS_SCHEMA = 1
"""Number of what the columns of predictions.parquet are called and mean.

The columns are those of ``echolm.tasks.Task.rows``. It is raised when either changes. A file
without it has number 1.
"""
PREDICTIONS_KEY = b"echolm.predictions"
"""The key of ``PREDICTIONS_SCHEMA`` in the file's metadata."""
_NAMES_ENDING = re.compile(rb'"(' + "|".join(ENDINGS).encode() + rb')"')
_NAMES_START = re.compile(rb'"started"')


@dataclass(frozen=True)
class RunStatus:
    """What a record says at the moment of looking."""

    name: str
    """A ``RunState``."""
    attempt: int = 0
    """The newest attempt, 0 without one."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """The ending event, or why there is none.

    A run that is ``running`` has the evidence ``unseen`` when its holder cannot be looked for from
    here (another host, or this one before it was started again). Only who acquires the run watches
    its heartbeat.
    """


@dataclass(frozen=True)
class RunRecord:
    """One record directory."""

    path: Path

    @classmethod
    def at(cls, runs: Path, cell: str, fingerprint: str) -> RunRecord:
        """Return the record of a cell and fingerprint below ``runs``. It need not exist."""
        return cls(Path(f"{runs}/{cell}/{fingerprint[:FINGERPRINT_DIGITS]}"))

    def create(self, identity: dict[str, Any]) -> None:
        """Make the directory and ``config.json``, once.

        Args:
            identity: cell, fingerprint, config, protocols, data, weights.
        """
        with writing(self.path / "attempts") as folder:
            folder.mkdir(parents=True, exist_ok=True)
        target = self.path / "config.json"
        if not target.exists():
            write_atomic(target, json.dumps(identity, indent=1, sort_keys=True).encode())
            return
        stored = read_json(target).get("fingerprint")
        if stored != identity["fingerprint"]:
            raise EchoLMError(
                f"{target}: holds fingerprint {stored}, not {identity['fingerprint']}; "
                "move the folder away"
            )

    def identity(self) -> dict[str, Any]:
        """Read ``config.json``."""
        return read_json(self.path / "config.json", "fingerprint")

    def attempts(self) -> list[int]:
        """List the numbers of all attempts, ascending."""
        try:
            names = os.listdir(f"{self.path}/attempts")
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if name.isdecimal())

    def attempt_path(self, number: int) -> Path:
        """Return the folder of an attempt."""
        return Path(f"{self.path}/attempts/{number}")

    def events(self, attempt: int) -> list[dict[str, Any]]:
        """Read the events of an attempt. A line that was cut off by a crash is left out."""
        return read_lines(self.attempt_path(attempt) / "events.jsonl", "event")

    def _ending(self, attempt: int) -> dict[str, Any] | None:
        path = Path(f"{self.path}/attempts/{attempt}/events.jsonl")
        for event in reversed(read_lines(path, "event", _NAMES_ENDING)):
            if event["event"] in ENDINGS:
                return event
        return None

    def _has_summary(self) -> bool:
        return os.path.exists(f"{self.path}/summary.json")

    def summary(self) -> dict[str, Any] | None:
        """Read the summary of a complete run, or return None."""
        try:
            return read_json(self.path / "summary.json", "attempt")
        except FileNotFoundError:
            return None

    def file(self, name: str) -> Path:
        """Return where ``best.safetensors`` or ``predictions.parquet`` of a complete run is.

        Raises:
            EchoLMError: when the run is not complete, or its weights were not kept.
        """
        summary = self.summary()
        if summary is None:
            raise EchoLMError(
                f"{self.path}: the run is {self.state().name}, not complete; it has no {name}"
            )
        if name == WEIGHTS and kept(summary) == Keep.NONE:
            raise EchoLMError(
                f"{self.path}: its weights were not kept (keep: none); to have them, delete that "
                "folder and train the cell again",
                Command("train", str(summary["cell"]), options=("--keep", "best")),
            )
        return self.attempt_path(summary["attempt"]) / name

    def history(self) -> list[dict[str, Any]]:
        """List one epoch event per epoch, ascending.

        Of epochs that were run again, the latest attempt's event counts. An event without its
        number and metrics is left out.
        """
        epochs: dict[int, dict[str, Any]] = {}
        for attempt in self.attempts():
            for event in self.events(attempt):
                if event["event"] == "epoch" and _is_epoch(event):
                    epochs[event["epoch"]] = event
        return [epochs[number] for number in sorted(epochs)]

    def plugin_sources(self) -> list[dict[str, str]] | None:
        """List the plugins' sources that made what the run has learned so far, oldest first.

        They are those of its newest attempt, and of the attempts that it continues. Each is plugin
        -> SHA-256 of its source, and equal ones that follow one another are one.

        Returns:
            None where an attempt does not tell: an earlier version wrote it.
        """
        sources: list[dict[str, str]] = []
        for attempt in reversed(self.attempts()):
            started = self._started(attempt)
            if started is None:
                continue  # it ended before it had built its network
            plugins = started.get("plugins")
            if not isinstance(plugins, dict):
                return None
            if not sources or sources[0] != plugins:
                sources.insert(0, plugins)
            if not (started.get("epoch") or started.get("step")):
                break  # it began anew
        return sources

    def arithmetic(self) -> list[dict[str, Any]]:
        """List how what the run has learned so far was computed, oldest first.

        It is that of its newest attempt, and of the attempts that it continues, equal ones that
        follow one another as one. Each has the ``facts`` of ``echolm.arithmetic``: ``precision``
        and ``compile`` where they are not the plain ones.
        """
        parts: list[dict[str, Any]] = []
        for attempt in reversed(self.attempts()):
            started = self._started(attempt)
            if started is None:
                continue  # it ended before it had built its network
            facts: dict[str, Any] = {}
            for name in ("precision", "compile"):
                if name in started:
                    facts[name] = started[name]
            if not parts or parts[0] != facts:
                parts.insert(0, facts)
            if not (started.get("epoch") or started.get("step")):
                break  # it began anew
        return parts

    def _started(self, attempt: int) -> dict[str, Any] | None:
        path = self.attempt_path(attempt) / "events.jsonl"
        for event in read_lines(path, "event", _NAMES_START):
            if event["event"] == "started":
                return event
        return None

    def failures(self) -> list[dict[str, Any]]:
        """List the ``failed`` events of attempts that are not marked for retry, oldest first."""
        failures = []
        for attempt in self.attempts():
            if (self.attempt_path(attempt) / "retried").exists():
                continue
            events = self.events(attempt)
            failures += [event for event in events if event["event"] == RunState.FAILED]
        return failures

    def checkpoint_position(self) -> tuple[int, int]:
        """Return (epoch, step) of the furthest checkpoint by its name, (0, 0) without one."""
        furthest = (0, 0)
        for path in self.path.glob("attempts/*/checkpoint-*-*-*.pt"):
            epoch, step = path.name.split("-")[1:3]
            furthest = max(furthest, (int(epoch), int(step)))
        return furthest

    def cancelled(self) -> bool:
        """Check whether the cell is marked as cancelled."""
        return os.path.exists(f"{self.path.parent}/cancelled")

    def state(self) -> RunStatus:
        """Judge the record by its summary, its newest attempt's ending, and who holds that."""
        attempts = self.attempts()
        if not attempts:
            return self._state_without_attempt()
        newest = attempts[-1]
        if self._has_summary():
            return RunStatus(RunState.COMPLETE, newest)

        ending = self._ending(newest)
        holder = "dead"
        if ending is None:
            holder = presence(self.attempt_path(newest))
            if holder == "dead":
                # A holder links the summary, writes its ending, and then goes: it may have done
                # all three since the ending was looked for.
                ending = self._ending(newest)
        if self._has_summary():
            return RunStatus(RunState.COMPLETE, newest)
        if ending is None and holder == "here":
            return RunStatus(RunState.RUNNING, newest)
        if ending is None and holder == "unseen":
            return RunStatus(RunState.RUNNING, newest, {"unseen": True})
        return self._state_after(newest, ending)

    def _state_without_attempt(self) -> RunStatus:
        if self._has_summary():
            return RunStatus(RunState.COMPLETE)
        if self.cancelled():
            return RunStatus(RunState.CANCELLED)
        return RunStatus(RunState.PENDING)

    def _state_after(self, attempt: int, ending: dict[str, Any] | None) -> RunStatus:
        """Judge a record that is not complete and whose newest attempt has no holder."""
        if self.cancelled():
            return RunStatus(RunState.CANCELLED, attempt, ending or {})
        if (self.attempt_path(attempt) / "retried").exists():
            return RunStatus(RunState.PENDING, attempt)
        if ending is None:
            evidence = {"reason": "the process that held it is gone"}
            return RunStatus(RunState.INTERRUPTED, attempt, evidence)
        if ending["event"] in STOPPED:
            return RunStatus(RunState(ending["event"]), attempt, ending)
        return RunStatus(RunState.INTERRUPTED, attempt, ending)


def _is_epoch(event: dict[str, Any]) -> bool:
    return isinstance(event.get("epoch"), int) and isinstance(event.get("metrics"), dict)


def is_key(name: str) -> bool:
    """Return whether a folder may be a cell or a record, by its name: 16 hexadecimal digits."""
    return KEY.fullmatch(name) is not None


def copied_folders(folder: Path) -> list[Path]:
    """List the folders that look like cells or records but by their name, sorted.

    Somebody copied them there. Nothing reads them.

    Args:
        folder: the workspace's ``runs``, or the folder of a cell.
    """
    copies = []
    for name in list_names(folder):
        is_copy = not is_key(name) and KEY.search(name) is not None
        if is_copy and (folder / name).is_dir():
            copies.append(folder / name)
    return sorted(copies)


def find_records(runs: Path, cell: str) -> list[RunRecord]:
    """List all records of a cell, newest first by the creation of ``config.json``."""
    if not (runs / cell).is_dir():
        return []
    records = []
    for path in (runs / cell).glob("*/config.json"):
        if not is_key(path.parent.name):
            continue
        newest_first = -path.stat().st_mtime_ns
        records.append((newest_first, path.parent.name, path.parent))
    return [RunRecord(folder) for _, _, folder in sorted(records)]


def cell_state(runs: Path, cell: str) -> str:
    """Return the ``RunState`` of a cell, whatever data and weights its records are of.

    It is complete if one of them is, else it has the state of the newest.
    """
    states = [record.state().name for record in find_records(runs, cell)]
    if RunState.COMPLETE in states:
        return RunState.COMPLETE
    if states:
        return states[0]
    if (runs / cell / "cancelled").exists():
        return RunState.CANCELLED
    return RunState.PENDING


def cell_state_or_diverged(runs: Path, cell: str) -> str:
    """Return ``cell_state``, or ``diverged`` for a cell that would fail again.

    That is a failed cell whose newest run ended with a loss that is not finite.
    """
    state = cell_state(runs, cell)
    if state == RunState.FAILED:
        newest = find_records(runs, cell)[0].state()
        if newest.evidence.get("class") == FailureClass.DIVERGED:
            return FailureClass.DIVERGED
    return state
