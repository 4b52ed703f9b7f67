"""Faults on a seeded schedule against a small grid on the real SLURM; in the end all must be as if nothing had happened.

Each fault strikes a job that trains, and the next comes when what it struck trains again (or has ended). The grid's head
``slow`` makes steps as long as needed. State is kept in ``chaos.json``, so that a long run can be continued.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from launch_support import until

from echolm.record import find_records
from grid.definition import Cell
from tests.slurm import daemons
from tests.slurm.site import BLANK, Site

RECOVERY_S = 180.0
"""A struck job must train again within this; the slowest way is a dead node on a busy machine."""


class Chaos:
    """A grid of ``cells`` seeds under ``count`` faults; every kind comes before any comes again."""

    def __init__(self, site: Site, seed: int, count: int, cells: int, say: Callable[[str], None]) -> None:
        self.site, self.rng, self.say = site, random.Random(seed), say
        site.profile(partition="low", jobs_at_once=3, units_per_job=None)
        self.grid = site.grid({"head": ["slow"], "seed": list(range(cells))}, name="chaos", epochs=10, **BLANK)
        self.cells = site.cells(self.grid)
        kinds = list(KINDS)
        rounds = [self.rng.sample(kinds, len(kinds)) for _ in range(-(-count // len(kinds)))]
        self.schedule = [kind for kinds in rounds for kind in kinds][:count]
        self._state = site.root / "chaos.json"
        self.done: list[str] = json.loads(self._state.read_text()) if self._state.exists() else []

    def run(self) -> Counter[str]:
        """All faults that are left, then to the end. How many of each kind there were."""
        self.site.slow(2.0)
        began = time.monotonic()
        for kind in self.schedule[len(self.done) :]:
            victim = self._victim()
            if victim is None:
                raise AssertionError(f"the grid was complete after {len(self.done)} of {len(self.schedule)} faults: too few cells")
            self._lift(victim[1])
            self.say(f"{time.monotonic() - began:5.0f} s  fault {len(self.done) + 1}/{len(self.schedule)}: {kind}")
            KINDS[kind](self, *victim)
            self.done.append(kind)
            self._state.write_text(json.dumps(self.done))
        self.site.slow(0)
        self.site.finish(self.grid, seconds=600)
        self.say(f"{time.monotonic() - began:5.0f} s  every cell complete")
        return Counter(self.done)

    def launch(self, command: str = "launch") -> None:
        """As ``--watch`` does between two looks."""
        done = self.site.submit(self.grid, command=command)
        assert done.status in (0, 1) and "Traceback" not in done.err, done

    def _victim(self) -> tuple[Cell, str] | None:
        """A cell that trains under a running job, after a first epoch of this attempt; launches what is missing meanwhile."""

        def found() -> tuple[Cell, str] | str:
            self.undrain()
            if set(self.site.states(self.grid)) == {"complete"}:
                return "complete"
            running = self.site.jobs(self.grid, "RUNNING")
            pairs = [(cell, self.site.job_of(self.grid, cell)) for cell in self.cells if self.trains(cell)]
            pairs = [(cell, job) for cell, job in pairs if job in running]
            if not pairs and len(self.site.jobs(self.grid)) < 3:
                self.launch()
            return self.rng.choice(pairs) if pairs else ""

        answer = until(found, "a cell that trains", RECOVERY_S)
        return None if answer == "complete" else answer

    def _lift(self, job: str) -> None:
        """No throttle on the struck job's array: started again, it need not wait for the others to end."""
        if "_" in job:
            # an array of which a task has ended is updated, and scontrol complains all the same
            daemons.succeeds(self.site.settings, "scontrol", "update", f"JobId={job.split('_')[0]}", "ArrayTaskThrottle=0")

    def trains(self, cell: Cell) -> bool:
        """Whether its newest attempt has reported an epoch and has not ended."""
        records = find_records(self.site.workspace.runs, cell.id)
        if not records or records[0].state().name != "running":
            return False
        return any(event["event"] == "epoch" for event in records[0].events(records[0].attempts()[-1]))

    def attempts(self, cell: Cell) -> int:
        """How many attempts a cell has had."""
        return max((len(record.attempts()) for record in find_records(self.site.workspace.runs, cell.id)), default=0)

    def recovers(self, cell: Cell, before: int) -> None:
        """Until a later attempt of the cell trains, or the cell is complete."""
        last = time.monotonic()

        def again() -> bool:
            nonlocal last
            if time.monotonic() - last > 8:
                self.launch()
                last = time.monotonic()
            record = self.site.record(cell)
            return record.summary() is not None or (self.attempts(cell) > before and record.state().name == "running")

        until(again, f"{cell.id[:8]} trains again (attempt {before} was struck)", RECOVERY_S)

    def undrain(self) -> None:
        """What an administrator does: SLURM drains a node on which a job could not be started."""
        for line in self.site.slurm("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines():
            node, state = line.split()
            if state.startswith(("drain", "down")) and not state.endswith("*"):
                self.site.slurm("scontrol", "update", f"nodename={node}", "state=resume")

    def node_state(self, node: str) -> str:
        """In sinfo's long words; with ``*`` when it does not answer."""
        return self.site.slurm("sinfo", "-h", "-N", "-p", "main", "-n", node, "-o", "%T").strip()

    def node_of(self, job: str) -> str:
        """Where a job runs."""
        return self.site.slurm("squeue", "-h", "-j", job, "-o", "%N").strip()


def _strike(act: Callable[[Chaos, Cell, str], None]) -> Callable[[Chaos, Cell, str], None]:
    """``act``, then wait for the cell it struck."""

    def strike(chaos: Chaos, cell: Cell, job: str) -> None:
        before = chaos.attempts(cell)
        act(chaos, cell, job)
        chaos.recovers(cell, before)

    return strike


def kill_rank(chaos: Chaos, cell: Cell, job: str) -> None:
    """kill -9 of the training process."""
    chaos.site.faults.kill_rank(job, 0)


def requeue(chaos: Chaos, cell: Cell, job: str) -> None:
    """scontrol requeue by a third party."""
    chaos.site.faults.requeue(job)


def time_limit(chaos: Chaos, cell: Cell, job: str) -> None:
    """The job's time limit is cut to one minute."""
    chaos.site.slurm("scontrol", "update", f"JobId={job}", "TimeLimit=1")


def node_loss(chaos: Chaos, cell: Cell, job: str) -> None:
    """The node dies, and comes back when SLURM has noticed."""
    node = chaos.node_of(job)
    chaos.site.faults.node_kill(node)
    until(lambda: chaos.node_state(node).startswith("down") or "*" in chaos.node_state(node), f"{node} down or not responding")
    until(lambda: chaos.node_of(job) != node, f"job {job} taken from {node}")
    chaos.site.faults.node_up(node)
    chaos.undrain()


def freeze(chaos: Chaos, cell: Cell, job: str) -> None:
    """The node's processes stand still until another attempt has taken over, and then go on."""
    node, before = chaos.node_of(job), chaos.attempts(cell)
    frozen = chaos.site.faults.tasks(job=job)
    chaos.site.faults.node_freeze(node, whole=True)
    try:
        until(lambda: chaos.attempts(cell) > before or chaos.site.record(cell).summary() is not None, f"{cell.id[:8]} taken over", RECOVERY_S)
    finally:
        for process in frozen:
            process.resume() if process.is_running() else None
        chaos.site.faults.node_thaw(node)
    chaos.undrain()
    until(lambda: chaos.undrain() or chaos.node_state(node) in ("idle", "mixed", "allocated"), f"{node} back")


def _preempt(chaos: Chaos, cell: Cell, job: str, warned: bool) -> None:
    chaos.site.faults.preempt_send_user_signal(warned)
    nodes, before = chaos.site.settings.nodes, chaos.attempts(cell)
    high = chaos.site.slurm("sbatch", "--parsable", "-p", "high", f"-N{nodes}", "--exclusive", "--mem=100", "-o", "/dev/null", "--wrap", "sleep 2").strip()
    until(lambda: not chaos.site.slurm("squeue", "-h", "-j", high, "--states=PENDING,RUNNING,COMPLETING", "-o", "%T").strip(), "the preempting job ends", 120)
    until(lambda: chaos.attempts(cell) > before or job not in chaos.site.jobs(chaos.grid, "RUNNING") or True, "preempted")


def preempt(chaos: Chaos, cell: Cell, job: str) -> None:
    """A job of a higher partition takes all nodes; the preempted one is warned by its own signal."""
    _preempt(chaos, cell, job, True)


def preempt_unwarned(chaos: Chaos, cell: Cell, job: str) -> None:
    """The same on a site that sends SIGTERM alone."""
    _preempt(chaos, cell, job, False)
    chaos.site.faults.preempt_send_user_signal(True)


def scancel_and_retry(chaos: Chaos, cell: Cell, job: str) -> None:
    """Somebody cancels the job; the cell is cancelled, and retried."""
    chaos.site.slurm("scancel", job)

    def cancelled() -> bool:
        chaos.launch()
        return chaos.site.record(cell).state().name == "cancelled" or chaos.site.record(cell).summary() is not None

    until(cancelled, f"{cell.id[:8]} cancelled", RECOVERY_S)
    chaos.launch("retry")  # it trains again when the throttle has room
    assert chaos.site.record(cell).state().name != "cancelled"


def controller_restart(chaos: Chaos, cell: Cell, job: str) -> None:
    """slurmctld is killed and started again; the job goes on."""
    chaos.site.faults.ctld_restart(kill=True)
    seen = len(chaos.site.record(cell).history())
    until(lambda: len(chaos.site.record(cell).history()) > seen or chaos.site.record(cell).summary() is not None, "the job goes on")


def tracking_removed(chaos: Chaos, cell: Cell, job: str) -> None:
    """The tracking database is deleted while jobs run, between two collections."""
    for _ in range(2):
        if any(state == "complete" for state in chaos.site.states(chaos.grid)):
            done = chaos.site("collect", chaos.grid.stem)
            assert done.status == 0, done
        shutil.rmtree(chaos.site.workspace.root / "mlflow", ignore_errors=True)


def disk_full(chaos: Chaos, cell: Cell, job: str) -> None:
    """The file system of the runs is full until a cell has failed of it; then there is room again, and it is retried."""
    before, filler = chaos.attempts(cell), chaos.site.workspace.runs / "filler"
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=64k"], capture_output=True)  # until nothing more fits
    try:
        until(lambda: chaos.site.record(cell).state().name != "running", f"{cell.id[:8]} meets the full disk", RECOVERY_S)
    finally:
        filler.unlink()
    chaos.launch("retry")
    chaos.recovers(cell, before)


KINDS: dict[str, Callable[[Chaos, Cell, str], None]] = {
    "kill -9 of a rank": _strike(kill_rank), "third-party requeue": _strike(requeue), "time limit": _strike(time_limit),
    "node killed and back": _strike(node_loss), "node frozen over a takeover": freeze, "preemption": _strike(preempt),
    "preemption by SIGTERM alone": _strike(preempt_unwarned), "scancel, then retry": scancel_and_retry,
    "slurmctld restart": controller_restart, "tracking database removed": tracking_removed, "disk full": disk_full,
}  # fmt: skip


def small_disk(runs: Path, megabytes: int = 48) -> None:
    """A file system of its own for the runs."""
    runs.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(runs)], check=True)


def verify(chaos: Chaos, expected: Callable[[Cell], object]) -> None:
    """Every cell complete once, bitwise as undisturbed, and once in MLflow."""
    from launch_support import result

    for cell in chaos.cells:
        record = chaos.site.record(cell)
        assert result(record) == expected(cell), f"{cell.id}: differs from an undisturbed run"
        endings = [event["event"] for number in record.attempts() for event in record.events(number) if event["event"] == "complete"]
        assert len(endings) <= 1, (cell.id, endings)
    done = chaos.site("collect", chaos.grid.stem, "--json")
    assert done.status == 0, done
    content = json.loads(done.out)
    [collected] = content["collected"].values()
    assert collected["runs"] == len(chaos.cells), content
