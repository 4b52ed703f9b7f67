"""Options that several commands share, how they print, and commands to type next."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from echolm.cli.complete import complete_grid, complete_where
from echolm.cli.terminal import print_rich_table, table_lines
from echolm.errors import EchoLMError
from echolm.text import counted, harmless_json

C = TypeVar("C", bound=Callable[..., Any])

where = click.option(
    "--where",
    multiple=True,
    metavar="AXIS=LABEL[,LABEL]",
    shell_complete=complete_where,
    help="Only cells with one of these labels (3-8: the labels 3 to 8); give it again to narrow."
    " AXIS: an axis of the grid, subgrid or table.",
)
grid_argument = click.argument("grid_name", metavar="GRID", shell_complete=complete_grid)
as_json = click.option(
    "--json", "as_json", is_flag=True, help="One JSON document on standard output."
)


def device(default: str) -> Callable[[C], C]:
    """Make the option --device. ``check_device`` says whether the device is there."""
    return click.option(
        "--device",
        default=default,
        show_default=True,
        metavar="auto|cpu|cuda|cuda:N",
        callback=lambda _, __, text: _device(text),
        help="Where to compute; auto: on a GPU if there is one.",
    )


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise click.BadParameter(f"{text!r}; valid: auto, cpu, cuda, cuda:N")
    return text


def check_device(text: str) -> str:
    """Refuse a CUDA device that is not there, and return the device. Imports torch."""
    import torch

    count = torch.cuda.device_count()
    if text.startswith("cuda") and int(text.partition(":")[2] or 0) >= count:
        raise EchoLMError(
            f"--device {text}: this machine has {counted(count, 'CUDA device')}; type --device cpu"
        )
    return text


def print_json(value: Any) -> None:
    """Print one JSON document on standard output.

    Bytes of file names that are not text are written as JSON escapes.
    """
    text = harmless_json(json.dumps(value, indent=1, ensure_ascii=False))
    click.echo(text.encode("utf-8", "backslashreplace"))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns: numbers to the right, everything else to the left. On a terminal by rich."""
    if sys.stdout.isatty():
        return print_rich_table(header, rows)
    for line in table_lines(header, rows):
        click.echo(line)


def grid_name(given: str) -> str:
    """Return the name of a grid that is given by its name or the path of its file."""
    return Path(given).stem if given.endswith((".yaml", ".yml")) else given


def program() -> tuple[str, ...]:
    """Return the words that such a command begins with."""
    main = click.get_current_context().find_root()
    if main.get_parameter_source("workspace") != ParameterSource.COMMANDLINE:
        return ("echolm",)
    return ("echolm", "--workspace", os.fspath(main.params["workspace"]))
