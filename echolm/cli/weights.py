"""``echolm weights``: published checkpoints of encoders, which a user gets and EchoLM checks."""

from __future__ import annotations

from pathlib import Path

import click

from echolm.cli.complete import complete_encoder
from echolm.cli.options import as_json, print_json
from echolm.workspace import Workspace


@click.group()
def weights() -> None:
    """List published checkpoints of encoders, or check a file."""


@weights.command("list")
@as_json
@click.pass_obj
def list_weights(workspace: Workspace, as_json: bool) -> None:
    """List published checkpoints: where to get each, its licence, and whether it is there.

    Also what data each has seen in training. Tables mark values whose test data are among them.
    """
    from echolm.encoders.published import describe_seen, list_published

    checkpoints = list_published(workspace.weights)
    if as_json:
        return print_json(checkpoints)
    present = 0
    names = [f"{checkpoint['encoder']}:{checkpoint['weights']}" for checkpoint in checkpoints]
    name_width = max(map(len, names), default=0) + 2
    file_width = max((len(checkpoint["file"]) for checkpoint in checkpoints), default=0) + 2
    for name, checkpoint in zip(names, checkpoints, strict=True):
        presence = "not there"
        if checkpoint["present"]:
            presence = "there"
            present += 1
        click.echo(f"{name:{name_width}}{checkpoint['file']:{file_width}}{presence}")
        click.echo(f"    {checkpoint['origin']}; licence: {checkpoint['licence']}")
        for line in describe_seen(checkpoint["seen"]):
            click.echo(f"    {line}")
    click.echo(
        f"{present} of {len(checkpoints)} in {workspace.weights} "
        "(ECHOLM_WEIGHTS names another folder)"
    )


@weights.command()
@click.argument("name", shell_complete=complete_encoder)
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def check(name: str, path: Path, as_json: bool) -> None:
    """Check that the file PATH is weights of NAME (an encoder, or ENCODER:WEIGHTS).

    What is checked: keys, shapes, SHA-256.
    """
    from echolm.encoders.published import check_file, describe_seen

    facts = check_file(name, path)
    if as_json:
        return print_json(facts)
    known_digits = facts["published_sha256"]
    agrees = "no published one is known to compare with"
    if known_digits:
        agrees = f"as published ({len(known_digits)} digits known)"
    fits = f"weights of encoder {facts['encoder']}, every key and shape"
    click.echo(f"{path}: {fits}; {facts['parameters']:,} parameters")
    click.echo(f"SHA-256 {facts['sha256']}: {agrees}")
    if facts["file"]:
        click.echo(f"published file {facts['file']}, licence: {facts['licence']}")
        for line in describe_seen(facts["seen"]):
            click.echo(line)
