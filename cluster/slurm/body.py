"""What a SLURM job does: claim units while time is left and train them; when it has to stop, leave checkpoints and ask
SLURM to start it again.

============================  ==========================================================================================
what comes                    what the job does
============================  ==========================================================================================
SIGUSR2 (``--signal``):       checkpoint, then ``scontrol requeue`` of itself; without a step done since the start, wait:
time limit, preemption        the time limit then ends the job, and the next launch counts it
SIGTERM alone: preemption     checkpoint, then wait: SLURM requeues a preempted job when the grace time is over, and does
without a warning, scancel    not requeue a cancelled one. A job that ended by itself would be neither.
a lost rank                   exit status 75: the batch script requeues the job, a few times (``cluster.slurm.script``)
too little time for a unit    ``scontrol requeue`` of itself: the next start has its whole time again
SIGKILL, a dead node          nothing; SLURM or the batch script requeues, or the next launch submits again
============================  ==========================================================================================
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from cluster.batch import Batch, Claim
from cluster.rendezvous import slurm_ranks
from cluster.slurm.again import LINGER_S, LOST, start_again
from cluster.tracebacks import note_failures, stops
from cluster.unit import train_unit
from echolm.record import find_records
from echolm.training.cohorts import Compute
from echolm.training.distributed import Ranks
from echolm.training.signals import Signals
from echolm.workspace import Workspace
from grid.plan import Report, Unit

WARNINGS = ("SIGUSR1", "SIGUSR2")


def run_job(folder: Path) -> str:
    """Train the units of the batch in ``folder`` that this job can claim. Returns why it ended, in words."""
    batch = Batch.read(folder)
    torch.set_num_threads(batch.resources.threads)
    with Signals() as signals, slurm_ranks(folder / "meetings") as ranks:
        job = Job(batch, ranks, signals)
        why = job.run()
        if job.interrupted:
            _stop(folder, why, signals, ranks.first and job.moved)
        elif job.wants_time:
            _again(folder, why, ranks.first)
        elif ranks.first:
            batch.note_ended(why)
    return why


class Job:
    """One start of a job: its ranks, its time, the units it takes."""

    def __init__(self, batch: Batch, ranks: Ranks, signals: Signals) -> None:
        self.batch, self.ranks, self.signals = batch, ranks, signals
        self.workspace = Workspace(batch.workspace)
        self.compute = Compute(batch.resources.micro_batch, **batch.times)
        self.interrupted = False
        self.moved = False
        """Whether this start has brought a run forward."""
        self.wants_time = False
        """Whether units wait for which this start has too little time left."""
        self._longest = 0.0
        self._why = "no unit waits"
        self._deadline = float(os.environ.get("SLURM_JOB_END_TIME") or time.time() + 60 * batch.resources.minutes)

    def run(self) -> str:
        """Unit after unit. Returns why there is no further one."""
        while True:
            claim = self._claim() if self.ranks.first else None
            cells = self.ranks.share(claim.unit.cells if claim else None)
            if not cells:
                self._why, self.wants_time = self.ranks.share((self._why, self.wants_time))
                return self._why
            began, left, stood = time.monotonic(), Left(), self._place(cells)
            stopped = train_unit(self.workspace, self.batch.grid, cells, self.compute, self.ranks, left)
            self.moved = self.moved or not stopped or self._place(cells) > stood
            if claim and self._gives_back(stopped):
                claim.end(stopped or "done", left.cells)
            if stopped:
                self.interrupted = True
                return stopped
            if self.ranks.first:
                note_failures(self.workspace, self.batch.grid, cells)
            self._longest = max(self._longest, time.monotonic() - began)

    def _gives_back(self, stopped: str) -> bool:
        """Whether a job beside may take the unit now. Else it stays with this one: when SLURM ends a job (preempted, it starts it
        again; cancelled or out of time, not), the next launch is to find out what became of the unit."""
        if "signal" in stopped or stopped.startswith("SIG"):
            return stopped in WARNINGS and self.moved
        return True

    def _place(self, cells: Sequence[str]) -> list[tuple[int, int]]:
        """How far the newest run of each cell is."""
        return [max((record.place() for record in find_records(self.workspace.runs, cell)[:1]), default=(0, 0)) for cell in cells]

    def _claim(self) -> Claim | None:
        """The next unit, while time is left and nothing speaks against it."""
        if self.signals.received:
            self.interrupted, self._why = True, self.signals.received
        elif reason := stops(self.workspace, self.batch.grid):
            self._why = reason
        elif self._longest and self._deadline - time.time() < self._longest:
            claims = self.batch.claims(holders=False)
            self.wants_time = any(unit.id not in claims for unit in self.batch.waiting(claims))
            self._why = f"{self._deadline - time.time():.0f} s are left, and the longest unit took {self._longest:.0f} s"
        else:
            return next((claim for unit in self._waiting() if (claim := Claim.take(self.batch, unit))), None)
        return None

    def _waiting(self) -> list[Unit]:
        """Units that are left; first the one that an earlier start of this job had."""
        claims, job = self.batch.claims(holders=False), os.environ.get("SLURM_JOB_ID", "")
        left = self.batch.waiting(claims)
        return sorted(left, key=lambda unit: not (unit.id in claims and job and claims[unit.id][-1]["holder"].get("slurm_job") == job))


class Left:
    """Reports as lines of the job's log; ``cells`` that could not be run as the job was asked to, and why."""

    def __init__(self) -> None:
        self.cells: dict[str, str] = {}

    def __call__(self, report: Report) -> None:
        """One report."""
        _say(report)
        if report.event == "ended" and (report.facts["state"] == "refused" or report.facts.get("unprepared")):
            self.cells[report.cell] = str(report.facts["detail"])


def _say(report: Report) -> None:
    facts = " ".join(f"{key}={value}" for key, value in report.facts.items() if value not in ("", None))
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {report.cell} {report.event} {facts}", flush=True)


def _stop(folder: Path, why: str, signals: Signals, requeues: bool) -> None:
    """End this start of the job in the way that lets it, or lets it not, start again. ``requeues``: this rank asks for it,
    which a start that moved nothing does not: SLURM's time limit ends it, and the next launch counts that."""
    end = time.monotonic() + 10
    while "another rank" in why and not signals.received and time.monotonic() < end:
        time.sleep(0.1)  # this rank's own signal is on its way, if it was a signal
    name = signals.received or why
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} stopped: {why}", file=sys.stderr, flush=True)
    if name in WARNINGS and requeues:
        start_again(folder)
    elif name not in WARNINGS and not name.startswith("SIG"):
        sys.stderr.flush()
        os._exit(LOST)  # at once: what is left of the other ranks may hold this one up
    time.sleep(LINGER_S)
    os._exit(LOST)


def _again(folder: Path, why: str, first: bool) -> None:
    """Start this job again, so that its limit counts from zero; the first rank asks for it."""
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {why}, so this job starts again for the units that wait", file=sys.stderr, flush=True)
    if first:
        start_again(folder)
    time.sleep(LINGER_S)
    os._exit(LOST)
