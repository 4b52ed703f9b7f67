"""What is said of the runs behind a value: their weights, their unit, their constant prediction."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from echolm.weights import random_weights
from grid.definition.tables import ColumnDefinition
from grid.statistics.baseline import constant_words


def has_random_weights(run: Mapping[str, Any]) -> bool:
    """Return whether a collected run began with random weights where others are published."""
    encoder = run["params.encoder.name"]
    return bool(encoder and _random(encoder, run["params.weights"] or ""))


def constant_of(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return what the constant prediction of the runs of a value is called."""
    for run in runs.values():
        return constant_words(run["params.task.name"] or "")
    return constant_words("")


def definite(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return ``the mean contour`` or ``the constant prediction``."""
    return constant_of(runs).replace("a ", "the ", 1)


def unit_of(column: ColumnDefinition, target: str) -> str:
    """Return the unit of a column whose runs predict a value."""
    if column.metric or column.target:
        return column.described.unit
    return column.model_copy(update={"target": target}).described.unit


@cache
def _random(encoder: str, weights: str) -> str:
    return random_weights(encoder, weights)
