"""Who holds an attempt, and whether that process is known to be gone.

A holder is *known dead* when it ran in this boot and process namespace of this host and its process
is gone, or when it was an earlier start of the SLURM job that asks. Otherwise only its heartbeat
tells. That is a counter which the observer watches on its own clock, because clocks of cluster
nodes disagree.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

HEARTBEAT_S = 5.0
"""Seconds between two beats."""
PATIENCE_S = 60.0
"""Seconds without a beat after which a holder is taken to be gone."""
LOOK_S = 0.2
"""Seconds between two looks at a heartbeat, at most."""


def describe_self() -> dict[str, Any]:
    """Describe this process as a holder.

    Host, boot, process namespace, pid and its start, SLURM job and restart count.
    """
    return {
        "host": socket.gethostname(),
        **_boot_and_namespace(os.getpid()),
        "pid": os.getpid(),
        "started": _start_ticks(os.getpid()),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
        "slurm_restart": _restarts(),
    }


def _restarts() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT", "0") or 0)


@lru_cache(maxsize=1)
def _boot_and_namespace(pid: int) -> dict[str, str]:
    """Describe what this process keeps for as long as it lives.

    Args:
        pid: of this process. A fork has another, and is described anew.
    """
    return {
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "namespace": _read_link("/proc/self/ns/pid"),
    }


def known_dead(attempt: Path) -> bool:
    """Check whether the holder of an attempt folder is certainly gone, without waiting."""
    return presence(attempt) == "dead"


def presence(attempt: Path) -> Literal["dead", "here", "unseen"]:
    """Judge the holder of an attempt folder, without waiting.

    Returns:
        ``dead``: it is certainly gone. ``here``: it runs where this process sees it.
        ``unseen``: neither is known.
    """
    holder = read_holder(attempt)
    if holder is None:
        return "unseen"
    if earlier_start(holder):
        return "dead"
    if not _is_here(holder):
        return "unseen"
    if _is_gone(holder["pid"], holder["started"]):
        return "dead"
    return "here"


def earlier_start(holder: dict[str, Any]) -> bool:
    """Check whether a holder was an earlier start of this process's SLURM job.

    SLURM has ended that start, wherever it ran.
    """
    job = os.environ.get("SLURM_JOB_ID", "")
    if not job or holder.get("slurm_job") != job:
        return False
    return bool(holder.get("slurm_restart", 0) < _restarts())


def read_holder(attempt: Path) -> dict[str, Any] | None:
    """Read ``holder.json`` of an attempt. None while it is not there."""
    try:
        holder = json.loads((attempt / "holder.json").read_bytes())
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def silent(attempt: Path, patience: float) -> bool:
    """Watch the heartbeat: return True when it did not move, False as soon as it does.

    Looks are counted, not time: when holder and observer are stopped and continued together, the
    holder has time to beat.

    Args:
        attempt: the folder of the attempt.
        patience: how many seconds to watch.
    """
    first = _beat_and_holder(attempt)
    looks = max(10, math.ceil(patience / LOOK_S))
    for _ in range(looks):
        time.sleep(patience / looks)
        if _beat_and_holder(attempt) != first:
            return False
    return True


def beat(count: int) -> bytes:
    """Return the content of a heartbeat file, which is always of the same length."""
    return f"{count:020d}\n".encode()


class Heartbeat:
    """A thread that counts up the file ``heartbeat`` of an attempt until ``stop``."""

    def __init__(self, attempt: Path, interval: float = HEARTBEAT_S) -> None:
        self._path = attempt / "heartbeat"
        self._interval = interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        count = 0
        while True:
            count += 1
            # A full disk must not end the run here: the next checkpoint reports it.
            with suppress(OSError):
                _overwrite(self._path, beat(count))
            if self._stop.wait(self._interval):
                return


def _beat_and_holder(attempt: Path) -> str:
    return _read(str(attempt / "heartbeat")) + _read(str(attempt / "holder.json"))


def _overwrite(path: Path, content: bytes) -> None:
    """Write a file in place, so that a full disk does not matter after the first time."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o666)
    try:
        os.write(file, content)
    finally:
        os.close(file)


def _is_here(holder: dict[str, Any]) -> bool:
    """Check whether a holder ran in this boot and process namespace."""
    for key, value in _boot_and_namespace(os.getpid()).items():
        if not value or holder.get(key) != value:
            return False
    return True


def _is_gone(pid: int, started: str) -> bool:
    """Check whether the process that began at ``started`` is over.

    A process that is hidden from this user is not.
    """
    start = _start_ticks(pid)
    if start:
        return start != started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def _start_ticks(pid: int) -> str:
    """Read when a process started, in clock ticks since boot.

    '' when it is gone, a zombie or hidden (``hidepid``).
    """
    # The name of the program, in parentheses, may hold blanks and parentheses.
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in "ZX":
        return ""
    return fields[19]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _read_link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
