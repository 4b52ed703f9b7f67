"""Connect to a Ray cluster that runs, or to one of this machine that ends with the connection.

Ray 2.60 listens on every address of a machine, also for a cluster of one machine (127.0.0.1 is
turned into the machine's own), and whoever reaches it runs code there. So a cluster of our own
always asks for a token, which stands in this process's environment, so that nothing is written to
the user's home. It has no dashboard. For a cluster that runs, the token is the one that lies beside
the address that ``echolm cluster ray-on-slurm`` wrote, or the user's: RAY_AUTH_TOKEN_PATH, or
RAY_AUTH_MODE=token for ~/.ray/auth_token, which Ray sends to no address unasked.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.ray.node import PRESTART, is_here, start_node
from echolm.errors import EchoLMError
from echolm.files import read_json

TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
LONGEST_TEMPORARY_FOLDER = 23
"""Characters of a temporary folder in which Ray's sockets fit: their whole paths may have 107."""


@contextlib.contextmanager
def connected(
    address: str | None, variables: dict[str, str] | None = None, **own: Any
) -> Iterator[None]:
    """Be connected to Ray in a block.

    Where this process is connected already, that connection is used and left as it is.

    Args:
        address: of a cluster. None: RAY_ADDRESS, else a cluster of this machine.
        variables: of the workers' environment.
        own: what ``ray.init`` is told of a cluster of this machine, ``num_cpus`` and the like.

    Raises:
        EchoLMError: there is no cluster at the address, or it does not let us in.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    options: dict[str, Any] = {}
    if variables:
        options["runtime_env"] = {"env_vars": variables}
    with _foreign_cluster(address, options) if address else _own_cluster(own | options):
        yield


def worker_variables(threads: int) -> dict[str, str]:
    """Return the workers' environment: this process's modules, plugins and weights."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("ECHOLM_")}
    variables["OMP_NUM_THREADS"] = str(threads)
    variables["PYTHONPATH"] = os.pathsep.join(folder for folder in sys.path if folder)
    return variables


@contextlib.contextmanager
def _own_cluster(options: dict[str, Any]) -> Iterator[None]:
    """Run a cluster of this machine."""
    os.environ.setdefault(PRESTART, "0")
    # unset, Ray turns tokens on; what is set is not read again after Ray's import
    os.environ.pop("RAY_AUTH_MODE", None)
    if not any(name in os.environ for name in TOKENS):
        # for the life of this process: Ray keeps the first one that it sees
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    with (
        _folder() as folder,
        _initialised("local", include_dashboard=False, _temp_dir=folder, **options),
    ):
        yield


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """Make a folder for Ray's sessions, for a while. It holds sockets, so its name is short.

    Ray lets everybody into the folder that it is given. So that lies inside one which this user
    alone may enter.
    """
    is_long = len(tempfile.gettempdir()) > LONGEST_TEMPORARY_FOLDER
    parent = "/tmp" if is_long and os.access("/tmp", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="echolm-ray-", dir=parent)
    try:
        inside = os.path.join(folder, "r")
        os.mkdir(inside)
        yield inside
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _foreign_cluster(address: str, options: dict[str, Any]) -> Iterator[None]:
    """Connect to a cluster that runs."""
    token = None
    if Path(address).exists():
        content = read_address(Path(address))
        address, token = content["address"], content.get("token")
    _check_listens(address)
    if token:
        os.environ.pop("RAY_AUTH_TOKEN", None)  # Ray would take that one
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    if token or any(name in os.environ for name in TOKENS):
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # read when Ray is imported
    with _node_here(address), _initialised(address, **options):
        yield


def _check_listens(address: str) -> None:
    """Check that somebody listens at host:port. Ray itself would try for minutes.

    Raises:
        EchoLMError: nobody does.
    """
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise EchoLMError(
            f"Ray address {address!r}: valid is HOST:PORT of the head node, auto, or the file of "
            "ray-on-slurm"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise EchoLMError(f"no Ray cluster at {address}: {error.strerror or error}") from None


@contextlib.contextmanager
def _node_here(address: str) -> Iterator[None]:
    """Have a node of the cluster on this machine, since a driver talks to one.

    Where there is none (a login node), this machine joins for the time, with nothing to offer.
    """
    if address == "auto" or is_here(address):
        yield
        return
    with _folder() as folder:
        limits = {"num-cpus": 0, "num-gpus": 0, "temp-dir": folder}
        node = start_node(address, log=False, **limits)
        try:
            yield
        finally:
            node.terminate()
            node.wait()


def read_address(path: Path) -> dict[str, Any]:
    """Read the file that ``ray-on-slurm`` wrote, or that of its folder.

    Returns:
        ``address`` and ``token`` (a path).
    """
    file = path / "address" if path.is_dir() else path
    try:
        return read_json(file, "address")
    except FileNotFoundError:
        raise EchoLMError(
            f"{file}: is not there; the cluster has not started yet, or this is not a folder of "
            "ray-on-slurm"
        ) from None


@contextlib.contextmanager
def _initialised(address: str, **options: Any) -> Iterator[None]:
    """Call ``ray.init`` and ``ray.shutdown`` around a block.

    Ray's workers would import from the folder that one types the command in, and its processes
    would stay there: for a moment that is the root.
    """
    import ray

    with contextlib.chdir("/"):
        try:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level="ERROR",
                namespace="echolm",
                **options,
            )
        except (
            ConnectionError,
            RuntimeError,
            ValueError,
            OSError,
            ray.exceptions.RayError,
        ) as error:
            message = f"no connection to Ray at {address}: {_first_line(error)}"
            if address != "local":
                message += (
                    "; is it a Ray of this version, and the token the cluster's "
                    "(RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH)?"
                )
            raise EchoLMError(message) from None
    # else it prints a worker's death to standard output
    ray._private.worker._worker_logs_enabled = False
    try:
        yield
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    """Return the first line of an error that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)
