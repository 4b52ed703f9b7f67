"""The states of a run and the classes of failures, as records and journals spell them."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """What a run record says of its run at the moment of looking.

    Members equal their strings, so files keep what they always held.
    """

    PENDING = "pending"
    """No attempt, or a failure that was marked for retry."""
    RUNNING = "running"
    """An attempt has a holder, as far as can be seen from here."""
    INTERRUPTED = "interrupted"
    """An attempt without a holder and without another ending: the next launch continues it."""
    COMPLETE = "complete"
    FAILED = "failed"
    PRUNED = "pruned"
    CANCELLED = "cancelled"


class Standing(StrEnum):
    """Where a cell stands that begins from the weights of another cell, before these are there.

    It is told of cells, in the place of a ``RunState``. No record says it.
    """

    WAITING = "waiting"
    """The other cell has not ended yet."""
    BLOCKED = "blocked"
    """The other cell failed, was cancelled or pruned, or is blocked itself: a retry frees both."""


class FailureClass(StrEnum):
    """Why a run or a job ended before it was complete.

    The first group happens inside a run and stands in its record. The second happens to a job from
    outside and stands in ``failures.jsonl``. ``OUT_OF_MEMORY``, ``CANCELLED`` and ``OUTAGE`` can be
    both.
    """

    DATA = "data"
    """A file, a value or a state that the run cannot work with."""
    BUG = "bug"
    """An error that the code did not foresee."""
    DIVERGED = "diverged"
    """A loss or the selecting metric is not finite."""
    SUPERSEDED = "superseded"
    """A newer attempt holds the run."""
    OUTAGE = "outage"
    """A store, the workspace, the room on a disk or SLURM's controller was away for a while."""
    OUT_OF_MEMORY = "out-of-memory"
    CANCELLED = "cancelled"
    NODE_FAILURE = "node-failure"
    PREEMPTED = "preempted"
    TIME_LIMIT = "time-limit"
    KILLED = "killed"
    """A process ended without the scheduler knowing why."""
    LAUNCH = "launch"
    """A job ended before it took a unit."""
