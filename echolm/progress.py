"""A progress bar on a terminal, and nothing elsewhere. rich draws it, imported when it is shown."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


class ProgressBar:
    """A bar on standard error that counts what is done. It leaves nothing behind on the screen.

    Args:
        label: what goes on.
        unit: what is counted, in the plural.
        total: how many there are. None where that is not known.
        hidden: show nothing, also on a terminal.
    """

    def __init__(
        self, label: str, unit: str, total: int | None = None, hidden: bool = False
    ) -> None:
        self._label = label
        self._unit = unit
        self._total = total
        self._bar: Progress | None = None
        if not hidden and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = _make_bar(unit)

    def __enter__(self) -> ProgressBar:
        if self._bar:
            self._task = self._bar.add_task(self._label, total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar:
            self._bar.stop()

    @property
    def shown(self) -> bool:
        """Whether there is a terminal that shows the bar."""
        return self._bar is not None

    def advance(self, count: float = 1) -> None:
        """Count what is done now. A part of one counts too."""
        if self._bar:
            self._bar.advance(self._task, count)

    def describe(self, text: str) -> None:
        """Say before the bar what goes on now."""
        if self._bar:
            self._bar.update(self._task, description=text)

    def say(self, line: str) -> None:
        """Print a line on standard error, above the bar where there is one."""
        if self._bar:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=sys.stderr, flush=True)


def _make_bar(unit: str) -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn(unit, markup=False),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=Console(stderr=True),
        transient=True,
    )
