"""Run what is missing of a grid: one request, one result, wherever the cells run.

``choose_place`` is the one spot that turns the name of a place into code. Whoever launches hands in
a ``LaunchNews`` to hear what happens meanwhile.
"""

from __future__ import annotations

import ctypes
import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cluster.disk import DiskForecast, cells_at_once, forecast_disk
from cluster.failures import failures, given_up
from cluster.place import PLACES, LaunchNews, LaunchOptions, LaunchResult, Place, may_write
from cluster.stages import following, next_pool, refuse_unkept, running_cells
from cluster.status import blocked_cells
from cluster.tracebacks import stop_reason
from echolm.errors import EchoLMError
from echolm.kept_weights import Keep
from echolm.outages import lost_workspace, mark_workspace, wait_for
from echolm.states import RunState
from echolm.workspace import Workspace
from grid.definition.grid import Cell, Grid
from grid.definition.schema import BlockResources
from grid.plan import CellStatus, cell_statuses, needs_run, save_cells, units
from grid.units import Job, Limits, Report, Resources, Unit

if TYPE_CHECKING:
    from cluster.local import LocalExecutor
    from cluster.ray.executor import RayExecutor


def choose_place(workspace: Workspace, options: LaunchOptions) -> Place:
    """Make the place that the options name."""
    if options.on == "slurm":
        from cluster.slurm.submit.launch import SlurmPlace

        return SlurmPlace(workspace, options)
    if options.on == "ray":
        return RayPlace(workspace, options)
    if options.on == "local":
        return LocalPlace(workspace, options)
    raise EchoLMError(f"no place {options.on!r}; valid: {', '.join(PLACES)}")


def given_up_cells(
    workspace: Workspace, grid: str, statuses: Sequence[CellStatus], on: str
) -> dict[str, str]:
    """Return the cells whose processes were lost too often on Ray, and why: none is started."""
    if on != "ray":
        return {}
    waiting = {status.cell.id for status in statuses if needs_run(status)}
    if not waiting:
        return {}
    reasons = given_up(failures(workspace, grid))
    return {cell: why for cell, why in reasons.items() if cell in waiting}


@dataclass(frozen=True)
class LaunchPlan:
    """What a launch here or on Ray would run.

    Attributes:
        statuses: where all cells stand.
        cells: those that would run.
        planned: these cells in units.
        following: cells that would run when those whose weights they begin with have ended.
        planned_later: these in units.
        blocked: lines that say why others cannot run.
        given_up: cell -> why it is not started any more.
        stop_reason: why nothing is started, or ''.
        disk: what it would write.
    """

    statuses: list[CellStatus]
    cells: list[CellStatus]
    planned: list[Unit]
    following: list[CellStatus]
    planned_later: list[Unit]
    blocked: list[str]
    given_up: dict[str, str]
    stop_reason: str
    disk: DiskForecast


