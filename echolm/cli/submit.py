"""``echolm launch --on slurm``: submit what is missing of a grid, and say what became of what was submitted before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import counted, print_json, typed
from echolm.cli.site import Site, Step, follow
from echolm.cli.standings import blocked, counts, hindrances, remedies, states, tell
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.failures import Failure
    from cluster.profile import Profile
    from grid.definition import Cell, Grid
    from grid.plan import Resources


@dataclass(frozen=True)
class Request:
    """What one asks SLURM for; see the help of ``launch``. ``watch``: seconds between two looks, None: submit and return."""

    profile: Path | None
    gpus: int
    ranks: int
    threads: int
    memory_gb: float | None = None
    minutes: int | None = None
    micro_batch: int | None = None
    at_once: int | None = None
    watch: float | None = None
    budget_gpu_hours: float | None = None


def submit_cells(workspace: Workspace, grid_name: str, grid: Grid, cells: Sequence[Cell], request: Request, facts: dict[str, Any] | None) -> int:
    """Submit, and with ``watch`` go on until every cell has ended; the exit status: 0 submitted or complete, 1 not, 130 or 143
    when a signal ended the watch."""
    from grid.plan import save_cells

    profile, needs = prepare(request)
    site = Site(workspace, grid.name, profile, needs, request.at_once or profile.jobs_at_once)
    if request.budget_gpu_hours is not None:
        site.forecast(cells).forecast.refuse(request.budget_gpu_hours)
    save_cells(grid, workspace)
    show = Shown(grid.name, site) if facts is None else lambda step: None
    stopped = ""
    if request.watch is None:
        steps = [site.step(cells)]
        show(steps[0])
    else:
        steps, stopped = follow(site, cells, request.watch, show)
    last = steps[-1]
    if facts is not None:
        print_json({
            "grid": grid.name, **facts, "states": states(last.standings), "submitted": [id for step in steps for id in (*step.more, *step.ids)],
            "covered": sorted(last.plan.covered), "given_up": last.plan.given_up, "stopped": stopped or last.plan.stop or None,
            "failures": [vars(failure) for step in steps for failure in step.failures],
        })  # fmt: skip
    tell([*blocked(last.standings), *_remedies(grid_name, last, request.watch is not None, stopped)])
    if stopped:
        return 128 + Signals[stopped]
    if last.plan.stop or last.plan.given_up or any(s.problem for s in last.standings if s.state.name != "complete"):
        return 1
    return 0 if request.watch is None or all(s.state.name == "complete" for s in last.standings) else 1


def dry_run(workspace: Workspace, grid_name: str, grid: Grid, cells: Sequence[Cell], request: Request, as_json: bool) -> None:
    """Print what ``submit_cells`` would submit, and what it will cost. EchoLMError: more than the budget."""
    from echolm.cli import dry

    profile, needs = prepare(request)
    site = Site(workspace, grid.name, profile, needs, request.at_once or profile.jobs_at_once)
    seen = site.forecast(cells)
    dry.show(grid_name, grid, seen, profile, site.at_once, as_json)
    if request.budget_gpu_hours is not None:
        seen.forecast.refuse(request.budget_gpu_hours)


def prepare(request: Request) -> tuple[Profile, Resources]:
    """The site profile, and what a job needs. EchoLMError: no profile, or no node of its partition has what is asked for."""
    from cluster.profile import load_profile

    profile = load_profile(profile_path(request.profile))
    needs = resources(profile, request)
    profile.asking(request.threads, request.memory_gb, request.minutes).shape(needs.gpus, needs.ranks)
    return profile, needs


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


class Shown:
    """Steps as text: failures that were new, and one line of counts when it says something else than the one before."""

    def __init__(self, grid: str, site: Site) -> None:
        self._grid, self._site, self._line = grid, site, ""

    def __call__(self, step: Step) -> None:
        """Print one step."""
        tell_failures(step.failures)
        plan, ids, placed = step.plan, step.ids, self._site.placed(step.ids)
        submitted = f"; submitted {counted(placed, 'cell')}: {counted(len(ids), 'array')} {', '.join(ids)}" if ids else ""
        waiting = f"; {len(plan.covered)} in jobs" if plan.covered else ""
        more = f"; more jobs for them: {', '.join(step.more)}" if step.more else ""
        room = f"; {counted(plan.cells - placed, 'cell')} must wait for room (jobs at once, or the submit limit)" if plan.cells > placed else ""
        line = f"{self._grid}: {counts(step.standings)}{waiting}{more}{submitted}{room}"
        if line != self._line:
            click.echo(line)
        self._line = line


def tell_failures(failures: Sequence[Failure]) -> None:
    """A line for each job that failed: why, and what is done about its cells."""
    from cluster.failures import CLASSES

    for failure in failures:
        what = f"{counted(len(failure.cells), 'cell')} {CLASSES[failure.kind].remedy}" if failure.cells else "it had no unit"
        tell([f"job {failure.job}{' on ' + failure.node if failure.node else ''}: {failure.kind}; {what}"])


def _remedies(grid: str, last: Step, watching: bool, stopped: str) -> list[str]:
    """What to say at the end."""
    plan = last.plan
    lines = hindrances(grid, plan.stop, plan.given_up, on="slurm")
    if stopped:
        return [f"stopped by {stopped}; the jobs go on, and the same command goes on watching", *lines]
    if watching:
        but = {s.cell.id for s in last.standings if plan.stop or s.cell.id in plan.covered or s.cell.id in plan.given_up}
        return [*lines, *remedies(grid, last.standings, on="slurm", but=but, retry_said=bool(lines))]
    if not (last.ids or plan.covered):
        return lines
    return lines or [f"to follow them: {typed('status', grid)}; to submit what is left, run launch again"]
