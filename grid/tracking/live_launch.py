"""Shows the runs of a launch in MLflow while they train. It imports what that takes when needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.tracking.live import LiveRuns

FIRST_S = 10.0
"""Seconds after the beginning of a launch at which its runs are shown first."""
EVERY_S = 30.0
JOIN_S = 5.0
"""Seconds that the end of a launch waits for a look that is under way."""


class LiveLaunch:
    """Shows the runs of a grid in the workspace's store while the ``with`` block trains them.

    It does so in a thread. What is wrong with the store is told once, and disturbs no run.

    Args:
        workspace: where they run.
        grid: the grid's name.
        tell: hears what is wrong.
        wanted: whether anything is shown.
        first: seconds until the first look.
        every: seconds between two looks.
    """

    def __init__(
        self,
        workspace: Workspace,
        grid: str,
        tell: Callable[[str], None],
        wanted: bool = True,
        first: float = FIRST_S,
        every: float = EVERY_S,
    ) -> None:
        self._workspace = workspace
        self._grid = grid
        self._tell = tell
        self._wanted = wanted
        self._first = first
        self._every = every
        self._live: LiveRuns | None = None
        self._told = ""
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live runs", daemon=True)

    def __enter__(self) -> LiveLaunch:
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        if self._wanted:
            self._thread.join(JOIN_S)

    def look(self) -> None:
        """Show the runs as they are now."""
        from grid.tracking.live import LiveRuns
        from grid.tracking.sources import collect_sources

        if not self._wanted:
            return
        if self._live is None:
            folder = self._workspace.root / "mlflow" / "artifacts"
            self._live = LiveRuns(self._workspace.tracking_uri, folder)
        try:
            self._live.show(collect_sources(self._workspace, [self._grid]))
        except (EchoLMError, OSError) as error:
            if str(error) != self._told:
                self._told = str(error)
                self._tell(f"runs that are not complete are not shown in MLflow: {error}")

    def _run(self) -> None:
        wait = self._first
        while not self._end.wait(wait):
            self.look()
            wait = self._every
