"""Run a SLURM job: claim units while time is left and train them.

When the job has to stop, it leaves checkpoints and asks SLURM to start it again.

=======================  ===========================================================================
what comes               what the job does
=======================  ===========================================================================
SIGUSR2 (``--signal``):  checkpoint, then ``scontrol requeue`` of itself. Without a step done since
time limit, preemption   the start, wait: the time limit then ends the job, and the next launch
                         counts it
SIGTERM alone:           checkpoint, then wait: SLURM requeues a preempted job when the grace time
preemption without a     is over, and does not requeue a cancelled one. A job that ended by itself
warning, scancel         would be neither.
a lost rank, an outage   exit status 75: the batch script requeues the job, a few times
that lasts               (``cluster.slurm.submit.sbatch``)
too little time for a    ``scontrol requeue`` of itself: the next start has its whole time again
unit
SIGKILL, a dead node     nothing. SLURM or the batch script requeues, or the next launch submits
                         again
=======================  ===========================================================================
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from cluster.batch import Claim, JobBatch
from cluster.readiness import is_ready
from cluster.rendezvous import slurm_ranks
from cluster.slurm.job.requeue import LINGER_S, TRY_AGAIN, requeue_this_job
from cluster.tracebacks import note_failures, stop_reason
from cluster.unit import is_outage_end, train_unit
from echolm.outages import insist, lost_workspace, remember_workspace
from echolm.record import find_records
from echolm.text import counted
from echolm.training.cohorts import Compute
from echolm.training.distributed import Ranks
from echolm.training.signals import StopRequest
from echolm.workspace import Workspace
from grid.units import Report, Unit

T = TypeVar("T")
WARNINGS = ("SIGUSR1", "SIGUSR2")
OWN_SIGNAL_S = 10.0
"""Seconds that a rank waits for its own signal when another rank has told of one."""


def run_job(folder: Path) -> str:
    """Train the units of the batch in ``folder`` that this job can claim.

    Returns:
        Why it ended, in words.
    """
    with StopRequest() as signals:
        batch = insist(
            lambda: JobBatch.read(folder),
            look=lambda: "" if folder.is_dir() else f"the batch {folder} is not there",
            tell=_say,
            stopped=lambda: bool(signals.received),
        )
        return _run_batch(batch, signals)


def _run_batch(batch: JobBatch, signals: StopRequest) -> str:
    """Train the units of a batch, and end this start of the job. Return why, in words."""
    folder = batch.path
    torch.set_num_threads(batch.resources.threads)
    with slurm_ranks(folder / "meetings") as ranks:
        job = JobRun(batch, ranks, signals)
        why = job.run()
        if job.interrupted:
            _end_interrupted(folder, why, signals, requeues=ranks.first and job.moved)
        elif job.wants_time:
            _start_anew(folder, why, ranks.first)
        elif ranks.first:
            job.insist(lambda: batch.note_ended(why))
    return why


class JobRun:
    """One start of a job: its ranks, its time, the units it takes."""

    def __init__(self, batch: JobBatch, ranks: Ranks, signals: StopRequest) -> None:
        self.batch = batch
        self.ranks = ranks
        self.signals = signals
        self.workspace = Workspace(batch.workspace)
        needs = batch.resources
        named: dict[str, Any] = {**batch.times, **needs.saving}
        self.compute = Compute(needs.micro_batch, arithmetic=needs.arithmetic, **named)
        self.interrupted = False
        self.moved = False
        """Whether this start has brought a run forward."""
        self.wants_time = False
        """Whether units wait for which this start has too little time left."""
        self._longest = 0.0
        """Seconds that the longest unit of this start took."""
        self._why = "no unit waits"
        remember_workspace(batch.workspace, batch.workspace_id)
        limit = time.time() + 60 * batch.resources.minutes
        self._deadline = float(os.environ.get("SLURM_JOB_END_TIME") or limit)

    def run(self) -> str:
        """Train unit after unit. Return why there is no further one."""
        while True:
            claim = self.insist(self._claim) if self.ranks.first else None
            unit = self.ranks.share(claim.unit if claim else None)
            if unit is None:
                self._why, self.wants_time = self.ranks.share((self._why, self.wants_time))
                return self._why
            began = time.monotonic()
            cells = unit.cells
            checkpoints = self._checkpoints(cells)
            log = JobLog()
            stopped = train_unit(
                self.workspace, self.batch.grid, unit, self.compute, self.ranks, log
            )
            if not stopped or self._checkpoints(cells) > checkpoints:
                self.moved = True
            if claim and self._gives_back(stopped):
                self.insist(partial(claim.end, stopped or "done", log.refused))
            if stopped:
                self.interrupted = True
                return stopped
            if self.ranks.first:
                self.insist(partial(note_failures, self.workspace, self.batch.grid, cells))
            self._longest = max(self._longest, time.monotonic() - began)

    def insist(self, act: Callable[[], T]) -> T:
        """Do something with the workspace's files, and wait for them where they are away."""
        return insist(
            act,
            look=lambda: lost_workspace(self.batch.workspace),
            tell=_say,
            stopped=lambda: bool(self.signals.received),
        )

    def _gives_back(self, stopped: str) -> bool:
        """Tell whether a job beside may take the unit now.

        Else it stays with this one. When SLURM ends a job, it starts a preempted one again, and a
        cancelled one or one out of time not: the next launch is to find out what became of the
        unit.
        """
        by_signal = "signal" in stopped or stopped.startswith("SIG")
        if by_signal and not is_outage_end(stopped):
            return stopped in WARNINGS and self.moved
        return True

    def _checkpoints(self, cells: Sequence[str]) -> list[tuple[int, int]]:
        """Return how far the newest run of each cell is: (epoch, step)."""
        positions = []
        for cell in cells:
            position = (0, 0)
            with suppress(OSError):  # the workspace may be away
                for newest in find_records(self.workspace.runs, cell)[:1]:
                    position = newest.checkpoint_position()
            positions.append(position)
        return positions

    def _claim(self) -> Claim | None:
        """Claim the next unit, while time is left and nothing speaks against it."""
        if self.signals.received:
            self.interrupted = True
            self._why = self.signals.received
            return None
        if reason := stop_reason(self.workspace, self.batch.grid):
            self._why = reason
            return None
        left_s = self._deadline - time.time()
        if self._longest and left_s < self._longest:
            claims = self.batch.claims(holders=False)
            waiting = [unit for unit in self.batch.waiting(claims) if self._is_ready(unit)]
            self.wants_time = any(unit.id not in claims for unit in waiting)
            self._why = f"{left_s:.0f} s are left, and the longest unit took {self._longest:.0f} s"
            return None
        later = 0
        for unit in self._waiting_units():
            if not self._is_ready(unit):
                later += 1
                continue
            claim = Claim.take(self.batch, unit)
            if claim:
                return claim
        if later:
            units = counted(later, "unit")
            self._why = f"{units} not begun: what their cells begin with is not there; launch again"
        return None

    def _is_ready(self, unit: Unit) -> bool:
        """Tell whether what a unit waits for is there. Else it stays unclaimed.

        This job ends well then. The next launch submits the unit again, after what it waits for.
        """
        return is_ready(self.workspace, unit)

    def _waiting_units(self) -> list[Unit]:
        """Return the units that are left, first the one that an earlier start of this job had."""
        claims = self.batch.claims(holders=False)
        this_job = os.environ.get("SLURM_JOB_ID", "")

        def is_new_to_this_job(unit: Unit) -> bool:
            if not this_job or unit.id not in claims:
                return True
            return bool(claims[unit.id][-1]["holder"].get("slurm_job") != this_job)

        return sorted(self.batch.waiting(claims), key=is_new_to_this_job)


