"""``echolm launch --on slurm --dry-run``: the jobs, their sbatch text and the forecast. Nothing is written or submitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import counted, print_json
from echolm.cli.standings import blocked, counts, hindrances, states, tell
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster import forecast as costs
    from cluster.forecast import Forecast
    from cluster.profile import Profile
    from cluster.slurm.arrays import Array
    from cluster.slurm.ledger import BatchView
    from cluster.slurm.planning import Submission
    from echolm.cli.site import Seen
    from grid.definition import Grid
    from grid.plan import Job, Resources, Standing, Unit


def show(
    grid_name: str, grid: Grid, seen: Seen, profile: Profile, at_once: int, as_json: bool,
) -> None:  # fmt: skip
    """Print what a launch would submit."""
    from cluster.slurm.growth import missing

    standings, plan, forecast = seen.standings, seen.plan, seen.forecast
    found = _plans(plan, seen.views, profile, at_once)
    more = 0 if plan.stop else sum(map(missing, seen.views))
    if as_json:
        return print_json({
            "grid": grid.name, "states": states(standings), "covered": sorted(plan.covered), "given_up": plan.given_up,
            "stopped": plan.stop or None, "more_jobs": more, "forecast": forecast.plain(),
            "arrays": [
                {
                    "units": [list(unit.cells) for unit in one.job.units], "jobs": sum(array.count for array in one.arrays),
                    "arrays": [array.count for array in one.arrays], "waiting": [list(unit.cells) for unit in one.waiting], "sbatch": one.text,
                }
                for one in found
            ],
        })  # fmt: skip
    for one in found:
        click.echo(f"# {one.line}")
        click.echo(one.text + "\n")
    for line in forecast.lines(datetime.now()):
        click.echo(line)
    line = f"{grid.name}: {counts(standings)}; would submit {counted(plan.cells - sum(_cells(one.waiting) for one in found), 'cell')}"
    line += f"; {len(plan.covered)} in jobs" if plan.covered else ""
    click.echo(line + (f"; {counted(more, 'job')} more for them, as room allows" if more else ""))
    tell([*blocked(standings), *hindrances(grid_name, plan.stop, plan.given_up, on="slurm")])


@dataclass(frozen=True)
class Planned:
    """What a launch would make of one resource shape: the arrays that have room now, the sbatch text of the first, and the
    units that wait."""

    job: Job
    arrays: list[Array]
    text: str
    waiting: tuple[Unit, ...]

    @property
    def line(self) -> str:
        """In words."""
        jobs = [array.count for array in self.arrays]
        placed = self.job.units[: len(self.job.units) - len(self.waiting)]
        said = f"{counted(sum(jobs), 'job')} for {counted(len(placed), 'unit')} of {counted(_cells(placed), 'cell')}"
        said += f" in {len(jobs)} arrays of {', '.join(map(str, jobs))}, the first so" if len(jobs) > 1 else ""
        return said + (f"; {counted(len(self.waiting), 'unit')} must wait for room" if self.waiting else "")


def _plans(plan: Submission, views: Sequence[BatchView], profile: Profile, at_once: int) -> list[Planned]:
    """As ``SlurmExecutor.launch`` does it, one shape after another."""
    from cluster.slurm.arrays import Array, cut, share
    from cluster.slurm.executor import SlurmExecutor
    from grid.plan import Limits

    executor = SlurmExecutor(profile, "CODE", plan.exclude, views=views)
    room, found = executor.room(views, Limits(at_once)) if plan.jobs else None, []
    for job in plan.jobs:
        assert room
        per_job = share(len(job.units), profile.units_per_job, at_once)
        arrays = cut(len(job.units), per_job, room)
        room = room.after(arrays)
        placed = sum(array.count for array in arrays) * per_job
        found.append(Planned(job, arrays, executor.text(job, (arrays or [Array(1, 1)])[0]), job.units[placed:]))
    return found


def _cells(units: Sequence[Unit]) -> int:
    return sum(len(unit.cells) for unit in units)


def forecast_of(workspace: Workspace, standings: Sequence[Standing], plan: Submission, needs: Resources, at_once: int) -> Forecast:
    """What the planned units will cost, from the workspace's complete runs or the paper's hours."""
    from cluster.durations import finished_runs
    from cluster.forecast import forecast

    by_id = {standing.cell.id: standing for standing in standings}
    units = [[_planned(by_id[cell]) for cell in unit.cells] for job in plan.jobs for unit in job.units]
    return forecast(units, lambda: finished_runs(workspace.runs), at_once, needs.gpus, needs.ranks, needs.minutes)


def _planned(standing: Standing) -> costs.Planned:
    from cluster.forecast import Planned
    from echolm.data.store import peek

    config: Any = standing.cell.config
    train = int(peek(standing.run.store)["splits"]["train"]) if standing.run else 0
    done = standing.record.place()[0] if standing.record else 0
    return Planned(config, int(train * config.data.fraction), done)
