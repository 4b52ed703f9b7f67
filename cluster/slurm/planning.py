"""What a launch submits: cells to run that no job covers, in units, by resource shape; and what it does not, and why."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cluster.failures import Failure, bad_nodes, failures, given_up, micro_batch_of, never_began
from cluster.slurm.ledger import Ask, BatchView
from cluster.slurm.queue import ask_squeue
from cluster.tracebacks import stops
from echolm.config import needs_whole_batch
from echolm.liveness import read_holder
from echolm.workspace import Workspace
from grid.plan import Job, Resources, Standing, to_run, units


@dataclass(frozen=True)
class Submission:
    """``jobs``: one a resource shape. ``covered``: cells that jobs have already. ``given_up``: cell -> why. ``stop``: the
    sentence that says why nothing is submitted. ``exclude``: nodes to avoid, the last one to fail first."""

    jobs: tuple[Job, ...] = ()
    covered: frozenset[str] = frozenset()
    given_up: dict[str, str] = field(default_factory=dict)
    stop: str = ""
    exclude: tuple[str, ...] = ()

    @property
    def cells(self) -> int:
        """How many cells are to be submitted."""
        return sum(len(unit.cells) for job in self.jobs for unit in job.units)


def plan(
    workspace: Workspace, grid: str, standings: Sequence[Standing], views: Sequence[BatchView], resources: Resources, ask: Ask = ask_squeue
) -> Submission:
    """Pure but for reading: nothing is written or submitted. squeue is asked only when a cell runs where one cannot see it;
    EchoLMError when it does not answer."""
    found = failures(workspace, grid)
    lost = given_up(found)
    covered = frozenset(cell for view in views for cell in view.covered())
    covered |= _elsewhere([s for s in standings if to_run(s) and s.cell.id not in covered], views, ask)
    todo = [s for s in standings if to_run(s) and s.run and s.cell.id not in covered]
    left = {s.cell.id: reason for s in todo if (reason := lost.get(s.cell.id) or unsuited(s, resources))}
    shapes = _shapes(found, [s for s in todo if s.cell.id not in left], resources)
    jobs = tuple(Job(workspace.root, grid, tuple(units(own)), shape) for shape, own in shapes.items())
    stop = stops(workspace, grid) or never_began(found, max((view.batch.name for view in views if view.batch.begun), default=""))
    return Submission(() if stop else jobs, covered, left, stop, bad_nodes(found, time.time()))


def _elsewhere(standings: Sequence[Standing], views: Sequence[BatchView], ask: Ask) -> set[str]:
    """Cells that a job of another grid trains now: grids may share cells."""
    unseen = [s for s in standings if s.state.name == "running" and s.record]
    own = {place[0] for view in views for place in view.places}
    others = [job for job in ask() if job.array not in own and job.name.startswith("echolm-")] if unseen else []
    alive = {job.number for job in others if job.alive and job.state != "COMPLETING"}
    holders = {s.cell.id: read_holder(s.record.attempt_path(s.state.attempt)) or {} for s in unseen if s.record}
    return {cell for cell, holder in holders.items() if holder.get("slurm_job") and holder["slurm_job"] in alive}


def unsuited(standing: Standing, resources: Resources) -> str:
    """Why a cell cannot be run with these resources, or ''."""
    split = resources.ranks > 1 or (resources.micro_batch or standing.cell.config.batch_size) < standing.cell.config.batch_size
    if split and needs_whole_batch(standing.cell.config):
        return f"encoder {standing.cell.config.encoder.name} with batch_norm: batch needs its whole batch on one device: --gpus 1 and no --micro-batch"
    return ""


def _shapes(found: Sequence[Failure], todo: Sequence[Standing], resources: Resources) -> dict[Resources, list[Standing]]:
    """Cells by what they need: after out-of-memory failures, a smaller micro-batch."""
    shapes: dict[Resources, list[Standing]] = {}
    for standing in todo:
        size = micro_batch_of(found, standing.cell.id, standing.cell.config, resources)
        shapes.setdefault(replace(resources, micro_batch=size), []).append(standing)
    return shapes
