"""The SLURM executor: units become a batch, a batch becomes arrays, submitit submits them. It returns at once."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from cluster.batch import Batch, new_batch_path
from cluster.profile import Profile
from cluster.slurm import script
from cluster.slurm.arrays import Array, Room, cut, share
from cluster.slurm.commands import as_environment, run
from cluster.slurm.growth import lift, missing
from cluster.slurm.ledger import BatchView, look
from cluster.slurm.nodes import spared
from cluster.slurm.queue import ask_squeue
from cluster.slurm.work import Work
from echolm.errors import EchoLMError
from echolm.workspace import Workspace
from grid.plan import Job, Limits, Report


@dataclass
class SlurmExecutor:
    """Submits the units of a job that no live batch covers. ``code``: folder of the pinned code; ``exclude``: nodes to
    avoid, the last one to fail first (at most half of those that suit are); ``times``: patience and heartbeat of the jobs'
    attempts; ``views``: what has just been seen, else it looks."""

    profile: Profile
    code: str = ""
    exclude: tuple[str, ...] = ()
    times: dict[str, float] = field(default_factory=dict)
    views: Sequence[BatchView] | None = None
    _taken: int = 0
    """Slots that it has given away since it looked."""

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """See ``grid.plan.Executor``: returns the array job ids. ``limits.slots`` is the throttle over all arrays of the
        grid. Units that do not fit yet are left to the next launch.

        EchoLMError: sbatch refuses, with its words; arrays that were submitted before that are kept and listed.
        """
        views = look(Workspace(job.workspace), job.grid) if self.views is None else self.views
        covered = {cell for view in views for cell in view.covered()}
        units = tuple(unit for unit in job.units if not covered & set(unit.cells))
        per_job = share(len(units), self.profile.units_per_job, limits.slots)
        arrays = cut(len(units), per_job, self.room(views, limits))
        count = sum(array.count for array in arrays)
        if not count:
            return []
        units = units[: count * per_job]
        workspace = Workspace(job.workspace)
        batch = Batch(new_batch_path(workspace, job.grid), job.workspace, job.grid, units, job.resources, self.code, self.times)
        script.parameters(batch, self.profile)  # an impossible request is refused before anything is written
        batch.write(self.profile.work_dir)
        return [self._place(batch, array) for array in arrays]

    def grow(self, limits: Limits) -> list[str]:
        """Give batches that are there the slots that others have left: to arrays whose throttle is lower than it need be, then as
        jobs in place of those that ended before their units were done. The ids of new arrays."""
        views, ids = self.views or (), []
        free = self._free(views, limits)
        for view in views:
            free = lift(view, free)
        for view in views:
            if (count := missing(view)) and self._suits(view.batch):
                ids += [self._place(view.batch, array, more=True) for array in cut(count, 1, self.room(views, limits))]
        return ids

    def _suits(self, batch: Batch) -> bool:
        """Whether this profile has nodes for what an earlier launch asked for."""
        try:
            return bool(script.parameters(batch, self.profile))
        except EchoLMError:
            return False

    def _place(self, batch: Batch, array: Array, more: bool = False) -> str:
        id = self.submit(batch, array, Work(str(batch.path)), more)
        self._taken += array.at_once if self.views is not None else 0
        return id

    def room(self, views: Sequence[BatchView], limits: Limits) -> Room:
        """What SLURM takes now: after all jobs of this user, and, under the throttle, after those of this grid."""
        limit = self.profile.submit_limit
        queued = None if limit is None else max(0, limit - sum(job.alive for job in ask_squeue()))
        return Room(max_array_size(), queued, self._free(views, limits))

    def _free(self, views: Sequence[BatchView], limits: Limits) -> int:
        return max(0, limits.slots - sum(view.slots for view in views) - self._taken)

    def text(self, job: Job, array: Array) -> str:
        """The sbatch script of an array of this job's shape, as a dry run shows it. Nothing is written."""
        place = new_batch_path(Workspace(job.workspace), job.grid).with_name("BATCH")
        batch = Batch(place, job.workspace, job.grid, job.units, job.resources, self.code, self.times)
        with _submitit_for(self.profile, batch, make=False) as executor:
            executor.update_parameters(**self._parameters(batch, array))
            executor.parameters["map_count"] = array.count
            return str(executor._make_submission_file_text(executor._submitit_command_str, ""))

    def submit(self, batch: Batch, array: Array, work: Callable[[int], str], more: bool = False) -> str:
        """Submit one array of a batch, each task calling ``work``; its job id. EchoLMError: sbatch refuses."""
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        with _submitit_for(self.profile, batch) as executor:
            executor.update_parameters(**self._parameters(batch, array))
            try:
                with as_environment():
                    jobs = executor.map_array(work, range(array.count))
            except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
                said = re.sub(r"\s+", " ", str(error)).strip()
                raise EchoLMError(f"sbatch refused {array.count} jobs of {batch.path}: {said}; see: echolm cluster check PROFILE") from None
        id = str(jobs[0].job_id).partition("_")[0]
        batch.note_submitted(id, array.count, array.at_once, more=more)
        return id

    def _parameters(self, batch: Batch, array: Array) -> dict[str, Any]:
        needs = batch.resources
        shape = self.profile.shape(needs.gpus) if needs.gpus else self.profile.shape(ranks=needs.ranks)
        return script.parameters(batch, self.profile, spared(self.exclude, self.profile, shape.nodes), array)


@contextmanager
def _submitit_for(profile: Profile, batch: Batch, make: bool = True) -> Iterator[Any]:
    """submitit's executor for a batch."""
    import submitit

    folder = batch.path / "logs"
    if make:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield submitit.SlurmExecutor(folder, max_num_timeout=1_000_000, python=shlex.join(profile.command))
    except RuntimeError as error:
        if "srun" in str(error):
            raise EchoLMError("srun is not there: this is not a login node of a SLURM cluster, or its module is not loaded") from None
        raise


def max_array_size() -> int:
    """MaxArraySize of the cluster; 1001, SLURM's own default, when scontrol does not say."""
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", run(["scontrol", "show", "config"], 60).stdout, re.MULTILINE)
    return int(found[1]) if found else 1001

