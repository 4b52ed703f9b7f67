"""What the collected files hold, and the number of that description.

``runs.parquet``, one row a finished run, ordered by fingerprint:

| column | what |
|---|---|
| run_id, name, experiment | the run in MLflow |
| fingerprint, cell, data | identity: of the run, of its configuration, of its data |
| commit, host, device | provenance |
| synthetic | whether the data are a phantom |
| start, end | times of the run |
| metric_count, metric_time | how many metrics the run has, and when the latest value of any was logged |
| predictions | SHA-256 of its predictions; null for a run that has none |
| samples | digest of its test samples: equal for equal samples; empty without predictions |
| history | the file of ``metrics/`` that holds its history; null for a run without metrics |
| problem | null, or in words why the run is not sound |
| params.NAME | the configuration, as text |
| metrics.NAME | the latest value of a metric |

``metrics/part-NNNNNN.parquet``, the history: run_id, key, step, time, value; one row a logged value, ordered by key, step
and time within a run. All rows of a run lie in one file, and no file is changed after it was written.

``predictions/<fingerprint[:16]>.parquet``, a file a run, as the run wrote it (``echolm.tasks`` says which columns). It is
copied once, and never written again.

All are compressed with zstd. The number stands in the metadata of ``runs.parquet`` and ``metrics/``, under ``echolm.schema``.
Predictions are described by a number of their own, ``echolm.predictions`` (``echolm.record.PREDICTIONS_SCHEMA``; a file
without one has number 1), as they are the run's: what was collected anew has the same predictions.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from echolm.errors import EchoLMError, NewerError
from echolm.record import PREDICTIONS_KEY, PREDICTIONS_SCHEMA

SCHEMA = 2
"""Raised when a column changes its name or meaning. What was collected under a smaller number is collected again.

1 (no number in the file): no history; SHA-256, counts and times that tell what has changed were missing.
"""
KEY = b"echolm.schema"

TIME = pa.timestamp("ms", tz="UTC")
RUNS = pa.schema([
    *((name, pa.string()) for name in (
        "run_id", "name", "experiment", "fingerprint", "cell", "data", "commit", "host", "device",
        "samples", "predictions", "history", "problem",
    )),
    ("synthetic", pa.bool_()), ("start", TIME), ("end", TIME), ("metric_count", pa.int32()), ("metric_time", TIME),
])  # fmt: skip
"""The columns that every ``runs.parquet`` has; params and metrics follow."""
METRICS = pa.schema([
    ("run_id", pa.string()), ("key", pa.string()), ("step", pa.int64()), ("time", TIME), ("value", pa.float64()),
], {KEY: str(SCHEMA).encode()})  # fmt: skip
"""The columns of the history."""


def stored_schema(metadata: Mapping[bytes, bytes] | None, path: Path) -> int:
    """The number in a file's metadata; NewerError when a newer EchoLM wrote the predictions in it, EchoLMError when one
    collected it."""
    if (newer := _number(metadata, PREDICTIONS_KEY)) > PREDICTIONS_SCHEMA:
        raise NewerError(path, f"predictions written by a newer EchoLM (schema {newer}; this one reads up to {PREDICTIONS_SCHEMA}): update EchoLM")
    number = _number(metadata, KEY)
    if number > SCHEMA:
        raise EchoLMError(
            f"{path}: was collected by a newer EchoLM (schema {number}; this one reads up to {SCHEMA}): update EchoLM, or "
            f"move {path.parent} away and type: echolm collect"
        )
    return number


def _number(metadata: Mapping[bytes, bytes] | None, key: bytes) -> int:
    text = (metadata or {}).get(key, b"1").decode(errors="replace")
    return int(text) if text.isdecimal() else 0
