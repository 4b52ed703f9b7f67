"""The collected predictions of a run: copied from the tracking store once, verified, and compared by their samples."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

import pyarrow as pa
import pyarrow.compute as pc

from echolm.errors import EchoLMError, NewerError, StorageError
from echolm.record import write_atomic, writing
from grid.tables.results import PREDICTIONS_FOLDER, predictions_name, predictions_path, read_columns
from grid.tracking.collected import Earlier, Row
from grid.tracking.rows import PREDICTIONS_FILE, ListedRun
from grid.tracking.store import delete_command, open_client, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = ("sample", "patient", "target", "slot")
"""What identifies a row of the test split."""
SEPARATOR = "\x1f"
SAME_SAMPLES = ("params.data.name", "params.task.name")
"""Runs that agree in these columns must have the same test samples."""
Own = Callable[[str], Path | None]
"""Fingerprint -> the predictions in the run record, None where that is not at hand."""
Samples = frozenset[str]
"""Rows of the test split: the values of ``KEY``, joined by ``SEPARATOR``."""


def bring(rows: Sequence[Row], earlier: Earlier, uri: str, out: Path, own: Own) -> int:
    """Make sure that the predictions of all rows are there, and set their samples or their problem; the files added.

    Of what was collected before, a local store is asked for the file alone, not for its content.
    """
    with writing(out / PREDICTIONS_FOLDER) as folder:
        folder.mkdir(parents=True, exist_ok=True)
        there = {path.name for path in os.scandir(folder)}
        for name in there:
            if name.startswith(".") and name.endswith(".tmp"):  # left by a killed collection
                (folder / name).unlink(missing_ok=True)
    sound = {row.fingerprint: (row.predictions, row.samples) for row in earlier.rows.values() if row.samples}
    store = _Artifacts(uri, own)
    added = 0
    for row in rows:
        sha256, samples = sound.get(row.run.fingerprint, (None, ""))
        if row.predictions and sha256 == row.predictions and predictions_name(row.run.fingerprint) in there:
            row.samples = samples
            if store.lost(row.run):
                _give_back(row, predictions_path(out, row.run.fingerprint), store)
        elif row.predictions:
            added += _bring_one(row, predictions_path(out, row.run.fingerprint), store)
    return added


def compare(rows: Sequence[Row], table: pa.Table, out: Path) -> None:
    """Mark the rows whose test samples are not those of most runs of the same data set and task.

    ``table``: the columns ``SAME_SAMPLES`` of the rows.
    """
    columns = [table[name].to_pylist() if name in table.column_names else [None] * len(rows) for name in SAME_SAMPLES]
    groups: dict[tuple[str | None, ...], list[Row]] = defaultdict(list)
    for row, *values in zip(rows, *columns, strict=True):
        if row.samples:
            groups[tuple(values)].append(row)
    for group in groups.values():
        usual = Counter(row.samples for row in group).most_common(1)[0][0]
        reference = next(row for row in group if row.samples == usual)
        for row in group:
            if row.samples != usual:
                row.problem = f"its test samples are not those of the other runs: {_difference(row, reference, out)}"


def samples(path: Path) -> Samples:
    """The test samples of a file; EchoLMError when it cannot be read or lacks a column. Reads no coordinates."""
    table = read_columns(path, [*KEY, "split"])
    test = table.filter(pc.equal(table["split"], "test"))
    joined = pc.binary_join_element_wise(*(test[name] for name in KEY), SEPARATOR, null_handling="replace")
    return frozenset(joined.to_pylist())


def digest(found: Samples) -> str:
    """16 hexadecimal digits that are equal for equal samples."""
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]


def difference(found: Samples, reference: Samples) -> str:
    """In words, how the samples of a run differ from those of the other runs."""
    text = f"{len(found)} test rows, the other runs {len(reference)}"
    for label, rest in (("missing", reference - found), ("only here", found - reference)):
        if rest:
            shown = ", ".join(_shown(row) for row in sorted(rest)[:3])
            text += f"; {label}: {shown}" + (f" and {len(rest) - 3} more" if len(rest) > 3 else "")
    return text


def _bring_one(row: Row, target: Path, store: _Artifacts) -> bool:
    """Copy the predictions unless they are there; True when they were added."""
    try:
        added = not target.exists() or _sha256(target) != row.predictions
        if added:
            row.repaired = store.fetch(row.run, row.predictions or "", target)
        row.samples = digest(samples(target))
    except StorageError:
        raise
    except NewerError as error:
        row.problem = error.text
        return False
    except EchoLMError as error:
        row.problem = (
            f"{error}; 'echolm collect' where its run record lies exports it again; without a record, type: "
            f"{delete_command(store.uri, row.run.run_id)}, and then launch the grid, which runs the cell again"
        )
        return False
    return added


def _give_back(row: Row, collected: Path, store: _Artifacts) -> None:
    """Put predictions that the store has lost there again: from the run's record, else from the collected file."""
    try:
        row.repaired = store.give(row.run, row.predictions or "", collected)
    except EchoLMError as error:
        row.problem = f"the store has lost its {PREDICTIONS_FILE}, and it cannot be put there again: {error}"
        return
    if not row.repaired:
        row.problem = (
            f"the store has lost its {PREDICTIONS_FILE}; neither a run record at hand nor {collected} has what it was exported with; to remove "
            f"the run, type: {delete_command(store.uri, row.run.run_id)}, and then launch the grid, which runs the cell again"
        )


