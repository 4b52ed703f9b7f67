"""Writes runs into a tracking store. Each step may be repeated: it changes nothing then."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.files import write_atomic, writing
from grid.tracking import client_reader, sqlite_reader
from grid.tracking.address import is_server, reason, sqlite_path
from grid.tracking.artifact_store import refuse_folder
from grid.tracking.artifacts import artifacts_folder, run_folder
from grid.tracking.mlflow_run import NOTE, MlflowRun
from grid.tracking.reader import FINGERPRINT, FINISHED, STATE, Known, grid_tag
from grid.tracking.store import unusable

if TYPE_CHECKING:
    from mlflow import MlflowClient

BATCH = 1000
"""MLflow's limit of metrics and params together in one ``log_batch``."""
BATCH_PARAMS = 100
STORE_FAILED = "TEMPORARILY_UNAVAILABLE"
"""MLflow's error code for a database or server that fails: full disk, read-only file, no answer."""
NO_ANSWER = ("INTERNAL_ERROR", STORE_FAILED)
"""MLflow's error codes of a request that may have been done although no answer came."""
RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
WAITS_S = (0.5, 2.0, 8.0)
"""Seconds between a request that made no run, as far as can be seen, and the next."""
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Makes MLflow's pages open with the runs."""


class Exporter:
    """Writes runs, for who holds the lock of the store's writers.

    Args:
        client: of the store.
        uri: its address.
        artifacts: where the files of a database go that is neither SQLite's nor behind a server.
    """

    def __init__(self, client: MlflowClient, uri: str, artifacts: Path | None) -> None:
        self.client = client
        self.uri = uri
        self._artifacts = artifacts
        self._database = sqlite_path(uri)
        if self._database:
            self._artifacts = artifacts_folder(self._database)
        elif is_server(uri):
            self._artifacts = None
        self.experiments: dict[str, str] = {}
        """Grid -> the id of its experiment."""
        self.known: dict[str, Known] = {}
        """Fingerprint -> its run in the store."""
        self.doubles: list[Known] = []
        """Unfinished runs of fingerprints that have another run."""

    def restore_experiments(self, grids: Sequence[str]) -> None:
        """Bring back experiments that were deleted.

        A deleted one keeps its name, so it cannot be made again.

        Raises:
            StoreFailed: the store fails.
        """
        with self._refusing():
            for grid in grids:
                experiment = self.client.get_experiment_by_name(grid)
                if experiment is not None:
                    self.experiments[grid] = experiment.experiment_id
                    if experiment.lifecycle_stage == "deleted":
                        self.client.restore_experiment(experiment.experiment_id)

    def read_known_runs(self) -> None:
        """Learn which fingerprints are there. A finished run counts before an unfinished one."""
        readers = client_reader if sqlite_path(self.uri) is None else sqlite_reader
        with readers.opened(self.uri) as reader:
            self.known, self.doubles = sorted_out(reader.known())

    def close_doubles(self) -> list[str]:
        """Delete the doubles, which MLflow can restore. Return a sentence for each.

        They are left by a request to make a run whose answer was lost.

        Raises:
            StoreFailed: the store fails.
        """
        sentences = []
        for run in self.doubles:
            with self._refusing():
                self.client.delete_run(run.run_id)
            kept = self.known[run.fingerprint].run_id
            sentences.append(
                f"run {run.run_id}: an unfinished double of run {kept} (the answer to the request "
                "that made it was lost); deleted"
            )
        self.doubles = []
        return sentences

    def bring(self, fingerprint: str, grids: Sequence[str], content: MlflowRun) -> str:
        """Make the run of a fingerprint hold ``content``, and return its id.

        Raises:
            StoreFailed: the store fails.
            EchoLMError: it names a place for files that is none.
            MlflowException: it refuses this run.
        """
        run = self.known.get(fingerprint)
        with self._failing():
            if run is None:
                run_id = self._create(grids[0], fingerprint, content)
                self.known[fingerprint] = Known(
                    run_id,
                    "RUNNING",
                    fingerprint,
                    frozenset(grids),
                    state=content.state,
                )
            else:
                run_id = run.run_id
                self.tag(run, grids)
                if run.state:
                    self._tag_anew(run, content)
            self._fill(run_id, content)
        return run_id

    def tag(self, run: Known, grids: Sequence[str]) -> None:
        """Mark a run as one of these grids'."""
        with self._failing():
            for grid in grids:
                if grid not in run.grids:
                    self.client.set_tag(run.run_id, grid_tag(grid), "true")

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Turn an error of the whole store into a StoreFailed."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            if error.error_code == STORE_FAILED:
                raise unusable(self.uri, error) from None
            raise

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Turn any refusal of a request that concerns no single run into a StoreFailed."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise unusable(self.uri, error) from None

    def _create(self, grid: str, fingerprint: str, content: MlflowRun) -> str:
        """Make a run, once: after a request without an answer it is looked for first."""
        from mlflow.exceptions import MlflowException

        experiment = self._experiment(grid)
        for wait in (*WAITS_S, None):
            try:
                with _without_retries():
                    run = self.client.create_run(
                        experiment,
                        start_time=content.start,
                        tags=content.tags,
                        run_name=content.name,
                    )
                return self._checked(run.info.run_id, run.info.artifact_uri)
            except MlflowException as error:
                if not is_server(self.uri) or error.error_code not in NO_ANSWER:
                    raise
                run_id = self._find(experiment, fingerprint)
                if run_id:
                    return run_id
                if wait is None:
                    raise
                time.sleep(wait)
        raise AssertionError(grid)  # the last round returns or raises

    def _checked(self, run_id: str, artifact_uri: str) -> str:
        """Return the id of a run whose files go where MLflow puts them."""
        refuse_folder(run_id, artifact_uri)
        return str(run_id)

    def _find(self, experiment: str, fingerprint: str) -> str:
        """Return the id of a run of this fingerprint. Empty where there is none."""
        runs = self.client.search_runs(
            [experiment], f"tags.`{FINGERPRINT}` = '{fingerprint}'", max_results=1
        )
        for run in runs:
            return self._checked(run.info.run_id, run.info.artifact_uri)
        return ""

    def _experiment(self, grid: str) -> str:
        """Return the id of a grid's experiment, which is made where there is none."""
        from mlflow.exceptions import MlflowException

        if grid in self.experiments:
            return self.experiments[grid]
        location = None
        if self._artifacts:
            location = (self._artifacts / grid).absolute().as_uri()
        try:
            made = self.client.create_experiment(grid, location, EXPERIMENT_TAGS)
        except MlflowException:
            # Another exporter made it just now, or this one did and the answer was lost.
            experiment = self.client.get_experiment_by_name(grid)
            if experiment is None:
                raise
            made = experiment.experiment_id
        self.experiments[grid] = made
        return made

    def _tag_anew(self, run: Known, content: MlflowRun) -> None:
        """Give a run that was shown before it was complete the tags that it has now."""
        from mlflow.entities import RunTag
        from mlflow.exceptions import MlflowException

        tags = [RunTag(key, value) for key, value in content.tags.items()]
        self.client.log_batch(run.run_id, tags=tags)
        for name in (STATE, NOTE):
            if name not in content.tags:
                with suppress(MlflowException):  # it is gone already, or never was
                    self.client.delete_tag(run.run_id, name)

    def _fill(self, run_id: str, content: MlflowRun) -> None:
        from mlflow.entities import Metric, Param

        params = [Param(key, value) for key, value in content.params.items()]
        metrics = []
        for point in content.points:
            metrics.append(Metric(point.key, point.value, point.time, point.step))
        while params or metrics:
            some_params = params[:BATCH_PARAMS]
            room = BATCH - len(some_params)
            self.client.log_batch(run_id, metrics=metrics[:room], params=some_params)
            params = params[BATCH_PARAMS:]
            metrics = metrics[room:]
        if content.dataset:
            self.client.log_inputs(run_id, [content.dataset.as_input()])
        self._put_files(run_id, content.files)
        if content.end is None:
            self.client.update_run(run_id, status=content.status)
        else:
            self.client.set_terminated(run_id, content.status, content.end)

    def _put_files(self, run_id: str, paths: Sequence[Path]) -> None:
        """Make files artifacts of a run.

        MLflow's client remembers where a run's artifacts were when it asked first. So those of a
        SQLite store, which may have been moved since, are copied without it.
        """
        folder = None
        if self._database is not None:
            uri = self.client.get_run(run_id).info.artifact_uri
            folder = run_folder(self._database, run_id, uri)
        for path in paths:
            if folder is None:
                self.client.log_artifact(run_id, str(path))
            else:
                put_file(path, folder)


