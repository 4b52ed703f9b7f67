"""A run as the tracking store holds it, and the names of EchoLM's tags. Shared by the writer and both readers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from echolm.errors import EchoLMError

if TYPE_CHECKING:
    import pyarrow as pa

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
GRID_PREFIX = "echolm.grid."
PREDICTIONS_FILE = "predictions.parquet"
"""The artifact."""
BATCH_ROWS = 65_536
"""Points of history in memory at once."""


def grid_tag(grid: str) -> str:
    """The tag that marks the runs of a grid; its value is ``true``."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", grid):
        raise EchoLMError(f"grid name {grid!r} cannot be used in MLflow; valid: letters, digits, blank, '.', '_', '-'")
    return f"{GRID_PREFIX}{grid}"


class ListedRun(NamedTuple):
    """What the store's list of runs says. Times in ms since 1970; ``fingerprint`` is empty for a run that is not EchoLM's.

    (A tuple and no dataclass: ten thousand of those take ten times as long to make.)
    """

    run_id: str
    name: str
    experiment: str
    status: str
    start: int | None
    end: int | None
    artifact_uri: str
    fingerprint: str
    cell: str


class TrackedRun(NamedTuple):
    """A run with all it holds: the fields of ``ListedRun``, and then its own; metrics are the latest values."""

    run_id: str
    name: str
    experiment: str
    status: str
    start: int | None
    end: int | None
    artifact_uri: str
    fingerprint: str
    cell: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True)
class Latest:
    """How many metrics a run has, and when the latest value of any was logged, in ms since 1970 (None: it has none)."""

    count: int
    time: int | None


@dataclass(frozen=True)
class Known:
    """What the exporter must know of a run that is there. ``grids``: those whose tag it has."""

    run_id: str
    status: str
    fingerprint: str
    grids: frozenset[str]


class Reader(Protocol):
    """An opened tracking store. Deleted runs are not seen. Implemented in ``sql`` and ``search``, with equal rows."""

    @property
    def logged(self) -> str:
        """Names the point that was logged last when the store was opened; empty where that cannot be told."""
        ...

    def touched(self, logged: str) -> set[str] | None:
        """The runs that have points logged after that one; None where that cannot be told, or only slowly."""
        ...

    def listed(self, grid: str) -> list[ListedRun]:
        """The runs of a grid, whatever their status, by run id."""
        ...

    def latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:
        """Of these runs, by run id; without runs that have no metric."""
        ...

    def runs(self, listed: Sequence[ListedRun]) -> Iterator[list[TrackedRun]]:
        """All of the runs of a list, in its order, some hundreds at a time."""
        ...

    def points(self, run_ids: Sequence[str]) -> Iterator[pa.Table]:
        """The history as in ``schema.METRICS``, at most ``BATCH_ROWS`` rows at a time; ordered as ``run_ids``, which are sorted."""
        ...

    def known(self) -> list[Known]:
        """All runs with a fingerprint tag, by run id."""
        ...
