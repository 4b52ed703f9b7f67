"""What a launch that stays knows of its units: which wait, which of their cells have ended.

A unit whose process dies waits again. On this machine it is given up after ``Limits.restarts``
deaths without a new epoch in between. On Ray it is given up when it is over a budget of
``cluster.failures``. The same traceback in three cells stops further units
(``cluster.tracebacks``).
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from cluster import tracebacks
from cluster.readiness import is_ready, is_running
from echolm.errors import StorageError
from echolm.states import RunState
from echolm.workspace import Workspace
from grid.units import Job, Limits, Report, Unit

ELSEWHERE_S = 1.0
"""Seconds between two looks at what another launch trains."""


class Supervision:
    """The units of one launch."""

    def __init__(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> None:
        self.job = job
        self._limits = limits
        self._report = report
        self._workspace = Workspace(job.workspace)
        self._waiting: deque[Unit] = deque()
        self._later: list[Unit] = []
        """Units that begin from cells of this launch that have not ended."""
        self._elsewhere: list[Unit] = []
        """Units that begin from cells which another launch trains."""
        self._next_look = 0.0
        self._complete: set[str] = set()
        self._ended: set[str] = set()
        self._epochs: Counter[str] = Counter()
        self._deaths: Counter[str] = Counter()
        self._stop_reason = ""
        cells = [cell for unit in job.units for cell in unit.cells]
        with suppress(StorageError):
            tracebacks.clear(self._workspace, job.grid, cells)  # they run again
        self._sort(cells)
        self._stop_if_errors_repeat()

    @property
    def stop_reason(self) -> str:
        """The sentence that says why no further unit starts, or ''."""
        return self._stop_reason

    @property
    def waits(self) -> int:
        """How many units could start now."""
        return len(self._waiting)

    def ready(self, unit: Unit) -> bool:
        """Tell whether what a unit waits for has ended: its cells begin with weights that it made.

        It is asked when an outcome arrives.
        """
        return self._complete.issuperset(unit.after) or is_ready(self._workspace, unit)

    @property
    def waits_elsewhere(self) -> bool:
        """Whether there are units that begin from cells which another launch trains."""
        return bool(self._elsewhere)

    def look_elsewhere(self) -> None:
        """Look after units that begin from cells which another launch trains, once a second.

        Those whose weights are there wait to start now. Those whose cells nobody trains any more
        are left to the next launch.
        """
        if not self._elsewhere or time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + ELSEWHERE_S
        units, self._elsewhere = self._elsewhere, []
        for unit in units:
            # Asked first: what ends between the two questions is ready then.
            trained = any(is_running(self._workspace, cell) for cell in unit.after)
            if self.ready(unit):
                self._waiting.append(unit)
            elif trained:
                self._elsewhere.append(unit)

    def next(self) -> Unit:
        """Take the unit that waits longest."""
        return self._waiting.popleft()

    def clear(self) -> None:
        """Let no unit wait any more."""
        self._waiting.clear()
        self._later.clear()
        self._elsewhere.clear()

    def _sort(self, cells: Collection[str]) -> None:
        """Sort the units of the launch into those that may start, and those that may later."""
        known: dict[tuple[str, ...], bool] = {}
        for unit in self.job.units:
            if any(cell in cells for cell in unit.after):
                self._later.append(unit)
                continue
            if unit.after not in known:
                known[unit.after] = self.ready(unit)
            where = self._waiting if known[unit.after] else self._elsewhere
            where.append(unit)

    def _look_at_later(self) -> None:
        """Let units start whose cells begin with weights that are there now."""
        units, self._later = self._later, []
        for unit in units:
            if not self._ended.issuperset(unit.after):
                self._later.append(unit)
            elif self.ready(unit):
                self._waiting.append(unit)
            else:
                self._elsewhere.append(unit)  # another launch may be training it

    def tell(self, report: Report) -> None:
        """Pass on news that are of no unit."""
        self._report(report)

    def left(self, unit: Unit) -> list[str]:
        """Return the cells of a unit that have not ended."""
        return [cell for cell in unit.cells if cell not in self._ended]

    def on_report(self, unit: Unit, report: Report) -> None:
        """Pass on news of a unit.

        A new epoch clears it of earlier deaths. A failure may end the launch of further units.
        """
        if report.event == "ended":
            self._on_end(report)
        elif report.event == "epoch" and report.facts["epoch"] > self._epochs[report.cell]:
            self._epochs[report.cell] = report.facts["epoch"]
            self._deaths[unit.id] = 0
        self._report(report)

    def on_death(self, unit: Unit, facts: dict[str, Any], again: bool | None = None) -> None:
        """Let a unit wait again whose process died, or give it up.

        Cells of a cohort that would be given up get one more try, alone.

        Args:
            unit: the unit.
            facts: ``status`` or ``how``, and ``log``, for the report.
            again: whether it may have another try, where this death does not count for
                ``Limits.restarts``. ``facts`` then may say how many ``deaths`` do. None: it counts.
        """
        if again is None:
            self._deaths[unit.id] += 1
            again = self._deaths[unit.id] <= self._limits.restarts
        left = self.left(unit)
        alone = not again and len(left) > 1
        for cell in left:
            known = {"deaths": self._deaths[unit.id], **facts, "again": again or alone}
            self._report(Report("died", cell, known))
        if again and left:
            self._waiting.appendleft(unit)
        if alone:
            for cell in reversed(left):
                self._deaths[cell] = self._limits.restarts
                self._waiting.appendleft(unit.only([cell]))

    def _on_end(self, report: Report) -> None:
        """Note that a cell has ended, and the traceback of one that failed.

        Where something was away for too long, the cells that wait would wait for it too.
        """
        self._ended.add(report.cell)
        if report.facts["state"] == RunState.COMPLETE:
            self._complete.add(report.cell)
        if report.facts.get("outage"):
            self._stop_reason = f"nothing more is started: {report.facts['detail']}"
            self.clear()
            return
        self._look_at_later()
        if report.facts["state"] != RunState.FAILED:
            return
        with suppress(StorageError):
            tracebacks.note_failures(self._workspace, self.job.grid, [report.cell])
        self._stop_if_errors_repeat()

    def _stop_if_errors_repeat(self) -> None:
        """Start nothing more when one error has ended too many cells. Units that run go on."""
        self._stop_reason = tracebacks.stop_reason(self._workspace, self.job.grid)
        if self._stop_reason:
            self.clear()
