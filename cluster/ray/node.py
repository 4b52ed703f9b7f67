"""One machine's part of a Ray cluster: ``ray start`` with ports that the system chooses, so that clusters of several users
or jobs on one machine never collide."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

PORTS = (
    "node-manager-port", "object-manager-port", "min-worker-port", "max-worker-port", "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port", "runtime-env-agent-port", "metrics-export-port",
)  # fmt: skip
OBJECT_STORE = 256_000_000
"""Bytes of shared memory for Ray's objects: reports are small."""


def start_head(folder: Path, log: bool = True, **limits: Any) -> subprocess.Popen[bytes]:
    """The head node; its sessions, and the file ``ray_current_cluster`` with its address, are in ``folder`` (a short path on
    a local disk). See ``start_node``."""
    client = {"ray-client-server-port": _free_port()} if importlib.util.find_spec("grpc") else {}
    return _start(log, ["--head"], {"port": 0, "include-dashboard": "false", "temp-dir": folder, **client, **limits})


def start_node(address: str, log: bool = True, **limits: Any) -> subprocess.Popen[bytes]:
    """A node that joins the cluster at ``address`` and lives as long as the process that is returned. ``limits``:
    ``num-cpus``, ``num-gpus`` and the like, of ``ray start``; SIGTERM, or the end of this process, ends it and all that it started. ``log``: whether
    what Ray says goes to this process's standard error, or nowhere."""
    return _start(log, [], {"address": address, **limits})


def _start(log: bool, words: list[str], values: dict[str, Any]) -> subprocess.Popen[bytes]:
    chosen = {**dict.fromkeys(PORTS, 0), "object-store-memory": OBJECT_STORE, **values}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats", *words]
    options = [f"--{name}={value}" for name, value in chosen.items() if value is not None]
    environment = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0", **os.environ, "RAY_USAGE_STATS_ENABLED": "0"}  # else SIGTERM waits 30 s for units
    return subprocess.Popen(
        [*command, *options], env=environment, stdin=subprocess.DEVNULL, stdout=sys.stderr.fileno() if log else subprocess.DEVNULL,
        stderr=None if log else subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent,
    )  # fmt: skip


def _end_with_parent() -> None:
    """In a child: SIGTERM when the process that started it is gone, however it ended."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def is_here(address: str) -> bool:
    """Whether a node of the cluster at ``address`` runs on this machine, as a driver needs it."""
    import psutil

    wanted = _resolved(address)
    for process in psutil.process_iter(["name"]):
        try:
            words = process.cmdline() if process.info["name"] == "raylet" else []
        except psutil.Error:
            continue
        if any(word.startswith("--gcs-address=") and _resolved(word.partition("=")[2]) == wanted for word in words):
            return True
    return False


def _resolved(address: str) -> str:
    """host:port with the host as a number, where it is known."""
    host, _, port = address.rpartition(":")
    try:
        return f"{socket.gethostbyname(host)}:{port}"
    except OSError:
        return address


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("", 0))
        return int(found.getsockname()[1])
