"""Plan what a launch submits, what it does not, and why.

It submits the cells to run that no job covers: in units, by resource shape.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.failures import JobFailure, bad_nodes, failures, given_up, micro_batch_of, never_began
from cluster.slurm.submit.ledger import Ask, BatchView
from cluster.slurm.submit.queue import ask_squeue
from cluster.stages import following
from cluster.tracebacks import stop_reason
from echolm.config import whole_batch_reason
from echolm.liveness import read_holder
from echolm.states import RunState
from echolm.workspace import Workspace
from grid.definition.grid import Cell
from grid.plan import CellStatus, needs_run, units
from grid.units import Job, Resources

Source = Any
"""What trains a cell: the name of a batch, a job of another grid, or what a planned job shares."""


@dataclass(frozen=True)
class Shape:
    """What a job of a cell needs.

    Attributes:
        needs: its resources.
        slots: how many such jobs may run at once. None: as many as the launch allows.
    """

    needs: Resources
    slots: int | None = None


@dataclass(frozen=True)
class Submission:
    """What a launch would submit now.

    Attributes:
        jobs: one a resource shape, and of cells that begin from others one for each job of these.
            A job comes after those that it waits for.
        covered: cells that jobs have already.
        given_up: cell -> why it is not submitted.
        stop: the sentence that says why nothing is submitted, or ''.
        exclude: nodes to avoid, the last one to fail first.
        elsewhere: cell -> the job of another grid that trains it.
    """

    jobs: tuple[Job, ...] = ()
    covered: frozenset[str] = frozenset()
    given_up: dict[str, str] = field(default_factory=dict)
    stop: str = ""
    exclude: tuple[str, ...] = ()
    elsewhere: dict[str, str] = field(default_factory=dict)

    @property
    def cells(self) -> int:
        """How many cells are to be submitted."""
        return len(self.planned_cells)

    @property
    def planned_cells(self) -> set[str]:
        """The cells that are to be submitted."""
        return {cell for job in self.jobs for unit in job.units for cell in unit.cells}


def plan(
    workspace: Workspace,
    grid: str,
    standings: Sequence[CellStatus],
    views: Sequence[BatchView],
    resources: Resources,
    ask: Ask = ask_squeue,
    assumed: Collection[str] = (),
    shape_of: Callable[[Cell], Shape] | None = None,
    at_once: int | None = None,
) -> Submission:
    """Plan a submission. Files are read, and nothing is written or submitted.

    Args:
        workspace: where the grid is launched.
        grid: its name.
        standings: where its cells stand.
        views: its batches in SLURM.
        resources: what was asked for.
        ask: how squeue's answer is got. It is needed only when a cell runs where one cannot see it.
        assumed: cells whose data and weights are taken to be there.
        shape_of: says what a job of a cell needs. None: what was asked for.
        at_once: how many jobs may run at once. None: that is not known.

    Raises:
        EchoLMError: squeue does not answer.
    """
    covered: set[str] = set()
    sources: dict[str, Source] = {}
    newest_begun = ""
    for view in views:
        of_view = view.covered()
        covered |= of_view
        sources.update(dict.fromkeys(of_view, view.batch.name))
        if view.batch.begun:
            newest_begun = max(newest_begun, view.batch.name)
    give_shape = shape_of or (lambda cell: Shape(resources))
    waiting = [status for status in standings if needs_run(status)]
    uncovered = [status for status in waiting if status.cell.id not in covered]
    awaited = {status.waits_for for status in standings}
    running = [status for status in standings if status.cell.id in awaited]
    elsewhere = jobs_of_other_grids([*uncovered, *running], views, ask)
    covered |= elsewhere.keys()
    sources.update(elsewhere)

    recorded = failures(workspace, grid)
    over_budget = given_up(recorded)
    to_submit: list[CellStatus] = []
    not_submitted: dict[str, str] = {}

    def consider(status: CellStatus) -> None:
        cell = status.cell.id
        is_blocked = status.run is None and cell not in assumed
        if cell in covered or is_blocked:
            return
        reason = over_budget.get(cell) or why_unsuitable(status, give_shape(status.cell).needs)
        if reason:
            not_submitted[cell] = reason
        else:
            to_submit.append(status)

    for status in waiting:
        consider(status)
    started = covered | {status.cell.id for status in to_submit}
    for status in following(standings, started):
        if status.waits_for in started:
            consider(status)
            started |= {one.cell.id for one in to_submit}
    stop = stop_reason(workspace, grid) or never_began(recorded, newest_begun)
    return Submission(
        jobs=()
        if stop
        else _jobs(workspace, grid, recorded, to_submit, give_shape, sources, at_once),
        covered=frozenset(covered),
        given_up=not_submitted,
        stop=stop,
        exclude=bad_nodes(recorded, time.time()),
        elsewhere=elsewhere,
    )


def jobs_of_other_grids(
    standings: Sequence[CellStatus], views: Sequence[BatchView], ask: Ask
) -> dict[str, str]:
    """Return the cells that a job of another grid trains now, and that job: grids share cells."""
    job_of: dict[str, str] = {}
    for status in standings:
        if status.state.name == RunState.RUNNING and status.record:
            holder = read_holder(status.record.attempt_path(status.state.attempt)) or {}
            job_of[status.cell.id] = holder.get("slurm_job", "")
    if not job_of:
        return {}
    arrays_of_this_grid = {task.array for view in views for task in view.tasks}
    training = set()
    for job in ask():
        of_another_grid = job.name.startswith("echolm-") and job.array not in arrays_of_this_grid
        if of_another_grid and job.alive and job.state != "COMPLETING":
            training.add(job.number)
    return {cell: job for cell, job in job_of.items() if job and job in training}


def why_unsuitable(standing: CellStatus, resources: Resources) -> str:
    """Say why a cell cannot be run with these resources, or ''."""
    config = standing.cell.config
    micro_batch = resources.micro_batch or config.batch_size
    is_split = resources.ranks > 1 or micro_batch < config.batch_size
    reason = whole_batch_reason(config)
    if is_split and reason:
        return f"{reason} needs its whole batch on one device: --gpus 1 and no --micro-batch"
    return ""


def _jobs(
    workspace: Workspace,
    grid: str,
    recorded: Sequence[JobFailure],
    to_submit: Sequence[CellStatus],
    shape_of: Callable[[Cell], Shape],
    sources: Mapping[str, Source],
    at_once: int | None,
) -> tuple[Job, ...]:
    """Make one job of the cells of each resource shape that begin from cells of one source.

    Shapes differ in the micro-batch too: it is smaller after out-of-memory failures.
    """
    source_of = dict(sources)
    groups: dict[Source, list[CellStatus]] = {}
    for status in sorted(to_submit, key=_stage):
        shape = shape_of(status.cell)
        micro_batch = micro_batch_of(recorded, status.cell.id, status.cell.config, shape.needs)
        needs = replace(shape.needs, micro_batch=micro_batch)
        group = (needs, shape.slots, source_of.get(status.upstream))
        groups.setdefault(group, []).append(status)
        source_of[status.cell.id] = group
    jobs = []
    for (needs, slots, source), statuses in groups.items():
        after: list[str] = []
        if source is not None:
            after = list(dict.fromkeys(status.upstream for status in statuses))
        planned = tuple(units(statuses, slots or at_once))
        jobs.append(Job(workspace.root, grid, planned, needs, slots, tuple(after)))
    return tuple(jobs)


def _stage(status: CellStatus) -> int:
    """Count the cells of the grid that are trained before a cell, each from the one before it."""
    count = 0
    one = status.cell.upstream
    while one is not None:
        count += 1
        one = one.upstream
    return count
