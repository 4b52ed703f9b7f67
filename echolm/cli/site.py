"""A grid on a SLURM site: looking at it, submitting what is missing, and doing so again and again."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import click

from echolm.cli.standings import tell
from echolm.errors import EchoLMError
from echolm.training.signals import Signals
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.failures import Failure
    from cluster.forecast import Forecast
    from cluster.profile import Profile
    from cluster.slurm.ledger import BatchView
    from cluster.slurm.planning import Submission
    from grid.definition import Cell
    from grid.plan import Resources, Standing


@dataclass(frozen=True)
class Step:
    """One look: where the cells stand, the plan, failures that were new, ids of arrays that were submitted; ``more``: of arrays
    with more jobs for what was submitted before."""

    standings: list[Standing]
    plan: Submission
    failures: list[Failure]
    ids: list[str]
    more: list[str]

    @property
    def over(self) -> bool:
        """Whether nothing runs, waits or can be submitted any more."""
        return bool(self.plan.stop) or not (self.ids or self.plan.covered or self.plan.jobs)


@dataclass(frozen=True)
class Seen:
    """What a look finds: where the cells stand, their jobs, what a launch would do, what that would cost."""

    standings: list[Standing]
    views: list[BatchView]
    plan: Submission
    forecast: Forecast


class Site:
    """A grid on a SLURM site: one ``step`` looks, writes down what it saw, and submits what is missing."""

    def __init__(self, workspace: Workspace, grid: str, profile: Profile, needs: Resources, at_once: int) -> None:
        self.workspace, self.grid, self.profile, self.needs, self.at_once = workspace, grid, profile, needs, at_once
        self._code = ""
        self._told = ""

    def step(self, cells: Sequence[Cell]) -> Step:
        """Look, write down what became of ended jobs, and submit. EchoLMError: squeue does not answer, or sbatch refuses."""
        from cluster.slurm.alone import alone
        from cluster.slurm.executor import SlurmExecutor
        from cluster.slurm.ledger import discard_refused, look, settle
        from cluster.slurm.planning import plan
        from cluster.slurm.queue import ask_squeue
        from grid.plan import Limits, survey

        ask = cache(ask_squeue)  # at most once a step
        with alone(self.workspace, self.grid):
            discard_refused(self.workspace, self.grid, time.time(), ask)
            views = look(self.workspace, self.grid, ask=ask)
            self._tell_unasked(next((view.unasked for view in views), ""))
            new = settle(self.workspace, self.grid, views)
            standings = survey(cells, self.workspace)
            planned = plan(self.workspace, self.grid, standings, views, self.needs, ask)
            ids, more = list[str](), list[str]()
            executor = SlurmExecutor(self.profile, self.code() if planned.jobs else "", planned.exclude, views=views)
            limits = Limits(self.at_once)
            with redirect_stderr(io.StringIO()) as said:  # submitit passes on what sbatch says; a refusal has those words itself
                more += [] if planned.stop else executor.grow(limits)
                for job in planned.jobs:
                    ids += executor.launch(job, limits, lambda report: None)
            click.echo(said.getvalue(), nl=False, err=True)
        return Step(standings, planned, new, ids, more)

    def forecast(self, cells: Sequence[Cell]) -> Seen:
        """Where the cells stand, the plan, and what it will cost. Only looks."""
        from cluster.slurm.ledger import look
        from cluster.slurm.planning import plan
        from cluster.slurm.queue import ask_squeue
        from echolm.cli.dry import forecast_of
        from grid.plan import survey

        ask, standings = cache(ask_squeue), survey(cells, self.workspace)
        views = look(self.workspace, self.grid, ask=ask)
        planned = plan(self.workspace, self.grid, standings, views, self.needs, ask)
        return Seen(standings, views, planned, forecast_of(self.workspace, standings, planned, self.needs, self.at_once))

    def _tell_unasked(self, why: str) -> None:
        """Once for each reason: how jobs ended may be told less exactly."""
        if why and why != self._told:
            tell([f"{why}; how jobs ended is taken from squeue and from their logs alone"])
        self._told = why

    def placed(self, ids: Sequence[str]) -> int:
        """How many cells the arrays of those ids cover."""
        from cluster.batch import batches

        own = [batch for batch in batches(self.workspace, self.grid) if ids and any(array["job"] in ids for array in batch.submitted())]
        return sum(len(batch.cells) for batch in own)

    def code(self) -> str:
        """The folder of the pinned code, made at the first submission."""
        from cluster.code import pin

        self._code = self._code or str(pin(self.workspace.root / "code"))
        return self._code


def follow(site: Site, cells: Sequence[Cell], every: float, show: Callable[[Step], None]) -> tuple[list[Step], str]:
    """A step every ``every`` seconds until one is the last; all steps, and the name of the signal that ended it before, or ''.

    What the first step cannot do is an error. Later it is told once and tried again: a controller may be restarting.
    """
    steps, told = [], ""
    with Signals() as signals:
        steps.append(site.step(cells))
        show(steps[-1])
        while not steps[-1].over and not _signalled(signals, every):
            try:
                steps.append(site.step(cells))
            except (EchoLMError, OSError) as error:
                if signals.received:  # a Ctrl-C ends the commands of this look too
                    break
                said = _BATCH.sub("", str(error))
                if said != told:
                    tell([f"{time.strftime('%H:%M:%S')}  {error}; trying again every {every:g} s"])
                told = said
            else:
                told = ""
                show(steps[-1])
        return steps, "" if steps[-1].over else signals.received


_BATCH = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
"""A batch's name: each submission has another."""


def _signalled(signals: Signals, seconds: float) -> bool:
    """Wait; whether a signal came."""
    end = time.monotonic() + seconds
    while not signals.received and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.2))
    return bool(signals.received)
