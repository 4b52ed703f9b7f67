"""What a launch will cost: GPU-hours, waves and time to the end, each with a range and its source.

A *unit* is trained by one job as one cohort: the frozen trunk's forward passes are paid once, and
each cell pays for what is its own (``measured_rates.shared_part``). Units go to free slots in their
order. Waiting in the queue, the start of jobs and the final evaluation are not counted.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cluster.device_rate import ASSUMED, UNSTATED, DeviceRate
from cluster.measured_rates import CellShape, Finished, Rate, Rates, cell_shape, shared_part
from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError
from echolm.text import counted


@dataclass(frozen=True)
class PlannedCell:
    """A cell to run.

    Attributes:
        config: its configuration.
        clips: training clips of its fraction of the data.
        epochs_done: epochs behind its checkpoint.
    """

    config: FinetuneConfig | PretrainConfig
    clips: int
    epochs_done: int = 0


@dataclass(frozen=True)
class Range:
    """A quantity with its bounds.

    ``low``: as quick as the quickest run that was seen. ``high``: as slow as the slowest.
    """

    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """The cost of a launch. Hours are None when nothing is known.

    Attributes:
        cells: cells to run.
        units: units to run.
        slots: jobs at once.
        gpus: GPUs a job.
        ranks: ranks a job.
        gpu_hours: 0 on CPUs.
        wall_hours: hours to the end.
        waves: units one after another in the busiest slot.
        jobs: jobs one after another in the busiest slot, by their time limit. None without one.
        unknown: cells that are not in the hours.
        sources: words -> how many cells they are about.
        shares: whether cells share units.
        fits: GPU-hours (mid) after each cell, in the order of units.
    """

    cells: int
    units: int
    slots: int
    gpus: int
    ranks: int
    gpu_hours: Range | None
    wall_hours: Range | None
    waves: int
    jobs: int | None
    unknown: int
    sources: dict[str, int]
    shares: bool
    fits: tuple[float, ...]

    @property
    def assumed(self) -> int:
        """How many cells have a rate that nobody has measured or stated."""
        counts = [count for words, count in self.sources.items() if ASSUMED in words]
        return sum(counts)

    @property
    def short(self) -> str:
        """The hours in one line."""
        if not (self.gpu_hours and self.wall_hours):
            return "not known"
        return "; ".join(self._hours(self.gpu_hours, self.wall_hours, None))

    def lines(self, now: datetime | None = None) -> list[str]:
        """Return it as text.

        ``now`` is when jobs would start: the end is told as a time of day then.
        """
        devices = f"no GPU, {counted(self.ranks, 'rank')}"
        if self.gpus:
            devices = counted(self.gpus, "GPU")
        lines = [
            f"{counted(self.cells, 'cell')} in {counted(self.units, 'unit')},"
            f" {counted(self.slots, 'job')} at once, {devices} each"
        ]
        if self.gpu_hours and self.wall_hours:
            lines += self._hours(self.gpu_hours, self.wall_hours, now)
        if self.unknown:
            lines.append(
                f"not known for {counted(self.unknown, 'cell')}: no complete run of the encoder"
                " on CPUs, and it declares no FLOPs"
            )
        for words, count in self.sources.items():
            lines.append(f"from {words} ({counted(count, 'cell')})")
        if self.shares and self.sources:
            lines.append(
                "cells of one unit pay the frozen trunk's forward passes once, and at least a"
                " twentieth of their own cost each"
            )
        return lines

    def plain(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        facts = asdict(self)
        del facts["fits"], facts["shares"]
        return facts

    def refuse(self, budget_gpu_hours: float) -> None:
        """Check a budget.

        Raises:
            EchoLMError: the middle of the range is over it. The error says what would fit.
        """
        hours = self.gpu_hours
        if hours is None or hours.mid <= budget_gpu_hours:
            return
        fitting = sum(cost <= budget_gpu_hours for cost in self.fits)
        raise EchoLMError(
            f"the forecast is {_number(hours.mid)} GPU-hours"
            f" ({_number(hours.low)} to {_number(hours.high)}),"
            f" over --budget-gpu-hours {budget_gpu_hours:g};"
            f" {counted(fitting, 'cell')} of {self.cells} would fit:"
            " choose some with --where AXIS=LABEL,"
            f" or give --budget-gpu-hours {math.ceil(hours.mid)}"
        )

    def _hours(self, gpu: Range, wall: Range, now: datetime | None) -> list[str]:
        """Return the lines about hours."""
        lines = []
        if self.gpus:
            bounds = f"({_number(gpu.low)} to {_number(gpu.high)})"
            lines.append(f"{_number(gpu.mid)} GPU-hours {bounds}")
        jobs = ""
        if self.jobs and self.jobs > 1:
            jobs = f", {counted(self.jobs, 'job')} after one another in each slot"
        lines.append(
            f"{_time(wall.mid)} ({_time(wall.low)} to {_time(wall.high)})"
            f" in {counted(self.waves, 'wave')}{jobs}, without waiting in the queue"
        )
        if now is not None:
            lines.append(
                f"done about {_moment(now, wall.mid)} (between {_moment(now, wall.low)}"
                f" and {_moment(now, wall.high)}) if jobs start now"
            )
        return lines


class _Priced(NamedTuple):
    """A cell whose rate is known."""

    cell: PlannedCell
    shape: CellShape
    rate: Rate


def forecast(
    units: Sequence[Sequence[PlannedCell]],
    known: Callable[[], Iterable[Finished]],
    slots: int,
    gpus: int = 0,
    ranks: int = 1,
    job_minutes: int | None = None,
    device: DeviceRate = UNSTATED,
) -> Forecast:
    """Forecast the cost of running ``units``.

    Args:
        units: cells that are trained together, unit by unit.
        known: returns complete runs (``measured_rates.finished_runs``).
        slots: jobs at once.
        gpus: GPUs of each job. With 0 it runs on CPU ranks.
        ranks: how many, without GPUs.
        job_minutes: the time limit of a job. None: no limit.
        device: what a GPU or rank computes, for cells that no complete run tells of.
    """
    devices = gpus or ranks
    rates = Rates(known() if units else [], device)
    priced = [_price(unit, rates, gpus > 0, devices) for unit in units]
    gpu_hours, wall_hours = [], []
    for bound in ("low", "mid", "high"):
        costs = [_cost(cells, bound) for cells in priced]
        gpu_hours.append(sum(costs) / 3600 if gpus else 0.0)
        wall_hours.append(_wall([cost / devices for cost in costs], slots) / 3600)
    cells = sum(len(unit) for unit in units)
    sources = Counter(cell.rate.source for cells_of_unit in priced for cell in cells_of_unit)
    wall = Range(*wall_hours)
    jobs = None
    if job_minutes and sources:
        jobs = math.ceil(wall.mid * 60 / job_minutes)
    return Forecast(
        cells=cells,
        units=len(units),
        slots=slots,
        gpus=gpus,
        ranks=ranks,
        gpu_hours=Range(*gpu_hours) if sources else None,
        wall_hours=wall if sources else None,
        waves=math.ceil(len(units) / slots),
        jobs=jobs,
        unknown=cells - sources.total(),
        sources=dict(sources),
        shares=any(len(unit) > 1 for unit in units),
        fits=tuple(_after_each(priced)) if gpus else (),
    )


def cell_hours(
    unit: Sequence[PlannedCell], rates: Rates, on_gpu: bool, devices: int = 1
) -> list[Range | None]:
    """Return the device-hours of each cell of a unit. None: not known.

    What the cells pay once is divided among them evenly, so that their sum is the unit's cost.

    Args:
        unit: cells that are trained together.
        rates: what is known of rates.
        on_gpu: whether devices are GPUs, or ranks on CPUs.
        devices: of the unit.
    """
    priced = _price(unit, rates, on_gpu, devices)
    hours: dict[int, list[float]] = {id(one.cell): [] for one in priced}
    for bound in ("low", "mid", "high"):
        own = [_own_cost(one, priced, bound) for one in priced]
        rest = _cost(priced, bound) - sum(own)
        for one, cost in zip(priced, own, strict=True):
            hours[id(one.cell)].append((cost + rest / len(priced)) / 3600)
    known = {cell: Range(*bounds) for cell, bounds in hours.items()}
    return [known.get(id(cell)) for cell in unit]


def one_after_another(parts: Sequence[Forecast]) -> Forecast:
    """Join forecasts of jobs of several shapes, such as those of the stages of a grid.

    Hours and waves are added up, as if each began when the one before has ended. GPUs and ranks are
    those of the largest jobs.
    """
    if len(parts) == 1:
        return parts[0]
    sources: Counter[str] = Counter()
    fits: list[float] = []
    for part in parts:
        sources.update(part.sources)
        spent = fits[-1] if fits else 0.0
        fits += [spent + cost for cost in part.fits]
    jobs = [part.jobs for part in parts if part.jobs is not None]
    return Forecast(
        cells=sum(part.cells for part in parts),
        units=sum(part.units for part in parts),
        slots=max(part.slots for part in parts),
        gpus=max(part.gpus for part in parts),
        ranks=max(part.ranks for part in parts),
        gpu_hours=_sum([part.gpu_hours for part in parts]),
        wall_hours=_sum([part.wall_hours for part in parts]),
        waves=sum(part.waves for part in parts),
        jobs=sum(jobs) if jobs else None,
        unknown=sum(part.unknown for part in parts),
        sources=dict(sources),
        shares=any(part.shares for part in parts),
        fits=tuple(fits),
    )


def _sum(ranges: Sequence[Range | None]) -> Range | None:
    """Add up ranges, without those that are not known."""
    known = [one for one in ranges if one is not None]
    if not known:
        return None
    return Range(
        low=sum(one.low for one in known),
        mid=sum(one.mid for one in known),
        high=sum(one.high for one in known),
    )


def _price(unit: Sequence[PlannedCell], rates: Rates, on_gpu: bool, devices: int) -> list[_Priced]:
    """Return the cells of a unit whose rate is known."""
    priced = []
    for cell in unit:
        shape = cell_shape(cell.config, on_gpu, devices)
        rate = rates(shape)
        if rate:
            priced.append(_Priced(cell, shape, rate))
    return priced


def _after_each(priced: Sequence[Sequence[_Priced]]) -> list[float]:
    """Return GPU-hours (mid) when all cells up to this one have been trained."""
    hours = []
    before = 0.0
    for cells in priced:
        for count in range(1, len(cells) + 1):
            hours.append((before + _cost(cells[:count], "mid")) / 3600)
        before += _cost(cells, "mid")
    return hours


def _own_cost(one: _Priced, cells: Sequence[_Priced], bound: str) -> float:
    """Return the device-seconds of a cell that those trained with it do not share."""
    cut = min(priced.shape.cut for priced in cells)
    cost = _alone(one, bound)
    part = shared_part(one.shape, cut) if len(cells) > 1 else 0.0
    return cost * (1 - part)


def _alone(one: _Priced, bound: str) -> float:
    """Return the device-seconds of a cell that is trained alone."""
    epochs = max(0, one.cell.config.epochs - one.cell.epochs_done)
    cost: float = getattr(one.rate, bound) * one.cell.clips * epochs
    return cost


def _cost(cells: Sequence[_Priced], bound: str) -> float:
    """Return the device-seconds of cells that are trained together.

    ``bound`` is ``low``, ``mid`` or ``high``.
    """
    cut = min((priced.shape.cut for priced in cells), default=0)
    alone, shared = [], []
    for priced in cells:
        cost = _alone(priced, bound)
        part = shared_part(priced.shape, cut) if len(cells) > 1 else 0.0
        alone.append(cost)
        shared.append(cost * part)
    return max(shared, default=0.0) + sum(alone) - sum(shared)


def _wall(seconds: Sequence[float], slots: int) -> float:
    """Return when the last unit ends: each begins, in order, in the slot that is free first."""
    free = [0.0] * min(slots, len(seconds))
    for duration in seconds:
        heapq.heapreplace(free, free[0] + duration)
    return max(free, default=0.0)


def _number(value: float) -> str:
    """Return two digits, all from 100, as a plain number: more would be pretended."""
    if value >= 99.5:
        return f"{value:,.0f}"
    rounded = float(f"{value:.2g}")
    return f"{rounded:f}".rstrip("0").rstrip(".")


def hours_text(hours: Range | None) -> str:
    """Return hours with their bounds, or that they are not known."""
    if hours is None:
        return "not known"
    return f"{_number(hours.mid)} ({_number(hours.low)} to {_number(hours.high)})"


def _time(hours: float) -> str:
    """Return ``45 s``, ``12 min``, ``3.5 h``, ``4.2 days``."""
    for limit, scale, unit in ((1 / 60, 3600, "s"), (1, 60, "min"), (48, 1, "h")):
        if hours < limit:
            return f"{_number(hours * scale)} {unit}"
    return f"{_number(hours / 24)} days"


def _moment(now: datetime, hours: float) -> str:
    """Return the time of day so many hours from now."""
    return (now + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M")
