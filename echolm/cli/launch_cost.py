"""What ``echolm launch --dry-run`` says of the cost: cells and hours by stage and by an axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from echolm.cli.options import print_table
from echolm.cli.terminal import say

if TYPE_CHECKING:
    from cluster.cost_table import CostTable
    from cluster.launch import LaunchPlan
    from cluster.place import LaunchOptions
    from cluster.slurm.submit.launch import LaunchPreview, SlurmPlace
    from echolm.workspace import Workspace


def plan_cost(
    workspace: Workspace, plan: LaunchPlan, options: LaunchOptions, by: str | None
) -> CostTable:
    """Return the cost of what would run here or on Ray.

    Args:
        workspace: where it would.
        plan: what would run.
        options: of the launch.
        by: the axis that was typed.
    """
    from cluster.cost_table import cost_table
    from cluster.device_rate import DeviceRate
    from cluster.launch import cuda_devices

    on_cpus = not cuda_devices()
    if options.on == "ray":
        on_cpus = not options.gpus
    return cost_table(
        workspace,
        [*plan.cells, *plan.following],
        [*plan.planned, *plan.planned_later],
        by,
        on_cpus=on_cpus,
        gpu=DeviceRate(options.tflops),
        cpu=DeviceRate(None, options.threads or 1),
    )


def preview_cost(place: SlurmPlace, preview: LaunchPreview, by: str | None) -> CostTable:
    """Return the cost of what would be submitted to SLURM. ``by`` is as in ``plan_cost``."""
    from cluster.cost_table import cost_table
    from cluster.device_rate import DeviceRate
    from cluster.slurm.submit.launch import site_and_needs

    profile, needs = site_and_needs(place.options)
    stated = place.options.tflops
    on_cpus = not needs.gpus
    return cost_table(
        place.workspace,
        preview.statuses,
        [unit for job in preview.plan.jobs for unit in job.units],
        by,
        on_cpus=on_cpus,
        gpu=DeviceRate(profile.tflops if on_cpus else stated or profile.tflops),
        cpu=DeviceRate(stated, needs.threads),
    )


def print_cost(cost: CostTable) -> None:
    """Print the table, and what it takes for granted. Nothing where nothing would run."""
    if not cost.rows:
        return
    print_table(cost.header, cost.lines)
    for line in cost.assumed:
        say(f"assumed: {line}")


def refuse_by(by: str | None, dry_run: bool) -> None:
    """Refuse --by where no cost is told."""
    if by is not None and not dry_run:
        raise click.UsageError("--by: goes with --dry-run, which tells the cost")