def put_file(path: Path, folder: Path) -> None:
    """Copy a file into a folder, which is made."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / path.name, path.read_bytes())


def sorted_out(runs: Sequence[Known]) -> tuple[dict[str, Known], list[Known]]:
    """Return the run that counts of each fingerprint, and the unfinished others.

    The first finished run counts, else the first.
    """
    known: dict[str, Known] = {}
    for run in runs:
        other = known.get(run.fingerprint)
        if other is None or (run.status == FINISHED and other.status != FINISHED):
            known[run.fingerprint] = run
    doubles = []
    for run in runs:
        if run.status != FINISHED and known[run.fingerprint] is not run:
            doubles.append(run)
    return known, doubles


@contextmanager
def _without_retries() -> Iterator[None]:
    """Make MLflow send a request once. It would repeat it when the answer was lost."""
    before = os.environ.get(RETRIES)
    os.environ[RETRIES] = "0"
    try:
        yield
    finally:
        if before is None:
            del os.environ[RETRIES]
        else:
            os.environ[RETRIES] = before


def failure(path: Path, error: Exception, uri: str) -> str:
    """Return a sentence about a record that could not be exported."""
    text = reason(error, uri)
    if text.startswith(str(path)):
        return text
    return f"{path}: {type(error).__name__}: {text}"
