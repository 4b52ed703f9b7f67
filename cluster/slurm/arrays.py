"""How many jobs a submission has, and how SLURM's limits cut them into arrays. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Room:
    """What SLURM takes now: ``largest`` jobs an array (MaxArraySize, which caps the index; 0: no arrays), ``queued`` more
    jobs of this user (None: no limit), ``at_once`` more running ones under the throttle of this grid."""

    largest: int
    queued: int | None
    at_once: int

    def after(self, arrays: Sequence[Array]) -> Room:
        """What is left when these are submitted too."""
        queued = None if self.queued is None else self.queued - sum(array.count for array in arrays)
        return replace(self, queued=queued, at_once=self.at_once - sum(array.at_once for array in arrays))


@dataclass(frozen=True)
class Array:
    """``count`` jobs of which ``at_once`` may run together (sbatch's ``--array=0-<count - 1>%<at_once>``)."""

    count: int
    at_once: int


def share(units: int, units_per_job: int | None, slots: int) -> int:
    """Units that a job is meant for: the profile's, else so many that all jobs may run at once."""
    return units_per_job or -(-units // max(1, min(units, slots)))


def lacking(waiting: int, units: int, jobs: int, there: int) -> int:
    """How many jobs are missing for the ``waiting`` ones of ``units`` units, for all of which ``jobs`` were meant: ``there``
    are left."""
    each = -(-units // max(1, jobs))
    return max(0, -(-waiting // each) - there)


def cut(units: int, units_per_job: int, room: Room) -> list[Array]:
    """Arrays for ``units`` units. All arrays together run at most ``room.at_once`` jobs; what there is no room for is
    left to a later submission."""
    wanted = -(-units // max(1, units_per_job))
    count = wanted if room.queued is None else min(wanted, room.queued)
    if count < 1 or room.at_once < 1:
        return []
    sizes = _sizes(count, max(1, room.largest))[: room.at_once]  # an array runs at least one job
    share, extra = divmod(min(room.at_once, sum(sizes)), len(sizes))
    return [Array(size, min(size, share + (number < extra))) for number, size in enumerate(sizes)]


def _sizes(count: int, largest: int) -> list[int]:
    """As few arrays as possible, of nearly the same size."""
    arrays = -(-count // largest)
    size, extra = divmod(count, arrays)
    return [size + (number < extra) for number in range(arrays)]
