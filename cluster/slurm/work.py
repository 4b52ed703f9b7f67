"""What submitit pickles: a folder's name. Whoever requeues the job and with whichever pickle, it finds its state in the
records. Imports stay inside: this module is loaded before submitit has set its signal handlers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LOST = 75
"""Exit status of a job that lost a rank, or that SLURM did not end: try again (EX_TEMPFAIL)."""
LINGER_S = 600.0
"""Seconds to wait for SLURM to end a job that has stopped."""


def start_again(folder: Path) -> None:
    """Ask SLURM to start this job again, unless it is ending it (a cancelled job is not RUNNING any more), and wait for that.
    Where SLURM's commands are not there (in a container), the batch script asks: it finds a note in ``folder``, the batch's."""
    job = os.environ["SLURM_JOB_ID"]
    try:
        running = "JobState=RUNNING" in _scontrol("show", "job", "-o", job).stdout
        said = _scontrol("requeue", job).stderr.strip() or "done" if running else "it is not running any more"
    except OSError:
        (folder / "again").mkdir(exist_ok=True)
        (folder / "again" / job).touch()
        said = "there is no scontrol here, so the batch script does it"
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} scontrol requeue {job}: {said}", file=sys.stderr, flush=True)
    if not (folder / "again" / job).exists():
        time.sleep(LINGER_S)
    os._exit(LOST)


def _scontrol(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["scontrol", *words], capture_output=True, text=True)


@dataclass(frozen=True)
class Work:
    """The callable of every task of every job of a batch."""

    folder: str

    def __call__(self, number: int = 0) -> str:
        """Run the job; why it ended, in words. ``number``: the array's index, which says nothing here."""
        from cluster.slurm.body import run_job

        return run_job(Path(self.folder))

    def checkpoint(self, number: int = 0) -> Any:
        """What submitit starts again after a warning that came before the job's own handlers were there."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)
