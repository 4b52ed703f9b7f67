"""A run as the tracking store holds it, and the names of EchoLM's tags.

Shared by the writer and both readers.
"""

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
WEIGHTS = "echolm.weights"
"""Identity of the first weights. Absent from runs of earlier versions, as ``PROTOCOLS`` is."""
PROTOCOLS = "echolm.protocols"
"""The protocol numbers, as JSON."""
SYNTHETIC = "echolm.synthetic"
COMMIT = "echolm.commit"
HOST = "echolm.host"
DEVICE = "echolm.device"
ARITHMETIC = "echolm.arithmetic"
"""How a run was computed, in words (``echolm.arithmetic.describe_all``). Absent where in fp32."""
PREDICTIONS = "echolm.predictions"
"""SHA-256 of predictions.parquet. Absent for a run that has none (pretraining)."""
SAMPLES = "echolm.samples"
"""Digest of the test samples of the predictions."""
STATE = "echolm.state"
"""The state of a run that is shown before it is complete. Absent while a run is exported."""
COSTS = ("parameters", "trainable_parameters", "flops", "peak_memory")
"""What a run's summary says of its cost, in tags of their names. Early records do not."""
SINGLE_RUNS = "single-runs"
"""The experiment of runs that belong to no grid."""
GRID_PREFIX = "echolm.grid."
PREDICTIONS_FILE = "predictions.parquet"
"""The artifact."""
BATCH_ROWS = 65_536
"""Points of history in memory at once."""
FINISHED = "FINISHED"
"""MLflow's status of a run that was exported to its end."""


SHA256_FORM = re.compile(r"[0-9a-f]{64}")
"""The form of a fingerprint, and of the SHA-256 of a file."""
DIGEST_FORM = re.compile(r"[0-9a-f]{16}")
"""The form of a cell's id, and of a digest of samples."""


def wrong_form(run: ListedRun) -> str:
    """Say which tag of a run has not the form that EchoLM gives it. Empty where all have.

    Names of files are made of them, and whoever may write to a tracking server can change them.
    """
    forms = (
        (FINGERPRINT, run.fingerprint, SHA256_FORM, "64"),
        (CELL, run.cell, DIGEST_FORM, "16"),
    )
    for name, value, form, digits in forms:
        if not form.fullmatch(value):
            return (
                f"its tag {name} is not {digits} hexadecimal digits, but {value[:80]!r}; left out"
            )
    return ""


def cost_tag(name: str) -> str:
    """Return the tag that holds one of ``COSTS``."""
    return f"echolm.{name}"


def grid_tag(grid: str) -> str:
    """Return the tag that marks the runs of a grid. Its value is ``true``."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ._-]*", grid):
        raise EchoLMError(
            f"grid name {grid!r} cannot be used in MLflow; "
            "valid: letters, digits, blank, '.', '_', '-'"
        )
    return f"{GRID_PREFIX}{grid}"


class ListedRun(NamedTuple):
    """What the store's list of runs says.

    Times are in ms since 1970. ``fingerprint`` is empty for a run that is not EchoLM's, ``state``
    for one that was not shown before it was complete. (A tuple and no dataclass: ten thousand of
    those take ten times as long to make.)
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
    state: str


class TrackedRun(NamedTuple):
    """A run with all it holds.

    The fields of ``ListedRun`` come first, then its own. Metrics are the latest values.
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
    state: str
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]


@dataclass(frozen=True)
class Latest:
    """How many metrics a run has, and when the latest value of any was logged.

    ``time`` is in ms since 1970. None: the run has no metric.
    """

    count: int
    time: int | None


@dataclass(frozen=True)
class Known:
    """What the exporter must know of a run that is there. ``grids``: those whose tag it has."""

    run_id: str
    status: str
    fingerprint: str
    grids: frozenset[str]
    cell: str = ""
    state: str = ""


class Reader(Protocol):
    """An opened tracking store. Deleted runs are not seen.

    Implemented in ``sqlite_reader`` and ``client_reader``, with equal rows.
    """

    @property
    def logged(self) -> str:
        """Names the point that was logged last when the store was opened.

        Empty where that cannot be told.
        """
        ...

    def touched(self, logged: str) -> set[str] | None:
        """Return the runs that have points logged after that one.

        None where that cannot be told, or only slowly.
        """
        ...

    def listed(self, grid: str) -> list[ListedRun]:
        """List the runs of a grid, whatever their status, by run id."""
        ...

    def latest(self, run_ids: Sequence[str]) -> dict[str, Latest]:
        """Return what was logged last, by run id. Runs without a metric are not in it."""
        ...

    def runs(self, listed: Sequence[ListedRun]) -> Iterator[list[TrackedRun]]:
        """Yield all of the runs of a list, in its order, some hundreds at a time."""
        ...

    def points(self, run_ids: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the history as in ``schema.METRICS``, at most ``BATCH_ROWS`` rows at a time.

        It is ordered as ``run_ids``, which are sorted.
        """
        ...

    def known(self) -> list[Known]:
        """Return all runs with a fingerprint tag, by run id."""
        ...
