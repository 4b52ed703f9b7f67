"""Holding runs, and which of them can be trained together."""

from __future__ import annotations

from dataclasses import dataclass

from echolm.config import needs_whole_batch
from echolm.liveness import HEARTBEAT_S, PATIENCE_S
from echolm.training.distributed import Ranks
from echolm.training.held import Held, Outcome
from echolm.training.prepare import PreparedRun


@dataclass(frozen=True)
class Compute:
    """How a run is computed; none of it is part of the run. ``micro_batch``: samples a rank pushes at once."""

    micro_batch: int | None = None
    patience_s: float = PATIENCE_S
    heartbeat_s: float = HEARTBEAT_S


def hold(run: PreparedRun, compute: Compute, ranks: Ranks) -> Held:
    """Acquire a run's record on rank 0. A run that this is refused for has its outcome."""
    h = Held(run)
    refused = refusal(run, compute, ranks) or (h.acquire(compute.patience_s, compute.heartbeat_s) if ranks.first else None)
    h.outcome, h.place = ranks.share((refused, h.place))
    return h


def refusal(run: PreparedRun, compute: Compute, ranks: Ranks) -> Outcome | None:
    """The Outcome that refuses to split a batch whose BatchNorm statistics must be over the whole of it; else None."""
    config = run.config
    if not needs_whole_batch(config):
        return None
    if ranks.world == 1 and (compute.micro_batch or config.batch_size) >= config.batch_size:
        return None
    return Outcome(
        run.cell, "refused", f"encoder {config.encoder.name} with batch_norm: batch needs its batch of {config.batch_size}"
        " on one device; use one device and no micro-batch, or batch_norm: frozen"
    )  # fmt: skip


def cohorts(held: list[Held]) -> list[list[Held]]:
    """Group runs that can share batches: equal data, first weights, views, order and batch size, at the same step."""
    groups: dict[tuple[tuple[int, int], str], list[Held]] = {}
    for h in held:
        groups.setdefault((h.place, _shared(h.run)), []).append(h)
    return [groups[key] for key in sorted(groups)]


def _shared(run: PreparedRun) -> str:
    """Equal for runs whose trunks give the same states for the same batches."""
    config = run.config
    data = (run.store, run.identity["data"], config.data, config.task, config.batch_size, config.order)
    views = (config.augmentation, config.view, config.views)
    first = (config.encoder, run.identity["weights"], config.seed if config.weights.source == "random" else None)
    return repr((data, views, first))
