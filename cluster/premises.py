"""The workspace of a launch or a job: whether it is still there.

Where it was unmounted, its folder is an empty mount point. Nothing is started and nothing is
written there until the workspace is back (``echolm.outages``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from echolm.outages import OutageError, limit_s, lost_workspace, remember_workspace
from echolm.text import duration

LOOK_S = 0.5
"""Seconds between two looks."""
PAUSE_S = 0.2
"""Seconds that who waits for it sleeps between two turns."""


class Premises:
    """Watches a workspace, without waiting.

    Args:
        root: the workspace's folder.
        tell: is called with a line when it goes away, and when it is back.
    """

    def __init__(self, root: Path, tell: Callable[[str], None]) -> None:
        remember_workspace(root)
        self._root = root
        self._tell = tell
        self._missing = ""
        self._since = 0.0
        self._looked = float("-inf")

    def away(self) -> bool:
        """Return whether it was not there at the last look, which is a moment ago at most."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return bool(self._missing)
        self._looked = now
        missing = lost_workspace(self._root)
        if missing and not self._missing:
            self._since = now
            self._tell(f"{missing}; waiting")
        elif self._missing and not missing:
            self._tell(f"all is there again, after {duration(now - self._since)}")
        self._missing = missing
        return bool(missing)

    def pause_while_away(self) -> bool:
        """Return whether it is not there now, after a moment's pause then.

        Raises:
            OutageError: it has been away for longer than ``echolm.outages.limit_s``.
        """
        if not self.away():
            return False
        waited_s = time.monotonic() - self._since
        if waited_s > limit_s():
            raise OutageError(f"{self._missing}: waited {duration(waited_s)}")
        time.sleep(PAUSE_S)
        return True
