"""An interaction: whether the difference of two values differs between two subgroups.

It is (first - second in one group) - (first - second in the other). All four values are evaluated
in the same resamples of *all* patients, so that groups may overlap, as two views of one patient do.
A network is the same in both groups. So its difference between them is taken seed by seed, and then
the two differences are compared as any two values are: seeds of the two sides are independent
(``crossed_bootstrap``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.base import Statistic
from grid.statistics.comparison import Comparison, compare
from grid.statistics.resampling import RESAMPLES, Resampled, resample
from grid.statistics.rows import Runs


@dataclass(frozen=True)
class GroupPair:
    """Two values, both of one subgroup.

    Attributes:
        name: of the group.
        first: the rows of the first value.
        second: those of the second.
    """

    name: str
    first: Runs
    second: Runs


def interaction(
    group: GroupPair, reference: GroupPair, statistic: Statistic, resamples: int = RESAMPLES
) -> Comparison:
    """Return how the difference first - second changes from one group to another.

    Args:
        group: one group.
        reference: the other, whose difference is subtracted.
        statistic: the statistic.
        resamples: how many.

    Raises:
        EchoLMError: the seeds of a value are not the same in both groups.
    """
    values = [group.first, reference.first, group.second, reference.second]
    patients = np.unique(np.concatenate([runs.patients for runs in values]))
    resampled = resample([runs.among(patients) for runs in values], statistic, resamples)
    first = _between_groups(resampled[0], resampled[1], group.first, reference.first)
    second = _between_groups(resampled[2], resampled[3], group.second, reference.second)
    return compare(first, second, ranked=False)


def _between_groups(value: Resampled, other: Resampled, own: Runs, reference: Runs) -> Resampled:
    """Return what a value is more in one group than in the other, seed by seed."""
    if own.seeds != reference.seeds:
        raise EchoLMError(f"{own.name}: has other seeds in one group than in the other")
    return Resampled(
        runs=value.runs,
        statistic=value.statistic,
        full=value.full - other.full,
        draws=value.draws - other.draws,
        per_patient=None,
        bounds=value.bounds.of_difference,
        # The smaller group says how well the variance over patients is known.
        counted=min(len(own.patients), len(reference.patients)),
    )
