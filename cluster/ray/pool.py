"""The supervision of one launch on Ray: slots, their gangs, and signals."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from cluster.failures import CLASSES
from cluster.ray.capacity import avoided
from cluster.ray.deaths import Death, last_line
from cluster.ray.gang import Gang
from cluster.ray.ledger import Ledger
from cluster.ray.worker import Settings
from cluster.supervision import Supervision
from echolm.errors import EchoLMError
from grid.plan import Report, Unit

POLL_S = 0.2


class Pool:
    """Gives waiting units to gangs as Ray places them, until none waits and none runs."""

    def __init__(
        self, units: Supervision, slots: int, report: Callable[[Report], None], times: dict[str, float], environment: dict[str, str]
    ) -> None:
        self._units, self._job, self._slots, self._report, self._times = units, units.job, slots, report, times
        self._environment = environment
        self._ledger = Ledger(units.job)
        self._false_starts: list[Death] = []
        """Since a gang was ready."""
        self._gangs: dict[int, Gang] = {}
        self._signals: list[str] = []
        self._obeyed = 0
        self.started: list[str] = []

    @property
    def stopped(self) -> str:
        """The first signal that came, or ''."""
        return self._signals[0] if self._signals else ""

    def note(self, number: int, frame: FrameType | None) -> None:
        """Signal handler. What follows from it is done between two looks at the gangs."""
        self._signals.append(signal.Signals(number).name)

    def run(self) -> None:
        """Until no unit waits and no gang has one. EchoLMError: gangs end before they are ready, again and again."""
        self._assign()
        while self._busy() or (self._units.waits and self._gangs):
            self._look()
            self._obey()
            self._assign()
        if self._units.waits and self._false_starts:
            last = self._false_starts[-1]
            raise EchoLMError(f"no worker starts: {last_line(last.evidence)}; see {last.log}")

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
        for slot in range(self._slots):
            if not self._units.waits or self._signals:
                return
            gang = self._gangs.get(slot)
            if gang and gang.ready and gang.unit is None:
                self._give(gang, self._units.next())
            elif gang is None and starting < self._units.waits and len(self._false_starts) <= CLASSES["launch"].budget:
                self._gangs[slot] = self._gang(slot)
                starting += 1

    def _give(self, gang: Gang, unit: Unit) -> None:
        cells = self._units.left(unit)
        gang.give(unit, cells, self._ledger.micro_batch(cells))

    def _gang(self, slot: int) -> Gang:
        job, needs = self._job, self._job.resources
        log = job.workspace / "grids" / job.grid / "workers" / f"ray-{slot}.log"
        device = "cuda" if needs.gpus else "cpu"
        settings = Settings(job.workspace, job.grid, device, needs.threads, self._times, log)
        return Gang(settings, needs, self._environment, avoided(self._ledger.bad_nodes(), needs))

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
        if gang.ready and not was:
            self._false_starts.clear()
            self.started += gang.names
        elif not gang.ready and gang.death:
            self._drop(slot)
            self._ledger.note(gang.death)
            if gang.death.kind in ("launch", "out-of-memory"):
                self._false_starts.append(gang.death)

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
            self._bury(unit, gang.death or Death("killed", f"stopped ({gang.stopped})", gang.stopped, gang.hosts[0], gang.settings.log))

    def _bury(self, unit: Unit, death: Death) -> None:
        """Write down what a unit's gang died of. The unit waits again, or is over its budget."""
        cells = self._units.left(unit)
        self._ledger.note(death, cells)
        if death.kind in ("node-failure", "preempted"):  # idle gangs went with it, and what waits for it may wait for ever
            for slot in [slot for slot, gang in self._gangs.items() if not gang.unit and (not gang.ready or death.host in gang.hosts)]:
                self._drop(slot)
        within = self._ledger.within(cells)
        if within and death.kind == "out-of-memory":
            size = self._ledger.micro_batch(cells)
            for cell in cells:
                self._report(Report("smaller", cell, {"micro_batch": size}))
        facts = {"status": 1, "how": death.how, "log": str(death.log), "deaths": self._ledger.times(cells, death.kind)}
        self._units.died(unit, facts, within)

    def _drop(self, slot: int) -> None:
        self._gangs.pop(slot).kill()

    def _obey(self) -> None:
        """Act on signals since the last call: the first asks for checkpoints, the next kills."""
        if len(self._signals) == self._obeyed:
            return
        for gang in self._busy():
            gang.kill() if self._obeyed else gang.stop()
        self._units.clear()
        self._obeyed = len(self._signals)
