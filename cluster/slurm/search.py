"""Run the workers of a search as SLURM jobs: an array of independent tasks on one study.

Each task is ``grid.search.worker.run_worker``. The command returns after submission. A job that is
warned of its time limit, preempted or killed starts again and finds its trial in the study and the
records. Typing the command again submits workers for what is left, unless the same error ends them
again and again (``cluster.slurm.search_ends``).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.batch import JobBatch, new_batch_name
from cluster.code import pin
from cluster.failures import CLASSES
from cluster.profile import Profile, load_profile
from cluster.search_request import Workers
from cluster.slurm.job.requeue import LINGER_S, requeue_this_job
from cluster.slurm.search_ends import FailedWorker, SubmittedWorkers, note_end
from cluster.slurm.submit.arrays import Array, Room, cut
from cluster.slurm.submit.executor import SlurmExecutor, max_array_size
from cluster.slurm.submit.queue import QueuedJob, ask_squeue
from cluster.slurm.submit.sbatch import parameters
from echolm.arithmetic import Arithmetic
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.record import RunRecord
from echolm.states import FailureClass
from echolm.text import counted
from grid.units import Resources


@dataclass(frozen=True)
class SearchWork:
    """What submitit pickles: paths and plain values alone."""

    folder: str
    trials: int
    threads: int
    batch: str = ""
    arithmetic: Arithmetic = Arithmetic()

    def __call__(self, number: int = 0) -> str:
        """Work until nothing is left.

        When a signal stops it, SLURM is asked to start this job again, but not when no trial has
        moved since its start: it would be so again.
        """
        import torch

        from echolm.training.cohorts import Compute
        from grid.search.worker import run_worker

        torch.set_num_threads(self.threads)
        folder, batch = Path(self.folder), Path(self.batch)
        progress = _progress(folder)
        compute = Compute(arithmetic=self.arithmetic)
        if run_worker(folder, self.trials, "auto", compute):
            note_end(batch)
            return "nothing is left to do"
        if _progress(folder) != progress:
            requeue_this_job(batch)
        print(
            "stopped by a signal; no trial has moved, so this job is not started again",
            file=sys.stderr,
            flush=True,
        )
        time.sleep(LINGER_S)
        return "stopped"

    def checkpoint(self, number: int = 0) -> Any:
        """Return what starts again after a warning before the worker's own handlers are there."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)


def _progress(folder: Path) -> dict[str, str]:
    """Return how far each trial is, by its record.

    It changes with every step that was kept, and with every trial that ends. A trial that has kept
    no step yet is left out.
    """
    progress = {}
    for path in sorted((folder / "runs").glob("*/*")):
        if (path / "summary.json").exists():
            progress[str(path)] = "complete"
        elif path.is_dir():
            checkpoint = RunRecord(path).checkpoint_position()
            if checkpoint != (0, 0):
                progress[str(path)] = str(checkpoint)
    return progress


def run_slurm(workers: Workers) -> str:
    """Submit as many workers as are asked for, have room and are not there yet.

    Returns:
        '': no signal stopped it. See ``cluster.search.start_workers``.

    Raises:
        EchoLMError: earlier workers ended by one error, again and again, or SLURM does not answer,
            refuses, or has no room.
    """
    if workers.profile is None:
        raise EchoLMError(
            "--on slurm needs a site profile: --profile FILE or ECHOLM_PROFILE; to begin one, save"
            " what this prints",
            Command("cluster example"),
        )
    profile = load_profile(workers.profile)
    jobs = workers.folder / "jobs"
    queued = ask_squeue()
    submitted = SubmittedWorkers(jobs, f"search-{workers.folder.name}", queued)
    if workers.again:
        submitted.forgive()
    if failed := submitted.failed():
        _complain(failed)
    alive = len(submitted.alive)
    asked_for = workers.count or min(workers.trials, profile.jobs_at_once)
    allowed = min(asked_for, profile.jobs_at_once)
    missing = max(0, allowed - alive)
    room = Room(max_array_size(), _free_in_queue(profile, queued), missing)
    arrays = cut(missing, 1, room)
    count = sum(array.count for array in arrays)
    if missing and not count and not alive:
        raise EchoLMError(
            f"no worker can be submitted: submit_limit of {workers.profile} is "
            f"{profile.submit_limit}, and as many jobs wait or run; try again later"
        )
    sentences = []
    if alive:
        sentences.append(f"{counted(alive, 'worker')} in SLURM already")
    if arrays:
        ids = _submit(workers, profile, jobs, arrays)
        sentences.append(f"submitted {counted(count, 'worker')}: job {', '.join(ids)}")
    if workers.count > allowed:
        sentences.append(
            f"jobs_at_once of {workers.profile.name} allows {profile.jobs_at_once} of "
            f"{workers.count}"
        )
    if count < missing:
        sentences.append(
            f"{counted(missing - count, 'worker')} must wait for room (submit_limit "
            f"{profile.submit_limit}): type the command again"
        )
    print(f"{'; '.join(sentences)}; the trials so far: --show", file=sys.stderr)
    return ""


def _free_in_queue(profile: Profile, queued: list[QueuedJob]) -> int | None:
    """Return how many more jobs the user may have in the queue. None: no limit."""
    if profile.submit_limit is None:
        return None
    return max(0, profile.submit_limit - sum(job.alive for job in queued))


def _submit(workers: Workers, profile: Profile, jobs: Path, arrays: list[Array]) -> list[str]:
    """Submit one batch in these arrays. Return their job ids."""
    needs = Resources(
        gpus=workers.gpus,
        threads=max(workers.threads, profile.cpus_per_task),
        minutes=profile.time_minutes,
        precision=workers.arithmetic.precision,
        compile=workers.arithmetic.compile,
    )
    batch = JobBatch(
        path=jobs / new_batch_name(),
        workspace=workers.folder,
        grid=f"search-{workers.folder.name}",
        units=(),
        resources=needs,
        code=str(pin(workers.folder.parents[1] / "code")),
    )
    parameters(batch, profile)  # an impossible request is refused before anything is written
    batch.write(profile.work_dir)
    work = SearchWork(
        folder=str(workers.folder),
        trials=workers.trials,
        threads=workers.threads,
        batch=str(batch.path),
        arithmetic=workers.arithmetic,
    )
    executor = SlurmExecutor(profile)
    return [executor.submit(batch, array, work) for array in arrays]


def _complain(failed: list[FailedWorker]) -> None:
    """Say that workers failed.

    Raises:
        EchoLMError: the same error ended too many of them.
    """
    kinds = Counter(worker.kind for worker in failed)
    kind, times = kinds.most_common(1)[0]
    if times > CLASSES[FailureClass.LAUNCH].budget:
        last = [worker for worker in failed if worker.kind == kind][-1]
        raise EchoLMError(
            f"the same error ended {counted(times, 'worker')} of this search, and no more are "
            f"submitted: {last.words}; see {last.log}; when the cause is mended, type the command "
            "again with --retry"
        )
    last = failed[-1]
    print(
        f"{counted(len(failed), 'worker')} of this search failed, the last so: {last.words}; "
        f"see {last.log}",
        file=sys.stderr,
    )
