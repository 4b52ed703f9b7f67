"""Why jobs end before their units do: classes, remedies, budgets. A failure is data; it belongs to the unit that was running.

What happens inside a run (an exception, CUDA out of memory) stands in its record. What happens to a job from outside (a
node, a time limit, the kernel's out-of-memory killer) is appended to ``grids/<grid>/failures.jsonl``, by ``echolm launch``.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from echolm.config import RunConfig, needs_whole_batch
from echolm.record import find_records, read_lines, writing
from echolm.workspace import Workspace
from grid.plan import Resources


@dataclass(frozen=True)
class Class:
    """A failure class: how often a unit may meet it, and what is done then."""

    budget: int
    remedy: str


CLASSES = {
    "node-failure": Class(5, "again from the checkpoint, on another node"),
    "preempted": Class(100, "again from the checkpoint"),
    "time-limit": Class(2, "again from the checkpoint; counted when no step was done since the last one"),
    "out-of-memory": Class(4, "again with half the micro-batch, at the same batch size"),
    "killed": Class(3, "again from the checkpoint"),
    "launch": Class(2, "again"),
    "cancelled": Class(0, "waits for echolm retry"),
}
"""Failures of jobs. Those of runs (data, bug, diverged) have no budget: the same would happen again."""

_STATES = {
    "NODE_FAIL": "node-failure", "BOOT_FAIL": "node-failure", "TIMEOUT": "time-limit", "DEADLINE": "time-limit",
    "PREEMPTED": "preempted", "OUT_OF_MEMORY": "out-of-memory", "CANCELLED": "cancelled", "REVOKED": "cancelled",
    "LAUNCH_FAILED": "launch", "RECONFIG_FAIL": "launch",
}  # fmt: skip
_OUT_OF_MEMORY = re.compile(r"oom[-_ ]kill|Out Of Memory|OOM Killed|exceeded memory limit|being killed", re.IGNORECASE)


def classify(state: str, began: bool, log: str = "") -> str:
    """The class of a job that ended as ``state`` (SLURM's word; '' when SLURM does not know it any more). ``began``:
    whether it had taken a unit; ``log``: the end of its output."""
    if state in _STATES:
        return _STATES[state]
    if _OUT_OF_MEMORY.search(log):
        return "out-of-memory"
    return "killed" if began else "launch"


@dataclass(frozen=True)
class Failure:
    """One job's failure. ``cells``: what it was training; ``node``: where it ran, or of several nodes those that were down,
    as ``n1,n3``; ``place``: (epoch, step) of the newest checkpoint then; ``evidence``: SLURM's word and the end of the log."""

    kind: str
    job: str
    batch: str
    cells: tuple[str, ...]
    node: str = ""
    evidence: str = ""
    place: tuple[int, int] = (0, 0)
    time: float = field(default_factory=time.time)


def _file(workspace: Workspace, grid: str) -> Path:
    return workspace.grids / grid / "failures.jsonl"


def note(workspace: Workspace, grid: str, failures: Sequence[Failure]) -> None:
    """Append failures. Raises StorageError."""
    _append(_file(workspace, grid), [asdict(failure) for failure in failures])


def forgive(workspace: Workspace, grid: str, cells: Iterable[str]) -> None:
    """Failures of these cells, and of jobs that never began, do not count any more: ``echolm retry``."""
    path = _file(workspace, grid)
    if path.exists():
        _append(path, [{"kind": "retried", "cells": list(cells)}])


def _append(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    if lines:
        with writing(path), open(path, "a", encoding="utf-8") as file:
            file.write("\n" + "".join(json.dumps(line) + "\n" for line in lines))  # whatever a crash left before it


def failures(workspace: Workspace, grid: str) -> list[Failure]:
    """All failures that count, oldest first."""
    found: list[Failure] = []
    for line in read_lines(_file(workspace, grid), "kind"):
        if line["kind"] == "retried":
            again = set(line["cells"])
            found = [replace(f, cells=left) for f in found if (left := tuple(cell for cell in f.cells if cell not in again))]
        else:
            found.append(Failure(**{**line, "cells": tuple(line["cells"]), "place": tuple(line["place"])}))
    return found


def noted(workspace: Workspace, grid: str) -> set[tuple[str, tuple[str, ...]]]:
    """(job, cells) of every failure that was noted, also one that does not count any more."""
    return {(str(line["job"]), tuple(line["cells"])) for line in read_lines(_file(workspace, grid), "job")}


def cancelled(workspace: Workspace, grid: str) -> set[tuple[str, str]]:
    """(batch, job) of all jobs that were noted as cancelled; where ``echolm cancel`` did it, the job is a whole array."""
    return {(str(line["batch"]), str(line["job"])) for line in read_lines(_file(workspace, grid), "job") if line["kind"] == "cancelled"}


def counted(found: Iterable[Failure]) -> dict[str, dict[str, int]]:
    """Cell -> class -> how often. A time limit counts when the run stood where it had stood at the one before."""
    counts: dict[str, dict[str, int]] = {}
    last: dict[str, tuple[int, int]] = {}
    for failure in found:
        for cell in failure.cells:
            moved = failure.kind == "time-limit" and last.get(cell, (-1, -1)) < failure.place
            own = counts.setdefault(cell, {})
            own[failure.kind] = own.get(failure.kind, 0) + (not moved)
            if failure.kind == "time-limit":
                last[cell] = failure.place
    return counts


def given_up(found: Sequence[Failure]) -> dict[str, str]:
    """Cells over a budget -> why, in words."""
    reasons = {}
    for cell, counts in counted(found).items():
        for kind, count in counts.items():
            if count > CLASSES[kind].budget:
                last = next(f for f in reversed(found) if cell in f.cells and f.kind == kind)
                times = f"{count} times" if count > 1 else "once"
                reasons[cell] = f"{kind} {times}, the last in job {last.job}" + (f" on {last.node}" if last.node else "")
    return reasons


def never_began(found: Sequence[Failure], begun: str = "") -> str:
    """The sentence that stops submission when jobs end before they take a unit; '' when that is within the budget.
    ``begun``: name of the newest batch of which a job did begin; what failed before is over."""
    dead = [failure for failure in found if failure.kind == "launch" and not failure.cells and failure.batch > begun]
    if len(dead) <= CLASSES["launch"].budget:
        return ""
    return f"{len(dead)} jobs ended before they took a unit, and nothing more is submitted: {telling(dead[-1].evidence)}"


def telling(log: str) -> str:
    """The line of a log's end that says what went wrong: the last that is not srun's comment on it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if not line.startswith("srun: ")), "they wrote nothing")


def micro_batches(found: Iterable[Failure], batch_size: int, cell: str, chosen: int | None) -> int | None:
    """The micro-batch after the out-of-memory failures of a cell: half, for each of them."""
    times = counted(found).get(cell, {}).get("out-of-memory", 0)
    return chosen if not times else max(1, (chosen or batch_size) // 2**times)


def micro_batch_of(found: Iterable[Failure], cell: str, config: RunConfig, needs: Resources) -> int | None:
    """The micro-batch of a cell's next try with these resources; an encoder that needs its whole batch keeps what was asked for."""
    if needs_whole_batch(config):
        return needs.micro_batch
    return micro_batches(found, -(-config.batch_size // needs.ranks), cell, needs.micro_batch)


def stood(workspace: Workspace, cells: Iterable[str]) -> tuple[int, int]:
    """(epoch, step) of the newest checkpoint of these cells; of several, the earliest."""
    return min((record.place() for cell in cells for record in find_records(workspace.runs, cell)[:1]), default=(0, 0))


def bad_nodes(found: Iterable[Failure], now: float, seconds: float = 86400.0) -> tuple[str, ...]:
    """Nodes that failed, or on which jobs never began, within the last day; the last one to fail first."""
    recent = [f for f in found if f.kind in ("node-failure", "launch") and "[" not in f.node and now - f.time < seconds]
    return tuple(dict.fromkeys(node for failure in reversed(recent) for node in failure.node.split(",") if node))
