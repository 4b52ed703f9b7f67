"""What a launch on SLURM would submit, and what that will cost. Nothing is written or submitted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from cluster.cost_table import planned_cell
from cluster.data_sizes import DataSizes
from cluster.device_rate import DeviceRate
from cluster.forecast import Forecast, PlannedCell, forecast, one_after_another
from cluster.measured_rates import finished_runs
from cluster.profile import Profile
from cluster.slurm.submit.arrays import Array, cut, share
from cluster.slurm.submit.executor import SlurmExecutor, slots_of
from cluster.slurm.submit.ledger import BatchView
from cluster.slurm.submit.plan import Submission
from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError
from echolm.stores.clips import peek
from echolm.text import counted
from echolm.training.prepare import Inputs
from echolm.workspace import Workspace
from grid.plan import CellStatus, needs_run
from grid.units import Job, Limits, Resources, Unit

OF_A_CELL = "run:"
"""What weights begin with that a cell gives."""


@dataclass(frozen=True)
class PlannedArrays:
    """What a launch would make of the units of one resource shape.

    Attributes:
        job: the units.
        arrays: the arrays that have room now.
        text: the sbatch script of the first array.
        waiting: the units that must wait for room.
    """

    job: Job
    arrays: list[Array]
    text: str
    waiting: tuple[Unit, ...]

    @property
    def placed_units(self) -> tuple[Unit, ...]:
        """The units that the arrays take."""
        return tuple(unit for unit in self.job.units if unit not in self.waiting)

    @property
    def line(self) -> str:
        """The arrays in words."""
        sizes = [array.count for array in self.arrays]
        jobs = counted(sum(sizes), "job")
        units = counted(len(self.placed_units), "unit")
        line = f"{jobs} for {units} of {counted(count_cells(self.placed_units), 'cell')}"
        if len(sizes) > 1:
            line += f" in {len(sizes)} arrays of {', '.join(map(str, sizes))}, the first so"
        if self.waiting:
            line += f"; {counted(len(self.waiting), 'unit')} must wait for room"
        return line


def planned_arrays(
    plan: Submission,
    views: Sequence[BatchView],
    profile: Profile,
    at_once: int,
    offline: bool = False,
) -> list[PlannedArrays]:
    """Plan the arrays as ``SlurmExecutor.launch`` does, one resource shape after another.

    Args:
        plan: what is to be submitted.
        views: the batches in SLURM.
        profile: the site's profile.
        at_once: jobs at once.
        offline: there is no SLURM to ask.
    """
    if not plan.jobs:
        return []
    executor = SlurmExecutor(
        profile, "CODE", plan.exclude, views=views, offline=offline, elsewhere=plan.elsewhere
    )
    room = executor.room(views, Limits(at_once))
    planned = []
    for number, job in enumerate(plan.jobs):
        units = executor.to_place(job, views)
        after = executor.arrays_before(units, views) if job.after else ()
        units_per_job = share(len(units), profile.units_per_job, slots_of(job, Limits(at_once)))
        arrays = cut(len(units), units_per_job, executor.room_of(job, after, room))
        room = replace(room.after(arrays), at_once=room.at_once) if after else room.after(arrays)
        placed = units[: sum(array.count for array in arrays) * units_per_job]
        names = {f"ARRAY{number}.{index}": array for index, array in enumerate(arrays)}
        executor.note_placed(placed, names)
        first = arrays[0] if arrays else Array(1, 1)
        text = executor.text(job, first, after)
        waiting = tuple(unit for unit in job.units if unit not in placed)
        planned.append(PlannedArrays(job, arrays, text, waiting))
    return planned


def forecast_plan(
    workspace: Workspace,
    statuses: Sequence[CellStatus],
    plan: Submission,
    needs: Resources,
    at_once: int,
    with_gpu: bool = False,
    tflops: float | None = None,
    gpu_tflops: float | None = None,
) -> Forecast:
    """Forecast the planned units, from the workspace's complete runs, else from FLOPs.

    Args:
        workspace: where the runs are.
        statuses: where the cells stand.
        plan: what is to be submitted.
        needs: what a job needs where nothing is to be submitted.
        at_once: how many jobs run at once.
        with_gpu: whether jobs without a GPU are taken with one.
        tflops: what a GPU computes, or a rank where a job has none, as ``DeviceRate`` has it.
        gpu_tflops: what a GPU computes where that is None.
    """
    by_id = {status.cell.id: status for status in statuses}
    sizes = DataSizes(workspace)
    shapes: dict[tuple[int, int, int, int, int], list[list[PlannedCell]]] = {}
    for job in plan.jobs:
        asked = job.resources
        gpus = max(asked.gpus, 1) if with_gpu else asked.gpus
        slots = slots_of(job, Limits(at_once))
        key = (gpus, asked.ranks, asked.minutes, slots, asked.threads)
        of_shape = shapes.setdefault(key, [])
        for unit in job.units:
            of_shape.append([planned_cell(by_id[cell], sizes) for cell in unit.cells])
    if not shapes:
        gpus = max(needs.gpus, 1) if with_gpu else needs.gpus
        shapes[gpus, needs.ranks, needs.minutes, at_once, needs.threads] = []
    finished = lru_cache(maxsize=1)(lambda: list(finished_runs(workspace.runs)))
    parts = []
    for (gpus, ranks, minutes, slots, threads), units in shapes.items():
        stated = tflops or (gpu_tflops if gpus else None)
        device = DeviceRate(stated, threads)
        parts.append(forecast(units, finished, slots, gpus, ranks, minutes, device))
    return one_after_another(parts)


def assume_inputs(
    workspace: Workspace, statuses: Sequence[CellStatus]
) -> tuple[frozenset[str], list[str]]:
    """Take data and weights that are not here as if they were, for a dry run.

    A store that is here and does not suit a cell goes on blocking it.

    Returns:
        The cells that only lack what is not here, and what is assumed, in sentences.
    """
    inputs = Inputs(workspace)
    sizes = DataSizes(workspace)
    stores: Counter[tuple[str, str]] = Counter()
    weights: Counter[str] = Counter()
    assumed = []
    for status in statuses:
        if not (status.problem and needs_run(status)):
            continue
        config = status.cell.config
        has_store = _has_store(workspace, config.data.name)
        if has_store and not _suits(inputs, config):
            continue
        assumed.append(status.cell.id)
        if not has_store:
            clips = sizes(config)
            words = f"{clips.count:,} training clips ({clips.source})"
            stores[f"store {config.data.name} is not here", words] += 1
        try:
            inputs.weights(config.weights, config.encoder)
        except EchoLMError:
            words = f"weights {config.weights} of encoder {config.encoder.name}"
            if str(config.weights).startswith(OF_A_CELL):
                words = "weights of cells that come first"
            weights[words] += 1
    lines = []
    for (missing, words), count in stores.items():
        lines.append(
            f"{missing}: {counted(count, 'cell')}, taken with {words} times each cell's fraction"
        )
    for words, count in weights.items():
        lines.append(f"{words} are not here: {counted(count, 'cell')}, taken as if they were")
    return frozenset(assumed), lines


def _has_store(workspace: Workspace, name: str) -> bool:
    try:
        peek(workspace.store(name))
    except EchoLMError:
        return False
    return True


def _suits(inputs: Inputs, config: FinetuneConfig | PretrainConfig) -> bool:
    try:
        inputs.store(config)
    except EchoLMError:
        return False
    return True


def count_cells(units: Sequence[Unit]) -> int:
    """Count the cells of units."""
    return sum(len(unit.cells) for unit in units)
