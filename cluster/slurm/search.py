"""The workers of a search as SLURM jobs: an array of independent tasks on one study, each ``grid.search.worker.run_worker``.

The command returns after submission. A job that is warned of its time limit, preempted or killed starts again and finds its
trial in the study and the records; typing the command again submits workers for what is left, unless the same error ends
them again and again (``cluster.slurm.search_ends``).
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.batch import Batch, new_batch_name
from cluster.code import pin
from cluster.failures import CLASSES
from cluster.profile import Profile, load_profile
from cluster.search import Workers
from cluster.slurm.again import LINGER_S, start_again
from cluster.slurm.arrays import Array, Room, cut
from cluster.slurm.executor import SlurmExecutor, max_array_size
from cluster.slurm.queue import ask_squeue
from cluster.slurm.script import parameters
from cluster.slurm.search_ends import Dead, Sent, note_end
from echolm.errors import EchoLMError
from echolm.record import RunRecord
from grid.plan import Resources


@dataclass(frozen=True)
class SearchWork:
    """What submitit pickles: paths alone."""

    folder: str
    trials: int
    threads: int
    batch: str = ""

    def __call__(self, number: int = 0) -> str:
        """Work until nothing is left; when a signal stops it, ask SLURM to start this job again, but not when no trial has moved
        since its start: it would be so again."""
        import torch

        from grid.search.worker import run_worker

        torch.set_num_threads(self.threads)
        folder, batch = Path(self.folder), Path(self.batch)
        stood = _stood(folder)
        if run_worker(folder, self.trials, "auto"):
            note_end(batch)
            return "nothing is left to do"
        if _stood(folder) != stood:
            start_again(batch)
        print("stopped by a signal; no trial has moved, so this job is not started again", file=sys.stderr, flush=True)
        time.sleep(LINGER_S)
        return "stopped"

    def checkpoint(self, number: int = 0) -> Any:
        """For a warning that comes before the worker's own handlers are there."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)


def _stood(folder: Path) -> list[tuple[str, str]]:
    """How far each trial is: changes with every step that was kept, and with every trial that ends."""
    records = [RunRecord(path) for path in sorted((folder / "runs").glob("*/*")) if path.is_dir()]
    found = [(str(record.path), "complete" if (record.path / "summary.json").exists() else str(record.place())) for record in records]
    return [where for where in found if where[1] != "(0, 0)"]


def run_slurm(workers: Workers) -> str:
    """See ``cluster.search.start_workers``: submits as many workers as are asked for, have room and are not there yet; returns ''.

    EchoLMError: earlier workers ended by one error, again and again; SLURM does not answer, refuses, or has no room.
    """
    if workers.profile is None:
        raise EchoLMError("--on slurm needs a site profile: --profile FILE or ECHOLM_PROFILE; to begin one: echolm cluster example > site.yaml")
    profile, jobs = load_profile(workers.profile), workers.folder / "jobs"
    queued = ask_squeue()
    sent = Sent(jobs, f"search-{workers.folder.name}", queued)
    if workers.again:
        sent.forgive()
    if dead := sent.failed():
        _complain(dead)
    wanted = min(workers.count or min(workers.trials, profile.jobs_at_once), profile.jobs_at_once)
    free = None if profile.submit_limit is None else max(0, profile.submit_limit - sum(job.alive for job in queued))
    missing = max(0, wanted - len(sent.alive))
    arrays = cut(missing, 1, Room(max_array_size(), free, missing))
    count = sum(array.count for array in arrays)
    if missing and not count and not sent.alive:
        raise EchoLMError(f"no worker can be submitted: submit_limit of {workers.profile} is {profile.submit_limit}, and as many jobs wait or run; try again later")
    ids = _submit(workers, profile, jobs, arrays) if arrays else []
    said = [f"{_number(len(sent.alive))} in SLURM already"] if sent.alive else []
    said += [f"submitted {_number(count)}: job {', '.join(ids)}"] if ids else []
    said += [f"jobs_at_once of {workers.profile.name} allows {profile.jobs_at_once} of {workers.count}"] if workers.count > wanted else []
    said += [f"{_number(missing - count)} must wait for room (submit_limit {profile.submit_limit}): type the command again"] if count < missing else []
    print(f"{'; '.join(said)}; the trials so far: --show", file=sys.stderr)
    return ""


def _submit(workers: Workers, profile: Profile, jobs: Path, arrays: list[Array]) -> list[str]:
    """One batch in these arrays; their job ids."""
    threads = max(workers.threads, profile.cpus_per_task)
    needs = Resources(workers.gpus, 1, threads, None, profile.time_minutes)
    batch = Batch(jobs / new_batch_name(), workers.folder, f"search-{workers.folder.name}", (), needs, str(pin(workers.folder.parents[1] / "code")))
    parameters(batch, profile)  # an impossible request is refused before anything is written
    batch.write(profile.work_dir)
    work = SearchWork(str(workers.folder), workers.trials, workers.threads, str(batch.path))
    return [SlurmExecutor(profile).submit(batch, array, work) for array in arrays]


def _complain(dead: list[Dead]) -> None:
    """Say that workers failed. EchoLMError when the same ended too many of them."""
    kinds = Counter(worker.kind for worker in dead)
    kind, times = kinds.most_common(1)[0]
    last = next(worker for worker in reversed(dead) if worker.kind == kind)
    if times > CLASSES["launch"].budget:
        raise EchoLMError(
            f"the same error ended {_number(times)} of this search, and no more are submitted: {last.words}; see {last.log};"
            " when the cause is mended, type the command again with --retry"
        )
    print(f"{_number(len(dead))} of this search failed, the last so: {dead[-1].words}; see {dead[-1].log}", file=sys.stderr)


def _number(workers: int) -> str:
    return f"{workers} worker{'' if workers == 1 else 's'}"
