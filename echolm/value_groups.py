"""Groups of items by one of their values: ``F``, ``<60``, ``60-75`` or ``unknown``.

The same words choose the subgroups of a table and the items that a run uses (``data.where``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from echolm.errors import EchoLMError

UNKNOWN_GROUP = "unknown"
"""The group of those without a value."""
NUMBER = r"-?\d+(?:\.\d+)?"
BELOW = re.compile(rf"(<=?|>=?)\s*({NUMBER})")
BETWEEN = re.compile(rf"({NUMBER})\s*-\s*({NUMBER})")
FORMS = "write <60, <=60, >60, >=60, or 60-75 (60 and above, below 75)"
"""How a range is written."""


@dataclass(frozen=True)
class Band:
    """A range of numbers. An end that is None has no bound.

    Attributes:
        low: the lower end.
        high: the upper end.
        holds_low: whether the lower end itself is in it.
        holds_high: whether the upper end itself is in it.
    """

    low: float | None = None
    high: float | None = None
    holds_low: bool = True
    holds_high: bool = False

    def holds(self, values: np.ndarray) -> np.ndarray:
        """Return which values are in it. NaN is not."""
        inside = ~np.isnan(values)
        if self.low is not None:
            inside &= values >= self.low if self.holds_low else values > self.low
        if self.high is not None:
            inside &= values <= self.high if self.holds_high else values < self.high
        return inside


def parse_band(label: str) -> Band | None:
    """Read ``<60`` or ``60-75``. None for a label that is no range."""
    one_end = BELOW.fullmatch(label.strip())
    if one_end:
        sign, number = one_end[1], float(one_end[2])
        if sign.startswith("<"):
            return Band(high=number, holds_high=sign == "<=")
        return Band(low=number, holds_low=sign == ">=")
    both_ends = BETWEEN.fullmatch(label.strip())
    if both_ends is None:
        return None
    return Band(float(both_ends[1]), float(both_ends[2]))


def members(values: Sequence[Any], name: str, label: str, where: str = "subgroup ") -> np.ndarray:
    """Return which items are in a group, (N,).

    Args:
        values: of each item. None, NaN, an empty text and ``unknown`` say that it is not known.
        name: of the value, for messages.
        label: of the group.
        where: names what asks for the group, for messages.

    Raises:
        EchoLMError: a range of texts.
    """
    unknown = np.array([is_unknown(value) for value in values], bool)
    if label == UNKNOWN_GROUP:
        return unknown
    if unknown.all():
        return ~unknown
    is_text = any(isinstance(value, str) for value in values)
    band = parse_band(label)
    if is_text:
        if band is not None and label not in set(values):
            raise EchoLMError(
                f"{where}{name}: {label!r} is a range, and {name} is a text: "
                f"{', '.join(known_values(values))}"
            )
        return np.array([value == label for value in values], bool) & ~unknown
    numbers = np.full(len(unknown), np.nan)
    for index, value in enumerate(values):
        if not unknown[index]:
            numbers[index] = float(value)
    if band is not None:
        return band.holds(numbers)
    try:
        return numbers == float(label)
    except ValueError:
        raise EchoLMError(
            f"{where}{name}: {label!r} is no number, and {name} is one; {FORMS}, or {UNKNOWN_GROUP}"
        ) from None


def known_values(values: Sequence[Any]) -> list[str]:
    """Return the values that are known, each once, as texts in order."""
    return sorted({str(value) for value in values if not is_unknown(value)})


def is_unknown(value: Any) -> bool:
    """Tell whether a value says that it is not known."""
    return value is None or value != value or value in ("", UNKNOWN_GROUP)
