"""What ``fit`` calls while it trains, and what it calls where nobody gave anything."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Literal

from echolm.training.live import LiveProgress
from echolm.training.prepare import PreparedRun

Verdict = Literal["continue", "stop", "pruned"]
OnEpoch = Callable[[PreparedRun, int, dict[str, float]], Verdict]
OnLive = Callable[[PreparedRun, LiveProgress], None]


def keep_going(run: PreparedRun, epoch: int, metrics: dict[str, float]) -> Verdict:
    """Stop no run: the callback that is used without another."""
    return "continue"


def show_nowhere(run: PreparedRun, live: LiveProgress) -> None:
    """Show nobody where a run stands: the callback that is used without another."""


def tell_on_stderr(line: str) -> None:
    """Print a line: the callback that is used without another."""
    print(line, file=sys.stderr, flush=True)
