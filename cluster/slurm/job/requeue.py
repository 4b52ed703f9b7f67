"""Let SLURM start a job again that has stopped before its end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from cluster.slurm.commands import run

TRY_AGAIN = 75
"""Exit status of a job that lost a rank, or that SLURM did not end (EX_TEMPFAIL)."""
LINGER_S = 600.0
"""Seconds to wait for SLURM to end a job that has stopped."""
ATTEMPTS = 6
"""How often a controller that does not answer is asked."""
PAUSE_S = 5.0
"""Seconds between two of these: the controller may be starting."""


def requeue_this_job(folder: Path) -> None:
    """Ask SLURM to start this job again, and wait until it ends this start.

    A job that SLURM is ending is not requeued: a cancelled job is not RUNNING any more. Where
    SLURM's commands do not work (in a container), the batch script asks: it finds a note in
    ``folder``, the batch's.
    """
    job = _this_job()
    answer = _requeue(job)
    stamp = time.strftime("%Y-%m-%d %H:%M:%S")
    line = f"{stamp} scontrol requeue {job}: {answer or 'the batch script does it'}"
    print(line, file=sys.stderr, flush=True)
    if answer:
        time.sleep(LINGER_S)
    else:
        (folder / "again").mkdir(exist_ok=True)
        (folder / "again" / os.environ["SLURM_JOB_ID"]).touch()
    os._exit(TRY_AGAIN)


def _this_job() -> str:
    """Return this job's id, of an array with its index.

    One task of an array has the id of all, and would requeue them all.
    """
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ["SLURM_JOB_ID"]


def _requeue(job: str) -> str:
    """Return what SLURM said, or that there was nothing to ask for. '' when it cannot be asked."""
    for _ in range(ATTEMPTS):
        shown = run(["scontrol", "show", "job", "-o", job], 30)
        if shown.returncode == 0:
            if "JobState=RUNNING" not in shown.stdout:
                return "it is not running any more"
            return run(["scontrol", "requeue", job]).stderr.strip() or "done"
        if "cannot be run" in shown.stderr:
            return ""
        time.sleep(PAUSE_S)
    return ""
