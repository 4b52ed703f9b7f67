"""Show a launch that trains under this process: a progress bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from signal import Signals
from typing import TYPE_CHECKING, Any

from cluster.place import LaunchNews
from cluster.status import blocked_cells, counts_line
from echolm.cli.hints import labels, warn
from echolm.cli.terminal import say
from echolm.progress import ProgressBar
from echolm.text import counted, duration
from echolm.training.live import LiveProgress

if TYPE_CHECKING:
    from grid.definition.grid import Cell, Grid
    from grid.plan import CellStatus
    from grid.units import Report, Unit

LINE_S = 60.0
"""Seconds between two lines about cells that train, where there is no terminal."""
LISTED = 4
"""Cells that such a line names."""


class PoolNews(LaunchNews):
    """What one reads while cells train here or on Ray.

    Args:
        quiet: keep standard output free for a JSON document.
    """

    def __init__(self, quiet: bool = False) -> None:
        self._quiet = quiet

    def began(self, grid: Grid, statuses: list[CellStatus], planned: list[Unit]) -> None:
        """Print where the cells stand, and how many will run."""
        warn(blocked_cells(statuses))
        cells = sum(len(unit.cells) for unit in planned)
        units = counted(len(planned), "unit")
        line = f"{grid.name}: {counts_line(statuses)}; running {cells:,} in {units}"
        say(line, err=self._quiet)

    @contextmanager
    def reports(self, cells: Sequence[Cell]) -> Iterator[Callable[[Report], None]]:
        """Show the reports of these cells until they have ended."""
        progress = LaunchProgress(cells)
        with progress.bar:
            yield progress.show

    def warn(self, line: str) -> None:
        """Print a line on standard error."""
        warn([line])


class LaunchProgress:
    """A bar over the epochs of a launch on a terminal, and one plain line a cell that ended.

    Without a terminal, a line a minute says where the cells stand that train.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = {cell.id: cell for cell in cells}
        self._epochs: dict[str, float] = {}
        """Cell -> the epochs behind it, once something is known of it."""
        self._live: dict[str, LiveProgress] = {}
        self._ended: set[str] = set()
        self._away: set[str] = set()
        """Lines about what is away, which several workers say."""
        self._trained = 0.0
        """Epochs that this launch has trained."""
        self._began = time.monotonic()
        self._printed = self._began
        self._total = sum(cell.config.epochs for cell in cells)
        self.bar = ProgressBar("training", "epochs", self._total)

    def show(self, report: Report) -> None:
        """Show one report."""
        cell, facts = report.cell, report.facts
        if report.event == "step":
            self._on_step(cell, LiveProgress(**facts))
        elif report.event == "epoch":
            self._advance(cell, facts["epoch"])
        elif report.event == "outage":
            self._on_outage(facts["line"])
        elif report.event == "stopping":
            line = f"stopping ({facts['signal']}): each run saves a checkpoint first"
            self.bar.say(f"{line}; a second signal does not wait for it")
        elif report.event == "ended":
            self._on_end(cell, facts)
        elif report.event == "smaller":
            size = facts["micro_batch"]
            self._say(cell, "smaller", f"out of memory; again with micro-batches of {size}")
        else:
            how = facts.get("how") or exit_words(facts["status"])
            then = "it starts again"
            if not facts["again"]:
                then = f"given up after {facts['deaths']} times; its log: {facts['log']}"
            self._say(cell, "worker died", f"{how}; {then}")

    def _on_step(self, cell: str, live: LiveProgress) -> None:
        """Show where a cell stands: beside the bar, or as a line when the last is a minute ago."""
        self._live[cell] = live
        self._advance(cell, live.epochs_done)
        text = f"{cell[:8]} {live.words}"
        if len(self._live) > 1:
            text = f"{len(self._live)} cells, now {text}"
        self.bar.describe(text)
        now = time.monotonic()
        if self.bar.shown or now - self._printed < LINE_S:
            return
        self._printed = now
        places = [f"{id[:8]} {live.words}" for id, live in self._live.items()]
        more = len(places) - LISTED
        words = "; ".join(places[:LISTED])
        if more > 0:
            words += f"; and {counted(more, 'more cell')}"
        left_s = self._seconds_left()
        if left_s is not None:
            words += f"; about {duration(left_s)} left"
        self.bar.say(f"{self._count()}  training    {words}")

    def _on_outage(self, line: str) -> None:
        """Tell once what is away, and once that all is there again."""
        is_back = not line.endswith("waiting")
        if (line in self._away) or (is_back and not self._away):
            return
        if is_back:
            self._away.clear()
        else:
            self._away.add(line)
        self.bar.say(line)

    def _on_end(self, cell: str, facts: dict[str, Any]) -> None:
        self._ended.add(cell)
        self._live.pop(cell, None)
        if facts["state"] != "interrupted":
            self._advance(cell, self._cells[cell].config.epochs)
        self._say(cell, facts["state"], facts["detail"])

    def _advance(self, cell: str, epochs: float) -> None:
        """Move the bar to an epoch of a cell. What is trained again does not move it.

        What an earlier launch has trained moves the bar, and says nothing of this one's speed.
        """
        before = self._epochs.get(cell)
        if before is None:
            self.bar.advance(epochs)
        elif epochs > before:
            self.bar.advance(epochs - before)
            self._trained += epochs - before
        self._epochs[cell] = max(epochs, before or 0.0)

    def _seconds_left(self) -> float | None:
        """Estimate the seconds until all cells have ended. None: nothing was trained yet."""
        if not self._trained:
            return None
        seconds_an_epoch = (time.monotonic() - self._began) / self._trained
        return (self._total - sum(self._epochs.values())) * seconds_an_epoch

    def _count(self) -> str:
        seconds = time.monotonic() - self._began
        return f"[{len(self._ended)}/{len(self._cells)}] {seconds:5.0f} s"

    def _say(self, cell: str, state: str, detail: str) -> None:
        line = f"{self._count()}  {cell[:8]}  {state:<11} {labels(self._cells[cell])}"
        if detail:
            line += f"  ({detail.splitlines()[0]})"
        self.bar.say(line)


def exit_words(status: int) -> str:
    """Put an exit status into words: ``killed by SIGKILL``."""
    if status == 0:
        return "stopped by a signal"
    if status > 0:
        return f"exit status {status}"
    if -status in set(Signals):
        return f"killed by {Signals(-status).name}"
    return f"killed by signal {-status}"
