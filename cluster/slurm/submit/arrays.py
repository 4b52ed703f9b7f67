"""Decide how many jobs a submission has, and how SLURM's limits cut them into arrays. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Room:
    """What SLURM takes now.

    Attributes:
        largest: jobs an array (MaxArraySize, which caps the index). 0: no arrays.
        queued: how many more jobs of this user may be queued. None: no limit.
        at_once: how many more jobs may run under the throttle of this grid.
    """

    largest: int
    queued: int | None
    at_once: int

    def after(self, arrays: Sequence[Array]) -> Room:
        """Return what is left when these arrays are submitted too."""
        queued = self.queued
        if queued is not None:
            queued -= sum(array.count for array in arrays)
        running = sum(array.at_once for array in arrays)
        return replace(self, queued=queued, at_once=self.at_once - running)


@dataclass(frozen=True)
class Array:
    """``count`` jobs of which ``at_once`` may run together.

    In sbatch's words: ``--array=0-<count - 1>%<at_once>``.
    """

    count: int
    at_once: int


def share(units: int, units_per_job: int | None, slots: int) -> int:
    """Return how many units a job is meant for.

    The profile says it (``units_per_job``). Else it is so many that all jobs may run at once.
    """
    return units_per_job or _divide_up(units, max(1, min(units, slots)))


def lacking(waiting: int, units: int, jobs: int, there: int) -> int:
    """Return how many jobs are missing for the units of a batch that wait.

    Args:
        waiting: how many units wait.
        units: how many units the batch has.
        jobs: how many jobs were meant for all of them.
        there: how many jobs are left.
    """
    units_per_job = _divide_up(units, max(1, jobs))
    return max(0, _divide_up(waiting, units_per_job) - there)


def cut(units: int, units_per_job: int, room: Room) -> list[Array]:
    """Return the arrays for ``units`` units.

    All arrays together run at most ``room.at_once`` jobs. What there is no room for is left to a
    later submission.
    """
    count = _divide_up(units, max(1, units_per_job))
    if room.queued is not None:
        count = min(count, room.queued)
    if count < 1 or room.at_once < 1:
        return []
    # an array runs at least one job, so there are no more arrays than jobs that may run
    sizes = _sizes(count, max(1, room.largest))[: room.at_once]
    running = min(room.at_once, sum(sizes))
    arrays = []
    for size, at_once in zip(sizes, _spread(running, len(sizes)), strict=True):
        arrays.append(Array(size, min(size, at_once)))
    return arrays


def _sizes(count: int, largest: int) -> list[int]:
    """Return the sizes of as few arrays as possible, all nearly the same."""
    return _spread(count, _divide_up(count, largest))


def _spread(total: int, parts: int) -> list[int]:
    """Spread a number over parts as evenly as possible, the larger ones first."""
    size, extra = divmod(total, parts)
    return [size + 1] * extra + [size] * (parts - extra)


def _divide_up(number: int, by: int) -> int:
    return -(-number // by)
