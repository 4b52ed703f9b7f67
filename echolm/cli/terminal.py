"""What only a terminal shows: tables in colour, and screens that are drawn again.

Drawn by rich, which is imported when a terminal is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import click

from echolm.text import counted, harmless, one_line

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

STATE_STYLES = {
    "running": "cyan",
    "complete": "green",
    "failed": "bold red",
    "interrupted": "yellow",
    "cancelled": "magenta",
    "pruned": "magenta",
}
"""The style of a table's value that is a run's state."""


def say(text: str, err: bool = False, nl: bool = True) -> None:
    """Print lines that may hold what somebody else wrote: titles, labels, names of runs, errors.

    Nothing in them is an order to the terminal.
    """
    click.echo(harmless(text), err=err, nl=nl)


def table_lines(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return a table as plain lines. A value is one line."""
    widths = [0] * len(header)
    spelled = [[one_line(str(value)) for value in row] for row in (header, *rows)]
    for spelled_row in spelled:
        for column, text in enumerate(spelled_row):
            widths[column] = max(widths[column], len(text))
    lines = []
    for row, row_texts in zip((header, *rows), spelled, strict=True):
        texts = []
        for value, text, width in zip(row, row_texts, widths, strict=True):
            if isinstance(value, (int, float)):
                texts.append(text.rjust(width))
            else:
                texts.append(text.ljust(width))
        lines.append("  ".join(texts).rstrip())
    return lines


def rich_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Lay out columns: numbers to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, name in enumerate(header):
        numbers = bool(rows) and isinstance(rows[0][column], (int, float))
        justify: Literal["left", "right"] = "right" if numbers else "left"
        table.add_column(one_line(name), justify=justify, no_wrap=True)
    for row in rows:
        texts = [one_line(str(value)) for value in row]
        table.add_row(*(Text(text, STATE_STYLES.get(text, "")) for text in texts))
    return table


def print_rich_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on standard output.

    One that is wider than the terminal is printed as plain lines: the terminal wraps them, where
    rich would cut its columns.
    """
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    lines = table_lines(header, rows)
    if max(len(line) for line in lines) <= console.width:
        return console.print(rich_table(header, rows))
    for line in lines:
        click.echo(line)


class LiveTable:
    """A table with lines below it, drawn again in the same place of a terminal."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(markup=False, highlight=False)
        self._live: Live = Live(console=console, auto_refresh=False, vertical_overflow="visible")

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._live.stop()

    def draw(
        self, header: Sequence[str], rows: Sequence[Sequence[object]], lines: Sequence[str]
    ) -> None:
        """Draw the table (none without rows), and the lines below it.

        Rows that the terminal has no room for are counted. One line of it holds one row.
        """
        from rich.console import Group
        from rich.text import Text

        console = self._live.console
        room = max(1, console.height - len(lines) - 3)
        left_out = len(rows) - room
        if left_out > 0:
            lines = [f"... and {counted(left_out, 'row')} more than fit here", *lines]
            rows = rows[:room]
        parts = [Text(one_line(line), overflow="ellipsis", no_wrap=True) for line in lines]
        if not rows:
            return self._live.update(Group(*parts), refresh=True)
        plain = table_lines(header, rows)
        if max(len(line) for line in plain) <= console.width:
            return self._live.update(Group(rich_table(header, rows), *parts), refresh=True)
        texts = [Text(line, overflow="ellipsis", no_wrap=True) for line in plain]
        self._live.update(Group(*texts, *parts), refresh=True)
