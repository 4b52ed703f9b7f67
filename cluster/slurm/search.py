"""The workers of a search as SLURM jobs: an array of independent tasks on one study, each ``grid.search.worker.run_worker``.

The command returns after submission. A job that is warned of its time limit, preempted or killed starts again and finds its
trial in the study and the records; typing the command again submits workers for what is left.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.batch import Batch, new_batch_name
from cluster.code import pin
from cluster.profile import load_profile
from cluster.search import Workers
from cluster.slurm.arrays import Array
from cluster.slurm.executor import SlurmExecutor
from cluster.slurm.queue import ask_squeue
from cluster.slurm.work import LOST
from echolm.errors import EchoLMError
from grid.plan import Resources


@dataclass(frozen=True)
class SearchWork:
    """What submitit pickles: paths alone."""

    folder: str
    trials: int
    threads: int

    def __call__(self, number: int = 0) -> str:
        """Work until nothing is left; when a signal stops it, ask SLURM to start this job again."""
        import torch

        from grid.search.worker import run_worker

        torch.set_num_threads(self.threads)
        if run_worker(Path(self.folder), self.trials, "auto"):
            return "nothing is left to do"
        _again()
        return "stopped"

    def checkpoint(self, number: int = 0) -> Any:
        """For a warning that comes before the worker's own handlers are there."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)


def _again() -> None:
    """Requeue this job, unless SLURM is ending it (a cancelled job is not RUNNING any more), and wait for the end."""
    job = os.environ["SLURM_JOB_ID"]
    shown = subprocess.run(["scontrol", "show", "job", "-o", job], capture_output=True, text=True).stdout
    if "JobState=RUNNING" in shown:
        subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True)
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} stopped by a signal", file=sys.stderr, flush=True)
    time.sleep(600)
    os._exit(LOST)


def run_slurm(workers: Workers) -> str:
    """See ``cluster.search.start_workers``: submits as many workers as are asked for and not there yet; returns ''."""
    if workers.profile is None:
        raise EchoLMError("--on slurm needs a site profile: --profile FILE or ECHOLM_PROFILE; to begin one: echolm cluster example > site.yaml")
    profile = load_profile(workers.profile)
    jobs = workers.folder / "jobs"
    known = {array["job"] for path in jobs.glob("*/batch.json") for array in Batch.read(path.parent).submitted()}
    alive = sum(job.array in known and job.alive and job.name == f"echolm-search-{workers.folder.name}" for job in ask_squeue()) if known else 0
    count = workers.count - alive
    if count > 0:
        threads = max(workers.threads, profile.cpus_per_task)
        needs = Resources(workers.gpus, 1, threads, None, profile.time_minutes)
        batch = Batch(jobs / new_batch_name(), workers.folder, f"search-{workers.folder.name}", (), needs, str(pin(workers.folder.parents[1] / "code")))
        batch.write(profile.work_dir)
        id = SlurmExecutor(profile).submit(batch, Array(count, count), SearchWork(str(workers.folder), workers.trials, workers.threads))
        print(f"submitted {count} workers: job {id}; the trials so far: --show", file=sys.stderr)
    else:
        print(f"{alive} workers are in SLURM already; the trials so far: --show", file=sys.stderr)
    return ""
