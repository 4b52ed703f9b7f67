"""``echolm cluster ray-on-slurm``: a Ray cluster inside a SLURM allocation."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import click

from echolm.cli.hints import warn
from echolm.cli.options import as_json, print_json, program
from echolm.commands import Command
from echolm.text import counted
from echolm.workspace import Workspace


@click.command("ray-on-slurm")
@click.argument("profile_path", metavar="PROFILE", type=click.Path(path_type=Path))
@click.option(
    "--nodes", type=click.IntRange(1), default=1, show_default=True, help="Nodes of the cluster."
)
@click.option("--minutes", type=click.IntRange(2), help="How long.  [default: the profile's]")
@click.option("--cpus", type=click.IntRange(1), help="CPUs on each node.  [default: all]")
@click.option("--gpus", type=click.IntRange(0), help="GPUs on each node.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Print the sbatch script; submit nothing.")
@as_json
@click.pass_obj
def ray_on_slurm(
    workspace: Workspace,
    profile_path: Path,
    nodes: int,
    minutes: int | None,
    cpus: int | None,
    gpus: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Start a Ray cluster as a SLURM job, and say how to use it.

    PROFILE is a site profile. The cluster's nodes are the job's. It ends with the job's time or
    with scancel, and units that run then continue with the next launch. Its address and its token
    lie in a folder that only you may read. Ports are chosen by the system, so that clusters share
    nodes without collision.
    """
    from cluster.profile import load_profile
    from cluster.ray import on_slurm

    profile = load_profile(profile_path)
    allocation = on_slurm.allocation(profile, nodes, minutes, cpus, gpus)
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    folder = (profile.work_dir or workspace.root) / "ray" / name
    if dry_run:
        text = on_slurm.script(folder, profile, allocation)
        if as_json:
            return print_json({"script": text})
        return click.echo(text, nl=False)
    job = on_slurm.submit(folder, profile, allocation)
    devices = counted(allocation.cpus, "CPU")
    if allocation.gpus:
        devices += f" and {counted(allocation.gpus, 'GPU')}"
    options = ("--ray-address", str(folder))
    use = Command("launch", "GRID", on="ray", options=options).text(program())
    end = f"scancel {job}"
    click.echo(
        f"job {job}: {counted(nodes, 'node')} with {devices} each, {allocation.minutes} minutes;"
        f" address and token: {folder}",
        err=as_json,
    )
    click.echo(f"to use it, and to end it:\n  {use}\n  {end}", err=as_json)
    click.echo("waiting for it (Ctrl-C: do not wait)", err=True)
    address = _wait(folder, job)
    if as_json:
        document = {"job": job, "folder": str(folder), "address": address, "use": use, "end": end}
        return print_json(document)
    click.echo(f"address {address}" if address else "not there yet")


def _wait(folder: Path, job: str) -> str:
    """Wait for the address. Return '' when one does not want to wait."""
    from cluster.ray.on_slurm import wait

    try:
        return wait(folder, job, lambda words: warn([words]))
    except KeyboardInterrupt:
        return ""
