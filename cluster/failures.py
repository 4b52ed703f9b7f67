"""Why jobs end before their units do: classes, remedies, budgets.

A failure is data. It belongs to the unit that was running. What happens inside a run (an exception,
CUDA out of memory) stands in its record. What happens to a job from outside (a node, a time limit,
the kernel's out-of-memory killer) is appended to ``grids/<grid>/failures.jsonl``, by ``echolm
launch``.
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
from echolm.files import read_lines, writing
from echolm.record import find_records
from echolm.states import FailureClass
from echolm.workspace import Workspace
from grid.units import Resources


@dataclass(frozen=True)
class FailureRule:
    """How often a unit may meet a failure class, and what is done then."""

    budget: int
    remedy: str


CLASSES: dict[str, FailureRule] = {
    FailureClass.NODE_FAILURE: FailureRule(5, "again from the checkpoint, on another node"),
    FailureClass.PREEMPTED: FailureRule(100, "again from the checkpoint"),
    FailureClass.TIME_LIMIT: FailureRule(
        2, "again from the checkpoint; counted when no step was done since the last one"
    ),
    FailureClass.OUTAGE: FailureRule(20, "again from the checkpoint"),
    FailureClass.OUT_OF_MEMORY: FailureRule(
        4, "again with half the micro-batch, at the same batch size"
    ),
    FailureClass.KILLED: FailureRule(3, "again from the checkpoint"),
    FailureClass.LAUNCH: FailureRule(2, "again"),
    FailureClass.CANCELLED: FailureRule(0, "waits for echolm retry"),
}
"""The rules of failures of jobs.

Those of runs (data, bug, diverged) have no budget: the same would happen again.
"""

_STATES = {
    "NODE_FAIL": FailureClass.NODE_FAILURE,
    "BOOT_FAIL": FailureClass.NODE_FAILURE,
    "TIMEOUT": FailureClass.TIME_LIMIT,
    "DEADLINE": FailureClass.TIME_LIMIT,
    "PREEMPTED": FailureClass.PREEMPTED,
    "OUT_OF_MEMORY": FailureClass.OUT_OF_MEMORY,
    "CANCELLED": FailureClass.CANCELLED,
    "REVOKED": FailureClass.CANCELLED,
    "LAUNCH_FAILED": FailureClass.LAUNCH,
    "RECONFIG_FAIL": FailureClass.LAUNCH,
}
LOST = "LOST"
"""The end of a job that SLURM's controller lost: that is no word of SLURM's.

