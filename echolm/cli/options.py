"""Options that several commands share, how they print, and commands to type next."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from echolm.errors import EchoLMError

C = TypeVar("C", bound=Callable[..., Any])

where = click.option(
    "--where", multiple=True, metavar="AXIS=LABEL[,LABEL]",
    help="Only cells with one of these labels (3-8: the labels 3 to 8); give it again to narrow. AXIS: an axis of the grid, subgrid or table.",
)  # fmt: skip
grid_argument = click.argument("grid_name", metavar="GRID")
as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")


def device(default: str) -> Callable[[C], C]:
    """The option --device; ``check_device`` says whether it is there."""
    return click.option(
        "--device", default=default, show_default=True, metavar="auto|cpu|cuda|cuda:N", callback=lambda _, __, text: _device(text),
        help="Where to compute; auto: on a GPU if there is one.",
    )  # fmt: skip


def _device(text: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise click.BadParameter(f"{text!r}; valid: auto, cpu, cuda, cuda:N")
    return text


def check_device(text: str) -> str:
    """``text``, unless it is a CUDA device that is not there (EchoLMError). Imports torch."""
    import torch

    count = torch.cuda.device_count()
    if text.startswith("cuda") and int(text.partition(":")[2] or 0) >= count:
        raise EchoLMError(f"--device {text}: this machine has {counted(count, 'CUDA device')}; type --device cpu")
    return text


def print_json(value: Any) -> None:
    """One JSON document on standard output. Bytes of file names that are not text are written as JSON escapes."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Left-aligned columns; numbers to the right."""
    texts = [[str(value) for value in row] for row in rows]
    widths = [max(len(name), *(len(row[i]) for row in texts)) if texts else len(name) for i, name in enumerate(header)]
    click.echo("  ".join(name.ljust(width) for name, width in zip(header, widths, strict=True)).rstrip())
    for row, raw in zip(texts, rows, strict=True):
        cells = [t.rjust(w) if isinstance(v, (int, float)) else t.ljust(w) for t, v, w in zip(row, raw, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def grid_name(given: str) -> str:
    """The name of a grid that is given by its name or the path of its file."""
    return Path(given).stem if given.endswith((".yaml", ".yml")) else given


def counted(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def typed(*words: str) -> str:
    """``echolm ...`` as one types it next, with the --workspace of this command."""
    return shlex.join([*program(), *words])


def program() -> tuple[str, ...]:
    """The words that such a command begins with."""
    main = click.get_current_context().find_root()
    named = main.get_parameter_source("workspace") == ParameterSource.COMMANDLINE
    return ("echolm", "--workspace", os.fspath(main.params["workspace"])) if named else ("echolm",)


def retyped(text: str) -> str:
    """An error's text; commands to type in it (``type: echolm ...``) get the --workspace of this command."""
    return re.sub(r"(?<=: )echolm (?=[a-z])", lambda _: f"{typed()} ", text)
