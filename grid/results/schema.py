"""What the collected files hold, and the number of that description.

``runs.parquet``, one row for each finished run, ordered by fingerprint:

| column | what |
|---|---|
| run_id, name, experiment | the run in MLflow |
| fingerprint, cell, data | identity: of the run, of its configuration, of its data |
| weights, protocols | identity of its first weights, and its protocol numbers as JSON |
| commit, host, device | provenance |
| arithmetic | how it was computed (``bf16, compiled``), null where in fp32 throughout |
| synthetic | whether the data are a phantom |
| parameters, trainable_parameters | of the whole network, and those that training changed |
| flops | of one clip in one pass forward (a product and its sum are two) |
| peak_memory | bytes: of the GPU, else of the process |
| seconds | of training and validation; of a cohort, those of all its runs |
| start, end | times of the run |
| metric_count, metric_time | how many metrics it has, and when the latest value was logged |
| predictions | SHA-256 of its predictions, null for a run that has none |
| samples | digest of its test samples: equal for equal samples, empty without predictions |
| history | the file of ``metrics/`` that holds its history, null for a run without metrics |
| problem | null, or in words why the run is not sound |
| params.NAME | the configuration, as text |
| metrics.NAME | the latest value of a metric |

``weights`` and ``protocols`` are null for a run that an earlier EchoLM exported. A file that one
collected lacks these columns, and ``arithmetic``.

``metrics/part-NNNNNN.parquet``, the history: run_id, key, step, time, value. It has one row for
each logged value, ordered by key, step and time within a run. All rows of a run lie in one file,
and no file is changed after it was written.

``predictions/<fingerprint[:16]>.parquet``, one file for each run, as the run wrote it
(``echolm.tasks`` says which columns). It is copied once, and never written again.

All are compressed with zstd. The number stands in the metadata of ``runs.parquet`` and
``metrics/``, under ``echolm.schema``. Predictions are the run's: what was collected anew has the
same predictions. So they are described by a number of their own, ``echolm.predictions``
(``echolm.record.PREDICTIONS_SCHEMA``). A file without one has number 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from echolm.commands import Command
from echolm.errors import EchoLMError, NewerError
from echolm.record import PREDICTIONS_KEY, PREDICTIONS_SCHEMA

SCHEMA = 2
"""Raised when a column changes its name or meaning.

What was collected under a smaller number is collected again. Number 1 (no number in the file) had
no history. It also lacked the SHA-256, counts and times that tell what has changed.
"""
KEY = b"echolm.schema"

TIME = pa.timestamp("ms", tz="UTC")
TEXT_COLUMNS = (
    "run_id",
    "name",
    "experiment",
    "fingerprint",
    "cell",
    "data",
    "weights",
    "protocols",
    "commit",
    "host",
    "device",
    "arithmetic",
    "samples",
    "predictions",
    "history",
    "problem",
)
COST_COLUMNS = ("parameters", "trainable_parameters", "flops", "peak_memory", "seconds")
RUNS = pa.schema(
    [
        *((name, pa.string()) for name in TEXT_COLUMNS),
        ("synthetic", pa.bool_()),
        ("start", TIME),
        ("end", TIME),
        ("metric_count", pa.int32()),
        ("metric_time", TIME),
        ("parameters", pa.int64()),
        ("trainable_parameters", pa.int64()),
        ("flops", pa.int64()),
        ("peak_memory", pa.int64()),
        ("seconds", pa.float64()),
    ]
)
"""The columns that every new ``runs.parquet`` has. Params and metrics follow.

What an earlier EchoLM collected has none of ``COST_COLUMNS``.
"""
METRICS = pa.schema(
    [
        ("run_id", pa.string()),
        ("key", pa.string()),
        ("step", pa.int64()),
        ("time", TIME),
        ("value", pa.float64()),
    ],
    {KEY: str(SCHEMA).encode()},
)
"""The columns of the history."""


def stored_schema(metadata: Mapping[bytes, bytes] | None, path: Path) -> int:
    """Return the number in a file's metadata.

    Raises:
        NewerError: a newer EchoLM wrote the predictions in it.
        EchoLMError: a newer EchoLM collected it.
    """
    predictions = _number(metadata, PREDICTIONS_KEY)
    if predictions > PREDICTIONS_SCHEMA:
        raise NewerError(
            path,
            f"predictions written by a newer EchoLM (schema {predictions}; this one reads up to "
            f"{PREDICTIONS_SCHEMA}): update EchoLM",
        )
    number = _number(metadata, KEY)
    if number > SCHEMA:
        raise EchoLMError(
            f"{path}: was collected by a newer EchoLM (schema {number}; this one reads up to "
            f"{SCHEMA}): update EchoLM, or move {path.parent} away and type",
            Command("collect"),
        )
    return number


def _number(metadata: Mapping[bytes, bytes] | None, key: bytes) -> int:
    text = (metadata or {}).get(key, b"1").decode(errors="replace")
    return int(text) if text.isdecimal() else 0
