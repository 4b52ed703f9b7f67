"""What is known of numbers: their unit, which of them are better, and which are possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grid.statistics.bounds import ANY, Bounds

Better = Literal["higher", "lower"]
"""Which values of a column are better."""

VALUE = "{value}"
"""In the unit of a statistic: the unit of what it is made of. ``{value}²`` is that squared."""


@dataclass(frozen=True)
class Quantity:
    """What is known of numbers of one kind.

    Attributes:
        unit: such as ``%``. Empty without one, or where it is not known.
        better: which values are better. None where that is not known.
        bounds: which values are possible.
    """

    unit: str = ""
    better: Better | None = None
    bounds: Bounds = ANY


UNKNOWN = Quantity()


def unit_text(unit: str, of: str) -> str:
    """Spell the unit of a statistic.

    Args:
        unit: as the statistic states it, with ``VALUE`` for that of what it is made of.
        of: the unit of what it is made of. Without one nothing can be said of a power of it.

    Returns:
        ``%²`` for ``{value}²`` of ``%``.
    """
    if VALUE in unit and not of:
        return ""
    return unit.replace(VALUE, of)
