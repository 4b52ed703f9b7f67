"""Run records -> MLflow: one run a fingerprint, under one lock a tracking address, resumable at any point.

A run is created with its fingerprint as a tag, filled, and set to FINISHED last. An exporter that dies in between
leaves a RUNNING run that the next one fills again: equal params, points and files change nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.errors import EchoLMError
from echolm.record import FINGERPRINT_DIGITS, RunRecord
from grid.tracking import search, sql
from grid.tracking.mapping import Content, content
from grid.tracking.rows import SINGLE_RUNS, Known, grid_tag
from grid.tracking.store import is_server, is_there, network_warning, open_client, sqlite_path, tracking_lock, unusable

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000
"""MLflow's limit of metrics and params together in one ``log_batch``."""
BATCH_PARAMS = 100

STORE_FAILED = "TEMPORARILY_UNAVAILABLE"
"""MLflow's error code for a database or server that fails: full disk, read-only file, no answer."""

MALFORMED = (KeyError, TypeError, ValueError)
"""What the content of a record that EchoLM did not write may raise."""

Progress = Callable[[int, int], None]
"""Called with the records done and their number."""


@dataclass
class ExportReport:
    """What an export did, counted in records. ``resumed``: runs that an earlier export had left unfinished.

    ``not_exported``: records that are not complete, by state. ``problems``: one sentence a record that failed.
    """

    created: int = 0
    resumed: int = 0
    unchanged: int = 0
    problems: list[str] = field(default_factory=list)
    not_exported: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class _Wanted:
    record: RunRecord
    grids: list[str]


def export(
    records: Sequence[tuple[RunRecord, str | None]], uri: str, progress: Progress = lambda done, total: None, artifacts: Path | None = None
) -> ExportReport:
    """Bring every complete record into the store at ``uri``, in the experiment of its (first) grid.

    A record may come several times, with several grids; without a grid it goes to ``single-runs``. Records that are
    not complete (running, failed, ...) are counted, not exported. EchoLMError when the store cannot be used.
    Files lie beside a SQLite database, where a tracking server says, and else (PostgreSQL, ...) in ``artifacts``.
    """
    report = ExportReport()
    grids: dict[RunRecord, list[str]] = defaultdict(list)
    for record, grid in records:
        grids[record].append(grid or SINGLE_RUNS)
    done = _done(grids, uri)
    report.unchanged = len(done)
    wanted = _complete({record: names for record, names in grids.items() if record not in done}, report)
    if not wanted:
        return report
    if warning := network_warning(uri):
        report.warnings.append(warning)
    with tracking_lock(uri):
        exporter = _Exporter(open_client(uri), uri, report, artifacts)
        exporter.restore({grid for item in wanted.values() for grid in item.grids})
        exporter.look()
        for number, (fingerprint, item) in enumerate(wanted.items(), start=1):
            exporter.one(fingerprint, item)
            progress(number, len(wanted))
    return report


def _done(grids: dict[RunRecord, list[str]], uri: str) -> set[RunRecord]:
    """Records that a SQLite store has with all their grids, by the names of their folders: neither they nor MLflow's
    client (seconds to import) are needed for them. Of a server that only the client can tell."""
    path = sqlite_path(uri)
    if path is None or not is_there(path):
        return set()
    try:
        with sql.opened(uri) as reader:
            there = {run.fingerprint[:FINGERPRINT_DIGITS]: run.grids for run in reader.known() if run.status == "FINISHED"}
    except EchoLMError:
        return set()  # the client says what is wrong with it
    return {record for record, names in grids.items() if there.get(record.path.name, frozenset()).issuperset(names)}


def _complete(grids: dict[RunRecord, list[str]], report: ExportReport) -> dict[str, _Wanted]:
    """Complete records by fingerprint, with all their grids."""
    found: dict[str, _Wanted] = {}
    states: Counter[str] = Counter()
    for record, names in grids.items():
        try:
            state = record.state().name
            if state == "complete":
                found[record.identity()["fingerprint"]] = _Wanted(record, list(dict.fromkeys(names)))
            else:
                states[state] += 1
        except (EchoLMError, OSError, *MALFORMED) as error:
            report.problems.append(_sentence(record, error))
    report.not_exported = dict(states)
    return found


class _Exporter:
    """One export, inside the lock."""

    def __init__(self, client: MlflowClient, uri: str, report: ExportReport, artifacts: Path | None) -> None:
        self.client = client
        self.uri = uri
        self.report = report
        path = sqlite_path(uri)
        self.artifacts = path.parent / "artifacts" if path else None if is_server(uri) else artifacts
        self.experiments: dict[str, str] = {}
        self.known: dict[str, Known] = {}

    def restore(self, grids: set[str]) -> None:
        """Bring back experiments that were deleted: a deleted one keeps its name, so it cannot be made again."""
        for grid in sorted(grids):
            experiment = self.client.get_experiment_by_name(grid)
            if experiment is not None:
                self.experiments[grid] = experiment.experiment_id
                if experiment.lifecycle_stage == "deleted":
                    self.client.restore_experiment(experiment.experiment_id)

    def look(self) -> None:
        """Learn which fingerprints are there; a finished run counts before an unfinished one."""
        readers = search if sqlite_path(self.uri) is None else sql
        with readers.opened(self.uri) as reader:
            for run in reader.known():
                other = self.known.get(run.fingerprint)
                if other is None or other.status != "FINISHED":
                    self.known[run.fingerprint] = run

    def one(self, fingerprint: str, item: _Wanted) -> None:
        """Export one record; what goes wrong with it is a problem of the report. EchoLMError: the store fails."""
        from mlflow.exceptions import MlflowException

        run = self.known.get(fingerprint)
        try:
            if run is not None and run.status == "FINISHED":
                self._tag(run, item.grids)
                self.report.unchanged += 1
                return
            filled = content(item.record, item.grids)
            run_id = self._create(item.grids[0], filled) if run is None else run.run_id
            if run is not None:
                self._tag(run, item.grids)
            self._fill(run_id, filled)
        except (EchoLMError, MlflowException, OSError, *MALFORMED) as error:
            if isinstance(error, MlflowException) and error.error_code == STORE_FAILED:
                raise unusable(self.uri, error) from error
            self.report.problems.append(_sentence(item.record, error))
        else:
            self.report.created += run is None
            self.report.resumed += run is not None

    def _tag(self, run: Known, grids: list[str]) -> None:
        for grid in grids:
            if grid not in run.grids:
                self.client.set_tag(run.run_id, grid_tag(grid), "true")

    def _create(self, grid: str, filled: Content) -> str:
        if grid not in self.experiments:
            location = (self.artifacts / grid).absolute().as_uri() if self.artifacts else None
            self.experiments[grid] = self.client.create_experiment(grid, artifact_location=location)
        run = self.client.create_run(
            self.experiments[grid], start_time=filled.start, tags=filled.tags, run_name=filled.name
        )
        return str(run.info.run_id)

    def _fill(self, run_id: str, filled: Content) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(key, value) for key, value in filled.params.items()]
        metrics = [Metric(point.key, point.value, point.time, point.step) for point in filled.points]
        while params or metrics:
            some, params = params[:BATCH_PARAMS], params[BATCH_PARAMS:]
            room = BATCH - len(some)
            self.client.log_batch(run_id, metrics=metrics[:room], params=some)
            metrics = metrics[room:]
        for path in filled.files:
            self.client.log_artifact(run_id, str(path))
        self.client.set_terminated(run_id, status="FINISHED", end_time=filled.end)


def _sentence(record: RunRecord, error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.startswith(str(record.path)) else f"{record.path}: {type(error).__name__}: {text}"
