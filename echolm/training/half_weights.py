"""Whether a run begins with weights of which another run kept half of the bits."""

from __future__ import annotations

from echolm.kept_weights import Keep, kept
from echolm.record import RunRecord
from echolm.training.prepare import PreparedRun


def begins_with_half(run: PreparedRun) -> bool:
    """Tell whether the first weights are those of a run that kept half of their bits."""
    if run.weights is None or run.config.weights.source != "run":
        return False
    return kept(RunRecord(run.weights.parents[2]).summary() or {}) == Keep.HALF