Accounting takes it for alive, or says that it was cancelled and names nobody who did it: so a
controller that lost its state has its jobs closed. A person's cancellation reads ``CANCELLED by
UID``.
"""
_OUT_OF_MEMORY = re.compile(
    r"oom[-_ ]kill|Out Of Memory|OOM Killed|exceeded memory limit|being killed", re.IGNORECASE
)
_OUTAGE = re.compile(
    r"stopped: outage|OutageError|Stale file handle|Transport endpoint is not connected"
)
"""What jobs write that ended because something was away."""
_FORGIVEN = "retried"
"""In the place of a class: a line that lets failures of its cells count no more."""


def classify(state: str, began: bool, log: str = "") -> FailureClass:
    """Return the class of a job that has ended.

    Args:
        state: SLURM's word for its end, '' when SLURM does not know it any more, LOST when its
            controller lost it.
        began: whether it had taken a unit.
        log: the end of its output.
    """
    if state in _STATES:
        return _STATES[state]
    if _OUT_OF_MEMORY.search(log):
        return FailureClass.OUT_OF_MEMORY
    if state == LOST or _OUTAGE.search(log):
        return FailureClass.OUTAGE
    return FailureClass.KILLED if began else FailureClass.LAUNCH


@dataclass(frozen=True)
class JobFailure:
    """One job's failure.

    Attributes:
        kind: a failure class.
        job: the job's id.
        batch: the batch's name.
        cells: what it was training.
        node: where it ran, or of several nodes those that were down, as ``n1,n3``.
        evidence: SLURM's word and the end of the log.
        place: (epoch, step) of the newest checkpoint then.
        time: when it was noted, seconds since 1970.
    """

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


def note(workspace: Workspace, grid: str, failures: Sequence[JobFailure]) -> None:
    """Append failures. Raises StorageError."""
    _append(_file(workspace, grid), [asdict(failure) for failure in failures])


def forgive(workspace: Workspace, grid: str, cells: Iterable[str]) -> None:
    """Let failures of these cells, and of jobs that never began, count no more.

    That is what ``echolm retry`` does.
    """
    path = _file(workspace, grid)
    if path.exists():
        _append(path, [{"kind": _FORGIVEN, "cells": list(cells)}])


def _append(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    if not lines:
        return
    text = "".join(json.dumps(line) + "\n" for line in lines)
    with writing(path), open(path, "a", encoding="utf-8") as file:
        file.write("\n" + text)  # whatever a crash left before it


def failures(workspace: Workspace, grid: str) -> list[JobFailure]:
    """Read all failures that count, oldest first."""
    counting: list[JobFailure] = []
    for line in read_lines(_file(workspace, grid), "kind"):
        if line["kind"] == _FORGIVEN:
            counting = _without(counting, set(line["cells"]))
        else:
            cells, place = tuple(line["cells"]), tuple(line["place"])
            counting.append(JobFailure(**{**line, "cells": cells, "place": place}))
    return counting


def _without(failures: Sequence[JobFailure], cells: set[str]) -> list[JobFailure]:
    """Take cells out of failures. Those without a further cell go too."""
    left = []
    for failure in failures:
        others = tuple(cell for cell in failure.cells if cell not in cells)
        if others:
            left.append(replace(failure, cells=others))
    return left


def recorded_failures(workspace: Workspace, grid: str) -> set[tuple[str, tuple[str, ...]]]:
    """Return (job, cells) of every failure that was noted, also one that counts no more."""
    lines = read_lines(_file(workspace, grid), "job")
    return {(str(line["job"]), tuple(line["cells"])) for line in lines}


def cancelled(workspace: Workspace, grid: str) -> set[tuple[str, str]]:
    """Return (batch, job) of all jobs that were noted as cancelled.

    Where ``echolm cancel`` did it, the job is a whole array.
    """
    jobs = set()
    for line in read_lines(_file(workspace, grid), "job"):
        if line["kind"] == FailureClass.CANCELLED:
            jobs.add((str(line["batch"]), str(line["job"])))
    return jobs


def counted(failures: Iterable[JobFailure]) -> dict[str, dict[str, int]]:
    """Count failures: cell -> class -> how often.

    A time limit counts when the run stood where it had stood at the one before.
    """
    counts: dict[str, dict[str, int]] = {}
    checkpoints: dict[str, tuple[int, int]] = {}
    for failure in failures:
        is_time_limit = failure.kind == FailureClass.TIME_LIMIT
        for cell in failure.cells:
            of_cell = counts.setdefault(cell, {})
            has_moved = is_time_limit and checkpoints.get(cell, (-1, -1)) < failure.place
            of_cell[failure.kind] = of_cell.get(failure.kind, 0) + (not has_moved)
            if is_time_limit:
                checkpoints[cell] = failure.place
    return counts


def given_up(failures: Sequence[JobFailure]) -> dict[str, str]:
    """Return the cells over a budget, and why in words."""
    reasons = {}
    for cell, counts in counted(failures).items():
        for kind, count in counts.items():
            if count > CLASSES[kind].budget:
                reasons[cell] = _over_budget(failures, cell, kind, count)
    return reasons


def _over_budget(failures: Sequence[JobFailure], cell: str, kind: str, count: int) -> str:
    """Say which class a cell has met how often, and where it did last."""
    last = [failure for failure in failures if cell in failure.cells and failure.kind == kind][-1]
    times = f"{count} times" if count > 1 else "once"
    reason = f"{kind} {times}, the last in job {last.job}"
    return f"{reason} on {last.node}" if last.node else reason


def never_began(failures: Sequence[JobFailure], begun: str = "") -> str:
    """Return the sentence that stops submission when jobs end before they take a unit.

    '' when that is within the budget. ``begun`` is the name of the newest batch of which a job did
    begin: what failed before is over.
    """
    for kind in (FailureClass.LAUNCH, FailureClass.OUTAGE):
        dead = []
        for failure in failures:
            if failure.kind == kind and not failure.cells and failure.batch > begun:
                dead.append(failure)
        if len(dead) > CLASSES[kind].budget:
            return (
                f"{len(dead)} jobs ended before they took a unit, and nothing more is submitted:"
                f" {telling_line(dead[-1].evidence)}"
            )
    return ""


def telling_line(log: str) -> str:
    """Return the line of a log's end that says what went wrong.

    It is the last that is not srun's comment on it.
    """
    for line in reversed(log.splitlines()):
        if line.strip() and not line.strip().startswith("srun: "):
            return line.strip()
    return "they wrote nothing"


def micro_batches(
    failures: Iterable[JobFailure], batch_size: int, cell: str, chosen: int | None
) -> int | None:
    """Return the micro-batch after the out-of-memory failures of a cell: half, for each of them."""
    times = counted(failures).get(cell, {}).get(FailureClass.OUT_OF_MEMORY, 0)
    if not times:
        return chosen
    return max(1, (chosen or batch_size) // 2**times)


def micro_batch_of(
    failures: Iterable[JobFailure], cell: str, config: RunConfig, needs: Resources
) -> int | None:
    """Return the micro-batch of a cell's next try with these resources.

    An encoder that needs its whole batch keeps what was asked for.
    """
    if needs_whole_batch(config):
        return needs.micro_batch
    share = -(-config.batch_size // needs.ranks)  # rounded up
    return micro_batches(failures, share, cell, needs.micro_batch)


def earliest_checkpoint(workspace: Workspace, cells: Iterable[str]) -> tuple[int, int]:
    """Return (epoch, step) of the newest checkpoint of these cells. Of several, the earliest."""
    places = []
    for cell in cells:
        for record in find_records(workspace.runs, cell)[:1]:
            places.append(record.checkpoint_position())
    return min(places, default=(0, 0))


def bad_nodes(
    failures: Sequence[JobFailure], now: float, seconds: float = 86400.0
) -> tuple[str, ...]:
    """Return the nodes that failed, or on which jobs never began, within the last day.

    The last one to fail comes first.
    """
    nodes: dict[str, None] = {}
    for failure in reversed(failures):
        is_of_node = failure.kind in (FailureClass.NODE_FAILURE, FailureClass.LAUNCH)
        is_recent = now - failure.time < seconds
        if is_of_node and is_recent and "[" not in failure.node:  # n[1-2]: nobody knows which
            nodes.update(dict.fromkeys(filter(None, failure.node.split(","))))
    return tuple(nodes)
