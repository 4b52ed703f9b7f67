"""A connection to a Ray cluster: one that runs, or one of this machine's own that ends with the connection.

Ray 2.60 listens on every address of a machine, also for a cluster of one machine (127.0.0.1 is turned into the machine's
own), and whoever reaches it runs code there. So a cluster of our own always asks for a token, which stands in this process's
environment, so that nothing is written to the user's home; it has no dashboard. For a cluster that runs, the token is the one
that lies beside the address that ``echolm cluster ray-on-slurm`` wrote, or the user's: RAY_AUTH_TOKEN_PATH, or
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

from cluster.ray.node import is_here, start_node
from echolm.errors import EchoLMError

TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@contextlib.contextmanager
def connected(address: str | None, variables: dict[str, str] | None = None, **own: Any) -> Iterator[None]:
    """Ray is there in the block. Where this process is connected already, that connection is used and left as it is.
    ``variables``: of the workers' environment; ``own``: what ``ray.init`` is told of a cluster of this machine, ``num_cpus``
    and the like.

    EchoLMError when there is no cluster at the address, or it does not let us in.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if "ray" in sys.modules and sys.modules["ray"].is_initialized():
        yield
        return
    address = address or os.environ.get("RAY_ADDRESS") or None
    environment = {"runtime_env": {"env_vars": variables}} if variables else {}
    with _foreign(address, environment) if address else _own({**own, **environment}):
        yield


def worker_variables(threads: int) -> dict[str, str]:
    """The workers' environment: this process's modules, plugins and weights."""
    own = {name: value for name, value in os.environ.items() if name.startswith("ECHOLM_")}
    return {**own, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


@contextlib.contextmanager
def _own(options: dict[str, Any]) -> Iterator[None]:
    """A cluster of this machine."""
    os.environ.pop("RAY_AUTH_MODE", None)  # unset, Ray turns tokens on; what is set is not read again after Ray's import
    if not any(name in os.environ for name in TOKENS):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # for the life of this process: Ray keeps the first one it sees
    with _folder() as folder, _initialised("local", include_dashboard=False, _temp_dir=folder, **options):
        yield


@contextlib.contextmanager
def _folder() -> Iterator[str]:
    """A folder for Ray's sessions, for a while. It holds sockets, whose whole paths may have 107 characters."""
    short = "/tmp" if len(tempfile.gettempdir()) > 25 and os.access("/tmp", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="echolm-ray-", dir=short)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _foreign(address: str, options: dict[str, Any]) -> Iterator[None]:
    """A cluster that runs."""
    where = read_address(Path(address)) if Path(address).exists() else {"address": address}
    _check(where["address"])
    if token := where.get("token"):
        os.environ.pop("RAY_AUTH_TOKEN", None)  # Ray would take that one
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(token)
    if token or any(name in os.environ for name in TOKENS):
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # read when Ray is imported
    with _joined(where["address"]), _initialised(where["address"], **options):
        yield


def _check(address: str) -> None:
    """EchoLMError when nobody listens at host:port: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if address == "auto":
        return
    if not host or not port.isdecimal() or "/" in host:
        raise EchoLMError(f"Ray address {address!r}: valid is HOST:PORT of the head node, auto, or the file of ray-on-slurm")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise EchoLMError(f"no Ray cluster at {address}: {error.strerror or error}") from None


@contextlib.contextmanager
def _joined(address: str) -> Iterator[None]:
    """A driver talks to a node of the cluster on its own machine. Where there is none (a login node), this machine joins
    for the time, with nothing to offer."""
    if address == "auto" or is_here(address):
        yield
        return
    with _folder() as folder:
        node = start_node(address, log=False, **{"num-cpus": 0, "num-gpus": 0, "temp-dir": folder})
        try:
            yield
        finally:
            node.terminate()
            node.wait()


def read_address(path: Path) -> dict[str, Any]:
    """``address`` and ``token`` (a path) of the file that ``ray-on-slurm`` wrote, or of its folder."""
    from echolm.record import read_json

    file = path / "address" if path.is_dir() else path
    try:
        return read_json(file, "address")
    except FileNotFoundError:
        raise EchoLMError(f"{file}: is not there; the cluster has not started yet, or this is not a folder of ray-on-slurm") from None


@contextlib.contextmanager
def _initialised(address: str, **options: Any) -> Iterator[None]:
    """``ray.init`` and ``ray.shutdown``. Ray's workers would import from the folder one types the command in, and its
    processes would stay there: for a moment that is the root."""
    import ray

    with contextlib.chdir("/"):
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", namespace="echolm", **options)
        except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
            hint = "" if address == "local" else "; is it a Ray of this version, and the token the cluster's (RAY_AUTH_MODE=token, RAY_AUTH_TOKEN_PATH)?"
            raise EchoLMError(f"no connection to Ray at {address}: {_first_line(error)}{hint}") from None
    ray._private.worker._worker_logs_enabled = False  # else it prints a worker's death to standard output
    try:
        yield
    finally:
        ray.shutdown()


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
