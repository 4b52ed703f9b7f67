"""The collected files of a grid, in the folder ``results/<grid>``.

``runs.parquet`` has one row for each finished run. ``metrics/`` has their history.
``predictions/<fingerprint[:16]>.parquet`` are the predictions of one. ``grid.results.schema``
describes the columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.record import FINGERPRINT_DIGITS
from grid.results.schema import COST_COLUMNS
from grid.results.soundness import CheckedPredictions

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

RUNS_FILE = "runs.parquet"
PREDICTIONS_FOLDER = "predictions"
HISTORY_FOLDER = "metrics"
RUN_COLUMNS = ("run_id", "fingerprint", "cell", "commit", "synthetic", "end", "problem")
"""What ``newest_runs`` tells of a run, besides whether it is ``sound``."""
ORIGIN_COLUMNS = (
    "data",
    "weights",
    "protocols",
    "arithmetic",
    "params.data.name",
    "params.data.fraction",
    "params.data.subset_seed",
    "params.encoder.name",
    "params.weights",
    "params.head.name",
    "params.task.name",
)
"""What it also tells, None where the file is older than the column: what a run was made from.

And how it was computed.
"""
TASK_PREFIX = "params.task."
"""Begins the columns of a task's fields, all of which it tells as well."""
SAMPLES_PREFIXES = ("params.data.of", "params.data.by", "params.data.where", "params.clip.name")
"""Begin the columns of what else chooses the samples of a run. It tells these too."""
SAMPLES_NEUTRAL = {
    "params.data.of": "train+val",
    "params.data.by": "sample",
    "params.data.where": "{}",
    "params.clip.name": "ed-to-es",
}
"""What runs had before these fields were there. It tells nothing apart."""
PREDICTIONS_SHA256 = "predictions"
"""The column with the SHA-256 of a run's predictions. The first EchoLM did not collect it."""
OTHER_CELL = "its tag echolm.cell"
"""How the problem of a run begins that says it is of another cell than it is."""


def predictions_path(results: Path, fingerprint: str) -> Path:
    """Return where the predictions of a run lie."""
    return results / PREDICTIONS_FOLDER / predictions_name(fingerprint)


def predictions_name(fingerprint: str) -> str:
    """Return the name of that file."""
    return f"{fingerprint[:FINGERPRINT_DIGITS]}.parquet"


@contextmanager
def opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file.

    Raises:
        EchoLMError: it is not there, damaged (which may show only while it is read) or of a newer
            EchoLM.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from grid.results.schema import stored_schema

    try:
        # An open file: of a path pyarrow asks first which file system it is on, for 0.5 ms.
        with pa.OSFile(str(path)) as source, pq.ParquetFile(source, pre_buffer=False) as file:
            stored_schema(file.metadata.metadata, path)
            yield file
    except FileNotFoundError:
        raise EchoLMError(f"{path}: is not there") from None
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> EchoLMError:
    reason = " ".join(str(error).split())
    return EchoLMError(f"{path}: cannot be read ({reason}); delete it and type", Command("collect"))


def column_names(path: Path) -> list[str]:
    """Return the columns of a Parquet file. EchoLMError as for ``opened``."""
    with opened(path) as file:
        return list(file.schema_arrow.names)


