"""Start one machine's part of a Ray cluster.

``ray start`` gets ports that the system chooses, so that clusters of several users or jobs on one
machine never collide.
"""

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
    "node-manager-port",
    "object-manager-port",
    "min-worker-port",
    "max-worker-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "runtime-env-agent-port",
    "metrics-export-port",
)
OBJECT_STORE = 256_000_000
"""Bytes of shared memory for Ray's objects: reports are small."""
PRESTART = "RAY_prestart_worker_first_driver"
"""Ray's variable for workers that start with the first driver, one a core, before anybody asks.

They would stay idle: units and trials have environments of their own, and never get one of them.
"""
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when the one that started it is gone."""


def start_head(folder: Path, log: bool = True, **limits: Any) -> subprocess.Popen[bytes]:
    """Start the head node. See ``start_node``.

    Args:
        folder: a short path on a local disk. Ray's sessions are there, and the file
            ``ray_current_cluster`` with the head's address.
        log: see ``start_node``.
        limits: see ``start_node``.
    """
    options: dict[str, Any] = {"port": 0, "include-dashboard": "false", "temp-dir": folder}
    if importlib.util.find_spec("grpc"):
        options["ray-client-server-port"] = _free_port()
    return _start(log, ["--head"], options | limits)


def start_node(address: str, log: bool = True, **limits: Any) -> subprocess.Popen[bytes]:
    """Start a node that joins the cluster at ``address``.

    It lives as long as the process that is returned. SIGTERM, or the end of this process, ends it
    and all that it started.

    Args:
        address: host:port of the head.
        log: whether what Ray says goes to this process's standard error, or nowhere.
        limits: ``num-cpus``, ``num-gpus`` and the like, of ``ray start``.
    """
    return _start(log, [], {"address": address, **limits})


def _start(log: bool, words: list[str], options: dict[str, Any]) -> subprocess.Popen[bytes]:
    defaults: dict[str, Any] = dict.fromkeys(PORTS, 0)
    defaults["object-store-memory"] = OBJECT_STORE
    defaults["include-log-monitor"] = False  # it sends logs to drivers that want them: not ours
    options = defaults | options
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block"]
    command += ["--disable-usage-stats", *words]
    for name, value in options.items():
        if value is not None:
            command.append(f"--{name}={value}")
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    # else SIGTERM waits 30 s for units
    environment.setdefault("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "0")
    environment.setdefault(PRESTART, "0")
    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if log else subprocess.DEVNULL,
        stderr=None if log else subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=_terminate_with_parent,
    )


def _terminate_with_parent() -> None:
    """Let a child get SIGTERM when the process that started it is gone, however it ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def is_here(address: str) -> bool:
    """Tell whether a node of the cluster at ``address`` runs here, as a driver needs it."""
    import psutil

    head = _resolved(address)
    for process in psutil.process_iter(["name"]):
        try:
            words = process.cmdline() if process.info["name"] == "raylet" else []
        except psutil.Error:
            continue
        for word in words:
            name, _, value = word.partition("=")
            if name == "--gcs-address" and _resolved(value) == head:
                return True
    return False


def _resolved(address: str) -> str:
    """Return host:port with the host as a number, where it is known."""
    host, _, port = address.rpartition(":")
    try:
        return f"{socket.gethostbyname(host)}:{port}"
    except OSError:
        return address


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])
