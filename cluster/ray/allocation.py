"""``python -m cluster.ray.allocation FOLDER``: one node of a Ray cluster, as a task of a SLURM job. See ``cluster.ray.on_slurm``.

The first task starts the head, the others join it (``head`` in the folder says where); then the first writes ``address``. All
end when SLURM ends them, or any of them does.
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
from echolm.record import read_json, write_atomic

WAIT_S = 300.0
"""Seconds that the head may take to start, and that the others wait for it: imports on a busy file system are slow."""
STOP_S = 15.0
"""Seconds that Ray may take to end; SLURM kills after 30 (KillWait)."""


def main(folder: Path) -> int:
    """Run this node until a signal comes or Ray ends by itself; the exit status: 0 only after a signal."""
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda *_: asked.set())
    node = _head if os.environ.get("SLURM_PROCID", "0") == "0" else _other
    with node(folder, asked) as process:
        while process.poll() is None and not asked.wait(0.5):
            pass
        return 0 if asked.is_set() else 1


@contextlib.contextmanager
def _head(folder: Path, asked: threading.Event) -> Iterator[subprocess.Popen[bytes]]:
    """The head node, and the file with its address while all nodes are there."""
    sessions = Path(tempfile.mkdtemp(prefix="echolm-ray-", dir="/tmp"))
    with _running(start_head(sessions, **limits()), sessions) as process:
        address = _appeared(sessions / "ray_current_cluster", process, asked).read_text()
        content = {"address": address, "token": str(folder / "token"), "job": os.environ.get("SLURM_JOB_ID", ""), "sessions": str(sessions)}
        write_atomic(folder / "head", json.dumps(content).encode())
        counting = [sys.executable, "-m", "cluster.ray.allocation", str(folder), os.environ.get("SLURM_NNODES", "1")]
        with subprocess.Popen(counting) as others:
            while others.poll() is None and process.poll() is None and not asked.wait(0.2):
                pass
            others.terminate()
        if others.returncode == 0:
            (folder / "head").rename(folder / "address")
        try:
            yield process
        finally:
            (folder / "address").unlink(missing_ok=True)


def count(folder: Path, nodes: int) -> int:
    """Return, with 0, when so many nodes have joined."""
    import ray

    from cluster.ray.connection import connected

    with connected(str(folder / "head")):
        while sum(node["Alive"] for node in ray.nodes()) < nodes:
            time.sleep(0.2)
    return 0


@contextlib.contextmanager
def _other(folder: Path, asked: threading.Event) -> Iterator[subprocess.Popen[bytes]]:
    """A node that joins the head."""
    found = read_json(_appeared(folder / "head", None, asked), "address", "sessions")
    with _running(start_node(found["address"], **limits()), Path(found["sessions"])) as process:
        yield process


@contextlib.contextmanager
def _running(process: subprocess.Popen[bytes], sessions: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Ray's processes in the block; afterwards neither they nor their files are there."""
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
        shutil.rmtree(sessions, ignore_errors=True)


def _appeared(path: Path, process: subprocess.Popen[bytes] | None, asked: threading.Event) -> Path:
    """``path``, when it is there. EchoLMError: ``process`` has ended before, or it took too long."""
    for _ in range(int(WAIT_S / 0.2)):
        if path.exists() and path.stat().st_size:
            return path
        if (process and process.poll() is not None) or asked.wait(0.2):
            break
    raise EchoLMError(f"{path} did not appear: the head node did not start; its words are above")


def limits() -> dict[str, Any]:
    """What SLURM gave this task: CPUs, GPUs, memory (four fifths of it, the rest is Ray's own)."""
    gpus = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    memory = os.environ.get("SLURM_MEM_PER_NODE", "")
    return {
        "num-cpus": int(os.environ.get("SLURM_CPUS_PER_TASK") or os.environ.get("SLURM_CPUS_ON_NODE") or os.cpu_count() or 1),
        "num-gpus": len(gpus) if "SLURM_GPUS_ON_NODE" in os.environ or gpus else 0,
        "memory": int(memory) * 1024**2 * 4 // 5 if memory.isdecimal() and int(memory) else None,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])) if len(sys.argv) == 2 else count(Path(sys.argv[1]), int(sys.argv[2])))
