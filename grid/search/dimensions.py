"""The free fields of a search: a range of numbers, or labelled values, each with its Optuna distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from echolm.errors import EchoLMError
from echolm.registry import suggest
from grid.definition import AxisValue, axis_values, check_field

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FORMS = "{float: [low, high], log: true}, {int: [low, high], step: 2}, {categorical: [a, b]}"
OPTIONS = {"float": ("log", "step"), "int": ("log", "step"), "categorical": ()}


@dataclass(frozen=True)
class Numbers:
    """A range of numbers, both ends included: ``whole`` numbers or floats, on a logarithmic scale or in steps."""

    field: str
    whole: bool
    low: float
    high: float
    log: bool = False
    step: float | None = None

    def distribution(self) -> BaseDistribution:
        """As Optuna takes it."""
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), self.log, int(self.step or 1))
        return FloatDistribution(self.low, self.high, self.log, self.step)

    def setting(self, value: Any) -> dict[str, Any]:
        """The fields of the run that a value stands for."""
        return {self.field: value}

    def ends(self) -> list[Any]:
        """The values a definition is tried with."""
        return [self.low, self.high]


@dataclass(frozen=True)
class Choices:
    """Labelled values. A trial holds the label, so that a value may be anything a run takes."""

    values: tuple[AxisValue, ...]

    def distribution(self) -> BaseDistribution:
        """As Optuna takes it."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.ends())

    def setting(self, value: Any) -> dict[str, Any]:
        """The fields of the run that a label stands for."""
        return next(choice.set for choice in self.values if choice.label == value)

    def ends(self) -> list[Any]:
        """All labels."""
        return [value.label for value in self.values]


Dimension = Numbers | Choices


def dimension(field: str, value: Any, where: str) -> Dimension:
    """A free field from its entry in the file. EchoLMError names ``where`` and what is valid."""
    kinds = [kind for kind in OPTIONS if isinstance(value, Mapping) and kind in value]
    if len(kinds) != 1:
        raise EchoLMError(f"{where}: is {value!r}; valid: one of {FORMS}")
    [kind] = kinds
    for name in value:
        if name != kind and name not in OPTIONS[kind]:
            raise EchoLMError(f"{where}: unknown field {name!r}; {suggest(str(name), (kind, *OPTIONS[kind]))}")
    if kind == "categorical":
        if not isinstance(value[kind], list) or not value[kind]:
            raise EchoLMError(f"{where}.categorical: is {value[kind]!r}; valid: a list with at least one value")
        return Choices(tuple(axis_values(field, value[kind], f"{where}.categorical")))
    check_field(field, where)
    return _numbers(field, kind == "int", value, where)


def _numbers(field: str, whole: bool, value: Mapping[str, Any], where: str) -> Numbers:
    kind = "int" if whole else "float"
    ends, log, step = value[kind], value.get("log", False), value.get("step")
    if not isinstance(ends, list) or len(ends) != 2:
        raise EchoLMError(f"{where}.{kind}: is {ends!r}; valid: [low, high]")
    low, high = (_number(end, whole, f"{where}.{kind}") for end in ends)
    if not low < high:
        raise EchoLMError(f"{where}.{kind}: low {low} is not below high {high}; to hold the field at one value, give it in base")
    if not isinstance(log, bool):
        raise EchoLMError(f"{where}.log: is {log!r}; valid: true, false")
    if log and low <= 0:
        raise EchoLMError(f"{where}.{kind}: low {low} has no logarithm; with log: true it must be above 0")
    if step is not None:
        if log:
            raise EchoLMError(f"{where}: a logarithmic range has no step; leave out log or step")
        step = _number(step, whole, f"{where}.step")
        steps = (high - low) / step if step > 0 else 0.0
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-9:
            raise EchoLMError(f"{where}.step: is {step}; valid: a number that divides the range, {high - low}")
    return Numbers(field, whole, low, high, log, step)


def _number(value: Any, whole: bool, where: str) -> Any:
    """A number of the right kind."""
    if isinstance(value, str):
        raise EchoLMError(f"{where}: {value!r} is text; write numbers without quotes, and with a point before an exponent: 1.0e-4")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise EchoLMError(f"{where}: {value!r} is not a number")
    if whole and not isinstance(value, int):
        raise EchoLMError(f"{where}: {value!r} is not a whole number; for others use float")
    return value if whole else float(value)
