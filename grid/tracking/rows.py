"""A run as the tracking store holds it, and the names of EchoLM's tags. Shared by the writer and both readers."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from echolm.errors import EchoLMError

FINGERPRINT = "echolm.fingerprint"
CELL = "echolm.cell"
DATA = "echolm.data"
SYNTHETIC = "echolm.synthetic"
COMMIT = "echolm.commit"
HOST = "echolm.host"
DEVICE = "echolm.device"
PREDICTIONS = "echolm.predictions"
"""SHA-256 of predictions.parquet; absent for a run that has none (pretraining)."""
SINGLE_RUNS = "single-runs"
"""The experiment of runs that belong to no grid."""


def grid_tag(grid: str) -> str:
    """The tag that marks the runs of a grid; its value is ``true``."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", grid):
        raise EchoLMError(f"grid name {grid!r} cannot be used in MLflow; valid: letters, digits, blank, '.', '_', '-'")
    return f"echolm.grid.{grid}"


@dataclass(frozen=True)
class TrackedRun:
    """One run of the store. Times in ms since 1970; metrics are the latest values."""

    run_id: str
    name: str
    experiment: str
    status: str
    start: int | None
    end: int | None
    artifact_uri: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True)
class Known:
    """What the exporter must know of a run that is there."""

    run_id: str
    status: str
    tags: dict[str, str]


class Reader(Protocol):
    """Reads runs that are not deleted, ordered by run id. Implemented by ``sql`` and ``search``, with equal rows."""

    def runs(self, uri: str, grid: str) -> Iterator[TrackedRun]:
        """The runs of a grid, whatever their status."""
        ...

    def known(self, uri: str) -> Iterator[Known]:
        """All runs with a fingerprint tag."""
        ...


def metric_value(value: float) -> float:
    """SQL stores hold infinity as the largest float: give it back."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value
