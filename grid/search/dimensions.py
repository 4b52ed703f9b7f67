"""The free fields of a search, each with its Optuna distribution.

A field is a range of numbers, or labelled values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from echolm.errors import EchoLMError
from echolm.text import suggest
from grid.definition.schema import AxisValue, axis_values, check_field

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FORMS = "{float: [low, high], log: true}, {int: [low, high], step: 2}, {categorical: [a, b]}"
OPTIONS = {"float": ("log", "step"), "int": ("log", "step"), "categorical": ()}


@dataclass(frozen=True)
class Numbers:
    """A range of numbers.

    Attributes:
        field: the field of the run, dotted for a nested one.
        whole: integers, not floats.
        low: the lower end, which is in the range.
        high: the upper end, which is in the range too.
        log: on a logarithmic scale.
        step: the distance between two values. None: any value.
    """

    field: str
    whole: bool
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def distribution(self) -> BaseDistribution:
        """Return the range as Optuna takes it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), self.log, int(self.step or 1))
        return FloatDistribution(self.low, self.high, self.log, self.step)

    def setting(self, value: Any) -> dict[str, Any]:
        """Return the fields of the run that a value stands for."""
        return {self.field: value}

    def ends(self) -> list[Any]:
        """Return the values a definition is tried with."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Choices:
    """Labelled values. A trial holds the label, so that a value may be anything a run takes."""

    values: tuple[AxisValue, ...]

    def distribution(self) -> BaseDistribution:
        """Return the labels as Optuna takes them."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.ends())

    def setting(self, value: Any) -> dict[str, Any]:
        """Return the fields of the run that a label stands for."""
        by_label = {choice.label: choice for choice in self.values}
        return by_label[value].set

    def ends(self) -> list[Any]:
        """Return all labels."""
        return [value.label for value in self.values]


Dimension = Numbers | Choices


def dimension(field: str, value: Any, where: str) -> Dimension:
    """Read a free field from its entry in the file.

    Args:
        field: the field of the run.
        value: the entry.
        where: names the entry in errors.

    Raises:
        EchoLMError: it is not valid. The message says what is.
    """
    kinds = []
    if isinstance(value, Mapping):
        kinds = [kind for kind in OPTIONS if kind in value]
    if len(kinds) != 1:
        raise EchoLMError(f"{where}: is {value!r}; valid: one of {FORMS}")
    [kind] = kinds
    valid = (kind, *OPTIONS[kind])
    for name in value:
        if name not in valid:
            raise EchoLMError(f"{where}: unknown field {name!r}; {suggest(str(name), valid)}")
    if kind == "categorical":
        choices = value[kind]
        if not isinstance(choices, list) or not choices:
            raise EchoLMError(
                f"{where}.categorical: is {choices!r}; valid: a list with at least one value"
            )
        return Choices(tuple(axis_values(field, choices, f"{where}.categorical")))
    check_field(field, where)
    return _numbers(field, kind, value, where)


def _numbers(field: str, kind: str, value: Mapping[str, Any], where: str) -> Numbers:
    """Read a range of the kind ``int`` or ``float``."""
    whole = kind == "int"
    ends = value[kind]
    if not isinstance(ends, list) or len(ends) != 2:
        raise EchoLMError(f"{where}.{kind}: is {ends!r}; valid: [low, high]")
    low = _number(ends[0], whole, f"{where}.{kind}")
    high = _number(ends[1], whole, f"{where}.{kind}")
    if not low < high:
        raise EchoLMError(
            f"{where}.{kind}: low {low} is not below high {high}; to hold the field at one value, "
            "give it in base"
        )
    log = value.get("log", False)
    if not isinstance(log, bool):
        raise EchoLMError(f"{where}.log: is {log!r}; valid: true, false")
    if log and low <= 0:
        raise EchoLMError(
            f"{where}.{kind}: low {low} has no logarithm; with log: true it must be above 0"
        )
    step = value.get("step")
    if step is not None:
        if log:
            raise EchoLMError(f"{where}: a logarithmic range has no step; leave out log or step")
        step = _number(step, whole, f"{where}.step")
        _check_step(step, high - low, where)
    return Numbers(field, whole, low, high, log, step)


def _check_step(step: float, width: float, where: str) -> None:
    """Check that steps divide a range."""
    steps = width / step if step > 0 else 0.0
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-9:
        raise EchoLMError(
            f"{where}.step: is {step}; valid: a number that divides the range, {width}"
        )


def _number(value: Any, whole: bool, where: str) -> Any:
    """Return a number of the right kind."""
    if isinstance(value, str):
        raise EchoLMError(
            f"{where}: {value!r} is text; write numbers without quotes, and with a point before an "
            "exponent: 1.0e-4"
        )
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise EchoLMError(f"{where}: {value!r} is not a number")
    if not whole:
        return float(value)
    if not isinstance(value, int):
        raise EchoLMError(f"{where}: {value!r} is not a whole number; for others use float")
    return value
