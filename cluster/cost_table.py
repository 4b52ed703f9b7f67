"""What the parts of a grid cost: cells and hours by stage, and by the labels of one axis.

GPU-hours are told also where a launch would run on CPUs, so that a grid can be judged before there
is a GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cluster.data_sizes import DataSizes
from cluster.device_rate import DeviceRate
from cluster.forecast import PlannedCell, Range, cell_hours, hours_text
from cluster.measured_rates import Rates, finished_runs
from echolm.config import PretrainConfig
from echolm.errors import EchoLMError
from echolm.text import suggest
from echolm.workspace import Workspace
from grid.definition.tables import ABSENT, SEED
from grid.plan import CellStatus
from grid.units import Unit

RECIPE = "recipe"
"""The axis by which a grid is told apart where it has it."""
STAGES = ("pretraining", "downstream")
ALL = "all"


@dataclass(frozen=True)
class StageCost:
    """Some cells and what they cost.

    Attributes:
        stage: ``pretraining``, ``downstream`` or ``all``.
        label: of the axis, ``all``, or ``-`` for cells without it.
        cells: how many.
        gpu_hours: None: not known.
        cpu_hours: of ranks on CPUs. None: not known, or not asked.
    """

    stage: str
    label: str
    cells: int
    gpu_hours: Range | None
    cpu_hours: Range | None


@dataclass(frozen=True)
class CostTable:
    """The cost of a launch by parts.

    Attributes:
        by: the axis. Empty: by stage alone.
        rows: its rows.
        on_cpus: whether the launch would run on CPUs, so that hours of them are told too.
        assumed: what is taken for granted, in sentences.
    """

    by: str
    rows: tuple[StageCost, ...]
    on_cpus: bool
    assumed: tuple[str, ...]

    @property
    def header(self) -> list[str]:
        """The headings of its columns."""
        heads = ["stage", *([self.by] if self.by else []), "cells", "GPU-hours"]
        return [*heads, "CPU-hours"] if self.on_cpus else heads

    @property
    def lines(self) -> list[list[str]]:
        """Its rows as text."""
        lines = []
        for row in self.rows:
            line = [row.stage, *([row.label] if self.by else []), f"{row.cells:,}"]
            line.append(hours_text(row.gpu_hours))
            if self.on_cpus:
                line.append(hours_text(row.cpu_hours))
            lines.append(line)
        return lines

    def plain(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        rows = []
        for row in self.rows:
            facts = asdict(row)
            facts[self.by or "label"] = facts.pop("label")
            if not self.on_cpus:
                del facts["cpu_hours"]
            rows.append(facts)
        return {"by": self.by or None, "rows": rows, "assumed": list(self.assumed)}


@dataclass(frozen=True)
class _Cost:
    """A cell with where it belongs, and its hours."""

    stage: str
    label: str
    gpu: Range | None
    cpu: Range | None


def choose_axis(statuses: Iterable[CellStatus], axis: str | None) -> str:
    """Return the axis to tell cells apart by. Empty: by none.

    Args:
        statuses: the cells.
        axis: the axis that was typed. None for ``recipe``, where the cells have it.

    Raises:
        EchoLMError: no cell has the axis that was typed.
    """
    known: dict[str, None] = {}
    for status in statuses:
        known.update(dict.fromkeys(status.cell.coordinates))
    known.pop(SEED, None)
    if axis is None:
        return RECIPE if RECIPE in known else ""
    if axis not in known:
        raise EchoLMError(f"--by {axis}: no cell has such an axis; {suggest(axis, known)}")
    return axis


def cost_table(
    workspace: Workspace,
    statuses: Sequence[CellStatus],
    units: Iterable[Unit],
    axis: str | None = None,
    on_cpus: bool = False,
    gpu: DeviceRate | None = None,
    cpu: DeviceRate | None = None,
) -> CostTable:
    """Sum up what planned units cost.

    Args:
        workspace: where complete runs tell rates, and stores the numbers of clips.
        statuses: where the cells stand.
        units: the units that would run.
        axis: as for ``choose_axis``.
        on_cpus: whether they would run on CPUs.
        gpu: what a GPU computes.
        cpu: what a rank on CPUs computes.

    Raises:
        EchoLMError: as for ``choose_axis``.
    """
    by_id = {status.cell.id: status for status in statuses}
    by = choose_axis(statuses, axis)
    sizes = DataSizes(workspace)
    units = list(units)
    finished = list(finished_runs(workspace.runs)) if units else []
    gpu, cpu = gpu or DeviceRate(), cpu or DeviceRate()
    gpu_rates, cpu_rates = Rates(finished, gpu), Rates(finished, cpu)
    costs: list[_Cost] = []
    clips: dict[str, None] = {}
    for unit in units:
        of_unit = [by_id[id] for id in unit.cells]
        planned = [planned_cell(status, sizes) for status in of_unit]
        gpu_hours = cell_hours(planned, gpu_rates, on_gpu=True)
        cpu_hours: list[Range | None] = [None] * len(planned)
        if on_cpus:
            cpu_hours = cell_hours(planned, cpu_rates, on_gpu=False)
        for status, one, other in zip(of_unit, gpu_hours, cpu_hours, strict=True):
            config = status.cell.config
            stage = STAGES[0] if isinstance(config, PretrainConfig) else STAGES[1]
            label = status.cell.coordinates.get(by, ABSENT) if by else ALL
            costs.append(_Cost(stage, label, one, other))
            found = sizes(config)
            if found.source:
                clips[f"{config.data.name} {found.count:,} ({found.source})"] = None
    assumed = []
    if clips:
        assumed.append(f"training clips of stores that are not here: {', '.join(clips)}")
    if costs:
        words = (
            "where no complete run tells, hours are the FLOPs of encoders and decoders, without"
            f" heads and fusions, at {gpu.short(on_gpu=True)}"
        )
        if on_cpus:
            words += f"; on CPUs at {cpu.short(on_gpu=False)}"
        assumed.append(words)
    return CostTable(by, tuple(_rows(costs, by)), on_cpus, tuple(assumed))


def planned_cell(status: CellStatus, sizes: DataSizes) -> PlannedCell:
    """Return a cell as a forecast needs it."""
    config = status.cell.config
    epochs_done = status.record.checkpoint_position()[0] if status.record else 0
    return PlannedCell(config, int(sizes(config).count * config.data.fraction), epochs_done)


def _rows(costs: Sequence[_Cost], by: str) -> list[StageCost]:
    """Return a row for each stage and label, then those of all stages and of all."""
    labels = list(dict.fromkeys(one.label for one in costs))
    stages = [stage for stage in STAGES if any(one.stage == stage for one in costs)]
    rows = []
    for stage in stages:
        for label in labels:
            of_both = [one for one in costs if (one.stage, one.label) == (stage, label)]
            if of_both:
                rows.append(_row(stage, label, of_both))
    if by and len(stages) > 1:
        for label in labels:
            rows.append(_row(ALL, label, [one for one in costs if one.label == label]))
    if len(rows) > 1:
        rows.append(_row(ALL, ALL, costs))
    return rows


def _row(stage: str, label: str, costs: Sequence[_Cost]) -> StageCost:
    gpu = _sum([one.gpu for one in costs])
    return StageCost(stage, label, len(costs), gpu, _sum([one.cpu for one in costs]))


def _sum(hours: Sequence[Range | None]) -> Range | None:
    """Add up hours. None where those of a cell are not known."""
    low = mid = high = 0.0
    for one in hours:
        if one is None:
            return None
        low, mid, high = low + one.low, mid + one.mid, high + one.high
    return Range(low, mid, high)
