"""The collected predictions of a run: copied from the tracking store once, verified, and compared by their samples."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlparse

import pyarrow.compute as pc

from echolm.errors import EchoLMError
from echolm.record import writing
from grid.tables.results import read_columns
from grid.tracking.mapping import PREDICTIONS_FILE
from grid.tracking.rows import PREDICTIONS, TrackedRun
from grid.tracking.store import open_client, quiet_mlflow, sqlite_path

KEY = ("sample", "patient", "target", "slot")
"""What identifies a row of the test split."""
Samples = frozenset[tuple[str, ...]]


def fetch(run: TrackedRun, uri: str, target: Path) -> None:
    """Copy the predictions of ``run`` to ``target`` by copy and rename.

    EchoLMError when they are not there, damaged, or not the file the run was exported with; StorageError when
    ``target`` cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with writing(target):
            _copy(run, uri, temporary)
        if hashlib.sha256(temporary.read_bytes()).hexdigest() != run.tags[PREDICTIONS]:
            raise EchoLMError(f"{PREDICTIONS_FILE} is damaged (its SHA-256 is not the one of the run)")
        samples(temporary)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def samples(path: Path) -> Samples:
    """The rows of the test split, by ``KEY``; EchoLMError when the file cannot be read or lacks a column."""
    table = read_columns(path, [*KEY, "split"])
    test = table.filter(pc.equal(table["split"], "test"))
    return frozenset(zip(*(test[name].to_pylist() for name in KEY), strict=True))


def digest(found: Samples) -> str:
    """16 hexadecimal digits that are equal for equal samples."""
    return hashlib.sha256(repr(sorted(found)).encode()).hexdigest()[:16]


def difference(found: Samples, reference: Samples) -> str:
    """In words, how the samples of a run differ from those of the other runs."""
    text = f"{len(found)} test rows, the other runs {len(reference)}"
    for label, rest in (("missing", reference - found), ("only here", found - reference)):
        if rest:
            shown = ", ".join("/".join(filter(None, (row[0], *row[2:]))) for row in sorted(rest)[:3])
            text += f"; {label}: {shown}" + (f" and {len(rest) - 3} more" if len(rest) > 3 else "")
    return text


def _copy(run: TrackedRun, uri: str, target: Path) -> None:
    local = _local(run, uri)
    if local is not None:
        try:
            content = local.read_bytes()
        except OSError as error:
            raise EchoLMError(f"{local}: {error.strerror}") from error
        target.write_bytes(content)
        return
    quiet_mlflow()
    from mlflow.exceptions import MlflowException

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
        try:
            os.replace(open_client(uri).download_artifacts(run.run_id, PREDICTIONS_FILE, folder), target)
        except (MlflowException, OSError) as error:
            raise EchoLMError(f"artifact {PREDICTIONS_FILE}: {' '.join(str(error).split())}") from error


def _local(run: TrackedRun, uri: str) -> Path | None:
    """The artifact of a run of a SQLite store, also when the folder of database and artifacts was moved together."""
    database, parsed = sqlite_path(uri), urlparse(run.artifact_uri)
    if database is None or parsed.scheme not in ("", "file"):
        return None
    stored = Path(unquote(parsed.path) if parsed.scheme else run.artifact_uri) / PREDICTIONS_FILE
    moved = database.parent.joinpath(*stored.parts[-5:])
    return moved if moved.exists() else stored
