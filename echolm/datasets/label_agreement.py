"""Labels that contradict each other, as those of rows that were shifted against others do.

A sorted column, a lost row or a paste one cell too low gives every video another's label. Nothing
else shows it: all cells are valid, and a run on them learns nothing. But labels of one video go
together. Where they do not in many videos, the whole set is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from echolm.datasets.scan import SourceItem
from echolm.geometry import ejection_fraction
from echolm.text import counted

Disagreement = Literal["refuse", "remark"]
"""What is done when the labels of many videos contradict each other."""
TRUST = "--set disagreement=remark"
POINTS = 1.0
"""Points of EF (percent of EDV) by which EF may differ from what its volumes give.

Rounded volumes move it by less. In EchoNet-Dynamic it holds exactly in all 10,030 rows.
"""
MOST = 0.05
"""Share of the videos whose EF may differ more. A shifted column makes nearly all differ."""
FEWEST_ROWS = 2
"""A shift moves two rows at least."""
FEWEST_TRACED = 20
"""Traced videos from which their correlation says something: by chance it is below 0.3."""
LEAST = 0.3
"""Correlation of EF with the change of area that was traced. Of the same videos it is near 1, of
others near 0."""
SHOWN = 3
"""Videos named in a sentence."""


def contradicts_volumes(items: Sequence[SourceItem]) -> list[SourceItem]:
    """Return the items whose EF is not 100 (EDV - ESV) / EDV, within ``POINTS``."""
    if not items:
        return []
    ef, esv, edv = (_column(items, name) for name in ("ef", "esv", "edv"))
    # NaN, of an EDV of 0, contradicts nothing.
    differs = np.abs(ejection_fraction(edv, esv) - ef) > POINTS
    return [items[int(row)] for row in np.flatnonzero(differs)]


def why_volumes_are_of_others(odd: Sequence[SourceItem], count: int, table: str) -> str:
    """Say that EF and volumes are labels of different rows, or ''.

    Args:
        odd: the items whose EF contradicts their volumes.
        count: how many items there are.
        table: the table of the labels.
    """
    if len(odd) < FEWEST_ROWS or len(odd) <= MOST * count:
        return ""
    values = odd[0].values
    by_volumes = float(ejection_fraction(values["edv"], values["esv"]))
    return (
        f"{table}: EF is not 100 (EDV - ESV) / EDV in {len(odd)} of {counted(count, 'video')} "
        f"({odd[0].sample}: EF is {values['ef']:.4g}, its volumes give {by_volumes:.4g}): are "
        f"labels shifted against others by a row? Correct the table, or trust it: {TRUST}"
    )


def correlation_with_tracings(items: Sequence[SourceItem], areas: ArrayLike) -> float | None:
    """Return the correlation of EF with the share of the area that systole takes away.

    Args:
        items: the traced items.
        areas: of each item, the areas at end-diastole and at end-systole (N x 2).

    Returns:
        Pearson's correlation. None: there are fewer than ``FEWEST_TRACED``, or all are equal.
    """
    if len(items) < FEWEST_TRACED:
        return None
    ef = _column(items, "ef")
    area_ed, area_es = np.asarray(areas, np.float64).T
    change = 1 - area_es / area_ed
    if not ef.std() or not change.std():
        return None
    return float(np.corrcoef(ef, change)[0, 1])


def why_tracings_are_of_others(correlation: float | None, count: int, tables: str) -> str:
    """Say that EF and tracings are labels of different videos, or ''.

    Args:
        correlation: as ``correlation_with_tracings`` gives it.
        count: how many items are traced.
        tables: the tables of the labels and the tracings.
    """
    if correlation is None or correlation >= LEAST:
        return ""
    return (
        f"{tables}: EF does not go with the traced areas of {counted(count, 'video')} "
        f"(correlation {correlation:.2f}, at least {LEAST} where both are of the same video): are "
        f"labels shifted against the names by a row? Correct the table, or trust it: {TRUST}"
    )


def names_of(items: Sequence[SourceItem]) -> str:
    """Return the samples of the first items, for a sentence."""
    names = [item.sample for item in items[:SHOWN]]
    if len(items) > SHOWN:
        names.append("...")
    return ", ".join(names)


def _column(items: Sequence[SourceItem], name: str) -> np.ndarray:
    return np.array([item.values[name] for item in items], np.float64)
