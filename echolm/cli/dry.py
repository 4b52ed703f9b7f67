"""``echolm launch --on slurm --dry-run``: the jobs, their sbatch text and the forecast. Nothing is written or submitted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import counted, print_json
from echolm.cli.standings import blocked, counts, hindrances, states, tell
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.forecast import Forecast, Planned
    from cluster.profile import Profile
    from cluster.slurm.planning import Submission
    from grid.definition import Grid
    from grid.plan import Job, Resources, Standing


def show(
    grid_name: str, grid: Grid, standings: Sequence[Standing], plan: Submission, profile: Profile, at_once: int, forecast: Forecast, as_json: bool,
) -> None:  # fmt: skip
    """Print what a launch would submit."""
    texts = [(job, *_array(job, profile, at_once, plan.exclude)) for job in plan.jobs]
    if as_json:
        return print_json({
            "grid": grid.name, "states": states(standings), "covered": sorted(plan.covered), "given_up": plan.given_up,
            "stopped": plan.stop or None, "forecast": forecast.plain(),
            "arrays": [{"units": [list(unit.cells) for unit in job.units], "jobs": count, "sbatch": text} for job, count, text in texts],
        })  # fmt: skip
    for job, count, text in texts:
        click.echo(f"# {counted(count, 'job')} for {counted(len(job.units), 'unit')} of {counted(sum(len(u.cells) for u in job.units), 'cell')}")
        click.echo(text + "\n")
    for line in forecast.lines(datetime.now()):
        click.echo(line)
    click.echo(f"{grid.name}: {counts(standings)}; would submit {counted(plan.cells, 'cell')}" + (f"; {len(plan.covered)} in jobs" if plan.covered else ""))
    tell([*blocked(standings), *hindrances(grid_name, plan.stop, plan.given_up, on="slurm")])


def _array(job: Job, profile: Profile, at_once: int, exclude: tuple[str, ...]) -> tuple[int, str]:
    """How many jobs a shape gets, and the sbatch text of its (first) array."""
    from cluster.slurm.arrays import Array, Room, cut
    from cluster.slurm.executor import SlurmExecutor, max_array_size

    per_job = profile.units_per_job or -(-len(job.units) // max(1, min(len(job.units), at_once)))
    arrays = cut(len(job.units), per_job, Room(max_array_size(), profile.submit_limit, at_once)) or [Array(1, 1)]
    return sum(array.count for array in arrays), SlurmExecutor(profile, "CODE", exclude).text(job, arrays[0])


def forecast_of(workspace: Workspace, standings: Sequence[Standing], plan: Submission, needs: Resources, at_once: int) -> Forecast:
    """What the planned units will cost, from the workspace's complete runs or the paper's hours."""
    from cluster.durations import finished_runs
    from cluster.forecast import forecast

    by_id = {standing.cell.id: standing for standing in standings}
    units = [[_planned(by_id[cell]) for cell in unit.cells] for job in plan.jobs for unit in job.units]
    return forecast(units, lambda: finished_runs(workspace.runs), at_once, needs.gpus, needs.ranks, needs.minutes)


def _planned(standing: Standing) -> Planned:
    from cluster.forecast import Planned
    from echolm.data.store import peek

    config: Any = standing.cell.config
    train = int(peek(standing.run.store)["splits"]["train"]) if standing.run else 0
    done = standing.record.place()[0] if standing.record else 0
    return Planned(config, int(train * config.data.fraction), done)
