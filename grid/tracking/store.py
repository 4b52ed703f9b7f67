"""The tracking store: its schema, who may write it, and a quiet client."""

from __future__ import annotations

import atexit
import logging
import os
import pwd
import re
import secrets
import shlex
import shutil
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.errors import EchoLMError
from echolm.workspace import Workspace
from grid.tracking.address import is_odd, is_there, mask, shown, sqlite_path

if TYPE_CHECKING:
    from mlflow import MlflowClient

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "lustre", "beegfs", "gpfs", "ceph", "afs"}
)
DRIVERS = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Packages whose names are not those of their modules."""
SETTINGS = {
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}
"""MLflow settings where the environment has none.

CRITICAL: what it logs as an error it raises too. NullPool: no connection outlives its session, so
that a database file that was removed and made again is never written through a connection to the
removed one.
"""


def network_file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """Return the type of the network file system that holds ``path``.

    None on a local disk (or where ``mounts`` is absent).
    """
    if not mounts.exists():
        return None
    target = path.resolve()
    nearest = ""
    file_system = ""
    for line in mounts.read_text(errors="surrogateescape").splitlines():
        _, point, kind = line.split()[:3]
        # A blank in a path stands there as \040.
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)
        if target.is_relative_to(point) and len(point) >= len(nearest):
            nearest = point
            file_system = kind
    if file_system in NETWORK_FILE_SYSTEMS or file_system.startswith("fuse."):
        return file_system
    return None


def network_warning(uri: str) -> str | None:
    """Return a sentence for the user when the SQLite file lies on a network file system."""
    path = sqlite_path(uri)
    kind = network_file_system(path.parent) if path else None
    if kind is None:
        return None
    return (
        f"{path}: lies on a network file system ({kind}), where SQLite's locks are not safe; name "
        "a local file with --tracking-uri sqlite:////tmp/mlflow.db (it can be rebuilt from the run "
        "records at any time) or use a server"
    )


def open_client(uri: str) -> MlflowClient:
    """Open a client of the store, after one request to it.

    Makes the schema of a new SQLite file first.
    """
    quiet_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    path = sqlite_path(uri)
    try:
        if path is not None and not is_there(path):
            _create_database(path)
        client = MlflowClient(tracking_uri=_client_uri(path) if path else uri)
        client.search_experiments(max_results=1)
    except ModuleNotFoundError as error:  # the driver of a database
        module = error.name or ""
        raise EchoLMError(
            f"tracking store {shown(uri)}: {error.name} is not installed; "
            f"type: pip install {DRIVERS.get(module, module)}"
        ) from error
    except (MlflowException, SQLAlchemyError, OSError, ValueError) as error:
        raise unusable(uri, error) from None  # what it came from may show a password
    return client


class StoreFailed(EchoLMError):
    """A tracking store that cannot be opened, read or written."""


def unusable(uri: str, error: Exception) -> StoreFailed:
    """Return the error of a tracking store that fails."""
    lines = str(error).strip().splitlines()
    first_line = lines[0] if lines else type(error).__name__
    return StoreFailed(f"tracking store {shown(uri)} cannot be used: {mask(first_line, uri)}")


def check_before_training(workspace: Workspace) -> None:
    """Refuse a workspace whose runs could not be written or collected, before one is trained.

    Raises:
        EchoLMError: its path, or the address of its tracking store, cannot be used.
    """
    workspace.check()
    sqlite_path(workspace.tracking_uri)


def refuse_unwritable(uri: str) -> None:
    """Refuse a SQLite store that this user may not write.

    SQLite writes a journal beside the database, so its folder counts too.

    Raises:
        EchoLMError: one of the two may not be written. It says by whom it may be.
    """
    path = sqlite_path(uri)
    if path is None:
        return
    for place in (path.parent, path):
        if place.exists() and not may_write(place):
            what = "folder" if place.is_dir() else "file"
            raise EchoLMError(
                f"{place}: you may not write this {what} (it is {_owner(place)}'s, mode "
                f"{place.stat().st_mode & 0o777:o}); {_owner(place)} can type: "
                f"chmod g+w {shlex.quote(str(place))}; or name another store with --tracking-uri "
                "or MLFLOW_TRACKING_URI"
            )


def may_write(path: Path) -> bool:
    """Return whether this process may write a file or folder that is there."""
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _owner(path: Path) -> str:
    """Return the name of who owns a file, or the number where it has no name."""
    number = path.stat().st_uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def _client_uri(path: Path) -> str:
    """Return an address that MLflow reads as this file.

    It takes what follows ``sqlite:///`` as an address in one place and as a path in another. So a
    path with ``%`` or ``?`` goes by a link of another name. SQLite follows it: journals lie beside
    the file.
    """
    if is_odd(path):
        return f"sqlite:///{_link_to(path)}"
    return f"sqlite:///{path}"


@lru_cache(maxsize=64)
def _link_to(path: Path) -> Path:
    """Return a link to a file, which is there until this process ends. The file need not be."""
    folder = Path(tempfile.mkdtemp(prefix="echolm-database-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    link = folder / "mlflow.db"
    link.symlink_to(path)
    return link


def quiet_mlflow() -> None:
    """Switch off telemetry, migration chatter and progress bars.

    To be called before mlflow is imported.
    """
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "mlflow" in sys.modules:  # imported before by somebody else: the variables come too late
        logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])


def umask() -> int:
    """Return the umask of this process, without changing it for a moment where that can be told."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    mask_now = os.umask(0o077)
    os.umask(mask_now)
    return mask_now


def share_with_group(path: Path) -> None:
    """Let the group write a database of this user, where umask and folder say that it may.

    SQLite makes its files with mode 644, whatever the umask. Journals take the database's mode.
    """
    with suppress(OSError):
        mode = path.stat().st_mode
        folder_mode = path.parent.stat().st_mode
        is_mine = path.stat().st_uid == os.getuid()
        group_may = folder_mode & 0o020 and mode & 0o040 and not umask() & 0o020
        if is_mine and group_may and not mode & 0o020:
            path.chmod(mode & 0o777 | 0o020)


def _create_database(path: Path) -> None:
    """Make the schema under a temporary name and link it.

    So nobody ever sees, or races for, a half-made database. An empty file is replaced. (MLflow
    would fill one itself, but not in a process that has used the database before.)
    """
    import mlflow.db

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        mlflow.db.upgrade.callback(_client_uri(temporary))
        temporary.chmod(0o666 & ~umask())
        os.link(temporary, path)
    except FileExistsError:  # it is empty, or another process made it meanwhile
        if not is_there(path):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
