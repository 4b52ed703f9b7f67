"""Where the artifacts of a SQLite store lie: beside the database, wherever that is now.

MLflow keeps absolute addresses of them: one for each experiment, for its runs to come, and one for
each run. In a database that was copied or moved they name the place of before. ``heal`` makes them
name the present one, so that nothing is written outside of it and MLflow's pages find the files.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from echolm.errors import EchoLMError
from grid.tracking.reader import FINGERPRINT, FINISHED

FOLDER = "artifacts"
"""Beside the database. It holds ``<experiment>/<run>/artifacts``."""
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,255}")
"""What MLflow takes as the id of a run."""
TIMEOUT_S = 60.0
EXPERIMENTS = f"""
    SELECT experiment_id, name, artifact_location, experiment_id IN (
        SELECT r.experiment_id FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid
        WHERE t.key = '{FINGERPRINT}'
    ) FROM experiments
"""
"""The last column says whether an experiment holds a run of EchoLM."""
RUNS = f"""
    SELECT r.run_uuid, r.artifact_uri, r.status FROM runs r JOIN tags t ON t.run_uuid = r.run_uuid
    WHERE t.key = '{FINGERPRINT}' AND substr(r.artifact_uri, 1, ?) <> ?
"""
Moves = list[tuple[str, str]]
"""New address of artifacts, and the id of what has them."""


def artifacts_folder(database: Path) -> Path:
    """Return the folder of all artifacts of a database."""
    return database.parent / FOLDER


def local_folder(uri: str) -> Path | None:
    """Return the folder that an address of artifacts names. None where it is on no disk."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    if parts.scheme == "file":
        return Path(unquote(parts.path, errors="surrogateescape"))
    if parts.scheme or not uri.startswith("/"):
        return None
    return Path(uri)


def is_run_folder(folder: Path, run_id: str) -> bool:
    """Return whether a folder is named as MLflow names that of a run's artifacts.

    A tracking server says which folder it is. What it says may lead nowhere else.
    """
    return folder.parts[-2:] == (run_id, FOLDER) and ".." not in folder.parts


def run_folder(database: Path, run_id: str, uri: str) -> Path | None:
    """Return where the artifacts of a run belong: below ``artifacts_folder``.

    None where they are not on a disk, or where the address is none that MLflow makes.
    """
    stored = local_folder(uri)
    if stored is None or not RUN_ID.fullmatch(run_id) or not is_run_folder(stored, run_id):
        return None
    experiment = stored.parent.parent.name
    if not experiment:
        return None
    return artifacts_folder(database) / experiment / run_id / FOLDER


def heal(database: Path, grids: Iterable[str]) -> int:
    """Make the database name the place of its artifacts that is right now.

    Experiments of ``grids``, and all that hold runs of EchoLM, get a place beside the database. So
    do their runs, unless their files are at the old place alone. What is another project's stays
    as it is. Call it under the lock of the database's writers.

    Returns:
        How many experiments and runs were changed.

    Raises:
        EchoLMError: the database cannot be written.
    """
    experiments, runs = misplaced(database, grids)
    if not experiments and not runs:
        return 0
    try:
        with closing(sqlite3.connect(_address(database), uri=True, timeout=TIMEOUT_S)) as store:
            with store:
                store.executemany(
                    "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
                    experiments,
                )
                store.executemany("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", runs)
    except sqlite3.Error as error:
        raise EchoLMError(
            f"{database}: was copied or moved here, and cannot be told so: {error}"
        ) from error
    return len(experiments) + len(runs)


def misplaced(database: Path, grids: Iterable[str]) -> tuple[Moves, Moves]:
    """Return the experiments and the runs whose artifacts belong elsewhere than the database says.

    Raises:
        EchoLMError: it cannot be read.
    """
    try:
        with closing(sqlite3.connect(f"{_address(database)}?mode=ro", uri=True)) as store:
            experiments = list(_experiments(store, database, set(grids)))
            runs = list(_runs(store, database))
    except sqlite3.Error as error:
        raise EchoLMError(f"{database}: not a readable MLflow 3 database ({error})") from error
    return experiments, runs


def _experiments(
    store: sqlite3.Connection, database: Path, grids: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield new location and id of experiments."""
    for number, name, location, has_runs in store.execute(EXPERIMENTS):
        folder = local_folder(location or "")
        if folder is None or not (has_runs or name in grids) or _is_here(folder, database):
            continue
        if folder.name in ("", ".."):
            continue
        yield (artifacts_folder(database) / folder.name).as_uri(), number


def _runs(store: sqlite3.Connection, database: Path) -> Iterator[tuple[str, str]]:
    """Yield new address and id of runs."""
    here = database.parent.as_uri() + "/"
    names_here: dict[Path, bool] = {}
    for run_id, uri, status in store.execute(RUNS, (len(here), here)):
        stored = local_folder(uri or "")
        folder = run_folder(database, run_id, uri or "")
        if stored is None or folder is None:
            continue
        parent = stored.parent.parent
        if parent not in names_here:
            names_here[parent] = _is_here(parent, database)
        if names_here[parent]:
            continue
        # Files of a finished run may have been left where they were.
        if status != FINISHED or folder.exists() or not stored.exists():
            yield folder.as_uri(), run_id


def _is_here(folder: Path, database: Path) -> bool:
    """Return whether a folder of artifacts lies beside the database, by whatever way."""
    if folder.is_relative_to(database.parent):
        return True
    try:
        return folder.parent.samefile(artifacts_folder(database))
    except OSError:  # one of them is not there
        return False


def _address(database: Path) -> str:
    return f"file:{quote(str(database))}"
