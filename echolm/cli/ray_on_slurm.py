"""``echolm cluster ray-on-slurm``: a Ray cluster inside a SLURM allocation."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import click

from echolm.cli.options import as_json, counted, print_json, typed
from echolm.cli.standings import tell
from echolm.workspace import Workspace


@click.command("ray-on-slurm")
@click.argument("profile_path", metavar="PROFILE", type=click.Path(path_type=Path))
@click.option("--nodes", type=click.IntRange(1), default=1, show_default=True, help="Nodes of the cluster.")
@click.option("--minutes", type=click.IntRange(2), help="How long.  [default: the profile's]")
@click.option("--cpus", type=click.IntRange(1), help="CPUs on each node.  [default: all]")
@click.option("--gpus", type=click.IntRange(0), help="GPUs on each node.  [default: all]")
@click.option("--dry-run", is_flag=True, help="Print the sbatch script; submit nothing.")
@as_json
@click.pass_obj
def ray_on_slurm(
    workspace: Workspace, profile_path: Path, nodes: int, minutes: int | None, cpus: int | None, gpus: int | None, dry_run: bool, as_json: bool
) -> None:
    """Start a Ray cluster as a SLURM job, and say how to use it.

    PROFILE is a site profile. The cluster's nodes are the job's; it ends with the job's time or with scancel, and units
    that run then continue with the next launch. Its address and its token lie in a folder that only you may read; ports
    are chosen by the system, so that clusters share nodes without collision.
    """
    from cluster.profile import load_profile
    from cluster.ray import on_slurm

    profile = load_profile(profile_path)
    wanted = on_slurm.allocation(profile, nodes, minutes, cpus, gpus)
    folder = (profile.work_dir or workspace.root) / "ray" / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    if dry_run:
        text = on_slurm.script(folder, profile, wanted)
        return print_json({"script": text}) if as_json else click.echo(text, nl=False)
    job = on_slurm.submit(folder, profile, wanted)
    each = f"{counted(wanted.cpus, 'CPU')}" + (f" and {counted(wanted.gpus, 'GPU')}" if wanted.gpus else "")
    use, end = typed("launch", "GRID", "--on", "ray", "--ray-address", str(folder)), f"scancel {job}"
    click.echo(f"job {job}: {counted(nodes, 'node')} with {each} each, {wanted.minutes} minutes; address and token: {folder}", err=as_json)
    click.echo(f"to use it, and to end it:\n  {use}\n  {end}", err=as_json)
    click.echo("waiting for it (Ctrl-C: do not wait)", err=True)
    address = _wait(folder, job)
    if as_json:
        return print_json({"job": job, "folder": str(folder), "address": address, "use": use, "end": end})
    click.echo(f"address {address}" if address else "not there yet")


def _wait(folder: Path, job: str) -> str:
    """The address, '' when one does not want to wait."""
    from cluster.ray.on_slurm import wait

    try:
        return wait(folder, job, lambda words: tell([words]))
    except KeyboardInterrupt:
        return ""
