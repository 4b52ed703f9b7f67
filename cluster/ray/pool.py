"""Supervise one launch on Ray: its slots, their gangs, and signals."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from cluster.failures import CLASSES
from cluster.launch_signals import LaunchSignals
from cluster.premises import Premises
from cluster.ray.capacity import avoided
from cluster.ray.gang import Gang
from cluster.ray.ledger import Ledger
from cluster.ray.worker import WorkerSettings
from cluster.ray.worker_loss import SILENT, WorkerLoss
from cluster.supervision import Supervision
from echolm.errors import EchoLMError
from echolm.outages import insist, lost_workspace
from echolm.states import FailureClass, RunState
from echolm.text import last_line_of
from grid.units import Report, Unit

POLL_S = 0.2


class GangPool:
    """Gives waiting units to gangs as Ray places them, until none waits and none runs.

    Args:
        units: the units of the launch.
        slots: how many gangs there may be.
        report: is called for what the pool itself has to say.
        times: patience and heartbeat of the attempts.
        environment: variables of the workers.

    Attributes:
        started: the processes that were started, as host:pid.
    """

    def __init__(
        self,
        units: Supervision,
        slots: int,
        report: Callable[[Report], None],
        times: dict[str, float],
        environment: dict[str, str],
    ) -> None:
        self._units = units
        self._job = units.job
        self._slots = slots
        self._report = report
        self._times = times
        self._environment = environment
        self._ledger = Ledger(units.job)
        self._premises = Premises(units.job.workspace, self._tell_outage)
        self._false_starts: list[WorkerLoss] = []
        """Since a gang was ready."""
        self._gangs: dict[int, Gang] = {}
        """By slot."""
        self.signals = LaunchSignals()
        self.started: list[str] = []

    def run(self) -> None:
        """Run until no unit waits and no gang has one.

        Raises:
            EchoLMError: gangs end before they are ready, again and again.
        """
        self._assign()
        while self._goes_on():
            self._look()
            self._act_on_signals()
            self._assign()
        if self._units.waits and self._false_starts:
            last = self._false_starts[-1]
            reason = last_line_of(last.evidence, SILENT)
            raise EchoLMError(f"no worker starts: {reason}; see {last.log}")

    def _goes_on(self) -> bool:
        """Return whether a gang has a unit, or units wait for what will be there."""
        if self._busy() or (self._units.waits and self._gangs):
            return True
        return self._units.waits_elsewhere or self._waits_out()

    def close(self) -> None:
        """End all gangs. One that has a unit (after an error of the launcher) checkpoints first."""
        for gang in self._busy():
            gang.stop()
        while self._busy():
            self._look()
            self._act_on_signals()
        for gang in self._gangs.values():
            gang.kill()

    def _waits_out(self) -> bool:
        """Return whether units wait for a workspace that is not there. Pauses.

        Raises:
            OutageError: it has been away for too long.
        """
        if not self._units.waits or self.signals.first:
            return False
        return self._premises.pause_while_away()

    def _tell_outage(self, line: str) -> None:
        self._report(Report("outage", "", {"line": line}))

    def _busy(self) -> list[Gang]:
        return [gang for gang in self._gangs.values() if gang.unit]

    def _assign(self) -> None:
        """Give waiting units to gangs that are ready, and ask Ray for more gangs for the others."""
        self._units.look_elsewhere()
        if not self._units.waits or self._premises.away():
            return
        starting = sum(not gang.ready for gang in self._gangs.values())
        may_start = len(self._false_starts) <= CLASSES[FailureClass.LAUNCH].budget
        for slot in range(self._slots):
            if not self._units.waits or self.signals.first:
                return
            gang = self._gangs.get(slot)
            if gang is None:
                if may_start and starting < self._units.waits:
                    self._gangs[slot] = self._new_gang(slot)
                    starting += 1
            elif gang.ready and gang.unit is None:
                unit = self._units.next()
                cells = self._units.left(unit)
                gang.give(unit, cells, self._ledger.micro_batch(unit.only(cells)))

    def _new_gang(self, slot: int) -> Gang:
        job, needs = self._job, self._job.resources
        settings = WorkerSettings(
            workspace=job.workspace,
            grid=job.grid,
            device="cuda" if needs.gpus else "cpu",
            threads=needs.threads,
            arithmetic=needs.arithmetic,
            times={**self._times, **needs.saving},
            log=job.workspace / "grids" / job.grid / "workers" / f"ray-{slot}.log",
        )
        return Gang(settings, needs, self._environment, avoided(self._ledger.bad_nodes(), needs))

    def _look(self) -> None:
        """Wait a moment for news and take all that is there."""
        import ray

        for gang in self._busy():
            gang.end_stragglers()
        gang_of: dict[Any, tuple[int, Gang]] = {}
        for slot, gang in self._gangs.items():
            for item in gang.waits_for():
                gang_of[item] = slot, gang
        items = list(gang_of)
        if not items and self._units.waits_elsewhere:
            time.sleep(POLL_S)
        if items and ray.wait(items, timeout=POLL_S)[0]:
            for item in ray.wait(items, num_returns=len(items), timeout=0)[0]:
                self._take(*gang_of[item], item)
        for slot, gang in list(self._gangs.items()):
            if gang.over:
                self._finish_unit(slot, gang)

    def _take(self, slot: int, gang: Gang, item: Any) -> None:
        if self._gangs.get(slot) is not gang:
            return  # another of its ranks has ended it just now
        was_ready = gang.ready
        gang.take(item, lambda report: self._pass_on(gang, report))
        if gang.ready and not was_ready:
            self._false_starts.clear()
            self.started += gang.names
        elif not gang.ready and gang.loss:
            self._drop(slot)
            self._note(gang.loss)
            if gang.loss.kind in (FailureClass.LAUNCH, FailureClass.OUT_OF_MEMORY):
                self._false_starts.append(gang.loss)

    def _pass_on(self, gang: Gang, report: Report) -> None:
        """Pass on a report, unless a run was stopped by somebody else: its unit waits again."""
        assert gang.unit
        was_stopped = report.event == "ended" and report.facts["state"] == RunState.INTERRUPTED
        if self.signals.first or not was_stopped or report.facts.get("outage"):
            self._units.on_report(gang.unit, report)

    def _finish_unit(self, slot: int, gang: Gang) -> None:
        """Take the unit from a gang that is over.

        The unit has ended, or it waits again because a process died or was stopped by somebody.
        """
        unit, gang.unit = gang.unit, None
        assert unit
        if not gang.loss and not gang.stopped:
            return
        self._drop(slot)
        if self.signals.first:
            return
        stopped = WorkerLoss(
            kind=FailureClass.KILLED,
            how=f"stopped ({gang.stopped})",
            evidence=gang.stopped,
            host=gang.hosts[0],
            log=gang.settings.log,
        )
        self._bury(unit, gang.loss or stopped)

    def _bury(self, unit: Unit, loss: WorkerLoss) -> None:
        """Write down what a unit's gang died of. The unit waits again, or is over its budget."""
        cells = self._units.left(unit)
        self._note(loss, cells)
        if loss.kind in (FailureClass.NODE_FAILURE, FailureClass.PREEMPTED):
            self._drop_idle_gangs(loss.host)
        within = self._ledger.within(cells)
        if within and loss.kind == FailureClass.OUT_OF_MEMORY:
            size = self._ledger.micro_batch(unit.only(cells))
            for cell in cells:
                self._report(Report("smaller", cell, {"micro_batch": size}))
        facts = {
            "status": 1,
            "how": loss.how,
            "log": str(loss.log),
            "deaths": self._ledger.times(cells, loss.kind),
        }
        self._units.on_death(unit, facts, within)

    def _note(self, loss: WorkerLoss, cells: Sequence[str] = ()) -> None:
        """Write down a loss, once the workspace is there."""
        insist(
            lambda: self._ledger.note(loss, cells),
            look=lambda: lost_workspace(self._job.workspace),
            tell=self._tell_outage,
            stopped=lambda: bool(self.signals.first),
        )

    def _drop_idle_gangs(self, host: str) -> None:
        """Drop the gangs without a unit that a lost node took with it.

        What waits to be placed there may wait for ever, so gangs that are not ready go too.
        """
        for slot, gang in list(self._gangs.items()):
            if not gang.unit and (not gang.ready or host in gang.hosts):
                self._drop(slot)

    def _drop(self, slot: int) -> None:
        self._gangs.pop(slot).kill()

    def _act_on_signals(self) -> None:
        """Act on signals since the last call: the first asks for checkpoints, the next kills."""
        number = self.signals.to_pass_on()
        if number is None:
            return
        if number == signal.SIGTERM:
            self._report(Report("stopping", "", {"signal": self.signals.first}))
        for gang in self._busy():
            if number == signal.SIGKILL:
                gang.kill()
            else:
                gang.stop()
        self._units.clear()