class _PoolPlace(Place):
    """A place whose processes end with the launch."""

    def plan(self, grid: Grid, cells: Sequence[Cell]) -> LaunchPlan:
        """Say what a launch would run if no data and weights were missing. Only looks."""
        statuses = cell_statuses(cells, self.workspace)
        refuse_unkept(grid.cells, statuses, self.options)
        stop = stop_reason(self.workspace, grid.name)
        lost = given_up_cells(self.workspace, grid.name, statuses, self.name)
        waiting = [status for status in statuses if needs_run(status)]
        to_run: list[CellStatus] = []
        later: list[CellStatus] = []
        if not stop:
            to_run = [status for status in waiting if status.cell.id not in lost]
            later = self._later(statuses, to_run)
        planned = self._units(grid, to_run)
        at_once = cells_at_once(planned, self.most_units(planned))
        return LaunchPlan(
            statuses=statuses,
            cells=to_run,
            planned=planned,
            following=later,
            planned_later=self._units(grid, later),
            blocked=blocked_cells(waiting),
            given_up=lost,
            stop_reason=stop,
            disk=forecast_disk(self.workspace, statuses, self.options, at_once),
        )

    def most_units(self, planned: Sequence[Unit]) -> int:
        """Return how many of these units may run at once, as far as that is known before."""
        return self.options.slots or len(planned)

    def _later(
        self, statuses: Sequence[CellStatus], to_run: Sequence[CellStatus]
    ) -> list[CellStatus]:
        """Return the cells that run when others have ended, here or in another launch."""
        started = {status.cell.id for status in to_run if status.run}
        return following(statuses, started | running_cells(statuses))

    def launch(self, grid: Grid, cells: Sequence[Cell], news: LaunchNews) -> LaunchResult:
        """Run what is missing of ``cells`` under this process."""
        before = cell_statuses(cells, self.workspace)
        if not may_write(self.workspace, before):
            news.began(grid, before, [])
            return LaunchResult(before, done=False)
        refuse_unkept(grid.cells, before, self.options)
        mark_workspace(self.workspace.root)
        lost = given_up_cells(self.workspace, grid.name, before, self.name)
        to_run = []
        for status in before:
            if needs_run(status) and status.run and status.cell.id not in lost:
                to_run.append(status)
        save_cells(grid, self.workspace)
        to_run += self._later(before, to_run)
        jobs = self._jobs(grid, to_run)
        news.began(grid, before, [unit for job in jobs for unit in job.units])
        stopped = halted = ""
        if jobs:
            with news.reports([status.cell for status in to_run]) as report:
                stopped, halted = self._run(jobs, report)
        wait_for(
            lambda: lost_workspace(self.workspace.root), news.warn, stopped=lambda: bool(stopped)
        )
        after = cell_statuses(cells, self.workspace)
        return LaunchResult(
            after,
            done=all(status.state.name == RunState.COMPLETE for status in after),
            stopped=stopped,
            stop_reason=halted,
            given_up=given_up_cells(self.workspace, grid.name, after, self.name),
        )

    def _jobs(self, grid: Grid, statuses: Sequence[CellStatus]) -> list[Job]:
        """Make a job of the units of each resource shape."""
        shapes: dict[tuple[Resources, int | None], list[CellStatus]] = {}
        for status in statuses:
            asked = self.options.of_block(status.cell.resources)
            shapes.setdefault((self.resources(asked), asked.slots), []).append(status)
        jobs = []
        for (needs, slots), of_shape in shapes.items():
            planned = tuple(units(of_shape, self.slots(needs, slots)))
            jobs.append(Job(self.workspace.root, grid.name, planned, needs, slots))
        return jobs

    def _units(self, grid: Grid, statuses: Sequence[CellStatus]) -> list[Unit]:
        """Return the units of cells, as a launch makes them."""
        return [unit for job in self._jobs(grid, statuses) for unit in job.units]

    def slots(self, needs: Resources, of_block: int | None) -> int | None:
        """Return how many units of a shape run at once. None: that is not known before."""
        return self.options.slots or of_block

    def _run(self, jobs: Sequence[Job], report: Callable[[Report], None]) -> tuple[str, str]:
        """Run jobs, one after another: each pool has workers of one shape.

        Units of one shape start as soon as what they wait for has ended. Those that wait for units
        of another shape come after these.

        Returns:
            The signal that stopped it, and the sentence that says why nothing more is started.
        """
        left = list(jobs)
        while left:
            job, rest = next_pool(left)
            executor, slots = self.executor(job)
            executor.launch(job, Limits(slots), report)
            if executor.stopped or executor.halted:
                return executor.stopped, executor.halted
            left = rest
        return "", ""

    @abstractmethod
    def executor(self, job: Job) -> tuple[LocalExecutor | RayExecutor, int]:
        """Make the executor, and say how many units run at once (0: as many as have room)."""

    def resources(self, asked: BlockResources) -> Resources:
        """Return what a unit needs."""
        return Resources(
            gpus=asked.gpus or 0,
            ranks=asked.gpus or asked.ranks or 1,
            threads=asked.threads or 1,
            memory_gb=asked.memory_gb,
            micro_batch=self.options.micro_batch,
            checkpoint_minutes=asked.checkpoint_minutes,
            keep=asked.keep or Keep.BEST,
            precision=asked.precision or "fp32",
            compile=bool(asked.compile),
        )


class LocalPlace(_PoolPlace):
    """This machine: one worker a GPU, else as many as its CPUs have room for."""

    name = "local"

    def check(self) -> None:
        """Refuse several ranks: a unit is trained in one process here."""
        if (self.options.ranks or 1) > 1:
            raise EchoLMError(
                "--on local trains a unit in one process; for several: torchrun -m echolm.cli train"
                " CELL, or --on slurm, --on ray"
            )

    def executor(self, job: Job) -> tuple[LocalExecutor | RayExecutor, int]:
        """Make the pool of this machine's devices."""
        from cluster.local import LocalExecutor

        devices = cuda_devices() or ["cpu"]
        return LocalExecutor(devices), self.slots(job.resources, job.slots)

    def slots(self, needs: Resources, of_block: int | None) -> int:
        """Return how many workers this machine has room for."""
        if self.options.slots:
            return self.options.slots
        slots = _slots_of_machine(cuda_devices() or ["cpu"], needs.threads)
        return min(slots, of_block or slots)

    def most_units(self, planned: Sequence[Unit]) -> int:
        """Return how many units this machine trains at once."""
        devices = cuda_devices() or ["cpu"]
        return self.options.slots or _slots_of_machine(devices, self.options.threads or 1)

    def resources(self, asked: BlockResources) -> Resources:
        """Return what a unit needs. A worker has its slot's device without asking for it."""
        return replace(super().resources(asked), gpus=0, ranks=1, memory_gb=None)


class RayPlace(_PoolPlace):
    """A Ray cluster, or one that is started on this machine for the launch."""

    name = "ray"

    def executor(self, job: Job) -> tuple[LocalExecutor | RayExecutor, int]:
        """Make the executor of the cluster that the options name."""
        from cluster.ray.executor import RayExecutor

        return RayExecutor(self.options.ray_address), job.slots or 0


def _slots_of_machine(devices: Sequence[str], threads: int) -> int:
    """Return how many workers this machine has room for: one a GPU, else by its CPUs."""
    if list(devices) != ["cpu"]:
        return len(devices)
    return max(1, len(os.sched_getaffinity(0)) // threads)


def cuda_devices() -> list[str]:
    """List the CUDA devices of this machine. torch is asked only where there is a driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    import torch  # takes seconds

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())]
