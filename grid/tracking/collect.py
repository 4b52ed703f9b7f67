"""MLflow -> Parquet: runs, their history and their predictions, as in ``grid.results.schema``.

Tables are built from these files alone, so they outlive the records and the tracking store. What
was collected earlier stays as it is: of runs that are not new and have not changed nothing is read
but their line in the store's list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from echolm.errors import EchoLMError
from echolm.files import writing
from echolm.text import printable
from grid.results.columns import numbers
from grid.results.files import HISTORY_FOLDER, OTHER_CELL, RUNS_FILE
from grid.results.schema import RUNS
from grid.tracking import client_reader, history, predictions, runs_file, sqlite_reader
from grid.tracking.address import delete_command, is_there, sqlite_path
from grid.tracking.artifact_store import RecordedPredictions
from grid.tracking.lock import FolderLock
from grid.tracking.mlflow_run import other_cell
from grid.tracking.reader import FINISHED, Latest, ListedRun, Reader, wrong_form
from grid.tracking.runs_file import CollectedRow, Earlier

Configurations = Callable[[], Mapping[str, Mapping[str, Any]]]
"""Returns cell -> its configuration, as JSON has it."""


@dataclass
class CollectReport:
    """What was collected of a grid.

    Attributes:
        runs: all that are there now.
        read: those of them that were new or had changed.
        predictions: files added.
        altered: those of them that lay there already, and were not what had been collected.
        repaired: runs whose predictions in the store were missing or damaged, and were put there
            again from their records, or from what was collected before.
        problems: one sentence for each run that is there but not sound. Its row in runs.parquet
            says the same.
        unfinished: runs left out, with the reason.
        path: runs.parquet.
    """

    runs: int = 0
    read: int = 0
    predictions: int = 0
    altered: int = 0
    repaired: int = 0
    problems: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    path: Path = Path()


def collect(
    uri: str,
    grid_name: str,
    cells: set[str] | None,
    out: Path,
    *,
    readers: ModuleType | None = None,
    curves: bool = True,
    empty: bool = True,
    recorded: RecordedPredictions = lambda fingerprint: None,
    configs: Configurations = dict,
) -> CollectReport:
    """Bring the folder ``out`` to the finished runs of a grid.

    Args:
        uri: the tracking store.
        grid_name: the grid.
        cells: the cells whose runs count. None: all.
        out: the folder of the results.
        readers: ``sqlite_reader`` or ``client_reader``. None: the first for a SQLite store, and the
            second for any other.
        curves: also the history.
        empty: write files without a row too, where there is no run.
        recorded: returns the predictions in the records that are at hand, for those that the store
            has lost. Without a record, the collected file will do.
        configs: returns the configurations of the cells that are known. A run whose parameters are
            not those of the cell that it names is a problem, and has no predictions.

    Raises:
        EchoLMError: with nothing changed, when the store has no run and ``out`` has some, or when a
            newer EchoLM wrote ``out``.
    """
    report = CollectReport(path=out / RUNS_FILE)
    if not empty and not out.exists() and not _has_runs(uri, readers, grid_name):
        return report  # nothing is written, and so no lock either
    with FolderLock(lock_folder(out)) as lock, _opened(uri, readers) as reader:
        earlier = runs_file.read_earlier(report.path)
        runs = []
        for run in reader.listed(grid_name) if reader else []:
            if run.fingerprint and (cells is None or run.cell in cells):
                runs.append(run)
        rows = _finished(runs, report, uri)
        if earlier.count and not rows:
            raise EchoLMError(
                f"the tracking store has no finished run of {grid_name}, but {report.path} has "
                f"{earlier.count}; nothing was changed. Tables can still be built from it; "
                f"delete {out} to start over"
            )
        if rows or empty:
            _Update(rows, reader, earlier, uri, report, lock).run(curves, recorded, configs)
    return report


def lock_folder(out: Path) -> Path:
    """Return the lock of those who collect into a folder. It lies beside it."""
    return out.absolute().with_name(f".{out.name}.lock")


def _has_runs(uri: str, readers: ModuleType | None, grid_name: str) -> bool:
    with _opened(uri, readers) as reader:
        return reader is not None and bool(reader.listed(grid_name))


@contextmanager
def _opened(uri: str, readers: ModuleType | None) -> Iterator[Reader | None]:
    """Open a reader of the store. None for a database that was not made yet."""
    database = sqlite_path(uri)
    if database is not None and not is_there(database):
        yield None
        return
    if readers is None:
        readers = client_reader if database is None else sqlite_reader
    with readers.opened(uri) as reader:
        yield reader


def _finished(runs: list[ListedRun], report: CollectReport, uri: str) -> list[CollectedRow]:
    """Return one row for each fingerprint, the run that ended first.

    What is left out is reported.
    """
    rows: dict[str, CollectedRow] = {}
    for run in sorted(runs, key=lambda run: (run.end or 0, run.run_id)):
        first = rows.get(run.fingerprint)
        wrong = wrong_form(run)
        if run.status != FINISHED:
            if not run.state:  # else it is shown while it trains, or as it ended
                report.unfinished.append(_sentence(run, _why_unfinished(run, uri)))
        elif wrong:
            report.problems.append(_sentence(run, wrong))
        elif first:
            text = (
                f"is a second run of fingerprint {run.fingerprint[:16]}, left out; "
                f"run {first.run.run_id} counts; to remove this one, type: "
                f"{delete_command(uri, run.run_id)}"
            )
            report.problems.append(_sentence(run, text))
        else:
            rows[run.fingerprint] = CollectedRow(run)
    return [rows[fingerprint] for fingerprint in sorted(rows)]


def _why_unfinished(run: ListedRun, uri: str) -> str:
    if run.status != "RUNNING":
        return f"its status is {run.status}, not FINISHED"
    return (
        "its status is RUNNING, not FINISHED: an export began and has not ended. 'echolm collect' "
        "where its run record lies ends it; to remove it, type: "
        f"{delete_command(uri, run.run_id)}"
    )


class _Update:
    """Brings the collected files to ``rows``.

    ``reader`` is None where there is no database, and then no row.
    """

    def __init__(
        self,
        rows: list[CollectedRow],
        reader: Reader | None,
        earlier: Earlier,
        uri: str,
        report: CollectReport,
        lock: FolderLock,
    ) -> None:
        self.rows = rows
        self.reader = reader
        self.earlier = earlier
        self.uri = uri
        self.report = report
        self.out = report.path.parent
        self.lock = lock
        self.read: list[pa.Table] = []

    def run(self, curves: bool, recorded: RecordedPredictions, configs: Configurations) -> None:
        """Read runs first, so that what they say of predictions and history is known.

        ``runs.parquet`` is written last.
        """
        with writing(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
        self._read_runs(configs)
        report = self.report
        brought = predictions.bring(self.rows, self.earlier, self.uri, self.out, recorded)
        report.predictions = brought.added
        report.altered = brought.altered
        report.repaired = sum(row.repaired for row in self.rows)
        folder = self.out / HISTORY_FOLDER
        before = history.parts(folder)
        try:
            if curves and self.reader:
                history.bring(self.rows, self.earlier, self.reader, folder)
            self.lock.check_still_held()
            self._write()
        except BaseException:
            history.drop(folder, before)
            raise
        history.drop(folder, {row.history for row in self.rows if row.history})
        report.runs = len(self.rows)
        for row in self.rows:
            if row.problem:
                report.problems.append(_sentence(row.run, row.problem))

    def _write(self) -> None:
        """Write runs.parquet, where it does not say all of this already."""
        samples = {row.samples for row in self.rows if row.samples}
        if len(samples) > 1:
            predictions.compare(self.rows, self._table(), self.out)
        if self.read or not self.report.path.exists() or not self.earlier.says(self.rows):
            logged = self.reader.logged if self.reader else ""
            runs_file.write(self._table(), self.rows, self.report.path, logged)

    def _read_runs(self, configs: Configurations) -> None:
        """Read what is new or has changed. Of the other rows take over what was collected."""
        if self.reader is None:
            return
        changed, latest = self._changed(self.reader)
        known_configs = configs() if changed else {}
        new: dict[str, runs_file.Carried] = {}
        of_other_cells: dict[str, str] = {}
        for runs in self.reader.runs([row.run for row in changed]):
            table = runs_file.run_table(runs, latest)
            self.read.append(table)
            new |= runs_file.carried(table)
            for run in runs:
                config = known_configs.get(run.cell)
                difference = other_cell(run.params, config) if config else ""
                if difference:
                    of_other_cells[run.run_id] = self._other_cell(run.run_id, run.cell, difference)
        self.report.read = len(changed)
        for row in self.rows:
            run_id = row.run.run_id
            row.take(new.get(run_id) or self.earlier.rows[run_id])
            if run_id in new:
                row.problem = of_other_cells.get(run_id, "")

    def _other_cell(self, run_id: str, cell: str, difference: str) -> str:
        return (
            f"{OTHER_CELL} says {cell}, but the run is of another configuration ({difference}); it "
            "is not counted. Set the tag back to the cell in its artifact config.json, or, where "
            f"its run record lies, type: {delete_command(self.uri, run_id)}, and then echolm "
            "collect, which exports it again"
        )

    def _changed(self, reader: Reader) -> tuple[list[CollectedRow], dict[str, Latest]]:
        """Return the rows to read, with their latest values.

        They are those whose line in the list differs, or that were logged to since.
        """
        seen = self.earlier.seen
        touched = reader.touched(self.earlier.logged)
        candidates = []
        for row in self.rows:
            run_id = row.run.run_id
            # Two runs are compared in all but their latest values, which are not known yet.
            same_line = seen.get(run_id, ())[:-2] == runs_file.seen(row.run)[:-2]
            if touched is None or run_id in touched or not same_line:
                candidates.append(row)
        latest = reader.latest([row.run.run_id for row in candidates])
        changed = []
        for row in candidates:
            run_id = row.run.run_id
            is_touched = run_id in (touched or ())
            if is_touched or seen.get(run_id) != runs_file.seen(row.run, latest):
                changed.append(row)
        return changed, latest

    def _table(self) -> pa.Table:
        """Return all rows, in their order."""
        new: set[str] = set()
        for table in self.read:
            new.update(table["run_id"].to_pylist())
        tables = list(self.read)
        if self.earlier.rows.keys() - new:
            tables.append(self.earlier.table())
        # The empty table adds columns that an earlier version did not write.
        tables.append(RUNS.empty_table())
        joined = pa.concat_tables(tables, promote_options="default")
        positions: dict[str, int] = {}
        for position, run_id in enumerate(joined["run_id"].to_pylist()):
            positions.setdefault(run_id, position)  # what was read now comes first
        indices = [positions[row.run.run_id] for row in self.rows]
        return joined.take(numbers(indices, pa.int64()))


def _sentence(run: ListedRun, text: str) -> str:
    return printable(f"run {run.run_id} ({run.name}, cell {run.cell}): {text}")
