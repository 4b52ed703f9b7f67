"""Many comparisons: Holm's adjustment, and which values of a table are printed bold."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from grid.statistics.comparison import Comparison, compare
from grid.statistics.crossing import FEWEST_SEEDS
from grid.statistics.resampling import Resampled

Better = Literal["higher", "lower"]
ALPHA = 0.05


@dataclass(frozen=True)
class Standing:
    """How a value stands in its column. ``bold``: the best, or not significantly worse than the best.

    ``comparison`` is best - own, ``adjusted`` its Holm p over the table and ``adjusted_wilcoxon`` that of Wilcoxon's test (None for a
    statistic without a value a patient); all are None for the best itself, and where ``reason`` says why there is no comparison.
    Bold is by ``adjusted`` alone.
    """

    bold: bool
    best: bool = False
    comparison: Comparison | None = None
    adjusted: float | None = None
    adjusted_wilcoxon: float | None = None
    reason: str = ""


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjusted p-values (Scand J Stat 1979): they keep the chance of any false claim among all.

    A NaN (no comparison) stays NaN and does not count.
    """
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p, kind="stable")[: int((~np.isnan(p)).sum())]
    factors = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * factors))
    return adjusted


def standings(columns: Sequence[tuple[Sequence[Resampled | None], Better]], alpha: float = ALPHA) -> list[list[Standing]]:
    """How each value of a table stands, column by column; Holm is over all comparisons of the table.

    Each column has its values (None: missing, or not to be compared) and its direction. Values of a column are compared with its best one; of other
    patients than the best, or undefined, they are not compared and not bold. With one comparable value nothing is bold.
    """
    found = [_column(values, better) for values, better in columns]
    compared = [standing.comparison for column in found for standing in column if standing.comparison]
    ranked = [np.nan if comparison.wilcoxon is None else comparison.wilcoxon for comparison in compared]
    adjusted = zip(holm([comparison.p for comparison in compared]), holm(ranked), strict=True)
    return [[_decided(standing, *next(adjusted), alpha) if standing.comparison else standing for standing in column] for column in found]


def bold_caption(crossed: Collection[bool]) -> str:
    """The sentence under a table with bold values; ``crossed`` says of each comparison whether it counts seeds."""
    over = "patients and seeds"
    if not all(crossed):
        alone = f"patients only where a value or the best of its column has under {FEWEST_SEEDS} seeds"
        over = f"{over}; {alone}" if any(crossed) else "patients, networks as trained: seeds are too few to claim more"
    return (
        f"Bold: the best of its column, and what is not significantly worse (paired bootstrap over {over};"
        f" Holm over all comparisons of the table, {100 * ALPHA:g} %)."
    )


def _column(values: Sequence[Resampled | None], better: Better) -> list[Standing]:
    sign = 1 if better == "higher" else -1
    defined = [value for value in values if value is not None and np.isfinite(value.estimate)]
    if not defined:
        return [Standing(False, reason=_why(value)) for value in values]
    best = max(defined, key=lambda value: sign * value.estimate)
    standings = []
    for value in values:
        if value is best:
            standings.append(Standing(len(defined) > 1, best=True))
        elif value is None or not np.isfinite(value.estimate):
            standings.append(Standing(False, reason=_why(value)))
        elif not np.array_equal(value.runs.patients, best.runs.patients):
            standings.append(Standing(False, reason=f"has other patients than the best, {best.runs.name}"))
        else:
            standings.append(Standing(False, comparison=compare(best, value)))
    return standings


def _decided(standing: Standing, adjusted: float, wilcoxon: float, alpha: float) -> Standing:
    ranked = None if standing.comparison is None or standing.comparison.wilcoxon is None else float(wilcoxon)
    return replace(standing, adjusted=float(adjusted), adjusted_wilcoxon=ranked, bold=bool(adjusted > alpha))


def _why(value: Resampled | None) -> str:
    return "missing" if value is None else f"{value.statistic.name} is undefined"