class _Artifacts:
    """The artifacts of a store."""

    def __init__(self, uri: str, own: Own) -> None:
        self.uri = uri
        self._own = own
        self._folders: dict[str, Path | None] = {}

    def lost(self, run: ListedRun) -> bool:
        """Whether the artifact of a run of a local store is not there. One look at the disk; of a server it cannot be told so cheaply."""
        folder, run_id, artifacts = run.artifact_uri.rsplit("/", 2) if run.artifact_uri.count("/") > 1 else ("", "", "")
        if folder not in self._folders:
            local = _local(run, self.uri)
            self._folders[folder] = local.parents[2] if local else None
        place = self._folders[folder]
        return place is not None and not os.path.exists(f"{place}/{run_id}/{artifacts}/{PREDICTIONS_FILE}")

    def give(self, run: ListedRun, sha256: str, collected: Path) -> bool:
        """Put the predictions of ``run`` into the store, from its record or from ``collected``; False when neither is the file that
        was exported. EchoLMError when they cannot be written."""
        for path in (self._own(run.fingerprint), collected):
            if path and _is(path, sha256):
                self._put(run, path)
                return True
        return False

    def fetch(self, run: ListedRun, sha256: str, target: Path) -> bool:
        """Copy the predictions of ``run`` to ``target`` by copy and rename; True when the store's were not sound, and those
        of the run's own record took their place.

        EchoLMError when they are not there, damaged, or not the file the run was exported with, and no record is at hand;
        StorageError when ``target`` cannot be written.
        """
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            try:
                with writing(target):
                    self._copy(run, temporary)
                if _sha256(temporary) != sha256:
                    raise EchoLMError(f"{PREDICTIONS_FILE} is damaged (its SHA-256 is not the one of the run)")
                repaired = False
            except StorageError:
                raise
            except EchoLMError:
                with writing(target):
                    if not self._repair(run, sha256, temporary):
                        raise
                repaired = True
            samples(temporary)
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
        return repaired

    def _repair(self, run: ListedRun, sha256: str, temporary: Path) -> bool:
        """Take the file of the run's record, if it is the one that was exported, and put it into the store again."""
        own = self._own(run.fingerprint)
        if own is None or not _is(own, sha256):
            return False
        temporary.write_bytes(own.read_bytes())
        self._put(run, own)
        return True

    def _put(self, run: ListedRun, own: Path) -> None:
        """Make ``own`` the predictions of ``run`` in the store. EchoLMError when that fails."""
        if (local := _local(run, self.uri)) is not None:
            try:
                with writing(local):
                    local.parent.mkdir(parents=True, exist_ok=True)
                write_atomic(local, own.read_bytes())
            except StorageError as error:
                raise EchoLMError(str(error)) from error  # of this run alone
            return
        client = self._client
        from mlflow.exceptions import MlflowException

        try:
            client.log_artifact(run.run_id, str(own))
        except (MlflowException, OSError) as error:
            raise EchoLMError(f"artifact {PREDICTIONS_FILE} cannot be written: {' '.join(str(error).split())}") from error

    def _copy(self, run: ListedRun, target: Path) -> None:
        local = _local(run, self.uri)
        if local is not None:
            try:
                content = local.read_bytes()
            except OSError as error:
                raise EchoLMError(f"{local}: {error.strerror}") from error
            target.write_bytes(content)
            return
        client = self._client
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            try:
                os.replace(client.download_artifacts(run.run_id, PREDICTIONS_FILE, folder), target)
            except (MlflowException, OSError) as error:
                raise EchoLMError(f"artifact {PREDICTIONS_FILE}: {' '.join(str(error).split())}") from error

    @cached_property
    def _client(self) -> MlflowClient:
        return open_client(self.uri)


def _difference(row: Row, reference: Row, out: Path) -> str:
    try:
        pair = [samples(predictions_path(out, one.run.fingerprint)) for one in (row, reference)]
    except EchoLMError as error:
        return str(error)
    return difference(*pair)


def _shown(row: str) -> str:
    """``sample/target/slot``."""
    sample, _, *rest = row.split(SEPARATOR)
    return "/".join(filter(None, (sample, *rest)))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is(path: Path, sha256: str) -> bool:
    try:
        return _sha256(path) == sha256
    except OSError:
        return False


def _local(run: ListedRun, uri: str) -> Path | None:
    """The artifact of a run of a SQLite store, also when the folder of database and artifacts was moved together."""
    database, parsed = sqlite_path(uri), urlparse(run.artifact_uri)
    if database is None or parsed.scheme not in ("", "file"):
        return None
    stored = Path(unquote(parsed.path) if parsed.scheme else run.artifact_uri) / PREDICTIONS_FILE
    moved = database.parent.joinpath(*stored.parts[-5:])
    return stored if stored.parents[2].exists() and not moved.parents[2].exists() else moved
