"""Submit units to SLURM: they become a batch, a batch becomes arrays, submitit submits them.

It returns at once.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.batch import JobBatch, new_batch_path
from cluster.profile import Profile
from cluster.slurm.commands import as_environment, run
from cluster.slurm.job.callable import BatchCallable
from cluster.slurm.submit import sbatch
from cluster.slurm.submit.arrays import Array, Room, cut, share
from cluster.slurm.submit.ledger import BatchView, query_jobs
from cluster.slurm.submit.nodes import nodes_to_exclude
from cluster.slurm.submit.queue import ask_squeue, find_unanswered
from cluster.slurm.submit.top_up import jobs_to_add, raise_throttles
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.outages import lost_workspace
from echolm.workspace import Workspace
from grid.units import Job, Limits, Report, Unit

MOST_TIMEOUTS = 1_000_000
"""How often submitit lets a job start again: more than will ever be. Budgets are ours."""


@dataclass
class SlurmExecutor:
    """Submits the units of a job that no live batch covers.

    Attributes:
        profile: the site's profile.
        code: the folder of the pinned code.
        exclude: nodes to avoid, the last one to fail first. At most half of those that suit are.
        times: patience and heartbeat of the jobs' attempts.
        views: what has just been seen. None: it looks itself.
        offline: there is no SLURM to ask. For dry runs alone.
        elsewhere: cell -> the job of another grid that trains it.
    """

    profile: Profile
    code: str = ""
    exclude: tuple[str, ...] = ()
    times: dict[str, float] = field(default_factory=dict)
    views: Sequence[BatchView] | None = None
    offline: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    _taken: int = 0
    """Slots that it has given away since it looked."""
    _placed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Cell -> the arrays that it has submitted for it."""
    _lent: dict[str, int] = field(default_factory=dict)
    """Array -> how many of its slots have gone to arrays that begin after it."""
    _slots: dict[str, int] = field(default_factory=dict)
    """Array that it has submitted -> how many of its jobs may run at once."""

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """Submit units and return the array job ids. See ``grid.units.Executor``.

        ``limits.slots`` is the throttle over all arrays of the grid. Units that do not fit yet are
        left to the next launch. So are those that begin from cells which had no room.

        Raises:
            EchoLMError: sbatch refuses, with its words. Arrays that were submitted before that are
                kept and listed.
        """
        views = self.views
        if views is None:
            views = query_jobs(Workspace(job.workspace), job.grid)
        units = self.to_place(job, views)
        after = self.arrays_before(units, views) if job.after else ()
        per_job = share(len(units), self.profile.units_per_job, slots_of(job, limits))
        arrays = cut(len(units), per_job, self.room_of(job, after, self.room(views, limits)))
        count = sum(array.count for array in arrays)
        if not count:
            return []
        path = new_batch_path(Workspace(job.workspace), job.grid)
        batch = JobBatch(
            path=path,
            workspace=job.workspace,
            grid=job.grid,
            units=units[: count * per_job],
            resources=job.resources,
            code=self.code,
            times=self.times,
        )
        # an impossible request is refused before anything is written
        sbatch.parameters(batch, self.profile)
        batch.write(self.profile.work_dir)
        ids = [self._submit_units(batch, array, after=after) for array in arrays]
        self.note_placed(batch.units, dict(zip(ids, arrays, strict=True)))
        return ids

    def to_place(self, job: Job, views: Sequence[BatchView]) -> tuple[Unit, ...]:
        """Return the units of a job that no live batch covers.

        Of those that begin from other cells, only these for whose cells there are jobs.
        """
        units = _uncovered(job.units, views)
        if not job.after:
            return units
        arrays_of_cell = self._arrays_of_cells(views)
        return tuple(unit for unit in units if all(cell in arrays_of_cell for cell in unit.after))

    def arrays_before(self, units: Sequence[Unit], views: Sequence[BatchView]) -> tuple[str, ...]:
        """Return the arrays, or jobs, that train what units begin from."""
        arrays_of_cell = self._arrays_of_cells(views)
        ids: dict[str, None] = {}
        for unit in units:
            for cell in unit.after:
                ids.update(dict.fromkeys(arrays_of_cell[cell]))
        return tuple(ids)

    def room_of(self, job: Job, after: Sequence[str], room: Room) -> Room:
        """Return the room for the arrays of a job.

        Those that begin after others get the slots of these: they do not run at the same time.
        """
        at_once = room.at_once
        if after:
            for array in after:
                at_once += self._slots.get(array, 0) - self._lent.get(array, 0)
                self._lent[array] = self._slots.get(array, 0)
            at_once = max(1, at_once)
        if job.slots is not None:
            at_once = min(at_once, job.slots)
        return replace(room, at_once=at_once)

    def note_placed(self, units: Sequence[Unit], arrays: Mapping[str, Array]) -> None:
        """Note which arrays, by their ids, train units from now on."""
        for unit in units:
            self._placed.update(dict.fromkeys(unit.cells, tuple(arrays)))
        for id, array in arrays.items():
            self._slots[id] = array.at_once

    def _arrays_of_cells(self, views: Sequence[BatchView]) -> dict[str, tuple[str, ...]]:
        """Return the arrays and jobs that train a cell, by the cell."""
        found: dict[str, tuple[str, ...]] = {}
        for cell, job in self.elsewhere.items():
            found[cell] = (job,)
        for view in views:
            arrays = []
            for array, alive in view.arrays:
                if alive:
                    arrays.append(array.job)
                    self._slots.setdefault(array.job, min(alive, array.at_once))
            found.update(dict.fromkeys(view.covered(), tuple(arrays)))
        return found | self._placed

    def grow(self, limits: Limits) -> list[str]:
        """Give batches that are there the slots that others have left.

        Arrays whose throttle is lower than it need be get them first. The rest goes to jobs in
        place of those that ended before their units were done.

        Returns:
            The ids of new arrays.
        """
        views = self.views or ()
        slots = self._free_slots(views, limits)
        for view in views:
            slots = raise_throttles(view, slots)
        ids: list[str] = []
        for view in views:
            count = jobs_to_add(view)
            if not count or not self._suits(view.batch):
                continue
            for array in cut(count, 1, self.room(views, limits)):
                ids.append(self._submit_units(view.batch, array, more=True))
        return ids

    def room(self, views: Sequence[BatchView], limits: Limits) -> Room:
        """Return what SLURM takes now.

        All jobs of this user count for the queue, and those of this grid for the throttle.
        """
        queued = None
        if self.profile.submit_limit is not None:
            alive = 0 if self.offline else sum(job.alive for job in ask_squeue())
            queued = max(0, self.profile.submit_limit - alive)
        return Room(max_array_size(), queued, self._free_slots(views, limits))

    def text(self, job: Job, array: Array, after: Sequence[str] = ()) -> str:
        """Return the sbatch script of an array of this job's shape, as a dry run shows it.

        Nothing is written.
        """
        path = new_batch_path(Workspace(job.workspace), job.grid).with_name("BATCH")
        batch = JobBatch(
            path=path,
            workspace=job.workspace,
            grid=job.grid,
            units=job.units,
            resources=job.resources,
            code=self.code,
            times=self.times,
        )
        with _submitit_for(self.profile, batch, for_real=False) as executor:
            executor.update_parameters(**self._parameters(batch, array, after))
            executor.parameters["map_count"] = array.count
            return str(executor._make_submission_file_text(executor._submitit_command_str, ""))

    def submit(
        self,
        batch: JobBatch,
        array: Array,
        work: Callable[[int], str],
        more: bool = False,
        after: Sequence[str] = (),
    ) -> str:
        """Submit one array of a batch and return its job id.

        Args:
            batch: the batch, which has been written.
            array: its size and throttle.
            work: what each task calls.
            more: its jobs come in place of others.
            after: the arrays that have to end before it begins.

        Raises:
            EchoLMError: sbatch refuses.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        with _submitit_for(self.profile, batch) as executor:
            executor.update_parameters(**self._parameters(batch, array, after))
            _write_work(batch, work)
            try:
                with as_environment():
                    jobs = executor.map_array(work, range(array.count))
                id = str(jobs[0].job_id).partition("_")[0]
            except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
                said = re.sub(r"\s+", " ", str(error)).strip()
                noted = {noted["job"] for noted in batch.submitted()}
                id = find_unanswered(said, batch.name, noted)
                if not id:
                    raise EchoLMError(
                        f"sbatch refused {array.count} jobs of {batch.path}: {said}; see",
                        Command("cluster check", "PROFILE"),
                    ) from None
            except OSError:
                _leave_empty(batch)
                raise
        batch.note_submitted(id, array.count, array.at_once, more=more)
        return id

    def _submit_units(
        self, batch: JobBatch, array: Array, more: bool = False, after: Sequence[str] = ()
    ) -> str:
        id = self.submit(batch, array, BatchCallable(str(batch.path)), more, after)
        if self.views is not None and not after:  # else it looks again before the next array
            self._taken += array.at_once
        return id

    def _suits(self, batch: JobBatch) -> bool:
        """Tell whether this profile has nodes for what an earlier launch asked for."""
        try:
            sbatch.parameters(batch, self.profile)
        except EchoLMError:
            return False
        return True

    def _free_slots(self, views: Sequence[BatchView], limits: Limits) -> int:
        return max(0, limits.slots - sum(view.slots for view in views) - self._taken)

    def _parameters(
        self, batch: JobBatch, array: Array, after: Sequence[str] = ()
    ) -> dict[str, Any]:
        needs = batch.resources
        if needs.gpus:
            shape = self.profile.shape(needs.gpus)
        else:
            shape = self.profile.shape(ranks=needs.ranks)
        exclude = nodes_to_exclude(self.exclude, self.profile, shape.nodes)
        return sbatch.parameters(batch, self.profile, exclude, array, after)


def slots_of(job: Job, limits: Limits) -> int:
    """Return how many jobs of one shape may run at once."""
    return limits.slots if job.slots is None else min(limits.slots, job.slots)


def _uncovered(units: Sequence[Unit], views: Sequence[BatchView]) -> tuple[Unit, ...]:
    """Return the units of which no live batch covers a cell."""
    covered: set[str] = set()
    for view in views:
        covered |= view.covered()
    return tuple(unit for unit in units if covered.isdisjoint(unit.cells))


def _leave_empty(batch: JobBatch) -> None:
    """Remove the empty folders of a batch from the mount point of a workspace that is away.

    submitit makes its folder again when it is not there.
    """
    folder = batch.path / "logs"
    if not lost_workspace(folder):
        return
    with suppress(OSError):  # one that is not empty, or not there
        while folder != batch.workspace:
            folder.rmdir()
            folder = folder.parent


def _write_work(batch: JobBatch, work: Callable[[int], str]) -> None:
    """Write what every job of a batch calls, for jobs whose own file was never named.

    submitit names a file for each job once it knows the array's id. Where sbatch's answer was lost,
    or the launch was killed before it, the batch script links this one (``sbatch.setup``).
    """
    from submitit.helpers import DelayedSubmission

    path = batch.path / sbatch.WORK
    if path.exists():
        return
    delayed = DelayedSubmission(work, 0)
    delayed.set_timeout(batch.resources.minutes, MOST_TIMEOUTS)
    unnamed = path.with_name(f".{path.name}.tmp")
    delayed.dump(unnamed)
    unnamed.rename(path)


@contextmanager
def _submitit_for(profile: Profile, batch: JobBatch, for_real: bool = True) -> Iterator[Any]:
    """Make submitit's executor for a batch.

    Args:
        profile: the site's profile.
        batch: the batch.
        for_real: whether to make the folder of its logs, and to insist on a SLURM that is here.
    """
    import submitit

    class WithoutSlurm(submitit.SlurmExecutor):  # type: ignore[misc]
        """Writes scripts on a machine that has no SLURM."""

        @classmethod
        def affinity(cls) -> int:
            """Claim to be on a cluster."""
            return 2

    folder = batch.path / "logs"
    if for_real:
        folder.mkdir(exist_ok=True)
    make = submitit.SlurmExecutor if for_real else WithoutSlurm
    python = shlex.join(profile.command)
    try:
        yield make(folder, max_num_timeout=MOST_TIMEOUTS, python=python)
    except RuntimeError as error:
        if "srun" in str(error):
            raise EchoLMError(
                "srun is not there: this is not a login node of a SLURM cluster, or its module is "
                "not loaded"
            ) from None
        raise


def max_array_size() -> int:
    """Return MaxArraySize of the cluster: 1001, SLURM's own default, when scontrol is silent."""
    config = run(["scontrol", "show", "config"], 60).stdout
    line = re.search(r"^MaxArraySize\s*=\s*(\d+)", config, re.MULTILINE)
    return int(line[1]) if line else 1001
