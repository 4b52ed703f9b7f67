"""Run one node of a Ray cluster, as a task of a SLURM job.

``python -m cluster.ray.allocation FOLDER``: see ``cluster.ray.on_slurm``. The first task starts the
head, the others join it (``head`` in the folder says where), and then the first writes ``address``.
All end when SLURM ends them, or any of them does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.ray.node import start_head, start_node
from echolm.errors import EchoLMError
from echolm.files import read_json, write_atomic

WAIT_S = 300.0
"""Seconds that the head may take to start, and that the others wait for it: imports on a busy file
system are slow."""
STOP_S = 15.0
"""Seconds that Ray may take to end. SLURM kills after 30 (KillWait)."""
POLL_S = 0.2
OWN = "echolm-ray-"
"""How the name of the folder begins in which Ray's own lies."""


def main(folder: Path) -> int:
    """Run this node until a signal comes or Ray ends by itself.

    Returns:
        The exit status: 0 only after a signal.
    """
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: asked.set())
    is_first = os.environ.get("SLURM_PROCID", "0") == "0"
    node = _head if is_first else _other_node
    with node(folder, asked) as process:
        while process.poll() is None and not asked.wait(0.5):
            pass
        return 0 if asked.is_set() else 1


@contextlib.contextmanager
def _head(folder: Path, asked: threading.Event) -> Iterator[subprocess.Popen[bytes]]:
    """Run the head node, and keep the file with its address while all nodes are there."""
    # Ray lets everybody into its folder, so that lies in one of this user's own.
    sessions = Path(tempfile.mkdtemp(prefix=OWN, dir="/tmp")) / "r"
    sessions.mkdir()
    with _running(start_head(sessions, **limits()), sessions) as process:
        address = _appeared(sessions / "ray_current_cluster", process, asked).read_text()
        content = {
            "address": address,
            "token": str(folder / "token"),
            "job": os.environ.get("SLURM_JOB_ID", ""),
            "sessions": str(sessions),
        }
        write_atomic(folder / "head", json.dumps(content).encode())
        if _all_joined(folder, process, asked):
            (folder / "head").rename(folder / "address")
        try:
            yield process
        finally:
            (folder / "address").unlink(missing_ok=True)


def _all_joined(folder: Path, head: subprocess.Popen[bytes], asked: threading.Event) -> bool:
    """Wait until all nodes have joined. False: a signal came, or the head ended before."""
    nodes = os.environ.get("SLURM_NNODES", "1")
    command = [sys.executable, "-m", "cluster.ray.allocation", str(folder), nodes]
    with subprocess.Popen(command) as counting:
        while counting.poll() is None and head.poll() is None and not asked.wait(POLL_S):
            pass
        counting.terminate()
    return counting.returncode == 0


def count(folder: Path, nodes: int) -> int:
    """Return, with 0, when so many nodes have joined."""
    import ray

    from cluster.ray.connection import connected

    with connected(str(folder / "head")):
        while sum(node["Alive"] for node in ray.nodes()) < nodes:
            time.sleep(POLL_S)
    return 0


@contextlib.contextmanager
def _other_node(folder: Path, asked: threading.Event) -> Iterator[subprocess.Popen[bytes]]:
    """Run a node that joins the head."""
    head = read_json(_appeared(folder / "head", None, asked), "address", "sessions")
    sessions = Path(head["sessions"])
    sessions.parent.mkdir(mode=0o700, exist_ok=True)  # Ray would make it for everybody
    with _running(start_node(head["address"], **limits()), sessions) as process:
        yield process


@contextlib.contextmanager
def _running(process: subprocess.Popen[bytes], sessions: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Let Ray's processes run in a block. Afterwards neither they nor their files are there."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        own = sessions.parent
        if own.name.startswith(OWN):  # nothing else is ever removed
            shutil.rmtree(own, ignore_errors=True)


def _appeared(path: Path, process: subprocess.Popen[bytes] | None, asked: threading.Event) -> Path:
    """Return ``path`` when it is there.

    Raises:
        EchoLMError: ``process`` has ended before, a signal came, or it took too long.
    """
    for _ in range(int(WAIT_S / POLL_S)):
        if path.exists() and path.stat().st_size:
            return path
        has_ended = process is not None and process.poll() is not None
        if has_ended or asked.wait(POLL_S):
            break
    raise EchoLMError(f"{path} did not appear: the head node did not start; its words are above")


def limits() -> dict[str, Any]:
    """Return what SLURM gave this task, as options of ``ray start``.

    These are CPUs, GPUs and memory: four fifths of it, the rest is Ray's own.
    """
    variables = os.environ
    cpus = variables.get("SLURM_CPUS_PER_TASK") or variables.get("SLURM_CPUS_ON_NODE")
    devices = variables.get("CUDA_VISIBLE_DEVICES", "").split(",")
    gpus = sum(bool(device.strip()) for device in devices)
    memory_mib = variables.get("SLURM_MEM_PER_NODE", "")
    memory = None
    if memory_mib.isdecimal() and int(memory_mib):
        memory = int(memory_mib) * 1024**2 * 4 // 5
    return {
        "num-cpus": int(cpus or os.cpu_count() or 1),
        "num-gpus": gpus,
        "memory": memory,
    }


if __name__ == "__main__":
    folder_of_job = Path(sys.argv[1])
    if len(sys.argv) == 2:
        sys.exit(main(folder_of_job))
    sys.exit(count(folder_of_job, int(sys.argv[2])))
