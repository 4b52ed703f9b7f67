"""A grid on a SLURM site: look at it, submit what is missing, and do so again and again."""

from __future__ import annotations

import io
import re
import shutil
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from functools import cache

from cluster.batch import batches
from cluster.disk import DiskForecast, cells_at_once, forecast_disk
from cluster.failures import JobFailure
from cluster.forecast import Forecast
from cluster.place import LaunchNews, LaunchOptions, LaunchResult, Place, may_write
from cluster.profile import Profile, load_profile
from cluster.slurm.submit.ended_jobs import record_ended_jobs
from cluster.slurm.submit.executor import SlurmExecutor
from cluster.slurm.submit.ledger import Ask, BatchView, discard_refused, query_jobs
from cluster.slurm.submit.lock import submission_lock
from cluster.slurm.submit.plan import Shape, Submission, plan
from cluster.slurm.submit.preview import assume_inputs, forecast_plan
from cluster.slurm.submit.queue import ask_squeue
from cluster.slurm.submit.sbatch import refuse_percent
from cluster.stages import refuse_unkept
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.kept_weights import Keep
from echolm.outages import OutageError, limit_s, lost_workspace, mark_workspace
from echolm.states import RunState, Standing
from echolm.text import counted
from echolm.training.signals import StopRequest
from echolm.workspace import Workspace
from grid.definition.grid import Cell, Grid
from grid.definition.schema import BlockResources
from grid.plan import CellStatus, cell_statuses, cells_with_own, save_cells
from grid.units import Limits, Resources

_BATCH_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
"""A batch's name: each submission has another."""


@dataclass(frozen=True)
class LaunchStep:
    """One look at a grid on SLURM, and what was submitted after it.

    Attributes:
        statuses: where the cells stand.
        plan: what was to be submitted.
        failures: job failures that were new.
        arrays: ids of the arrays that were submitted.
        more_arrays: ids of arrays with more jobs for what was submitted before.
        placed: how many cells ``arrays`` cover.
        away: what is not there that was there at an earlier look, in words, or ''. The cells wait.
    """

    statuses: list[CellStatus]
    plan: Submission
    failures: list[JobFailure]
    arrays: list[str]
    more_arrays: list[str]
    placed: int
    away: str = ""

    @property
    def over(self) -> bool:
        """Whether nothing runs, waits or can be submitted any more."""
        if self.plan.stop:
            return True
        if self.away:
            return False
        return not (self.arrays or self.plan.covered or self.plan.jobs)


@dataclass(frozen=True)
class LaunchPreview:
    """What a look finds: where the cells stand, their jobs, what a launch would do and cost.

    Attributes:
        assumed: what is taken for granted, in sentences.
        assumed_cells: cells whose data or weights are not here.
        offline: whether there is no SLURM here to ask.
        with_gpu: the forecast with one GPU a unit, where none was asked for and the partition has
            some.
        disk: what it would write.
    """

    statuses: list[CellStatus]
    views: list[BatchView]
    plan: Submission
    forecast: Forecast
    disk: DiskForecast
    assumed: list[str] = field(default_factory=list)
    assumed_cells: frozenset[str] = frozenset()
    offline: bool = False
    with_gpu: Forecast | None = None


