"""``echolm launch --on slurm``: submit what is missing of a grid, and say what became of what was submitted before."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import counted, print_json, typed
from echolm.cli.standings import blocked, counts, remedies, states, tell
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.failures import Failure
    from cluster.forecast import Forecast
    from cluster.profile import Profile
    from cluster.slurm.planning import Submission
    from grid.definition import Cell, Grid
    from grid.plan import Resources, Standing


@dataclass(frozen=True)
class Request:
    """What one asks SLURM for; see the help of ``launch``. ``watch``: seconds between two looks, None: submit and return."""

    profile: Path | None
    gpus: int
    ranks: int
    threads: int
    memory_gb: float | None
    minutes: int | None
    micro_batch: int | None
    at_once: int | None
    watch: float | None = None
    budget_gpu_hours: float | None = None


def submit_cells(workspace: Workspace, grid_name: str, grid: Grid, cells: Sequence[Cell], request: Request, facts: dict[str, Any] | None) -> int:
    """Submit, and with ``watch`` go on until every cell has ended; the exit status: 0 submitted or complete, 1 not."""
    from cluster.profile import load_profile
    from grid.plan import save_cells

    profile = load_profile(profile_path(request.profile))
    needs = resources(profile, request)
    site = Site(workspace, grid.name, profile, needs, request.at_once or profile.jobs_at_once)
    if request.budget_gpu_hours is not None:
        site.forecast(cells)[2].refuse(request.budget_gpu_hours)
    save_cells(grid, workspace)
    quiet = facts is not None
    while True:
        standings, plan, new, ids = site.step(cells)
        if not quiet:
            _print_step(grid.name, standings, plan, new, ids, site.placed(ids))
        over = plan.stop or not (ids or plan.covered or plan.jobs)
        if request.watch is None or over:
            break
        time.sleep(request.watch)
    if quiet:
        print_json({
            "grid": grid.name, **(facts or {}), "states": states(standings), "submitted": ids, "covered": sorted(plan.covered),
            "given_up": plan.given_up, "stopped": plan.stop or None, "failures": [vars(failure) for failure in new],
        })  # fmt: skip
    tell([*blocked(standings), *_remedies(grid_name, standings, plan, watching=request.watch is not None)])
    if plan.stop or plan.given_up:
        return 1
    return 0 if request.watch is None or all(s.state.name == "complete" for s in standings) else 1


def dry_run(workspace: Workspace, grid: Grid, cells: Sequence[Cell], request: Request, as_json: bool) -> None:
    """Print what ``submit_cells`` would submit, and what it will cost. EchoLMError: more than the budget."""
    from cluster.profile import load_profile
    from echolm.cli import dry

    profile = load_profile(profile_path(request.profile))
    site = Site(workspace, grid.name, profile, resources(profile, request), request.at_once or profile.jobs_at_once)
    standings, planned, forecast = site.forecast(cells)
    dry.show(workspace, grid, standings, planned, profile, site.at_once, forecast, as_json)
    if request.budget_gpu_hours is not None:
        forecast.refuse(request.budget_gpu_hours)


class Site:
    """A grid on a SLURM site: one ``step`` looks, writes down what it saw, and submits what is missing."""

    def __init__(self, workspace: Workspace, grid: str, profile: Profile, needs: Resources, at_once: int) -> None:
        self.workspace, self.grid, self.profile, self.needs, self.at_once = workspace, grid, profile, needs, at_once
        self._code = ""

    def step(self, cells: Sequence[Cell]) -> tuple[list[Standing], Submission, list[Failure], list[str]]:
        """Where the cells stand, the plan, failures that were new, ids of arrays that were submitted."""
        from cluster.slurm.alone import alone
        from cluster.slurm.executor import SlurmExecutor
        from cluster.slurm.ledger import look, settle
        from cluster.slurm.planning import plan
        from grid.plan import Limits, survey

        with alone(self.workspace, self.grid):
            views = look(self.workspace, self.grid)
            new = settle(self.workspace, self.grid, views)
            standings = survey(cells, self.workspace)
            planned = plan(self.workspace, self.grid, standings, views, self.needs)
            ids = []
            executor = SlurmExecutor(self.profile, self.code() if planned.jobs else "", planned.exclude, views=views)
            for job in planned.jobs:
                ids += executor.launch(job, Limits(self.at_once), lambda report: None)
        return standings, planned, new, ids

    def forecast(self, cells: Sequence[Cell]) -> tuple[list[Standing], Submission, Forecast]:
        """Where the cells stand, the plan, and what it will cost. Only looks."""
        from cluster.slurm.ledger import look
        from cluster.slurm.planning import plan
        from echolm.cli.dry import forecast_of
        from grid.plan import survey

        standings = survey(cells, self.workspace)
        planned = plan(self.workspace, self.grid, standings, look(self.workspace, self.grid), self.needs)
        return standings, planned, forecast_of(self.workspace, standings, planned, self.needs, self.at_once)

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


def profile_path(given: Path | None) -> Path:
    """The profile that was named, or EchoLMError with how to make one."""
    if given is None:
        raise EchoLMError("--on slurm needs a site profile: --profile FILE or ECHOLM_PROFILE; to begin one: echolm cluster example > site.yaml")
    return given


def resources(profile: Profile, request: Request) -> Resources:
    """What a job needs, with the profile's values where nothing was asked for."""
    from grid.plan import Resources

    threads = request.threads or profile.cpus_per_task
    minutes = request.minutes or profile.time_minutes
    return Resources(request.gpus, request.gpus or request.ranks, threads, request.memory_gb, minutes, request.micro_batch)


def _print_step(grid: str, standings: Sequence[Standing], plan: Submission, new: Sequence[Failure], ids: Sequence[str], placed: int) -> None:
    from cluster.failures import CLASSES

    for failure in new:
        what = f"{counted(len(failure.cells), 'cell')} {CLASSES[failure.kind].remedy}" if failure.cells else "it had taken no unit"
        click.echo(f"job {failure.job}{' on ' + failure.node if failure.node else ''}: {failure.kind}; {what}", err=True)
    submitted = f"; submitted {counted(placed, 'cell')}: {counted(len(ids), 'array')} {', '.join(ids)}" if ids else ""
    waiting = f"; {len(plan.covered)} in jobs" if plan.covered else ""
    room = f"; {counted(plan.cells - placed, 'cell')} must wait for room (jobs at once, or the submit limit)" if plan.cells > placed else ""
    click.echo(f"{grid}: {counts(standings)}{waiting}{submitted}{room}")


def _remedies(grid: str, standings: Sequence[Standing], plan: Submission, watching: bool) -> list[str]:
    lines = [plan.stop] if plan.stop else []
    lines += [f"cell {cell[:8]} is given up: {reason}" for cell, reason in list(plan.given_up.items())[:5]]
    if plan.stop or plan.given_up:
        lines.append(f"when the cause is mended: {typed('retry', grid, '--on', 'slurm')}")
    if not watching and not lines:
        lines.append(f"to follow them: {typed('status', grid)}; to submit what is left, run launch again")
    return lines if lines and not watching else [*lines, *(remedies(grid, standings) if watching else [])]
