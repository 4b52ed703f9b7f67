"""What further seeds of a value cost, from the seconds that its stored runs took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.text import HOUR, counted, duration
from grid.results.files import RUNS_FILE, column_names, read_columns

SECONDS = "metrics.run/seconds"
COLUMNS = ("cell", "host", "device", SECONDS)


@dataclass(frozen=True)
class SeedCost:
    """What some runs cost.

    Attributes:
        runs: how many.
        seconds: of computing, in all.
        measured: from how many stored runs that is known.
        on_gpu: whether those ran on a GPU.
    """

    runs: int
    seconds: float
    measured: int
    on_gpu: bool

    @property
    def text(self) -> str:
        """In words: ``8 runs, about 2.4 GPU-hours (18 min each, from 6 stored runs)``."""
        if self.on_gpu and self.seconds >= HOUR / 10:
            amount = f"{self.seconds / HOUR:.1f} GPU-hours"
        elif self.on_gpu:
            amount = f"{self.seconds:.0f} GPU-seconds"
        else:
            amount = f"{_duration(self.seconds)} of computing on CPUs"
        each = _duration(self.seconds / self.runs)
        stored = counted(self.measured, "stored run")
        return f"{counted(self.runs, 'run')}, about {amount} ({each} each, from {stored})"


def _duration(seconds: float) -> str:
    """Write a duration as ``echolm.text.duration`` does, and small ones with a decimal."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return duration(seconds)


def seed_cost(
    results: Path | None, cells: Sequence[Collection[str]], more: Sequence[int]
) -> SeedCost | None:
    """Return what further seeds cost.

    Runs that were trained together report the seconds of all: those of one host with equal seconds
    share them.

    Args:
        results: the folder that was collected.
        cells: of each value, the cells that it has.
        more: of each value, how many seeds are added.

    Returns:
        None where nothing is added, or the time of a value's runs is not known.
    """
    if results is None or not sum(more):
        return None
    path = results / RUNS_FILE
    try:
        if not set(COLUMNS) <= set(column_names(path)):
            return None
        rows = read_columns(path, COLUMNS).to_pylist()
    except EchoLMError:
        return None
    timed = [row for row in rows if row[SECONDS]]
    together = Counter((row["host"], round(row[SECONDS], 3)) for row in timed)
    total = 0.0
    measured = 0
    devices: Counter[str] = Counter()
    for ids, count in zip(cells, more, strict=True):
        shares = []
        for row in timed:
            if row["cell"] in ids:
                shares.append(row[SECONDS] / together[row["host"], round(row[SECONDS], 3)])
                devices[row["device"] or ""] += 1
        if not shares:
            return None
        total += count * sum(shares) / len(shares)
        measured += len(shares)
    [(device, _)] = devices.most_common(1)
    on_gpu = bool(device) and not device.startswith("cpu")
    return SeedCost(sum(more), total, measured, on_gpu)
