"""MLflow -> Parquet: runs, their history and their predictions, in the layout of ``grid.tables.schema``.

Tables are built from these files alone, so they outlive the records and the tracking store. What was collected earlier
stays as it is: of runs that are not new and have not changed nothing is read but their line in the store's list.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pyarrow as pa

from echolm.errors import EchoLMError
from echolm.record import writing
from grid.tables.results import HISTORY_FOLDER, RUNS_FILE
from grid.tables.schema import RUNS
from grid.tracking import collected, history, predictions, search, sql
from grid.tracking.collected import Earlier, Row
from grid.tracking.columns import numbers
from grid.tracking.predictions import Own
from grid.tracking.rows import Latest, ListedRun, Reader
from grid.tracking.store import delete_command, host_lock, is_there, sqlite_path


@dataclass
class CollectReport:
    """What was collected. ``runs``: all that are there now. ``read``: those of them that were new or had changed.

    ``predictions``: files added. ``repaired``: runs whose predictions in the store were missing or damaged, and were put
    there again from their records, or from what was collected before. ``problems``: one sentence a run that is there but not sound; its row in runs.parquet
    says the same. ``unfinished``: runs left out, with the reason.
    """

    runs: int = 0
    read: int = 0
    predictions: int = 0
    repaired: int = 0
    problems: list[str] = field(default_factory=list)
    unfinished: list[str] = field(default_factory=list)
    path: Path = Path()


def collect(
    uri: str, grid_name: str, cells: set[str] | None, out: Path,
    *, readers: ModuleType | None = None, curves: bool = True, empty: bool = True, own: Own = lambda fingerprint: None,
) -> CollectReport:  # fmt: skip
    """Bring the folder ``out`` to the finished runs of a grid, and of ``cells`` alone where given.

    ``readers``: ``sql`` for a SQLite store and ``search`` for any other, unless given. ``curves``: also the history.
    ``empty``: write files without a row too, where there is no run. ``own``: the predictions in the records that are at hand,
    for those that the store has lost; without a record, the collected file will do. EchoLMError, with nothing changed, when the store
    has no run and ``out`` has some, or when a newer EchoLM wrote ``out``.
    """
    report = CollectReport(path=out / RUNS_FILE)
    with host_lock(str(out.resolve())), _opened(uri, readers) as reader:
        earlier = collected.read_earlier(report.path)
        listed = reader.listed(grid_name) if reader else []
        rows = _finished([run for run in listed if run.fingerprint and (cells is None or run.cell in cells)], report, uri)
        if earlier.count and not rows:
            raise EchoLMError(
                f"the tracking store has no finished run of {grid_name}, but {report.path} has {earlier.count}; nothing was "
                f"changed. Tables can still be built from it; delete {out} to start over"
            )
        if rows or empty:
            _Update(rows, reader, earlier, uri, report).run(curves, own)
    return report


@contextmanager
def _opened(uri: str, readers: ModuleType | None) -> Iterator[Reader | None]:
    """The reader of the store; None for a database that was not made yet."""
    database = sqlite_path(uri)
    if database is not None and not is_there(database):
        yield None
    else:
        with (readers or (search if database is None else sql)).opened(uri) as reader:
            yield reader


def _finished(runs: list[ListedRun], report: CollectReport, uri: str) -> list[Row]:
    """One row a fingerprint, the run that ended first; what is left out is reported."""
    found: dict[str, Row] = {}
    for run in sorted(runs, key=lambda run: (run.end or 0, run.run_id)):
        if run.status != "FINISHED":
            report.unfinished.append(_sentence(run, _why(run, uri)))
        elif run.fingerprint in found:
            text = f"is a second run of fingerprint {run.fingerprint[:16]}, left out; run {found[run.fingerprint].run.run_id} counts"
            report.problems.append(_sentence(run, text))
        else:
            found[run.fingerprint] = Row(run)
    return [found[fingerprint] for fingerprint in sorted(found)]


def _why(run: ListedRun, uri: str) -> str:
    if run.status != "RUNNING":
        return f"its status is {run.status}, not FINISHED"
    return (
        "its status is RUNNING, not FINISHED: an export began and has not ended. 'echolm collect' where its run record lies "
        f"ends it; to remove it, type: {delete_command(uri, run.run_id)}"
    )


class _Update:
    """Brings the collected files to ``rows``. ``reader`` is None where there is no database, and then no row."""

    def __init__(self, rows: list[Row], reader: Reader | None, earlier: Earlier, uri: str, report: CollectReport) -> None:
        self.rows, self.reader, self.earlier, self.uri, self.report = rows, reader, earlier, uri, report
        self.out = report.path.parent
        self.read: list[pa.Table] = []

    def run(self, curves: bool, own: Own) -> None:
        """Runs first, so that what they say of their predictions and history is known; runs.parquet last."""
        with writing(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
        self._read_runs()
        self.report.predictions = predictions.bring(self.rows, self.earlier, self.uri, self.out, own)
        self.report.repaired = sum(row.repaired for row in self.rows)
        folder = self.out / HISTORY_FOLDER
        before = history.parts(folder)
        try:
            if curves and self.reader:
                history.bring(self.rows, self.earlier, self.reader, folder)
            self._write()
        except BaseException:
            history.drop(folder, before)
            raise
        history.drop(folder, {row.history for row in self.rows if row.history})
        self.report.runs = len(self.rows)
        self.report.problems += [_sentence(row.run, row.problem) for row in self.rows if row.problem]

    def _write(self) -> None:
        """runs.parquet, where it does not say all of this already."""
        if len({row.samples for row in self.rows if row.samples}) > 1:
            predictions.compare(self.rows, self._table(), self.out)
        if self.read or not self.report.path.exists() or not self.earlier.says(self.rows):
            collected.write(self._table(), self.rows, self.report.path, self.reader.logged if self.reader else "")

    def _read_runs(self) -> None:
        """Read what is new or has changed; of the other rows take over what was collected."""
        if self.reader is None:
            return
        changed, latest = self._changed(self.reader)
        for runs in self.reader.runs([row.run for row in changed]):
            self.read.append(collected.run_table(runs, latest))
        self.report.read = len(changed)
        new = {run: row for table in self.read for run, row in collected.carried(table).items()}
        for row in self.rows:
            row.take(new.get(row.run.run_id) or self.earlier.rows[row.run.run_id])

    def _changed(self, reader: Reader) -> tuple[list[Row], dict[str, Latest]]:
        """The rows to read, with their latest values: those whose line in the list differs, or that were logged to since."""
        seen, touched = self.earlier.seen, reader.touched(self.earlier.logged)
        maybe = [
            row for row in self.rows
            if touched is None or row.run.run_id in touched or seen.get(row.run.run_id, ())[:-2] != collected.seen(row.run)[:-2]
        ]  # fmt: skip
        latest = reader.latest([row.run.run_id for row in maybe])
        return [row for row in maybe if row.run.run_id in (touched or ()) or seen.get(row.run.run_id) != collected.seen(row.run, latest)], latest

    def _table(self) -> pa.Table:
        """All rows, in their order."""
        known = self.earlier.rows.keys() - {run for table in self.read for run in table["run_id"].to_pylist()}
        tables = [*self.read, *([self.earlier.table()] if known else [])] or [RUNS.empty_table()]
        joined = pa.concat_tables(tables, promote_options="default")
        places: dict[str, int] = {}
        for place, run in enumerate(joined["run_id"].to_pylist()):
            places.setdefault(run, place)
        return joined.take(numbers([places[row.run.run_id] for row in self.rows], pa.int64()))


def _sentence(run: ListedRun, text: str) -> str:
    return f"run {run.run_id} ({run.name}, cell {run.cell}): {text}"
