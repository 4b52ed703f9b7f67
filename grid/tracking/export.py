"""Run records -> MLflow: one run for each fingerprint, under one lock for each tracking address.

An export is resumable at any point. A run is created with its fingerprint as a tag, filled, and set
to FINISHED last. An exporter that dies in between leaves a RUNNING run that the next one fills
again: equal params, points and files change nothing.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from echolm.errors import EchoLMError
from echolm.files import writing
from echolm.record import FINGERPRINT_DIGITS, RunRecord
from echolm.states import RunState
from grid.tracking import artifacts as places
from grid.tracking import sqlite_reader
from grid.tracking.address import is_there, sqlite_path
from grid.tracking.exporter import Exporter, failure, sorted_out
from grid.tracking.lock import FolderLock
from grid.tracking.mlflow_run import mlflow_run
from grid.tracking.reader import FINISHED, SINGLE_RUNS, Known
from grid.tracking.store import (
    StoreFailed,
    may_write,
    network_warning,
    open_client,
    refuse_unwritable,
    share_with_group,
)

MALFORMED = (KeyError, TypeError, ValueError)
"""What the content of a record that EchoLM did not write may raise."""

Progress = Callable[[int, int], None]
"""Called with the records done and their number."""


@dataclass
class ExportReport:
    """What an export did, counted in records.

    Attributes:
        created: runs added.
        resumed: runs that an earlier export had left unfinished.
        unchanged: runs that were there already.
        problems: one sentence for each record that failed.
        not_exported: records that are not complete, by state.
        closed: one sentence for each unfinished double of a run that was deleted.
        warnings: sentences for the user about the store.
    """

    created: int = 0
    resumed: int = 0
    unchanged: int = 0
    problems: list[str] = field(default_factory=list)
    not_exported: dict[str, int] = field(default_factory=dict)
    closed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Wanted:
    """A complete record with the grids it belongs to."""

    record: RunRecord
    grids: list[str]


def export(
    records: Sequence[tuple[RunRecord, str | None]],
    uri: str,
    progress: Progress = lambda done, total: None,
    artifacts: Path | None = None,
) -> ExportReport:
    """Bring every complete record into the store, in the experiment of its (first) grid.

    Records that are not complete (running, failed, ...) are counted, not exported. A SQLite store
    that was copied or moved is told where its artifacts are now.

    Args:
        records: records with their grid. A record may come several times, with several grids.
            Without a grid it goes to ``single-runs``.
        uri: the store.
        progress: called after each record.
        artifacts: where files lie. It is not used for a SQLite database (they lie beside it) and a
            tracking server (which says it itself), but for others (PostgreSQL, ...). The lock of a
            store that is not SQLite's lies beside it.

    Raises:
        EchoLMError: the store cannot be used.
    """
    report = ExportReport()
    grids: dict[RunRecord, list[str]] = defaultdict(list)
    for record, grid in records:
        grids[record].append(grid or SINGLE_RUNS)
    names = sorted({name for names in grids.values() for name in names})
    stored, doubles = _stored(uri)
    done = _done(grids, stored)
    report.unchanged = len(done)
    for record in done:
        del grids[record]
    to_export = _complete(grids, report)
    if not (to_export or doubles or needs_healing(uri, names)):
        return report
    refuse_unwritable(uri)
    warning = network_warning(uri)
    if warning:
        report.warnings.append(warning)
    with store_lock(uri, artifacts) as lock:
        heal(uri, names)
        if not (to_export or doubles):
            return report
        exporter = Exporter(open_client(uri), uri, artifacts)
        exporter.restore_experiments(names)
        exporter.read_known_runs()
        report.closed += exporter.close_doubles()
        for number, (fingerprint, item) in enumerate(to_export.items(), start=1):
            lock.check_still_held()
            _export_one(exporter, fingerprint, item, report)
            progress(number, len(to_export))
    return report


def store_lock(uri: str, artifacts: Path | None) -> FolderLock:
    """Return the lock that writers of this store hold.

    It lies beside a SQLite file, else beside the folder of artifacts, else in the temporary folder.
    """
    path = sqlite_path(uri)
    if path is not None:
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        return FolderLock(path.with_name(f".{path.name}.lock"))
    name = hashlib.sha256(uri.encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"echolm-{os.getuid()}"
    if artifacts is not None:
        folder = artifacts.parent
    return FolderLock(folder / f".{name}.lock")


def needs_healing(uri: str, grids: Iterable[str]) -> bool:
    """Return whether a SQLite store names places of artifacts that are not beside it.

    Where it may not be written it stays as it is: what is read is found nevertheless.
    """
    path = sqlite_path(uri)
    if path is None or not is_there(path) or not may_write(path):
        return False
    try:
        experiments, runs = places.misplaced(path, grids)
    except EchoLMError:
        return False  # the client says what is wrong with it
    return bool(experiments or runs)


def heal(uri: str, grids: Iterable[str]) -> None:
    """Make a SQLite store name the places that its artifacts have. Call it under the lock."""
    path = sqlite_path(uri)
    if path is not None and is_there(path):
        share_with_group(path)
        if needs_healing(uri, grids):
            places.heal(path, grids)


def _stored(uri: str) -> tuple[dict[str, Known], list[Known]]:
    """Return what a SQLite store has by fingerprint, and unfinished doubles.

    MLflow's client (seconds to import) is not needed for it. Of a server only that can tell.
    """
    path = sqlite_path(uri)
    if path is None or not is_there(path):
        return {}, []
    try:
        with sqlite_reader.opened(uri) as reader:
            return sorted_out(reader.known())
    except EchoLMError:
        return {}, []  # the client says what is wrong with it


def _done(grids: dict[RunRecord, list[str]], stored: dict[str, Known]) -> set[RunRecord]:
    """Return the records that the store has with all their grids.

    The names of their folders tell: they are not read. One that lies at another cell is read.
    """
    finished = {}
    for fingerprint, run in stored.items():
        if run.status == FINISHED:
            finished[fingerprint[:FINGERPRINT_DIGITS]] = run
    done = set()
    for record, names in grids.items():
        of_record = finished.get(record.path.name)
        if of_record is None or of_record.cell != record.path.parent.name:
            continue
        if of_record.grids.issuperset(names):
            done.add(record)
    return done


def _complete(grids: dict[RunRecord, list[str]], report: ExportReport) -> dict[str, _Wanted]:
    """Return complete records by fingerprint, with all their grids."""
    complete: dict[str, _Wanted] = {}
    states: Counter[str] = Counter()
    for record, names in grids.items():
        try:
            state = record.state().name
            if state == RunState.COMPLETE:
                distinct_names = list(dict.fromkeys(names))
                identity = record.identity()
                refuse_misplaced(record, identity)
                complete[identity["fingerprint"]] = _Wanted(record, distinct_names)
            else:
                states[state] += 1
        except (EchoLMError, OSError, *MALFORMED) as error:
            report.problems.append(failure(record.path, error, ""))
    report.not_exported = dict(states)
    return complete


def refuse_misplaced(record: RunRecord, identity: dict[str, object]) -> None:
    """Refuse a record that lies where it does not belong: a folder that was copied or renamed.

    Raises:
        EchoLMError: it lies at another cell or fingerprint than its own.
    """
    cell = record.path.parent.name
    name = record.path.name
    own_cell = identity.get("cell")
    own_name = str(identity["fingerprint"])[:FINGERPRINT_DIGITS]
    if (own_cell or cell) == cell and own_name == name:
        return
    raise EchoLMError(
        f"{record.path}: is a copy of the record of cell {own_cell}, fingerprint {own_name} (its "
        f"config.json says so), and no run of cell {cell}; move it away, such as by: "
        f"mv {shlex.quote(str(record.path))} /tmp/ , and then launch the grid, which runs the cell"
    )


def _export_one(exporter: Exporter, fingerprint: str, item: _Wanted, report: ExportReport) -> None:
    """Export one record. What goes wrong with it is a problem of the report.

    Raises:
        StoreFailed: the store fails.
    """
    from mlflow.exceptions import MlflowException

    run = exporter.known.get(fingerprint)
    try:
        if run is not None and run.status == FINISHED:
            exporter.tag(run, item.grids)
            report.unchanged += 1
            return
        exporter.bring(fingerprint, item.grids, mlflow_run(item.record, item.grids))
    except StoreFailed:
        raise
    except (EchoLMError, MlflowException, OSError, *MALFORMED) as error:
        report.problems.append(failure(item.record.path, error, exporter.uri))
        return
    if run is None:
        report.created += 1
    else:
        report.resumed += 1
