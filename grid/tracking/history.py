"""The collected history: ``metrics/part-NNNNNN.parquet``, each written once and read by its number.

A run's rows lie in one part. Parts fill up to ``PART_ROWS`` rows: as long as the newest is smaller,
it is written anew together with what is added, and so is a part that holds a run which is gone or
has changed. The old parts stay until ``runs.parquet`` names the new ones. Then ``drop`` removes
them.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from echolm.files import writing
from grid.results.columns import texts
from grid.results.files import opened
from grid.results.schema import METRICS
from grid.tracking.leftovers import sweep
from grid.tracking.reader import BATCH_ROWS, Reader
from grid.tracking.runs_file import CollectedRow, Earlier

PART_ROWS = 1_000_000
RUNS_AT_ONCE = 500
"""After so many runs a part may end."""
NAME = re.compile(r"part-(\d{6,})\.parquet")


def bring(rows: Sequence[CollectedRow], earlier: Earlier, reader: Reader, folder: Path) -> None:
    """Write the history of the rows that have metrics but no part, and set their part.

    Holds one batch in memory.
    """
    there = parts(folder)
    runs_kept: dict[str, list[str]] = defaultdict(list)
    runs_added = []
    for row in rows:
        if row.history in there:
            runs_kept[row.history].append(row.run.run_id)
        elif row.metric_count:
            runs_added.append(row.run.run_id)
    runs_added.sort()
    runs_before = Counter(row.history for row in earlier.rows.values())
    part_of: dict[str, str] = {}
    rewritten = []
    for part, runs in runs_kept.items():
        lost_runs = len(runs) < runs_before[part]
        if lost_runs or (runs_added and _count(folder / part) < PART_ROWS):
            rewritten.append(part)
        else:
            part_of |= dict.fromkeys(runs, part)
    with _Writer(folder) as writer:
        for part in rewritten:
            part_of |= writer.write(_filtered(folder / part, runs_kept[part]))
        for start in range(0, len(runs_added), RUNS_AT_ONCE):
            part_of |= writer.write(reader.points(runs_added[start : start + RUNS_AT_ONCE]))
    for row in rows:
        row.history = part_of.get(row.run.run_id)


def parts(folder: Path) -> set[str]:
    """Return the names of the parts that are there."""
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if NAME.fullmatch(path.name)}


def drop(folder: Path, used: set[str]) -> None:
    """Remove the parts that are not ``used``, and what a killed collection left."""
    for name in parts(folder) - used:
        (folder / name).unlink(missing_ok=True)
    sweep(folder, ".part-*.tmp")


class _Writer:
    """Writes new parts. A part is there under its name when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        numbers = [int(name[5:-8]) for name in parts(folder)]
        self._next = max(numbers, default=-1) + 1
        self._token = secrets.token_hex(8)
        self._file: pq.ParquetWriter | None = None
        self._rows = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._end(whole=kind is None)

    def write(self, tables: Iterator[pa.Table]) -> dict[str, str]:
        """Append whole runs, and return run -> part."""
        part_of: dict[str, str] = {}
        for table in tables:
            with writing(self._path):
                if self._file is None:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    self._file = pq.ParquetWriter(self._temporary, METRICS, compression="zstd")
                self._file.write_table(table)
            self._rows += len(table)
            runs = table["run_id"].unique().to_pylist()
            part_of |= dict.fromkeys(runs, self._path.name)
        if self._rows >= PART_ROWS:
            self._end(whole=True)
        return part_of

    @property
    def _path(self) -> Path:
        return self._folder / f"part-{self._next:06d}.parquet"

    @property
    def _temporary(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{self._token}.tmp")

    def _end(self, whole: bool) -> None:
        assert self._file
        file = self._file
        self._file = None
        try:
            with writing(self._path):
                file.close()
                if whole:
                    self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)
        self._rows = 0
        self._next += 1


def _count(path: Path) -> int:
    with opened(path) as file:
        return int(file.metadata.num_rows)


def _filtered(path: Path, runs: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of a part that belong to these runs."""
    import pyarrow.compute as pc

    run_ids = texts(runs)
    with opened(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            kept = batch.filter(pc.is_in(batch["run_id"], run_ids))
            if len(kept):
                yield pa.Table.from_batches([kept])
