"""The tracking store: its address, the one lock of its writers, its schema, a quiet client."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.errors import EchoLMError

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from mlflow import MlflowClient

NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smb3", "lustre", "beegfs", "gpfs", "ceph", "afs"})
DRIVERS = {"psycopg": "'psycopg[binary]'", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
"""Packages whose names are not those of their modules."""
SETTINGS = {
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}
"""MLflow settings where the environment has none. CRITICAL: what it logs as an error it raises too. NullPool: no
connection outlives its session, so that a database file that was removed and made again is never written through a
connection to the removed one."""


def sqlite_path(uri: str) -> Path | None:
    """The database file of a ``sqlite:///`` address, absolute; None for a server or another database. EchoLMError for anything else."""
    scheme, _, rest = uri.partition(":")
    if scheme.partition("+")[0] in ("http", "https", "postgresql", "mysql", "mssql", "databricks"):
        return None
    if not rest.startswith("///") or scheme.partition("+")[0] != "sqlite" or rest in ("///", "///:memory:"):
        raise EchoLMError(
            f"tracking URI {uri!r} cannot be used; valid: sqlite:////folder/mlflow.db, or the address of an MLflow "
            "server (http://host:5000). MLflow 3 no longer writes plain folders"
        )
    if bad := sorted(set(rest) & set("%?")):
        raise EchoLMError(
            f"tracking URI {uri!r}: MLflow cannot open a SQLite file whose path holds {' or '.join(bad)}; "
            "name another file with --tracking-uri or MLFLOW_TRACKING_URI"
        )
    return Path(rest[3:]).absolute()


def is_there(path: Path) -> bool:
    """Whether there is a database; an empty file is what SQLite leaves where one was removed in the midst of a write."""
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:
        return False


def is_server(uri: str) -> bool:
    """Whether the address is a tracking server's, and not a database's."""
    return uri.partition(":")[0] in ("http", "https", "databricks")


def shown(uri: str) -> str:
    """The address without a user name and password."""
    return re.sub(r"://[^/@]+@", "://***@", uri)


def delete_command(uri: str, run_id: str) -> str:
    """The command that removes a run, to be typed in a shell as it is (but for a password, which is never shown)."""
    return f"MLFLOW_TRACKING_URI={shlex.quote(shown(uri))} mlflow runs delete --run-id {run_id}"


def tracking_lock(uri: str) -> BaseFileLock:
    """The lock that writers of this address hold: beside a SQLite file, else in the temporary folder of this host."""
    from filelock import FileLock

    path = sqlite_path(uri)
    if path is None:
        return host_lock(uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EchoLMError(f"{path.parent}: the tracking folder cannot be made: {error.strerror}") from error
    return FileLock(path.with_name(path.name + ".lock"))


def host_lock(text: str) -> BaseFileLock:
    """The lock of whatever ``text`` names, among this user's processes on this host; it leaves no file beside the thing."""
    from filelock import FileLock

    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"echolm-{os.getuid()}-{digest}.lock")


def network_file_system(path: Path, mounts: Path = Path("/proc/mounts")) -> str | None:
    """The type of the network file system that holds ``path``, None on a local disk (or where ``mounts`` is absent)."""
    target = path.resolve()
    found = ("", "")
    for line in mounts.read_text().splitlines() if mounts.exists() else []:
        _, point, kind = line.split()[:3]
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)
        if target.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    kind = found[1]
    return kind if kind in NETWORK_FILE_SYSTEMS or kind.startswith("fuse.") else None


def network_warning(uri: str) -> str | None:
    """A sentence for the user when the SQLite file lies on a network file system."""
    path = sqlite_path(uri)
    kind = network_file_system(path.parent) if path else None
    if kind is None:
        return None
    return (
        f"{path}: lies on a network file system ({kind}), where SQLite's locks are not safe; name a local file with "
        "--tracking-uri sqlite:////tmp/mlflow.db (it can be rebuilt from the run records at any time) or use a server"
    )


def open_client(uri: str) -> MlflowClient:
    """A client of the store, after one request to it. Makes the schema of a new SQLite file first."""
    quiet_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    path = sqlite_path(uri)
    try:
        if path is not None and not is_there(path):
            _create_database(path)
        client = MlflowClient(tracking_uri=uri if path is None else f"sqlite:///{path}")
        client.search_experiments(max_results=1)
    except ModuleNotFoundError as error:  # the driver of a database
        raise EchoLMError(f"tracking store {shown(uri)}: {error.name} is not installed; type: pip install {DRIVERS.get(error.name or '', error.name)}") from error
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise unusable(uri, error) from error
    return client


def unusable(uri: str, error: Exception) -> EchoLMError:
    """The error of a tracking store that cannot be opened, read or written."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return EchoLMError(f"tracking store {shown(uri)} cannot be used: {reason}")


def quiet_mlflow() -> None:
    """No telemetry, no migration chatter, no progress bars. To be called before mlflow is imported."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if "mlflow" in sys.modules:  # imported before by somebody else: the variables come too late
        logging.getLogger("mlflow").setLevel(os.environ["MLFLOW_LOGGING_LEVEL"])


def _create_database(path: Path) -> None:
    """Make the schema under a temporary name and link it: nobody ever sees, or races for, a half-made database.

    An empty file is replaced. (MLflow would fill one itself, but not in a process that has used the database before.)
    """
    import mlflow.db

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        mlflow.db.upgrade.callback(f"sqlite:///{temporary}")
        os.link(temporary, path)
    except FileExistsError:  # it is empty, or another process made it meanwhile
        if not is_there(path):
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
