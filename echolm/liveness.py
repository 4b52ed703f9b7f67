"""Who holds an attempt, and whether that process is known to be gone.

A holder is *known dead* when it ran in this boot and process namespace of this host and its process is gone, or when
it was an earlier start of the SLURM job that asks. Otherwise only its heartbeat tells: a counter that the observer
watches on its own clock, because clocks of cluster nodes disagree.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

HEARTBEAT_S = 5.0
"""Seconds between two beats."""
PATIENCE_S = 60.0
"""Seconds without a beat after which a holder is taken to be gone."""


def describe_self() -> dict[str, Any]:
    """This process as a holder: host, boot, process namespace, pid and its start, SLURM job and restart count."""
    return {
        "host": socket.gethostname(),
        **_place(os.getpid()),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
        "slurm_job": os.environ.get("SLURM_JOB_ID", ""),
        "slurm_restart": _restarts(),
    }


def _restarts() -> int:
    return int(os.environ.get("SLURM_RESTART_COUNT", "0") or 0)


@lru_cache(maxsize=1)
def _place(pid: int) -> dict[str, str]:
    """Boot and process namespace of this process: what it keeps for as long as it lives."""
    return {"boot": _read("/proc/sys/kernel/random/boot_id"), "namespace": _link("/proc/self/ns/pid")}


def known_dead(attempt: Path) -> bool:
    """Whether the holder of an attempt folder is certainly gone, without waiting."""
    return presence(attempt) == "dead"


def presence(attempt: Path) -> Literal["dead", "here", "unseen"]:
    """Of the holder of an attempt folder, without waiting: certainly gone, running where this process sees it, or neither."""
    holder = read_holder(attempt)
    if holder is None:
        return "unseen"
    if earlier_start(holder):
        return "dead"
    if not _is_here(holder):
        return "unseen"
    return "dead" if _gone(holder["pid"], holder["started"]) else "here"


def earlier_start(holder: dict[str, Any]) -> bool:
    """Whether a holder was an earlier start of the SLURM job that this process belongs to: SLURM has ended it, wherever it ran."""
    job = os.environ.get("SLURM_JOB_ID", "")
    return bool(job) and holder.get("slurm_job") == job and holder.get("slurm_restart", 0) < _restarts()


def read_holder(attempt: Path) -> dict[str, Any] | None:
    """``holder.json`` of an attempt, or None while it is not there."""
    try:
        holder = json.loads((attempt / "holder.json").read_bytes())
    except (OSError, ValueError):
        return None
    return holder if isinstance(holder, dict) else None


def silent(attempt: Path, patience: float) -> bool:
    """Watch the heartbeat for up to ``patience`` seconds: True when it did not move, False as soon as it does.

    Looks are counted, not time: when holder and observer are stopped and continued together, the holder has time to beat.
    """
    first = _beat(attempt)
    looks = max(10, math.ceil(patience / 0.2))
    for _ in range(looks):
        time.sleep(patience / looks)
        if _beat(attempt) != first:
            return False
    return True


def beat(count: int) -> bytes:
    """The content of a heartbeat file: always of the same length."""
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
            try:
                _overwrite(self._path, beat(count))
            except OSError:
                pass  # a full disk must not end the run here; the next checkpoint reports it
            if self._stop.wait(self._interval):
                return


def _beat(attempt: Path) -> str:
    return _read(str(attempt / "heartbeat")) + _read(str(attempt / "holder.json"))


def _overwrite(path: Path, content: bytes) -> None:
    """In place, so that a full disk does not matter after the first time."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.write(file, content)
    finally:
        os.close(file)


def _is_here(holder: dict[str, Any]) -> bool:
    """Whether a holder ran in this boot and process namespace."""
    return all(own and holder.get(key) == own for key, own in _place(os.getpid()).items())


def _gone(pid: int, started: str) -> bool:
    """Whether the process that began at ``started`` is over; a process that is hidden from this user is not."""
    if now := _started(pid):
        return now != started
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return True


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot, '' when it is gone, a zombie or hidden (``hidepid``)."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return "" if len(fields) < 20 or fields[0] in "ZX" else fields[19]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
