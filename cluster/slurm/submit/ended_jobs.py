"""Write down what became of a grid's jobs that have ended, once a job.

Their claims are over, their failures are noted in ``failures.jsonl``, and the cells of a job that
somebody cancelled are marked as cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.batch import JobBatch, end_claim
from cluster.failures import (
    LOST,
    JobFailure,
    classify,
    earliest_checkpoint,
    failures,
    given_up,
    note,
    recorded_failures,
)
from cluster.slurm.submit.ledger import ArrayTask, BatchView, claimed_by
from cluster.slurm.submit.nodes import down_nodes_of, exclude_for_waiting_job
from cluster.slurm.submit.queue import QueuedJob, scancel
from echolm.attempt import mark_cancelled
from echolm.states import FailureClass
from echolm.workspace import Workspace
from grid.units import Unit

Noted = set[tuple[str, tuple[str, ...]]]
"""(job, cells) of failures that were noted before."""
LOG_CHARACTERS = 2000
"""How much of the end of a job's log is evidence."""


@dataclass(frozen=True)
class JobClaim:
    """A claim that a job has or had of a unit.

    Attributes:
        unit: what it claimed.
        path: the claim's folder.
        holder: who made it.
        over: how it ended, or None.
        last: nobody has claimed the unit since.
    """

    unit: Unit
    path: Path
    holder: Mapping[str, Any]
    over: str | None
    last: bool

    @property
    def done(self) -> bool:
        """Whether the job finished the unit."""
        return self.over == "done"

    @property
    def unfinished(self) -> bool:
        """Whether the unit is left, and this job had it last."""
        return self.last and not self.done

    @property
    def start(self) -> int:
        """At which start of the job it was made, from 0."""
        return int(self.holder.get("slurm_restart", 0))


JobClaims = dict[ArrayTask, list[JobClaim]]
"""Job -> its claims."""


def record_ended_jobs(
    workspace: Workspace, grid: str, views: Sequence[BatchView]
) -> list[JobFailure]:
    """Write down what the ended jobs of a grid left undone. Return the failures that are new."""
    noted = recorded_failures(workspace, grid)
    new: list[JobFailure] = []
    for view in views:
        _note_unnoted_arrays(view)
        claims = _claims_by_job(view.batch)
        new += _record_failed_starts(workspace, view, claims, noted)
        new += _record_ended_tasks(workspace, view, claims, noted)
        new += _record_refused_cells(workspace, view, noted)
        scancel(job.id for job in view.jobs.values() if job.held)
        if _was_cancelled(view, noted):
            _mark_cancelled(workspace, _never_claimed(view.batch))
    for failure in new:
        if failure.kind == FailureClass.CANCELLED:
            _mark_cancelled(workspace, failure.cells)
    return new


def _note_unnoted_arrays(view: BatchView) -> None:
    for array in view.unnoted:
        view.batch.note_submitted(array.job, array.count, array.at_once, array.time)


def _claims_by_job(batch: JobBatch) -> JobClaims:
    units = {unit.id: unit for unit in batch.units}
    by_job: JobClaims = {}
    for id, claims in batch.claims().items():
        for claim in claims:
            job_claim = JobClaim(
                unit=units[id],
                path=claim["path"],
                holder=claim["holder"],
                over=claim["over"],
                last=claim is claims[-1],
            )
            by_job.setdefault(claimed_by(claim["holder"]), []).append(job_claim)
    return by_job


def _record_failed_starts(
    workspace: Workspace, view: BatchView, claims: JobClaims, noted: Noted
) -> list[JobFailure]:
    """Note starts that a node or a preemption ended, after which SLURM started the job again."""
    new: list[JobFailure] = []
    for task, starts in view.earlier.items():
        for number, start in enumerate(starts):
            name = f"{task.name}, start {number + 1}"
            cells = _cells_at_start(claims.get(task, []), number)
            if (name, cells) in noted:
                continue
            failure = _failed_start(start, name, view.batch.name, cells)
            if failure is None:
                continue
            new.append(failure)
            job = view.jobs.get(task)
            waits = job is not None and job.state == "PENDING"
            if job and waits and failure.node and failure.kind == FailureClass.NODE_FAILURE:
                exclude_for_waiting_job(job.id, failure.node)
    note(workspace, view.batch.grid, new)
    if new:
        _end_claims_over_budget(workspace, view, claims)
    return new


def _cells_at_start(claims: Sequence[JobClaim], number: int) -> tuple[str, ...]:
    """Return the cells that a job trained when its start with this number ended."""
    units = [claim.unit for claim in claims if claim.start == number and not claim.done]
    return units[-1].cells if units else ()


def _failed_start(
    start: QueuedJob, name: str, batch: str, cells: tuple[str, ...]
) -> JobFailure | None:
    """Return the failure that ended a start, or None when it was neither node nor preemption."""
    kind = classify(start.state, began=True)
    if kind == FailureClass.NODE_FAILURE:
        node = down_nodes_of(start.node)
    elif kind == FailureClass.PREEMPTED:
        node = start.node
    else:
        return None
    evidence = f"{start.state} on {start.node}; SLURM started the job again"
    return JobFailure(kind, name, batch, cells, node, evidence)


def _end_claims_over_budget(workspace: Workspace, view: BatchView, claims: JobClaims) -> None:
    """Let a unit over its budget leave its batch.

    The job that waits to start again goes on with another unit, or ends.
    """
    lost_cells = given_up(failures(workspace, view.batch.grid)).keys()
    for task, job_claims in claims.items():
        job = view.jobs.get(task)
        if job is None or job.state != "PENDING":
            continue
        for claim in job_claims:
            is_lost = not lost_cells.isdisjoint(claim.unit.cells)
            if is_lost and claim.last and claim.over is None:
                end_claim(claim.path, FailureClass.NODE_FAILURE)


