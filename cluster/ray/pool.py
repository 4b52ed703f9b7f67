"""The supervision of one launch on Ray: slots, their gangs, and signals."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from cluster.failures import CLASSES, Failure, counted, failures, micro_batches, note
from cluster.ray.deaths import Death, last_line
from cluster.ray.gang import Gang
from cluster.ray.worker import Settings
from cluster.supervision import Supervision
from echolm.errors import EchoLMError
from echolm.record import find_records
from echolm.workspace import Workspace
from grid.plan import Limits, Report, Unit, launched_config

POLL_S = 0.2


class Pool:
    """Gives waiting units to gangs as Ray places them, until none waits and none runs."""

    def __init__(
        self, units: Supervision, limits: Limits, report: Callable[[Report], None], times: dict[str, float], environment: dict[str, str]
    ) -> None:
        self._units, self._job, self._limits, self._report, self._times = units, units.job, limits, report, times
        self._environment = environment
        self._workspace = Workspace(units.job.workspace)
        self._false_starts: Counter[int] = Counter()
        self._gangs: dict[int, Gang] = {}
        self._signals: list[str] = []
        self._obeyed = 0
        self._last = "", Path()
        self.started: list[str] = []

    @property
    def stopped(self) -> str:
        """The first signal that came, or ''."""
        return self._signals[0] if self._signals else ""

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler. What follows from it is done between two looks at the gangs."""
        self._signals.append(signal.Signals(number).name)

    def run(self) -> None:
        """Until no unit waits and no gang has one. EchoLMError: gangs end before they are ready, in every slot."""
        self._assign()
        while self._busy() or (self._units.waits and self._gangs):
            self._look()
            self._obey()
            self._assign()
        if self._units.waits:
            why, log = self._last
            raise EchoLMError(f"no worker starts: {last_line(why)}; see {log}")

    def close(self) -> None:
        """End all gangs. One that has a unit (after an error of the launcher) stops with checkpoints."""
        for gang in self._busy():
            gang.stop()
        while self._busy():
            self._look()
            self._obey()
        for gang in self._gangs.values():
            gang.kill()

    def _busy(self) -> list[Gang]:
        return [gang for gang in self._gangs.values() if gang.unit]

    def _assign(self) -> None:
        """Give waiting units to gangs that are ready, and ask Ray for more gangs while there are units for them."""
        starting = sum(not gang.ready for gang in self._gangs.values())
        for slot in range(self._limits.slots):
            if not self._units.waits or self._signals:
                return
            gang = self._gangs.get(slot)
            if gang and gang.ready and gang.unit is None:
                self._give(gang, self._units.next())
            elif gang is None and starting < self._units.waits and self._false_starts[slot] <= self._limits.restarts:
                self._gangs[slot] = self._gang(slot)
                starting += 1

    def _give(self, gang: Gang, unit: Unit) -> None:
        cells = self._units.left(unit)
        gang.give(unit, cells, self._micro_batch(cells))

    def _gang(self, slot: int) -> Gang:
        job, needs = self._job, self._job.resources
        log = job.workspace / "grids" / job.grid / "workers" / f"ray-{slot}.log"
        device = "cuda" if needs.gpus else "cpu"
        return Gang(Settings(job.workspace, job.grid, device, needs.threads, self._times, log), needs, self._environment)

    def _look(self) -> None:
        """Wait a moment for news and take all that is there."""
        import ray

        for gang in self._busy():
            gang.hurry()
        gangs = {item: (slot, gang) for slot, gang in self._gangs.items() for item in gang.waits_for()}
        if gangs and ray.wait([*gangs], timeout=POLL_S)[0]:
            for item in ray.wait([*gangs], num_returns=len(gangs), timeout=0)[0]:
                self._hear(*gangs[item], item)
        for slot, gang in list(self._gangs.items()):
            if gang.over:
                self._settle(slot, gang)

    def _hear(self, slot: int, gang: Gang, item: Any) -> None:
        if self._gangs.get(slot) is not gang:
            return  # another of its ranks has ended it just now
        was = gang.ready
        gang.hear(item, lambda report: self._pass_on(gang, report))
        if gang.false_start:
            self._false_starts[slot] += 1
            self._last = gang.false_start, gang.settings.log
            self._drop(slot)
        elif gang.ready and not was:
            self._false_starts[slot] = 0
            self.started += gang.names

    def _pass_on(self, gang: Gang, report: Report) -> None:
        assert gang.unit
        if report.event != "ended" or report.facts["state"] != "interrupted" or self._signals:
            self._units.hear(gang.unit, report)

    def _settle(self, slot: int, gang: Gang) -> None:
        """A gang's unit is over: it has ended, or it waits again because a process died or was stopped by somebody."""
        unit, gang.unit = gang.unit, None
        assert unit
        if not gang.death and not gang.stopped:
            return
        self._drop(slot)
        if not self._signals:
            death = gang.death or Death("killed", f"stopped ({gang.stopped})", gang.stopped)
            within = self._make_smaller(unit, death, gang.names[0]) if death.kind == "out-of-memory" else None
            self._units.died(unit, {"status": 1, "how": death.how, "log": str(gang.settings.log)}, within)

    def _drop(self, slot: int) -> None:
        self._gangs.pop(slot).kill()

    def _make_smaller(self, unit: Unit, death: Death, name: str) -> bool:
        """Write down that a unit's node ran out of memory; whether it may try again, with half the micro-batch."""
        cells = tuple(self._units.left(unit))
        if not cells:
            return True
        place = min((record.place() for cell in cells for record in find_records(self._workspace.runs, cell)[:1]), default=(0, 0))
        note(self._workspace, self._job.grid, [Failure(death.kind, f"ray {name}", "", cells, name.partition(":")[0], death.evidence[:2000], place)])
        counts = counted(failures(self._workspace, self._job.grid))
        if any(counts[cell][death.kind] > CLASSES[death.kind].budget for cell in cells):
            return False
        size = self._micro_batch(cells)
        for cell in cells:
            self._report(Report("smaller", cell, {"micro_batch": size}))
        return True

    def _micro_batch(self, cells: tuple[str, ...] | list[str]) -> int | None:
        """The micro-batch of a unit: what was asked for, halved for each time that a node's memory ran out with it."""
        found, needs = failures(self._workspace, self._job.grid), self._job.resources
        sizes = []
        for cell in cells:
            share = -(-launched_config(self._workspace, self._job.grid, cell).batch_size // needs.ranks)
            sizes.append(micro_batches(found, share, cell, needs.micro_batch))
        known = [size for size in sizes if size is not None]
        return min(known) if known else None

    def _obey(self) -> None:
        """Act on signals since the last call: the first asks for checkpoints, the next kills."""
        if len(self._signals) == self._obeyed:
            return
        for gang in self._busy():
            gang.kill() if self._obeyed else gang.stop()
        self._units.clear()
        self._obeyed = len(self._signals)
