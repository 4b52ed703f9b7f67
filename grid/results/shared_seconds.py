"""Share the seconds of a cohort among its runs.

A run's seconds are those of its epochs (training and validation) by the clock of the process. Runs
of one cohort share that clock, so each of them reports the seconds of all. Their sum would count
the shared work several times. Runs of one host with equal seconds (to the millisecond) and ends
within ``APART`` of each other are taken as trained together, and each has its part of the seconds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

APART = timedelta(seconds=10)
EPOCH = datetime(1970, 1, 1)


class Timed(Protocol):
    """What tells which runs were trained together."""

    @property
    def cell(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def host(self) -> str: ...  # noqa: D102
    @property
    def device(self) -> str: ...  # noqa: D102
    @property
    def seconds(self) -> float | None: ...  # noqa: D102
    @property
    def end(self) -> datetime | None: ...  # noqa: D102


@dataclass(frozen=True)
class TimedRun:
    """A collected run with its seconds."""

    cell: str
    host: str
    device: str
    seconds: float | None
    end: datetime | None


@dataclass(frozen=True)
class Part:
    """What of a run's seconds is its own, and how many runs shared them."""

    seconds: float
    together: int


def share_seconds(runs: Iterable[Timed]) -> dict[str, Part]:
    """Find each run's part of its seconds.

    Returns:
        Cell -> its part, of the runs that report seconds.
    """
    timed = [run for run in runs if run.seconds is not None]
    cohorts: list[list[Timed]] = []
    for run in sorted(timed, key=_order):
        if cohorts and _trained_together(cohorts[-1][-1], run):
            cohorts[-1].append(run)
        else:
            cohorts.append([run])
    parts_of_cells = {}
    for cohort in cohorts:
        for run in cohort:
            seconds = (run.seconds or 0.0) / len(cohort)
            parts_of_cells[run.cell] = Part(seconds, len(cohort))
    return parts_of_cells


def _order(run: Timed) -> tuple[str, str, float, datetime]:
    """Return what runs are sorted by, so that those of a cohort follow each other."""
    end = run.end.replace(tzinfo=None) if run.end else EPOCH
    return (run.host, run.device, run.seconds or 0.0, end)


def _trained_together(one: Timed, other: Timed) -> bool:
    """Check whether two runs, the earlier one first, seem to be of one cohort."""
    if _order(one)[:3] != _order(other)[:3] or one.end is None or other.end is None:
        return False
    return other.end - one.end <= APART
