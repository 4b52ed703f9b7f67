"""How a job that has stopped before its end lets SLURM start it again."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from cluster.slurm.commands import run

LOST = 75
"""Exit status of a job that lost a rank, or that SLURM did not end: try again (EX_TEMPFAIL)."""
LINGER_S = 600.0
"""Seconds to wait for SLURM to end a job that has stopped."""
ASKED = 6
"""How often a controller that does not answer is asked."""


def start_again(folder: Path) -> None:
    """Ask SLURM to start this job again, unless it is ending it (a cancelled job is not RUNNING any more), and wait for that.
    Where SLURM's commands do not work (in a container), the batch script asks: it finds a note in ``folder``, the batch's."""
    said = _requeue(_own_id())
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} scontrol requeue {_own_id()}: {said or 'the batch script does it'}", file=sys.stderr, flush=True)
    if said:
        time.sleep(LINGER_S)
    else:
        (folder / "again").mkdir(exist_ok=True)
        (folder / "again" / os.environ["SLURM_JOB_ID"]).touch()
    os._exit(LOST)


def _own_id() -> str:
    """This job's id, of an array with its index: one task of an array has the id of all, and would requeue them all."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ["SLURM_JOB_ID"]


def _requeue(job: str) -> str:
    """What SLURM said, or that there was nothing to ask for; '' when it cannot be asked."""
    for _ in range(ASKED):
        shown = run(["scontrol", "show", "job", "-o", job], 30)
        if shown.returncode == 0:
            running = "JobState=RUNNING" in shown.stdout
            return (run(["scontrol", "requeue", job]).stderr.strip() or "done") if running else "it is not running any more"
        if "cannot be run" in shown.stderr:
            return ""
        time.sleep(5)  # the controller may be starting
    return ""
