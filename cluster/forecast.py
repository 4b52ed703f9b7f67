"""What a launch will cost: GPU-hours, waves and time to the end, each with a range, and where they come from.

A *unit* is trained by one job as one cohort: the frozen trunk's forward passes are paid once, and each cell pays for what
is its own (``durations.shared_part``). Units go to free slots in their order. Waiting in the queue, the start of jobs and
the final evaluation are not counted.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from cluster.durations import CellShape, Finished, Rate, Rates, cell_shape, shared_part
from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError


@dataclass(frozen=True)
class Planned:
    """A cell to run. ``clips``: training clips of its fraction of the data. ``epochs_done``: those behind its checkpoint."""

    config: FinetuneConfig | PretrainConfig
    clips: int
    epochs_done: int = 0


@dataclass(frozen=True)
class Range:
    """A quantity with its bounds: everything as quick as the quickest run that was seen, or as slow as the slowest."""

    low: float
    mid: float
    high: float


@dataclass(frozen=True)
class Forecast:
    """The cost of a launch. Hours are None when nothing is known; ``unknown`` cells are not in them.

    ``gpu_hours``: 0 on CPUs. ``waves``: units one after another in the busiest slot. ``jobs``: jobs one after another in
    the busiest slot, by their time limit; None without one. ``sources``: words -> how many cells they are about.
    ``fits``: GPU-hours (mid) after each cell, in the order of units.
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

    def lines(self, now: datetime | None = None) -> list[str]:
        """As text. ``now``: when jobs would start; the end is told as a time of day then."""
        devices = _counted(self.gpus, "GPU") if self.gpus else f"no GPU, {_counted(self.ranks, 'rank')}"
        found = [f"{_counted(self.cells, 'cell')} in {_counted(self.units, 'unit')}, {_counted(self.slots, 'job')} at once, {devices} each"]
        if self.gpu_hours and self.wall_hours:
            found += self._hours(self.gpu_hours, self.wall_hours, now)
        if self.unknown:
            found.append(f"not known for {_counted(self.unknown, 'cell')}: no complete run of the encoder on CPUs, and no published figure")
        found += [f"from {words} ({_counted(count, 'cell')})" for words, count in self.sources.items()]
        if self.shares and self.sources:
            found.append("cells of one unit pay the frozen trunk's forward passes once, and at least a twentieth of their own cost each")
        return found

    def plain(self) -> dict[str, Any]:
        """As data for JSON."""
        return {name: value for name, value in asdict(self).items() if name not in ("fits", "shares")}

    def refuse(self, budget_gpu_hours: float) -> None:
        """EchoLMError when the middle of the range is over a budget; it says what would fit."""
        if self.gpu_hours is None or self.gpu_hours.mid <= budget_gpu_hours:
            return
        fitting = sum(hours <= budget_gpu_hours for hours in self.fits)
        raise EchoLMError(
            f"the forecast is {_number(self.gpu_hours.mid)} GPU-hours ({_number(self.gpu_hours.low)} to {_number(self.gpu_hours.high)}),"
            f" over --budget-gpu-hours {budget_gpu_hours:g}; {_counted(fitting, 'cell')} of {self.cells} would fit:"
            f" choose some with --where AXIS=LABEL, or give --budget-gpu-hours {math.ceil(self.gpu_hours.mid)}"
        )

    def _hours(self, gpu: Range, wall: Range, now: datetime | None) -> list[str]:
        jobs = f", {_counted(self.jobs, 'job')} after one another in each slot" if self.jobs and self.jobs > 1 else ""
        found = [f"{_number(gpu.mid)} GPU-hours ({_number(gpu.low)} to {_number(gpu.high)})"] if self.gpus else []
        found.append(f"{_time(wall.mid)} ({_time(wall.low)} to {_time(wall.high)}) in {_counted(self.waves, 'wave')}{jobs}, without waiting in the queue")
        if now is not None:
            ends = [(now + timedelta(hours=hours)).strftime("%Y-%m-%d %H:%M") for hours in (wall.mid, wall.low, wall.high)]
            found.append(f"done about {ends[0]} (between {ends[1]} and {ends[2]}) if jobs start now")
        return found


Priced = tuple[Planned, CellShape, Rate]


def forecast(
    units: Sequence[Sequence[Planned]], known: Callable[[], Iterable[Finished]], slots: int,
    gpus: int = 0, ranks: int = 1, job_minutes: int | None = None,
) -> Forecast:  # fmt: skip
    """The cost of running ``units`` with ``slots`` jobs at once, each on ``gpus`` GPUs, or with 0 on ``ranks`` CPU ranks.

    ``known``: complete runs (``durations.finished_runs``). ``job_minutes``: the time limit of a job.
    """
    rates, priced = Rates(known() if units else []), []
    for unit in units:
        shapes = [cell_shape(cell.config, gpus > 0, gpus or ranks) for cell in unit]
        priced.append([(cell, shape, rate) for cell, shape in zip(unit, shapes, strict=True) if (rate := rates(shape))])
    sources = Counter(rate.source for cells in priced for _, _, rate in cells)
    costs = [[_cost(cells, bound) for cells in priced] for bound in range(3)]  # device-seconds of each unit
    total = Range(*(sum(seconds) / 3600 if gpus else 0.0 for seconds in costs))
    wall = Range(*(_wall([cost / (gpus or ranks) for cost in seconds], slots) / 3600 for seconds in costs))
    cells = sum(len(unit) for unit in units)
    return Forecast(
        cells, len(units), slots, gpus, ranks, total if sources else None, wall if sources else None,
        waves=math.ceil(len(units) / slots), jobs=math.ceil(wall.mid * 60 / job_minutes) if job_minutes and sources else None,
        unknown=cells - sources.total(), sources=dict(sources), shares=any(len(unit) > 1 for unit in units),
        fits=tuple(_after_each(priced)) if gpus else (),
    )  # fmt: skip


def _after_each(priced: Sequence[Sequence[Priced]]) -> Iterator[float]:
    """GPU-hours (mid) when all cells up to this one have been trained."""
    before = 0.0
    for cells in priced:
        yield from ((before + _cost(cells[: n + 1], 1)) / 3600 for n in range(len(cells)))
        before += _cost(cells, 1)


def _cost(cells: Sequence[Priced], bound: int) -> float:
    """Device-seconds of cells that are trained together; ``bound``: 0 low, 1 mid, 2 high."""
    if not cells:
        return 0.0
    cut = min(shape.cut for _, shape, _ in cells)
    alone = [
        (rate.low, rate.mid, rate.high)[bound] * cell.clips * max(0, cell.config.epochs - cell.epochs_done) for cell, _, rate in cells
    ]
    shared = [cost * (shared_part(shape, cut) if len(cells) > 1 else 0) for cost, (_, shape, _) in zip(alone, cells, strict=True)]
    return max(shared) + sum(alone) - sum(shared)


def _wall(seconds: Sequence[float], slots: int) -> float:
    """When the last unit ends: each begins, in order, in the slot that is free first."""
    free = [0.0] * min(slots, len(seconds))
    for took in seconds:
        heapq.heapreplace(free, free[0] + took)
    return max(free, default=0.0)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _number(value: float) -> str:
    """Two digits, three from 100: more would be pretended."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _time(hours: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``, ``4.2 days``."""
    for limit, scale, unit in ((1 / 60, 3600, "s"), (1, 60, "min"), (48, 1, "h")):
        if hours < limit:
            return f"{_number(hours * scale)} {unit}"
    return f"{_number(hours / 24)} days"