class JobLog:
    """Writes reports as lines of the job's log.

    Attributes:
        refused: cells that could not be run as the job was asked to, and why.
    """

    def __init__(self) -> None:
        self.refused: dict[str, str] = {}

    def __call__(self, report: Report) -> None:
        """Write down one report. What comes every second is left out."""
        if report.event == "step":
            return
        if report.event == "outage":
            return _say(report.facts["line"])
        _print_report(report)
        if report.event != "ended":
            return
        if report.facts["state"] == "refused" or report.facts.get("unprepared"):
            self.refused[report.cell] = str(report.facts["detail"])


def _print_report(report: Report) -> None:
    words = [_now(), report.cell, report.event]
    for name, value in report.facts.items():
        if value not in ("", None):
            words.append(f"{name}={value}")
    print(*words, flush=True)


def _say(line: str) -> None:
    print(f"{_now()} {line}", file=sys.stderr, flush=True)


def _end_interrupted(folder: Path, why: str, signals: StopRequest, requeues: bool) -> None:
    """Exit so that SLURM requeues the job, or does not.

    Args:
        folder: the batch's.
        why: what interrupted the run, in words or as a signal's name.
        signals: the signals of this rank.
        requeues: whether this rank asks SLURM to start the job again. A start that moved nothing
            does not ask: SLURM's time limit ends it, and the next launch counts that.
    """
    # when another rank had a signal, this rank's own is on its way
    end = time.monotonic() + OWN_SIGNAL_S
    while "another rank" in why and not signals.received and time.monotonic() < end:
        time.sleep(0.1)
    name = signals.received or why
    print(f"{_now()} stopped: {why}", file=sys.stderr, flush=True)
    if name in WARNINGS and requeues:
        requeue_this_job(folder)
    elif name not in WARNINGS and not name.startswith("SIG"):
        sys.stderr.flush()
        os._exit(TRY_AGAIN)  # at once: what is left of the other ranks may hold this one up
    time.sleep(LINGER_S)
    os._exit(TRY_AGAIN)


def _start_anew(folder: Path, why: str, first: bool) -> None:
    """Start this job again, so that its time limit counts from zero. The first rank asks for it."""
    line = f"{_now()} {why}, so this job starts again for the units that wait"
    print(line, file=sys.stderr, flush=True)
    if first:
        requeue_this_job(folder)
    time.sleep(LINGER_S)
    os._exit(TRY_AGAIN)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S")