class SlurmPlace(Place):
    """A SLURM site, as a profile describes it."""

    name = "slurm"

    def check(self) -> None:
        """Refuse what no node of the profile's partition has, and paths that SLURM misreads."""
        profile, _ = site_and_needs(self.options)
        refuse_percent(self.workspace.root)
        refuse_percent(profile.work_dir)

    def launch(self, grid: Grid, cells: Sequence[Cell], news: LaunchNews) -> LaunchResult:
        """Submit what is missing, and with ``watch_every`` go on until every cell has ended."""
        launch = SlurmLaunch(self.workspace, grid.name, self.options)
        if self.options.budget_gpu_hours is not None:
            launch.preview(cells).forecast.refuse(self.options.budget_gpu_hours)
        statuses = cell_statuses(cells, self.workspace)
        if not may_write(self.workspace, statuses):
            return LaunchResult(statuses, done=False)
        refuse_unkept(grid.cells, statuses, self.options)
        mark_workspace(self.workspace.root)
        save_cells(grid, self.workspace)
        watching = self.options.watch_every
        stopped = ""
        if watching is None:
            steps = [launch.step(cells, news)]
            news.step(steps[0])
        else:
            steps, stopped = follow(launch, cells, watching, news)
        return _result(steps, stopped, watching is not None)

    def preview(self, grid: Grid, cells: Sequence[Cell]) -> LaunchPreview:
        """Look, and say what ``launch`` would submit and what that will cost."""
        preview = SlurmLaunch(self.workspace, grid.name, self.options).preview(cells)
        refuse_unkept(grid.cells, preview.statuses, self.options)
        return preview


