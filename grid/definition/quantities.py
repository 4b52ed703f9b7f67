"""What is known of the numbers in predictions: of metrics, and of the values that are predicted.

The tasks say it (``Goal.describe``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from echolm.errors import EchoLMError
from echolm.tasks import TASKS
from grid.statistics import POSITIVE, UNKNOWN, Bounds, Quantity

PARTS: dict[str, Quantity] = {
    "squared_error": Quantity(better="lower", bounds=POSITIVE),
    "intersection": Quantity(bounds=POSITIVE),
    "area_truth": Quantity(bounds=POSITIVE),
    "area_prediction": Quantity(bounds=POSITIVE),
}
"""Columns of predictions that are no metric of a task, and of which something is known."""

IN_UNIT_OF_VALUE = ("mae", "rmse", "bias")
"""Metrics whose unit is that of the value that a task predicts."""


def metric_quantity(metric: str) -> Quantity:
    """Return what is known of a metric, as the task that predicts it says."""
    for described in _descriptions({}):
        if metric in described:
            facts = described[metric]
            bounds = Bounds(*facts.get("range", ()))
            return Quantity(str(facts.get("unit", "")), facts.get("better"), bounds)
    return PARTS.get(metric, UNKNOWN)


def target_quantity(target: str) -> Quantity:
    """Return what is known of a value that is predicted: its unit, as a task of it says."""
    if not target:
        return UNKNOWN
    return Quantity(_target_unit(target, tuple(TASKS.names())))


@lru_cache(maxsize=256)
def _target_unit(target: str, tasks: tuple[str, ...]) -> str:
    """Return the unit of a value, '' where no task knows it. ``tasks``: those there are."""
    for described in _descriptions({"target": target}):
        for metric in IN_UNIT_OF_VALUE:
            unit = described.get(metric, {}).get("unit")
            if unit:
                return str(unit)
    return ""


def _descriptions(fields: Mapping[str, Any]) -> Iterator[Mapping[str, Mapping[str, Any]]]:
    """Yield what each task describes that can be made from its name and some fields."""
    for name in TASKS.names():
        try:
            yield TASKS.parse({"name": name, **fields}).describe()
        except (EchoLMError, ValueError):
            continue  # a task that needs more, or has no such field