def _record_ended_tasks(
    workspace: Workspace, view: BatchView, claims: JobClaims, noted: Noted
) -> list[JobFailure]:
    """Note why jobs ended, and end the claims that they left."""
    new: list[JobFailure] = []
    for task in view.ended:
        job_claims = claims.get(task, [])
        failure = _failure_of(workspace, view, task, job_claims, noted)
        if failure:
            new.append(failure)
            note(workspace, view.batch.grid, [failure])
        for claim in job_claims:
            if claim.unfinished:
                end_claim(claim.path, failure.kind if failure else "interrupted")
    return new


def _failure_of(
    workspace: Workspace,
    view: BatchView,
    task: ArrayTask,
    claims: Sequence[JobClaim],
    noted: Noted,
) -> JobFailure | None:
    """Say what a job that ended left undone.

    Returns:
        The failure, or None: the job ended well, or this was noted before.
    """
    job = view.jobs.get(task)
    state = job.state if job else ""
    if task in view.cancelled and state in ("", "CANCELLED", "COMPLETING", LOST):
        return None
    cells = _unfinished_cells(claims)
    ended_by_itself = state == "COMPLETED" or (not state and task.name in view.batch.ended())
    if not cells and (ended_by_itself or state == LOST):
        return None
    log = _end_of_log(view.batch.path / "logs", task)
    kind = classify(state, began=bool(claims), log=log)
    if kind == FailureClass.LAUNCH and _could_not_open_its_log(view, task, state):
        kind = FailureClass.OUTAGE
    if job and job.held:
        kind = FailureClass.LAUNCH
        state = f"held by SLURM: {job.reason}"
    if (task.name, cells) in noted:
        return None
    if not cells and not _says_something(kind, began=bool(claims), evidence=state or log):
        return None
    node = job.node if job else ""
    told = state or "SLURM does not know the job any more"
    if state == LOST:
        told = "SLURM's controller lost the job: accounting names nobody who ended it"
    if node:
        told += f" on {node}"
    if kind in (FailureClass.NODE_FAILURE, FailureClass.LAUNCH):
        node = down_nodes_of(node)
    return JobFailure(
        kind=kind,
        job=task.name,
        batch=view.batch.name,
        cells=cells,
        node=node,
        evidence=f"{told}\n{log}",
        place=earliest_checkpoint(workspace, cells),
    )


def _unfinished_cells(claims: Iterable[JobClaim]) -> tuple[str, ...]:
    cells: list[str] = []
    for claim in claims:
        if claim.unfinished:
            cells += claim.unit.cells
    return tuple(cells)


def _says_something(kind: str, began: bool, evidence: str) -> bool:
    """Tell whether the end of a job that had no cell is a failure to note.

    A cancelled job is: somebody wanted it. So is a job that never began, if anything is known of
    it.
    """
    if not evidence:
        return False
    if kind == FailureClass.CANCELLED:
        return True
    return kind in (FailureClass.LAUNCH, FailureClass.OUTAGE) and not began


def _record_refused_cells(workspace: Workspace, view: BatchView, noted: Noted) -> list[JobFailure]:
    """Note cells that jobs gave back because they could not be run.

    Their data is not there, or the ranks do not suit them. No node is to blame.
    """
    new: list[JobFailure] = []
    for claims in view.batch.claims().values():
        for claim in claims:
            name = claimed_by(claim["holder"]).name
            for cell, reason in claim["left"].items():
                if (name, (cell,)) not in noted:
                    new.append(
                        JobFailure(
                            kind=FailureClass.LAUNCH,
                            job=name,
                            batch=view.batch.name,
                            cells=(cell,),
                            evidence=reason,
                        )
                    )
    note(workspace, view.batch.grid, new)
    return new


def _was_cancelled(view: BatchView, noted: Noted) -> bool:
    """Tell whether somebody else cancelled a batch's jobs, and none is left.

    A job that failed to start was cancelled here: it has been noted, and is nobody's wish.
    """
    if view.alive:
        return False
    noted_jobs = {job for job, _ in noted}
    for task, job in view.jobs.items():
        is_new = task not in view.cancelled and task.name not in noted_jobs
        if job.state == "CANCELLED" and is_new:
            return True
    return False


def _never_claimed(batch: JobBatch) -> list[str]:
    claims = batch.claims()
    return [cell for unit in batch.units if unit.id not in claims for cell in unit.cells]


def _mark_cancelled(workspace: Workspace, cells: Iterable[str]) -> None:
    for cell in cells:
        mark_cancelled(workspace.runs, cell)


def _could_not_open_its_log(view: BatchView, task: ArrayTask, state: str) -> bool:
    """Tell whether SLURM could not even open a job's log, although other jobs of its batch began.

    The folder was there before, and not when this job started.
    """
    return bool(state) and view.batch.begun and not _log_files(view.batch.path / "logs", task)


def _log_files(logs: Path, task: ArrayTask) -> set[Path]:
    """Return the files that a job wrote errors to: its tasks' and the batch script's."""
    paths = set(logs.glob(f"{task.name}_*_log.err"))
    if task.index == "0":  # an array of one is a plain job, whose id has no index
        paths |= set(logs.glob(f"{task.array}_?_log.err"))
    return paths


def _end_of_log(logs: Path, task: ArrayTask) -> str:
    """Return the end of what a job wrote: its tasks' errors, and those of the batch script."""
    texts = []
    for path in sorted(_log_files(logs, task)):
        text = path.read_text(encoding="utf-8", errors="replace")
        texts.append(text[-LOG_CHARACTERS:])
    return "\n".join(texts)[-LOG_CHARACTERS:]
