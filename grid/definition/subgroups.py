"""Subgroups of test samples, by a value that the store holds of each: ``sex: F``, ``age: <60``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from echolm.errors import EchoLMError

UNKNOWN_GROUP = "unknown"
"""The group of those without a value."""
ALL = "all"
"""The row of everybody, beside those of subgroups."""
AXIS = "subgroup"
"""The axis of a table's rows that tells subgroups apart."""
NUMBER = r"-?\d+(?:\.\d+)?"
BELOW = re.compile(rf"(<=?|>=?)\s*({NUMBER})")
BETWEEN = re.compile(rf"({NUMBER})\s*-\s*({NUMBER})")
FORMS = "write <60, <=60, >60, >=60, or 60-75 (60 and above, below 75)"


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


def _as_label(value: Any) -> Any:
    """Spell a number of YAML as a label."""
    if isinstance(value, bool):
        raise ValueError("a group is a text or a number; put yes, no, true and false in quotes")
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, str) and not value:
        raise ValueError(f"a group without a name; those without a value are {UNKNOWN_GROUP!r}")
    return value


GroupLabel = Annotated[str, BeforeValidator(_as_label)]
"""The label of a group: a value, a range of numbers, or ``unknown``."""


def group_name(subgroup: Mapping[str, str]) -> str:
    """Spell a subgroup: ``sex F, age <60``. Empty for everybody."""
    return ", ".join(f"{name} {label}" for name, label in subgroup.items())


def members(values: Sequence[Any], name: str, label: str) -> np.ndarray:
    """Return which samples are in a group.

    Args:
        values: of each sample. None, NaN, an empty text and ``unknown`` say that it is not known.
        name: of the value, for messages.
        label: of the group.

    Raises:
        EchoLMError: a range of texts.
    """
    unknown = np.array([_is_unknown(value) for value in values], bool)
    if label == UNKNOWN_GROUP:
        return unknown
    if unknown.all():
        return ~unknown
    is_text = any(isinstance(value, str) for value in values)
    band = parse_band(label)
    if is_text:
        if band is not None and label not in set(values):
            raise EchoLMError(
                f"subgroup {name}: {label!r} is a range, and {name} is a text: "
                f"{', '.join(_known(values))}"
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
            f"subgroup {name}: {label!r} is no number, and {name} is one; {FORMS}, or "
            f"{UNKNOWN_GROUP}"
        ) from None


def natural_groups(values: Sequence[Any], name: str) -> list[str]:
    """Return the groups of a text, in the order of their names. Those of a number must be given.

    Raises:
        EchoLMError: the value is a number.
    """
    known = _known(values)
    if not all(isinstance(value, str) for value in values if not _is_unknown(value)):
        raise EchoLMError(
            f"subgroup {name}: is a number; name its groups, as in {name}='<60|60-75|>=75'; {FORMS}"
        )
    return known


def _known(values: Sequence[Any]) -> list[str]:
    return sorted({str(value) for value in values if not _is_unknown(value)})


def _is_unknown(value: Any) -> bool:
    return value is None or value != value or value in ("", UNKNOWN_GROUP)