class SlurmLaunch:
    """A grid on a SLURM site. One ``step`` looks, writes down what it saw, and submits."""

    def __init__(self, workspace: Workspace, grid: str, options: LaunchOptions) -> None:
        self.workspace = workspace
        self.grid = grid
        self.options = options
        self.profile, self.needs = site_and_needs(options)
        self.at_once = options.slots or self.profile.jobs_at_once
        self._code = ""
        self._told = ""
        self._runnable: set[str] = set()
        """Cells whose data and weights were there at a look."""
        self._away_since = 0.0

    def step(self, cells: Sequence[Cell], news: LaunchNews) -> LaunchStep:
        """Look, write down what became of ended jobs, and submit what is missing.

        Raises:
            EchoLMError: squeue does not answer, sbatch refuses, or the workspace is not there.
        """
        if missing := lost_workspace(self.workspace.root):
            raise OutageError(missing)
        ask = cache(ask_squeue)  # at most once a step
        arrays: list[str] = []
        more_arrays: list[str] = []
        with submission_lock(self.workspace, self.grid):
            discard_refused(self.workspace, self.grid, time.time(), ask)
            views = query_jobs(self.workspace, self.grid, ask=ask)
            self._tell_unasked(views, news)
            failures = record_ended_jobs(self.workspace, self.grid, views)
            statuses = cell_statuses(cells, self.workspace)
            away = self._what_is_away(statuses)
            planned = plan(
                self.workspace,
                self.grid,
                statuses,
                views,
                self.needs,
                ask,
                shape_of=self.shape_of,
                at_once=self.at_once,
            )
            code = self.pinned_code() if planned.jobs else ""
            executor = SlurmExecutor(
                self.profile, code, planned.exclude, views=views, elsewhere=planned.elsewhere
            )
            limits = Limits(self.at_once)
            # submitit passes on what sbatch says; the error of a refusal has those words itself
            with redirect_stderr(io.StringIO()) as said:
                if not planned.stop:
                    more_arrays += executor.grow(limits)
                for job in planned.jobs:
                    arrays += executor.launch(job, limits, lambda report: None)
            for line in said.getvalue().splitlines():
                news.warn(line)
        placed = self._cells_of(arrays)
        return LaunchStep(statuses, planned, failures, arrays, more_arrays, placed, away)

    def preview(self, cells: Sequence[Cell]) -> LaunchPreview:
        """Say where the cells stand, what a step would submit, and what that will cost.

        What is not here (data, weights, SLURM itself) is taken as if it were, and named.
        """
        offline = shutil.which("squeue") is None
        ask: Ask = (lambda: ()) if offline else cache(ask_squeue)
        statuses = cell_statuses(cells, self.workspace)
        assumed_cells, assumed = assume_inputs(self.workspace, statuses)
        views = query_jobs(self.workspace, self.grid, ask=ask)
        planned = plan(
            self.workspace,
            self.grid,
            statuses,
            views,
            self.needs,
            ask,
            assumed=assumed_cells,
            shape_of=self.shape_of,
            at_once=self.at_once,
        )
        forecast = forecast_plan(
            self.workspace,
            statuses,
            planned,
            self.needs,
            self.at_once,
            tflops=self.options.tflops,
            gpu_tflops=self.profile.tflops,
        )
        with_gpu = None
        if not self.needs.gpus and self.needs.ranks == 1 and self.profile.has.gpus_per_node:
            with_gpu = forecast_plan(
                self.workspace,
                statuses,
                planned,
                self.needs,
                self.at_once,
                with_gpu=True,
                gpu_tflops=self.profile.tflops,
            )
        if offline:
            assumed.append(
                "SLURM is not here: no job of this grid or user waits or runs, and the site takes"
                " arrays of 1,001 jobs (SLURM's own default)"
            )
        shown = with_gpu or forecast
        if shown.assumed:
            cells_of = counted(shown.assumed, "cell")
            assumed.append(f"rates are assumed, not measured or stated, for {cells_of}")
        units = [unit for job in planned.jobs for unit in job.units]
        at_once = cells_at_once(units, self.at_once)
        return LaunchPreview(
            statuses,
            views,
            planned,
            forecast,
            forecast_disk(self.workspace, statuses, self.options, at_once),
            assumed,
            assumed_cells,
            offline,
            with_gpu,
        )

    def shape_of(self, cell: Cell) -> Shape:
        """Return what a job of a cell needs, and how many of them may run at once.

        Raises:
            EchoLMError: no node of the profile's partition has what its block asks for.
        """
        needs = needs_of_block(self.options, self.profile, cell.resources)
        slots = None if self.options.slots else cell.resources.slots
        return Shape(needs, slots)

    def _what_is_away(self, statuses: Sequence[CellStatus]) -> str:
        """Say what is not there that cells had at an earlier look. '' when it is so for too long.

        Their jobs wait for it too, so this is no reason to end a watch.
        """
        problem = ""
        for status in statuses:
            if status.run:
                self._runnable.add(status.cell.id)
            elif status.cell.id in self._runnable and status.state.name != RunState.COMPLETE:
                problem = problem or status.problem
        now = time.monotonic()
        if not problem:
            self._away_since = 0.0
        elif not self._away_since:
            self._away_since = now
        return problem if now - self._away_since <= limit_s() else ""

    def pinned_code(self) -> str:
        """Return the folder of the pinned code, which is made at the first submission."""
        if not self._code:
            from cluster.code import pin

            self._code = str(pin(self.workspace.root / "code"))
        return self._code

    def _tell_unasked(self, views: Sequence[BatchView], news: LaunchNews) -> None:
        """Say once for each reason that how jobs ended may be told less exactly."""
        reason = views[0].unasked if views else ""
        if reason and reason != self._told:
            news.warn(f"{reason}; how jobs ended is taken from squeue and from their logs alone")
        self._told = reason

    def _cells_of(self, arrays: Sequence[str]) -> int:
        """Count the cells that arrays cover."""
        if not arrays:
            return 0
        count = 0
        for batch in batches(self.workspace, self.grid):
            if any(array["job"] in arrays for array in batch.submitted()):
                count += len(batch.cells)
        return count


def follow(
    launch: SlurmLaunch, cells: Sequence[Cell], every: float, news: LaunchNews
) -> tuple[list[LaunchStep], str]:
    """Take a step every ``every`` seconds until one is the last.

    What the first step cannot do is an error. Later it is told once and tried again, since a
    controller may be restarting.

    Returns:
        All steps, and the name of the signal that ended the watch before the last, or ''.
    """
    steps = []
    told = ""
    with StopRequest() as signals:
        steps.append(launch.step(cells, news))
        news.step(steps[-1])
        while not steps[-1].over and not _wait(signals, every):
            try:
                steps.append(launch.step(cells, news))
            except (EchoLMError, OSError) as error:
                if signals.received:  # a Ctrl-C ends the commands of this look too
                    break
                words = _BATCH_NAME.sub("", str(error))
                if words != told:
                    now = time.strftime("%H:%M:%S")
                    news.warn(f"{now}  {error}; trying again every {every:g} s")
                told = words
            else:
                told = ""
                news.step(steps[-1])
        return steps, "" if steps[-1].over else signals.received


