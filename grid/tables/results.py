"""The collected files of a grid, in the folder ``results/<grid>``.

``runs.parquet`` has one row a finished run; ``metrics/`` has their history; ``predictions/<fingerprint[:16]>.parquet``
are the predictions of one. ``grid.tables.schema`` describes the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echolm.errors import EchoLMError
from echolm.record import FINGERPRINT_DIGITS

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

RUNS_FILE = "runs.parquet"
PREDICTIONS_FOLDER = "predictions"
HISTORY_FOLDER = "metrics"


def predictions_path(results: Path, fingerprint: str) -> Path:
    """Where the predictions of a run lie."""
    return results / PREDICTIONS_FOLDER / predictions_name(fingerprint)


def predictions_name(fingerprint: str) -> str:
    """The name of that file."""
    return f"{fingerprint[:FINGERPRINT_DIGITS]}.parquet"


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file. EchoLMError when it is not there, damaged (which may show only while it is read) or of a newer EchoLM."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from grid.tables.schema import stored_schema

    try:
        with pq.ParquetFile(path) as file:
            stored_schema(file.metadata.metadata, path)
            yield file
    except FileNotFoundError:
        raise EchoLMError(f"{path}: is not there") from None
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise EchoLMError(f"{path}: cannot be read ({reason}); delete it and type: echolm collect") from error


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file. EchoLMError as for ``opened``."""
    with opened(path) as file:
        return list(file.schema_arrow.names)


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Some columns of a Parquet file, and nothing else of it. EchoLMError as for ``opened``, and when it lacks one of them."""
    with opened(path) as file:
        there = file.schema_arrow.names
        if missing := [name for name in names if name not in there]:
            raise EchoLMError(f"{path}: has no column {', '.join(missing)}; it has {', '.join(there)}")
        return file.read(columns=list(names))


def read_history(results: Path, run_ids: Sequence[str] | None = None, keys: Sequence[str] | None = None) -> pa.Table:
    """The history of some runs (None: of all) and metrics (None: all of them): run_id, key, step, time, value.

    Ordered by key, step and time within a run. Only what may hold these runs is read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    from grid.tables.schema import METRICS

    runs = read_columns(results / RUNS_FILE, ["run_id", "history"])
    if run_ids is not None:
        runs = runs.filter(pc.is_in(runs["run_id"], pa.array(run_ids, pa.string())))
    parts = sorted(filter(None, pc.unique(runs["history"]).to_pylist()))
    wanted = ds.field("run_id").isin(runs["run_id"].combine_chunks())
    if keys is not None:
        wanted &= ds.field("key").isin(pa.array(keys, pa.string()))
    try:
        return ds.dataset([str(results / HISTORY_FOLDER / part) for part in parts], METRICS).to_table(filter=wanted)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise EchoLMError(f"{results / HISTORY_FOLDER}: cannot be read ({reason}); delete it and type: echolm collect") from error


def newest_runs(results: Path) -> dict[str, list[dict[str, Any]]]:
    """The collected runs by cell, newest first: run_id, fingerprint, cell, commit, synthetic, end, problem."""
    columns = ["run_id", "fingerprint", "cell", "commit", "synthetic", "end", "problem"]
    found: dict[str, list[dict[str, Any]]] = {}
    for row in read_columns(results / RUNS_FILE, columns).to_pylist():
        found.setdefault(row["cell"], []).append(row)
    for runs in found.values():
        runs.sort(key=lambda row: (row["end"], row["run_id"]), reverse=True)
    return found
