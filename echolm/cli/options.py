"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

where = click.option("--where", multiple=True, metavar="AXIS=LABEL[,LABEL]", help="Only cells with these labels; repeat to narrow.")
as_json = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Left-aligned columns; numbers to the right."""
    texts = [[str(value) for value in row] for row in rows]
    widths = [max(len(name), *(len(row[i]) for row in texts)) if texts else len(name) for i, name in enumerate(header)]
    click.echo("  ".join(name.ljust(width) for name, width in zip(header, widths, strict=True)).rstrip())
    for row, raw in zip(texts, rows, strict=True):
        cells = [t.rjust(w) if isinstance(v, (int, float)) else t.ljust(w) for t, v, w in zip(row, raw, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())
