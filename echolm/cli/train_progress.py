"""Show a run that trains in the foreground: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from echolm.cli.hints import plain_seconds
from echolm.progress import ProgressBar
from echolm.text import duration
from echolm.training.live import LiveProgress

if TYPE_CHECKING:
    from echolm.training.loop import Verdict
    from echolm.training.prepare import PreparedRun

LINE_S = 60.0
"""Seconds between two lines within an epoch, where there is no terminal."""


class TrainProgress:
    """A bar over the epochs of a run on a terminal, a line an epoch, and a line a minute elsewhere.

    Args:
        epochs: how many the run has.
        hidden: show nothing.
    """

    def __init__(self, epochs: int, hidden: bool) -> None:
        self._hidden = hidden
        self._done = 0.0
        self._last = time.monotonic()
        self._last_epoch = self._last
        # rich takes standard output too while a bar is there: what is piped must not go to it
        no_bar = hidden or not sys.stdout.isatty()
        self.bar = ProgressBar("training", "epochs", epochs, hidden=no_bar)

    def epoch(self, run: PreparedRun, epoch: int, metrics: dict[str, float]) -> Verdict:
        """Print a validated epoch."""
        now = time.monotonic()
        seconds, self._last_epoch = now - self._last_epoch, now
        self._last = now
        if not self._hidden:
            values = "  ".join(f"val {name} {value:.5g}" for name, value in metrics.items())
            place = f"epoch {epoch + 1}/{run.config.epochs}"
            click.echo(f"{place}  {values}  {plain_seconds(seconds)} s")
        return "continue"

    def step(self, run: PreparedRun, live: LiveProgress) -> None:
        """Show where the run stands: beside the bar, or as a line when the last is a minute ago."""
        if self._hidden:
            return
        done = live.epochs_done
        if done > self._done:
            self.bar.advance(done - self._done)
            self._done = done
        self.bar.describe(live.words)
        now = time.monotonic()
        if self.bar.shown or now - self._last < LINE_S:
            return
        self._last = now
        line = live.words
        if live.seconds_left is not None:
            line += f", about {duration(live.seconds_left)} left"
        click.echo(line, err=True)
