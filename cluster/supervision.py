"""What a launch that stays knows of its units: which wait, which of their cells have ended, how often their processes died.

A unit whose process dies waits again. On this machine it is given up after ``Limits.restarts`` deaths without a new epoch in
between; on Ray, when it is over a budget of ``cluster.failures``.
The same traceback in three cells stops further units (``cluster.tracebacks``).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cluster.tracebacks import forget, note_failures, stops
from echolm.errors import StorageError
from echolm.workspace import Workspace
from grid.plan import Job, Limits, Report, Unit


class Supervision:
    """The units of one launch. ``halted`` is the sentence that says why no further unit starts, or ''."""

    def __init__(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> None:
        self.job, self._limits, self._report = job, limits, report
        self._workspace = Workspace(job.workspace)
        self._waiting = deque(job.units)
        self._ended: set[str] = set()
        self._epochs: Counter[str] = Counter()
        self._deaths: Counter[str] = Counter()
        self.halted = ""
        with suppress(StorageError):
            forget(self._workspace, job.grid, [cell for unit in job.units for cell in unit.cells])  # they run again
        self._halt()

    @property
    def waits(self) -> int:
        """How many units wait."""
        return len(self._waiting)

    def next(self) -> Unit:
        """Take the unit that waits longest."""
        return self._waiting.popleft()

    def clear(self) -> None:
        """No unit waits any more."""
        self._waiting.clear()

    def left(self, unit: Unit) -> list[str]:
        """The cells of a unit that have not ended."""
        return [cell for cell in unit.cells if cell not in self._ended]

    def hear(self, unit: Unit, report: Report) -> None:
        """Pass on news of a unit. A new epoch clears it of earlier deaths; a failure may end the launch of further units."""
        if report.event == "ended":
            self._ended.add(report.cell)
            if report.facts["state"] == "failed":
                with suppress(StorageError):
                    note_failures(self._workspace, self.job.grid, [report.cell])
                self._halt()
        elif report.event == "epoch" and report.facts["epoch"] > self._epochs[report.cell]:
            self._epochs[report.cell] = report.facts["epoch"]
            self._deaths[unit.id] = 0
        self._report(report)

    def died(self, unit: Unit, facts: dict[str, Any], within: bool | None = None) -> None:
        """A process of a unit died: it waits again, or is given up. ``facts``: ``status`` or ``how``, and ``log``, for the
        report. ``within``: whether it may have another try, where this death does not count for ``Limits.restarts``; ``facts``
        then may say how many ``deaths`` do.

        Cells of a cohort that would be given up get one more try, alone.
        """
        if within is None:
            self._deaths[unit.id] += 1
            within = self._deaths[unit.id] <= self._limits.restarts
        left = self.left(unit)
        again = within or len(left) > 1
        for cell in left:
            self._report(Report("died", cell, {"deaths": self._deaths[unit.id], **facts, "again": again}))
        if left and within:
            self._waiting.appendleft(unit)
        elif again:
            for cell in reversed(left):
                self._deaths[cell] = self._limits.restarts
                self._waiting.appendleft(Unit((cell,)))

    def _halt(self) -> None:
        """Start nothing more when the same error has ended too many cells. Units that run go on."""
        self.halted = stops(self._workspace, self.job.grid)
        if self.halted:
            self.clear()
