"""The collected history: ``metrics/part-NNNNNN.parquet``, each written once and read by its number.

A run's rows lie in one part. Parts fill up to ``PART_ROWS`` rows: as long as the newest is smaller, it is written anew
together with what is added, and so is a part that holds a run which is gone or has changed. The old parts stay until
``runs.parquet`` names the new ones; then ``drop`` removes them.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from echolm.record import writing
from grid.tables.results import opened
from grid.tables.schema import METRICS
from grid.tracking.collected import Earlier, Row
from grid.tracking.rows import BATCH_ROWS, Reader

PART_ROWS = 1_000_000
RUNS_AT_ONCE = 500
"""After so many runs a part may end."""
NAME = re.compile(r"part-(\d{6,})\.parquet")


def bring(rows: Sequence[Row], earlier: Earlier, reader: Reader, folder: Path) -> None:
    """Write the history of the rows that have metrics but no part, and set their part. Holds one batch in memory."""
    there = parts(folder)
    kept: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.history in there:
            kept[row.history].append(row.run.run_id)
    added = sorted(row.run.run_id for row in rows if row.metric_count and row.history not in there)
    before = Counter(row.history for row in earlier.rows.values())
    again = [part for part, runs in kept.items() if len(runs) < before[part] or (added and _count(folder / part) < PART_ROWS)]
    found = {run: part for part, runs in kept.items() if part not in again for run in runs}
    with _Writer(folder) as writer:
        for part in again:
            found |= writer.write(_filtered(folder / part, kept[part]))
        for start in range(0, len(added), RUNS_AT_ONCE):
            found |= writer.write(reader.points(added[start : start + RUNS_AT_ONCE]))
    for row in rows:
        row.history = found.get(row.run.run_id)


def parts(folder: Path) -> set[str]:
    """The names of the parts that are there."""
    return {path.name for path in folder.iterdir() if NAME.fullmatch(path.name)} if folder.is_dir() else set()


def drop(folder: Path, used: set[str]) -> None:
    """Remove the parts that are not ``used``, and what a killed collection left."""
    left = [path.name for path in folder.glob(".part-*.tmp")]
    for name in [*(parts(folder) - used), *left]:
        (folder / name).unlink(missing_ok=True)


class _Writer:
    """Writes new parts; a part is there under its name when it is whole."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = max((int(name[5:-8]) for name in parts(folder)), default=-1) + 1
        self._file: pq.ParquetWriter | None = None
        self._rows = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._file is not None:
            self._end(whole=kind is None)

    def write(self, tables: Iterator[pa.Table]) -> dict[str, str]:
        """Append whole runs; run -> part."""
        found: dict[str, str] = {}
        for table in tables:
            with writing(self._path):
                if self._file is None:
                    self._folder.mkdir(parents=True, exist_ok=True)
                    self._file = pq.ParquetWriter(self._temporary, METRICS, compression="zstd")
                self._file.write_table(table)
            self._rows += len(table)
            found |= dict.fromkeys(pc.unique(table["run_id"]).to_pylist(), self._path.name)
        if self._rows >= PART_ROWS:
            self._end(whole=True)
        return found

    @property
    def _path(self) -> Path:
        return self._folder / f"part-{self._next:06d}.parquet"

    @property
    def _temporary(self) -> Path:
        return self._path.with_name(f".{self._path.name}.{os.getpid()}.tmp")

    def _end(self, whole: bool) -> None:
        assert self._file
        file, self._file = self._file, None
        try:
            with writing(self._path):
                file.close()
                if whole:
                    self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)
        self._rows, self._next = 0, self._next + 1


def _count(path: Path) -> int:
    with opened(path) as file:
        return int(file.metadata.num_rows)


def _filtered(path: Path, runs: list[str]) -> Iterator[pa.Table]:
    wanted = pa.array(runs)
    with opened(path) as file:
        for batch in file.iter_batches(BATCH_ROWS):
            if len(stay := batch.filter(pc.is_in(batch["run_id"], wanted))):
                yield pa.Table.from_batches([stay])