def read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Read some columns of a Parquet file, and nothing else of it.

    Raises:
        EchoLMError: as for ``opened``, and when the file lacks one of them.
    """
    with opened(path) as file:
        there = file.schema_arrow.names
        missing = [name for name in names if name not in there]
        if missing:
            raise EchoLMError(
                f"{path}: has no column {', '.join(missing)}; it has {', '.join(there)}"
            )
        return file.read(columns=list(names), use_threads=False)


def read_known_columns(path: Path, needed: Sequence[str], wanted: Sequence[str]) -> pa.Table:
    """Read some columns of a Parquet file that it must have, and others as far as it has them.

    Raises:
        EchoLMError: as for ``read_columns``, of a column that is needed.
    """
    with opened(path) as file:
        there = file.schema_arrow.names
        missing = [name for name in needed if name not in there]
        if missing:
            raise EchoLMError(
                f"{path}: has no column {', '.join(missing)}; it has {', '.join(there)}"
            )
        present = [name for name in wanted if name in there]
        return file.read(columns=[*needed, *present], use_threads=False)


def read_history(
    results: Path, run_ids: Sequence[str] | None = None, keys: Sequence[str] | None = None
) -> pa.Table:
    """Read the history of runs: run_id, key, step, time, value.

    Rows are ordered by key, step and time within a run. Only what may hold these runs is read.

    Args:
        results: the folder of a grid's results.
        run_ids: some runs. None: all.
        keys: some metrics. None: all.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    from grid.results.columns import texts
    from grid.results.schema import METRICS

    runs = read_columns(results / RUNS_FILE, ["run_id", "history"])
    if run_ids is not None:
        runs = runs.filter(pc.is_in(runs["run_id"], texts(run_ids)))
    folder = results / HISTORY_FOLDER
    parts = pc.unique(runs["history"].drop_null()).to_pylist()
    paths = [str(folder / part) for part in sorted(parts) if part]
    condition = ds.field("run_id").isin(runs["run_id"].combine_chunks())
    if keys is not None:
        condition &= ds.field("key").isin(texts(keys))
    try:
        return ds.dataset(paths, METRICS).to_table(filter=condition)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(folder, error) from error


def newest_runs(results: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the collected runs by cell, newest first.

    Each has ``RUN_COLUMNS``, ``ORIGIN_COLUMNS`` and what it cost. ``sound`` says whether its
    predictions may be read. They may not when the file is no longer the one that was collected, or
    when the run is of another cell than it says. Its ``problem`` says so. A file that is not there
    is not judged.
    """
    checked = CheckedPredictions(results)
    runs: dict[str, list[dict[str, Any]]] = {}
    for run in collected_rows(results):
        _judge_predictions(run, results, checked)
        runs.setdefault(run["cell"], []).append(run)
    checked.save()
    for rows in runs.values():
        rows.sort(key=lambda row: (row["end"], row["run_id"]), reverse=True)
    return runs


def collected_rows(results: Path) -> list[dict[str, Any]]:
    """Return the collected runs as their file has them: the columns of ``newest_runs``.

    Their predictions are not looked at.
    """
    path = results / RUNS_FILE
    known = column_names(path)
    prefixes = (TASK_PREFIX, *SAMPLES_PREFIXES)
    further = [name for name in known if name in ORIGIN_COLUMNS or name.startswith(prefixes)]
    if PREDICTIONS_SHA256 in known:
        further.append(PREDICTIONS_SHA256)
    costs = ("host", "device", *COST_COLUMNS)
    further += [name for name in costs if name in known]
    unknown = dict.fromkeys(name for name in (*ORIGIN_COLUMNS, *costs) if name not in known)
    rows = read_columns(path, [*RUN_COLUMNS, *further]).to_pylist()
    return [{**row, **unknown} for row in rows]


def altered(path: Path, grid: str) -> str:
    """Say that collected predictions are not what was collected, and what settles it."""
    return (
        f"{path}: was changed after it was collected (its SHA-256 is not the one in {RUNS_FILE}); "
        f"to put it right, type: {Command('collect', grid)}"
    )


def _judge_predictions(run: dict[str, Any], results: Path, checked: CheckedPredictions) -> None:
    """Write into a run whether it is ``sound``, and its ``problem`` where its file was altered."""
    run["sound"] = not (run["problem"] or "").startswith(OTHER_CELL)
    sha256 = run.get(PREDICTIONS_SHA256)
    if not sha256:
        return
    path = predictions_path(results, run["fingerprint"])
    if path.exists() and not checked.is_sound(path, sha256):
        run["sound"] = False
        run["problem"] = altered(path, results.name)
