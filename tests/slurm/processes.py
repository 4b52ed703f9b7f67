"""The lab's processes: its daemons by pid file and name, the processes of its jobs by their
environment.
"""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil

DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd", "slurmstepd")


def environment(process: psutil.Process) -> dict[str, str]:
    """The environment it was started with; {} when it has ended."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def name(process: psutil.Process) -> str:
    """Its name; '' when it has ended or is a zombie."""
    try:
        return "" if process.status() == psutil.STATUS_ZOMBIE else process.name()
    except psutil.Error:
        return ""


def parent(process: psutil.Process) -> int | None:
    """The pid of its parent; None when it has ended."""
    try:
        return process.ppid()
    except psutil.Error:
        return None


def files(process: psutil.Process) -> list[Path]:
    """The regular files it has open; none when it has ended."""
    try:
        return [Path(file.path) for file in process.open_files()]
    except psutil.Error:
        return []


def daemon(pid_file: Path) -> psutil.Process | None:
    """The live process that a pid file means: its name is the file's, up to the first dot."""
    try:
        process = psutil.Process(int(pid_file.read_text(encoding="utf-8")))
    except (OSError, ValueError, psutil.Error):
        return None
    return process if name(process) == pid_file.name.split(".")[0] else None


def daemons(conf: Path) -> list[psutil.Process]:
    """Every daemon of a lab. A step daemon writes its title over its environment, and is known by
    the log that it has open.
    """
    here = [process for process in psutil.process_iter() if name(process) in DAEMONS]
    log = conf.parent.parent / "log"
    return [
        p
        for p in here
        if environment(p).get("SLURM_CONF") == str(conf)
        or any(file.parent == log for file in files(p))
    ]


def of_jobs(conf: Path) -> list[psutil.Process]:
    """Every process of a lab's jobs, step daemons left out."""
    found = []
    for process in psutil.process_iter():
        variables = environment(process)
        if (
            variables.get("SLURM_CONF") == str(conf)
            and "SLURM_JOB_ID" in variables
            and name(process) not in ("", *DAEMONS)
        ):
            found.append(process)
    return found


def suspend(found: list[psutil.Process]) -> None:
    """SIGSTOP."""
    _signal(found, signal.SIGSTOP)


def resume(found: list[psutil.Process]) -> None:
    """SIGCONT."""
    _signal(found, signal.SIGCONT)


def stop(found: list[psutil.Process], seconds: float = 10) -> None:
    """SIGTERM, and SIGKILL to those that are still there after so many seconds."""
    _signal(found, signal.SIGTERM)
    kill(_left(found, seconds))


def kill(found: list[psutil.Process]) -> None:
    """SIGKILL at one moment: all are stopped first, so that none sees another one end."""
    suspend(found)
    _signal(found, signal.SIGKILL)
    _left(found, 10)


def _left(found: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Those that have not ended after so many seconds. A zombie has ended: process 1 may be slow to
    bury it.
    """
    end = time.monotonic() + seconds
    while (left := [process for process in found if name(process)]) and time.monotonic() < end:
        time.sleep(0.02)
    return left


def _signal(found: list[psutil.Process], number: int) -> None:
    for process in found:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            pass
