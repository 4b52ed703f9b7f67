"""``echolm weights``: published checkpoints of encoders, which a user gets and EchoLM checks."""

from __future__ import annotations

from pathlib import Path

import click

from echolm.cli.options import as_json, print_json
from echolm.workspace import Workspace


@click.group()
def weights() -> None:
    """List the published checkpoints of encoders; check a file."""


@weights.command("list")
@as_json
@click.pass_obj
def list_weights(workspace: Workspace, as_json: bool) -> None:
    """List published checkpoints, where to get each, its licence, and whether it is in the weights folder."""
    from echolm.encoders.published import list_published

    found = list_published(workspace.weights)
    if as_json:
        return print_json(found)
    for item in found:
        name = f"{item['encoder']}:{item['weights']}"
        click.echo(f"{name:24}{item['file']:26}{'there' if item['present'] else 'not there'}")
        click.echo(f"    {item['origin']}; licence: {item['licence']}")
    there = sum(item["present"] for item in found)
    click.echo(f"{there} of {len(found)} in {workspace.weights} (ECHOLM_WEIGHTS names another folder)")


@weights.command()
@click.argument("name")
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def check(name: str, path: Path, as_json: bool) -> None:
    """Check that the file PATH is weights of NAME (an encoder, or ENCODER:WEIGHTS): keys, shapes, SHA-256."""
    from echolm.encoders.published import check_file

    found = check_file(name, path)
    if as_json:
        return print_json(found)
    known = found["published_sha256"]
    agrees = f"as published ({len(known)} digits known)" if known else "no published one is known to compare with"
    fits = f"weights of encoder {found['encoder']}, every key and shape"
    click.echo(f"{path}: {fits}; {found['parameters']:,} parameters")
    click.echo(f"SHA-256 {found['sha256']}: {agrees}")
    if found["file"]:
        click.echo(f"published file {found['file']}, licence: {found['licence']}")
