"""The predictions among the artifacts of a tracking store: fetched, and put there again."""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.errors import EchoLMError, StorageError
from echolm.files import write_atomic, writing
from grid.tracking.address import reason, sqlite_path
from grid.tracking.artifacts import FOLDER, RUN_ID, is_run_folder, local_folder, run_folder
from grid.tracking.reader import PREDICTIONS_FILE, ListedRun
from grid.tracking.store import open_client

if TYPE_CHECKING:
    from mlflow import MlflowClient

RecordedPredictions = Callable[[str], Path | None]
"""Fingerprint -> the predictions in the run record, None where that is not at hand."""
Check = Callable[[Path], object]
"""Raises an EchoLMError where a file of predictions cannot be read."""


class ArtifactStore:
    """The artifacts of a store.

    Args:
        uri: its address.
        recorded: where predictions lie in run records.
    """

    def __init__(self, uri: str, recorded: RecordedPredictions) -> None:
        self.uri = uri
        self._recorded = recorded
        self._database = sqlite_path(uri)
        self._folders: dict[str, Path | None] = {}
        """Folder of runs, as the store names it -> where it is on this disk."""

    def lost(self, run: ListedRun) -> bool:
        """Return whether the artifact of a run of a local store is not there.

        It takes one look at the disk. Of a server it cannot be told so cheaply.
        """
        usual = self._usual_path(run)
        if not usual or os.path.exists(usual):
            return False
        path = self._local(run)  # in a copy, some files may be at the old place alone
        return path is None or not path.exists()

    def _usual_path(self, run: ListedRun) -> str:
        """Return where the artifact of a run of a local store lies, unless it lies elsewhere.

        It is made of texts, since ten thousand are asked for. Empty for a run of a server, or of an
        address that is none of MLflow's.
        """
        if not run.artifact_uri.endswith(f"/{run.run_id}/{FOLDER}"):
            return ""
        runs_uri = run.artifact_uri.rsplit("/", 2)[0]
        if runs_uri not in self._folders:
            local = self._local(run)
            self._folders[runs_uri] = local.parents[2] if local else None
        runs = self._folders[runs_uri]
        if runs is None or not RUN_ID.fullmatch(run.run_id):
            return ""
        return f"{runs}/{run.run_id}/{FOLDER}/{PREDICTIONS_FILE}"

    def give(self, run: ListedRun, sha256: str, collected: Path) -> bool:
        """Put the predictions of ``run`` into the store, from its record or from ``collected``.

        Returns:
            False when neither is the file that was exported.

        Raises:
            EchoLMError: they cannot be written.
        """
        for path in (self._recorded(run.fingerprint), collected):
            content = _content(path, sha256) if path else None
            if content is not None:
                self._put(run, content)
                return True
        return False

    def fetch(self, run: ListedRun, sha256: str, target: Path, check: Check) -> bool:
        """Copy the predictions of ``run`` to ``target``, by copy and rename.

        Args:
            run: the run.
            sha256: what it was exported with.
            target: where they go.
            check: looks at them before they take their name.

        Returns:
            True when the store's were not sound, and those of the run's own record took their
            place.

        Raises:
            EchoLMError: they are not there, damaged, or not the file the run was exported with, and
                no record is at hand.
            StorageError: ``target`` cannot be written.
        """
        repaired = False
        try:
            content = self._read(run, target.parent)
            if _sha256(content) != sha256:
                raise EchoLMError(
                    f"{PREDICTIONS_FILE} is damaged (its SHA-256 is not the one of the run)"
                )
        except StorageError:
            raise
        except EchoLMError:
            path = self._recorded(run.fingerprint)
            from_record = _content(path, sha256) if path else None
            if from_record is None:
                raise
            self._put(run, from_record)
            content = from_record
            repaired = True
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        try:
            with writing(target):
                temporary.write_bytes(content)
            check(temporary)
            with writing(target):
                os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return repaired

    def _put(self, run: ListedRun, content: bytes) -> None:
        """Make ``content`` the predictions of ``run`` in the store.

        Raises:
            EchoLMError: that fails.
        """
        if self._database is not None:
            folder = run_folder(self._database, run.run_id, run.artifact_uri)
            if folder is not None:
                self._put_file(folder / PREDICTIONS_FILE, content)
                return
        refuse_folder(run.run_id, run.artifact_uri)
        client = self._client
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory(prefix="echolm-") as own:
            path = Path(own) / PREDICTIONS_FILE
            path.write_bytes(content)
            try:
                client.log_artifact(run.run_id, str(path))
            except (MlflowException, OSError) as error:
                raise EchoLMError(
                    f"artifact {PREDICTIONS_FILE} cannot be written: {reason(error, self.uri)}"
                ) from None

    def _put_file(self, path: Path, content: bytes) -> None:
        try:
            with writing(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content)
        except StorageError as error:
            raise EchoLMError(str(error)) from error  # of this run alone

    def _read(self, run: ListedRun, folder: Path) -> bytes:
        """Return the artifact of a run. It is downloaded into ``folder`` where it is on no disk."""
        usual = self._usual_path(run)
        if usual:
            with suppress(OSError), open(usual, "rb") as file:
                return file.read()
        local = self._local(run)
        if local is not None:
            try:
                return local.read_bytes()
            except OSError as error:
                raise EchoLMError(f"{local}: {error.strerror}") from error
        refuse_folder(run.run_id, run.artifact_uri)
        client = self._client
        from mlflow.exceptions import MlflowException

        with writing(folder):
            own = tempfile.TemporaryDirectory(dir=folder, prefix=".", suffix=".tmp")
        with own:
            try:
                path = client.download_artifacts(run.run_id, PREDICTIONS_FILE, own.name)
                return Path(path).read_bytes()
            except (MlflowException, OSError) as error:
                raise EchoLMError(
                    f"artifact {PREDICTIONS_FILE}: {reason(error, self.uri)}"
                ) from None

    def _local(self, run: ListedRun) -> Path | None:
        """Return the artifact of a run of a SQLite store, None of another store.

        It is found where it belongs, beside the database, and else where the database says.
        """
        if self._database is None:
            return None
        folder = run_folder(self._database, run.run_id, run.artifact_uri)
        if folder is None:
            return None
        stored = local_folder(run.artifact_uri)
        assert stored is not None, run.artifact_uri
        if stored != folder and not folder.exists() and stored.exists():
            return stored / PREDICTIONS_FILE
        return folder / PREDICTIONS_FILE

    @cached_property
    def _client(self) -> MlflowClient:
        return open_client(self.uri)


def refuse_folder(run_id: str, artifact_uri: str) -> None:
    """Refuse artifacts in a folder of this disk that is none of MLflow's for this run.

    Raises:
        EchoLMError: it is another.
    """
    folder = local_folder(artifact_uri)
    if folder is not None and not is_run_folder(folder, run_id):
        raise EchoLMError(
            f"the tracking store names {str(folder)!r} as the place of its artifacts, which is no "
            "folder of an MLflow run; nothing was read or written there"
        )


def _content(path: Path, sha256: str) -> bytes | None:
    """Return the content of a file that has this SHA-256, and None of any other."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if _sha256(content) == sha256 else None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
