"""``--workspace`` after a command, as before it."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from echolm.workspace import Workspace


def accept_workspace(command: click.Command) -> None:
    """Let a command, and all commands below it, take ``--workspace`` too."""
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            accept_workspace(inner)
        return
    command.params.append(
        click.Option(
            ["--workspace", "-w"],
            type=click.Path(file_okay=False, path_type=Path),
            expose_value=False,
            hidden=True,
            help="The same as before the command.",
            callback=_use_workspace,
        )
    )


def _use_workspace(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    """Take the workspace for all that the command does.

    Raises:
        click.UsageError: another one was given before the command.
    """
    if value is None:
        return
    main = context.find_root()
    before = main.params.get("workspace")
    was_typed = main.get_parameter_source("workspace") == ParameterSource.COMMANDLINE
    if was_typed and before is not None and before.absolute() != value.absolute():
        raise click.UsageError(
            f"--workspace is given twice: {before} before the command and {value} after it"
        )
    main.params["workspace"] = value
    main.set_parameter_source("workspace", ParameterSource.COMMANDLINE)
    main.obj = context.obj = Workspace(value.absolute())