def site_and_needs(options: LaunchOptions) -> tuple[Profile, Resources]:
    """Read the site profile, and say what a job needs.

    Raises:
        EchoLMError: there is no profile, or no node of its partition has what is asked for.
    """
    if options.profile is None:
        raise EchoLMError(
            "--on slurm needs a site profile: --profile FILE or ECHOLM_PROFILE; to begin one, save"
            " what this prints",
            Command("cluster example"),
        )
    profile = load_profile(options.profile)
    return profile, needs_of_block(options, profile, BlockResources())


def needs_of_block(options: LaunchOptions, profile: Profile, block: BlockResources) -> Resources:
    """Say what a job of a block needs.

    Raises:
        EchoLMError: no node of the profile's partition has that.
    """
    asked = options.of_block(block)
    needs = Resources(
        gpus=asked.gpus or 0,
        ranks=asked.gpus or asked.ranks or 1,
        threads=asked.threads or profile.cpus_per_task,
        memory_gb=asked.memory_gb,
        minutes=asked.minutes or profile.time_minutes,
        micro_batch=options.micro_batch,
        checkpoint_minutes=asked.checkpoint_minutes,
        keep=asked.keep or Keep.BEST,
        precision=asked.precision or profile.precision,
        compile=profile.compile if asked.compile is None else asked.compile,
    )
    asking = profile.asking(asked.threads or 0, asked.memory_gb, asked.minutes)
    asking.shape(needs.gpus, needs.ranks)
    return needs


def newest_needs(workspace: Workspace, grid: str, *names: str) -> Resources:
    """Return what the newest batch asked for that has a cell whose block states none of ``names``.

    Args:
        workspace: where the grid was launched.
        grid: its name.
        names: of resources, as blocks have them.
    """
    by_block = cells_with_own(workspace, grid, *names)
    for batch in reversed(batches(workspace, grid)):
        if not by_block.issuperset(batch.cells):
            return batch.resources
    return Resources()


def _result(steps: Sequence[LaunchStep], stopped: str, watching: bool) -> LaunchResult:
    last = steps[-1]
    unfinished = [status for status in last.statuses if status.state.name != RunState.COMPLETE]
    done = not (last.plan.stop or last.plan.given_up)
    done = done and not any(status.problem for status in unfinished)
    done = done and not any(_is_left_behind(status, last.plan) for status in unfinished)
    if watching:
        done = done and not unfinished
    submitted: list[str] = []
    failures: list[JobFailure] = []
    for step in steps:
        submitted += [*step.more_arrays, *step.arrays]
        failures += step.failures
    return LaunchResult(
        last.statuses,
        done,
        stopped=stopped,
        stop_reason=last.plan.stop,
        given_up=last.plan.given_up,
        covered=last.plan.covered,
        submitted=tuple(submitted),
        failures=tuple(failures),
    )


def _is_left_behind(status: CellStatus, plan: Submission) -> bool:
    """Tell whether a cell begins from one that no job trains, or that a retry has to free."""
    if status.state.name == Standing.BLOCKED:
        return True
    cell = status.cell.id
    return bool(status.waits_for) and cell not in plan.covered and cell not in plan.planned_cells


def _wait(signals: StopRequest, seconds: float) -> bool:
    """Wait, and say whether a signal came."""
    end = time.monotonic() + seconds
    while not signals.received:
        left = end - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(left, 0.2))
    return bool(signals.received)
