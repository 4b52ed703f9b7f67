"""Many comparisons: Holm's adjustment, and which values of a table are printed bold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grid.statistics.comparison import Comparison, compare
from grid.statistics.crossed_bootstrap import FEWEST_SEEDS
from grid.statistics.quantity import Better
from grid.statistics.resampling import Resampled
from grid.statistics.rows import why_not_paired

ALPHA = 0.05


@dataclass(frozen=True)
class Significance:
    """How a value stands in its column.

    Attributes:
        bold: the best, or not significantly worse than the best. It is by ``adjusted`` alone.
        best: the best.
        comparison: best - own. None for the best itself, and where ``reason`` says why there is
            none.
        adjusted: Holm's p of the comparison over the table.
        adjusted_wilcoxon: that of Wilcoxon's test. None for a statistic without a value a patient.
        reason: why there is no comparison.
    """

    bold: bool
    best: bool = False
    comparison: Comparison | None = None
    adjusted: float | None = None
    adjusted_wilcoxon: float | None = None
    reason: str = ""


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return Holm's step-down adjusted p-values (Scand J Stat 1979).

    They keep the chance of any false claim among all. A NaN (no comparison) stays NaN and does not
    count.
    """
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(len(p), np.nan)
    defined = int((~np.isnan(p)).sum())
    order = np.argsort(p, kind="stable")[:defined]  # NaNs are sorted to the end
    factors = defined - np.arange(defined)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return adjusted


def significances(
    columns: Sequence[tuple[Sequence[Resampled | None], Better]], alpha: float = ALPHA
) -> list[list[Significance]]:
    """Return how each value of a table stands, column by column.

    Values of a column are compared with its best one. Of other patients or other true values than
    the best, or undefined, they are not compared and not bold. With one comparable value nothing
    is bold. Holm is over all comparisons of the table.

    Args:
        columns: each has its values (None: missing, or not to be compared) and its direction.
        alpha: the level under which a value is significantly worse.
    """
    by_column = []
    for values, better in columns:
        best = best_of([value for value in values if value is not None], better)
        by_column.append([compare_with_best(value, best) for value in values])
    return adjust(by_column, alpha)


@dataclass(frozen=True)
class Best:
    """The best value of a column.

    Attributes:
        value: it. None where no value of the column is a number.
        compared: how many values of the column are numbers.
    """

    value: Resampled | None
    compared: int


def best_of(values: Sequence[Resampled], better: Better) -> Best:
    """Find the best of the values of a column. Their draws are not read."""
    defined = [value for value in values if np.isfinite(value.estimate)]
    if not defined:
        return Best(None, 0)
    choose = max if better == "higher" else min
    return Best(choose(defined, key=_estimate), len(defined))


def compare_with_best(value: Resampled | None, best: Best, ranked: bool = True) -> Significance:
    """Return how a value stands beside the best of its column, before any adjustment.

    Args:
        value: None where it is missing, or not to be compared.
        best: the best, with draws. It may be ``value`` itself.
        ranked: as for ``compare``.
    """
    if value is None:
        return Significance(False, reason="missing")
    if best.value is None or not np.isfinite(value.estimate):
        return Significance(False, reason=f"{value.statistic.name} is undefined")
    if value is best.value:
        return Significance(best.compared > 1, best=True)
    if not np.array_equal(value.runs.patients, best.value.runs.patients):
        reason = f"has other patients than the best, {best.value.runs.name}"
        return Significance(False, reason=reason)
    if why_not_paired(value.runs, best.value.runs):
        reason = f"is of other true values than the best, {best.value.runs.name}"
        return Significance(False, reason=reason)
    return Significance(False, comparison=compare(best.value, value, ranked=ranked))


def adjust(
    columns: Sequence[Sequence[Significance]], alpha: float = ALPHA
) -> list[list[Significance]]:
    """Adjust all comparisons of a table by Holm, and decide what is bold.

    Args:
        columns: how each value stands, as ``compare_with_best`` has it.
        alpha: the level under which a value is significantly worse.
    """
    p_values: list[float] = []
    wilcoxon: list[float] = []
    for column in columns:
        for standing in column:
            if standing.comparison is not None:
                p_values.append(standing.comparison.p)
                ranked = standing.comparison.wilcoxon
                wilcoxon.append(np.nan if ranked is None else ranked)
    adjusted = iter(zip(holm(p_values), holm(wilcoxon), strict=True))
    decided = []
    for column in columns:
        standings = []
        for standing in column:
            if standing.comparison:
                standing = _decided(standing, *next(adjusted), alpha)
            standings.append(standing)
        decided.append(standings)
    return decided


def bold_caption(crossed: Collection[bool]) -> str:
    """Return the sentence under a table with bold values.

    Args:
        crossed: for each comparison, whether it counts seeds.
    """
    if all(crossed):
        over = "patients and seeds"
    elif any(crossed):
        over = (
            "patients and seeds; patients only where a value or the best of its column has under "
            f"{FEWEST_SEEDS} seeds"
        )
    else:
        over = "patients, networks as trained: seeds are too few to claim more"
    return (
        "Bold: the best of its column, and what is not significantly worse (paired bootstrap over "
        f"{over}; Holm over all comparisons of the table, {100 * ALPHA:g} %)."
    )


def _estimate(value: Resampled) -> float:
    return value.estimate


def _decided(
    standing: Significance, adjusted: float, wilcoxon: float, alpha: float
) -> Significance:
    adjusted_wilcoxon = None
    if standing.comparison is not None and standing.comparison.wilcoxon is not None:
        adjusted_wilcoxon = float(wilcoxon)
    return replace(
        standing,
        adjusted=float(adjusted),
        adjusted_wilcoxon=adjusted_wilcoxon,
        bold=bool(adjusted > alpha),
    )
