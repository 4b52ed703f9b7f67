"""``echolm completion``: how a shell learns to complete what is typed."""

from __future__ import annotations

import click

from echolm.cli.options import as_json, print_json

SCRIPTS = {
    "bash": 'eval "$(_ECHOLM_COMPLETE=bash_source echolm)"',
    "zsh": 'eval "$(_ECHOLM_COMPLETE=zsh_source echolm)"',
    "fish": "_ECHOLM_COMPLETE=fish_source echolm | source",
}
"""The line that switches completion on, by shell."""
FILES = {"bash": "~/.bashrc", "zsh": "~/.zshrc", "fish": "~/.config/fish/completions/echolm.fish"}


@click.command()
@click.argument("shell", type=click.Choice(sorted(SCRIPTS)))
@as_json
def completion(shell: str, as_json: bool) -> None:
    """Print the line that completes grids, cells, AXIS=LABEL and components in a shell.

    \b
    echolm completion bash >> ~/.bashrc
    """  # noqa: D301 - click reads the character \b
    if as_json:
        return print_json({"shell": shell, "line": SCRIPTS[shell], "file": FILES[shell]})
    click.echo(SCRIPTS[shell])
