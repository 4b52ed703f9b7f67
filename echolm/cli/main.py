"""The ``echolm`` command."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import click

from echolm.cli.cancel_retry import cancel, retry
from echolm.cli.claims import claims
from echolm.cli.cluster import cluster
from echolm.cli.collect import collect
from echolm.cli.compare import compare, seeds_needed
from echolm.cli.completion import completion
from echolm.cli.components import components
from echolm.cli.data import data
from echolm.cli.encoder import encoder
from echolm.cli.grid import grid
from echolm.cli.launch import launch
from echolm.cli.logs import logs
from echolm.cli.options import program
from echolm.cli.predict import predict
from echolm.cli.report import report
from echolm.cli.schema import schema
from echolm.cli.search import search
from echolm.cli.status import status
from echolm.cli.tables import tables
from echolm.cli.train import train
from echolm.cli.weights import weights
from echolm.cli.workspace_option import accept_workspace
from echolm.errors import EchoLMError
from echolm.garbage import look_for_garbage_seldom
from echolm.text import printable
from echolm.workspace import DEFAULT, VARIABLE, Workspace


class Commands(click.Group):
    """A group whose EchoLMErrors and file errors become one ``Error: ...`` and exit status 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EchoLMError as error:
            raise _shown(error.text(program())) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of a pipe has gone
                raise
            file = f"{error.filename}: " if error.filename else ""
            raise _shown(f"{file}{error.strerror or error}") from error


def _shown(message: str) -> click.ClickException:
    """Make an error to print. What a file holds or is called is no order to the terminal."""
    return click.ClickException("\n".join(printable(line) for line in message.split("\n")))


@click.group(
    cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option(
    "--workspace",
    "-w",
    type=click.Path(file_okay=False, path_type=Path),
    envvar=VARIABLE,
    show_envvar=True,
    help="Folder for stores, weights, runs, tracking and results. It may also stand after the"
    f" command.  [default: ./{DEFAULT}]",
)
@click.version_option(package_name="echolm")
@click.pass_context
def main(ctx: click.Context, workspace: Path | None) -> None:
    """Benchmark echocardiography foundation models: grids of training runs, from data to tables.

    \b
    echolm data phantom echonet-dynamic DIR   make data
    echolm data prepare echonet-dynamic DIR   decode it once
    echolm grid list                          what can be run
    echolm launch GRID --on local             run a grid
    echolm status GRID                        how it stands
    echolm tables GRID                        mean ± std
    """  # noqa: D301 - click reads the character \b
    look_for_garbage_seldom()
    ctx.obj = Workspace(workspace.absolute()) if workspace else Workspace.default()


GROUPS = (
    data,
    weights,
    encoder,
    grid,
    train,
    launch,
    status,
    logs,
    cancel,
    retry,
    collect,
    tables,
    report,
    compare,
    seeds_needed,
    claims,
    predict,
    search,
    cluster,
    components,
    schema,
    completion,
)
for command in GROUPS:
    main.add_command(command)
    accept_workspace(command)
