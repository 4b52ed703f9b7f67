"""``echolm cluster``: site profiles."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from echolm.cli.options import as_json, print_json
from echolm.cli.ray_on_slurm import ray_on_slurm
from echolm.text import counted
from echolm.workspace import Workspace

COLOURS = {"error": "red", "warning": "yellow", "ok": "green"}


@click.group()
def cluster() -> None:
    """Describe a SLURM site in a profile, check it, or start a Ray cluster there."""


@cluster.command("example")
@as_json
def show_example(as_json: bool) -> None:
    """Print a commented example of a site profile, to begin one with."""
    from cluster.profile import example

    if as_json:
        import yaml

        return print_json(yaml.safe_load(example()))
    click.echo(example(), nl=False)


@cluster.command("check")
@click.argument("profile_path", metavar="PROFILE", type=click.Path(path_type=Path))
@as_json
@click.pass_obj
def check_profile(workspace: Workspace, profile_path: Path, as_json: bool) -> None:
    """Compare the site profile in the file PROFILE with what SLURM says here, on a login node.

    One line each: an error (jobs would be refused or fail), a warning (a risk or a cost) or ok,
    with what to do. Nothing is submitted or changed.

    \b
    Exit status: 0 no error, 1 errors.
    """  # noqa: D301 - click reads the character \b
    from cluster.profile import load_profile
    from cluster.slurm.check.check_site import check_site
    from cluster.slurm.check.folders import check_places
    from cluster.slurm.check.nodes import check_exclude
    from cluster.slurm.check.site import read_site

    profile = load_profile(profile_path)
    site = read_site()
    findings = [
        *check_site(profile, site),
        *check_exclude(profile),
        *check_places(profile, workspace.root, site.config.get("TmpFS", "")),
    ]
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    version = site.config.get("SLURM_VERSION", "?")
    name = site.config.get("ClusterName", "?")
    if as_json:
        document = {
            "profile": str(profile_path),
            "cluster": name,
            "slurm": version,
            "errors": errors,
            "warnings": warnings,
            "findings": [vars(finding) for finding in findings],
        }
        print_json(document)
    else:
        click.echo(f"{profile_path} on cluster {name}, SLURM {version}")
        for finding in findings:
            severity = click.style(f"{finding.severity:<8}", fg=COLOURS[finding.severity])
            click.echo(f"{severity} {finding.topic:<16} {finding.words()}")
        click.echo(f"{counted(errors, 'error')}, {counted(warnings, 'warning')}")
    sys.exit(1 if errors else 0)


cluster.add_command(ray_on_slurm)
