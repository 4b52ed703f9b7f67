"""Acquiring runs, and which of them can be trained together."""

from __future__ import annotations

import math
from dataclasses import dataclass

from echolm.arithmetic import Arithmetic
from echolm.config import splits_read, whole_batch_reason
from echolm.kept_weights import Keep
from echolm.liveness import HEARTBEAT_S, PATIENCE_S
from echolm.training.distributed import Ranks
from echolm.training.free_memory import free_on
from echolm.training.member_memory import how_many_fit, member_memory
from echolm.training.prepare import PreparedRun
from echolm.training.run_handle import Outcome, RunHandle

CHECKPOINT_MINUTES = 10.0
"""A kill without a warning costs at most so much of an epoch that lasts for hours."""


@dataclass(frozen=True)
class Compute:
    """How a run is computed. None of it is part of the run.

    Attributes:
        micro_batch: samples a rank pushes at once. None: all of its share.
        patience_s: seconds without a heartbeat after which a holder counts as gone.
        heartbeat_s: seconds between two heartbeats.
        outage_s: seconds to wait for what went away. None: ``echolm.outages.limit_s``. With 0,
            a run that meets an outage ends as interrupted at once.
        checkpoint_minutes: the longest time without a checkpoint within an epoch. Each epoch ends
            with one besides. None: ``CHECKPOINT_MINUTES``.
        keep: a ``Keep``: what becomes of a run's weights when it is complete.
        arithmetic: the precision, and whether a compiler is used.
        states_bytes: memory for states of the frozen part (``echolm.training.shelf``). More of them
            are in files. None: what the environment says, else a share of what is free.
    """

    micro_batch: int | None = None
    patience_s: float = PATIENCE_S
    heartbeat_s: float = HEARTBEAT_S
    outage_s: float | None = None
    checkpoint_minutes: float | None = None
    keep: str = Keep.BEST
    arithmetic: Arithmetic = Arithmetic()
    states_bytes: float | None = None

    @property
    def checkpoint_s(self) -> float:
        """The longest time without a checkpoint, in seconds."""
        minutes = self.checkpoint_minutes
        return 60 * (CHECKPOINT_MINUTES if minutes is None else minutes)


def acquire(
    prepared: PreparedRun, compute: Compute, ranks: Ranks, excuses: bool = True
) -> RunHandle:
    """Acquire a run's record on rank 0. A run that this is refused for has its outcome.

    Args:
        prepared: the run.
        compute: how it is computed.
        ranks: this process among others.
        excuses: whether an outage lets the run be continued. Else it fails of it.
    """
    run = RunHandle(prepared, excuses, compute.keep)
    outcome = refusal(prepared, compute, ranks)
    if outcome is None and ranks.first:
        outcome = run.acquire(compute.patience_s, compute.heartbeat_s)
    run.outcome, run.position = ranks.share((outcome, run.position))
    return run


def refusal(prepared: PreparedRun, compute: Compute, ranks: Ranks) -> Outcome | None:
    """Refuse to split a batch whose statistics must be over the whole of it.

    Returns:
        The Outcome of the refused run, or None.
    """
    config = prepared.config
    reason = whole_batch_reason(config)
    micro_batch = compute.micro_batch or config.batch_size
    if not reason or (ranks.world == 1 and micro_batch >= config.batch_size):
        return None
    remedy = "use one device and no micro-batch"
    if "batch_norm" in reason:
        remedy += ", or batch_norm: frozen"
    detail = f"{reason} needs its batch of {config.batch_size} on one device; {remedy}"
    return Outcome(prepared.cell, "refused", detail)


def cohorts(
    runs: list[RunHandle], compute: Compute | None = None, ranks: Ranks | None = None
) -> list[list[RunHandle]]:
    """Group runs that can share batches, and whose members fit into memory together.

    They have equal data, clips, first weights, views, order and batch size, and stand at the same
    step.

    Args:
        runs: the runs.
        compute: how they are computed.
        ranks: this process among others.
    """
    groups: dict[tuple[tuple[int, int], str], list[RunHandle]] = {}
    for run in runs:
        key = (run.position, _shared(run.prepared))
        groups.setdefault(key, []).append(run)
    fitting = []
    for key in sorted(groups):
        fitting += _that_fit(groups[key], compute or Compute(), ranks or Ranks())
    return fitting


def _that_fit(runs: list[RunHandle], compute: Compute, ranks: Ranks) -> list[list[RunHandle]]:
    """Divide runs into groups that fit into memory. Rank 0 decides."""
    if len(runs) == 1:
        return [runs]
    counts = ranks.share(_counts_that_fit(runs, compute, ranks) if ranks.first else [])
    groups = []
    start = 0
    for count in counts:
        groups.append(runs[start : start + count])
        start += count
    return groups


def _counts_that_fit(runs: list[RunHandle], compute: Compute, ranks: Ranks) -> list[int]:
    """Return how many runs each group has, in order."""
    members = []
    for run in runs:
        memory = member_memory(run.config)
        if memory is None:
            return [len(runs)]
        members.append(memory)
    free = free_on(ranks.device)
    if ranks.device.type != "cuda":
        free //= ranks.world  # they may all be on this host
    share = math.ceil(runs[0].config.batch_size / ranks.world)
    samples = min(compute.micro_batch or share, share)
    counts = []
    while members:
        counts.append(how_many_fit(members, samples, free))
        members = members[counts[-1] :]
    return counts


def _shared(prepared: PreparedRun) -> str:
    """Return a text that is equal for runs whose feeds give the same states at the same steps."""
    config = prepared.config
    batches = (
        prepared.store,
        prepared.identity["data"],
        config.data,
        config.goal,
        splits_read(config),
        config.clip,
        config.batch_size,
        config.order,
    )
    views = (config.augmentation, config.view, config.views)
    drawn_from = config.seed if config.weights.source == "random" else None
    first_weights = (config.encoder, prepared.identity["weights"], drawn_from)
    return repr((batches, views, first_weights))
