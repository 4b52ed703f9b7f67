"""The faults of ``chaos``, each with its proof: what only this fault leaves behind. ``Missed``: its
victim ended before it was struck.
"""

from __future__ import annotations

import errno
import shutil
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from tests.slurm import processes
from tests.slurm.site import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.slurm.chaos import Chaos, Victim

Strike = Callable[["Chaos", "Victim"], None]


class Missed(Exception):
    """The fault met nobody: it is to be tried again with another victim."""


def kill_rank(chaos: Chaos, victim: Victim) -> None:
    """kill -9 of the training process: its attempt has no ending."""
    chaos.site.faults.kill_rank(victim.job, 0)
    chaos.recovers(victim)
    assert chaos.ending(victim) == "", chaos.evidence(victim)


def requeue(chaos: Chaos, victim: Victim) -> None:
    """scontrol requeue by a third party: SLURM has started the job again."""
    chaos.site.faults.requeue(victim.job)
    chaos.starts_again(victim)
    chaos.recovers(victim)


def time_limit(chaos: Chaos, victim: Victim) -> None:
    """The job's time limit is cut to 40 to 100 seconds from now: the job is warned, and starts
    again. (SLURM looks every 30 s: with less, the limit may come before the warning.)
    """
    hours, minutes, seconds = map(int, chaos.fields(victim.job)["RunTime"].split(":"))
    soon = 60 * hours + minutes + (2 if seconds > 20 else 1)
    before = chaos.fields(victim.job)["TimeLimit"]
    chaos.site.slurm("scontrol", "update", f"JobId={victim.job}", f"TimeLimit={soon}")
    chaos.starts_again(victim)
    chaos.site.slurm(
        "scontrol", "update", f"JobId={victim.job}", f"TimeLimit={before}"
    )  # once is enough
    chaos.recovers(victim)
    assert chaos.ending(victim) == "interrupted SIGUSR2", chaos.evidence(victim)


def node_loss(chaos: Chaos, victim: Victim) -> None:
    """The node dies, and comes back when SLURM has noticed and given its job to another one."""
    node = chaos.node_of(victim.job)
    chaos.site.faults.node_kill(node)
    try:
        until(
            lambda: chaos.node_state(node).startswith("down") or "*" in chaos.node_state(node),
            f"{node} down or not responding",
        )
        until(lambda: chaos.node_of(victim.job) != node, f"job {victim.job} taken from {node}")
    finally:
        chaos.site.faults.node_up(node)
    chaos.undrain()
    chaos.recovers(victim)
    assert chaos.ending(victim) == "", chaos.evidence(victim)
    chaos.starts_again(victim)


def freeze(chaos: Chaos, victim: Victim) -> None:
    """The node's processes stand still until another attempt has taken over, and then go on: they
    find themselves replaced.
    """
    node = chaos.node_of(victim.job)
    frozen = chaos.site.faults.tasks(job=victim.job)
    chaos.site.faults.node_freeze(node, whole=True)
    try:
        chaos.until(victim, lambda: chaos.attempts(victim.cell) > victim.attempt, "taken over")
        assert chaos.ending(victim) == "", "it stood still"
        assert any(
            processes.name(process) and process.status() == psutil.STATUS_STOPPED
            for process in frozen
        )
    finally:
        processes.resume(frozen)
        chaos.site.faults.node_thaw(node)
    chaos.undrain()
    until(
        lambda: chaos.undrain() or chaos.node_state(node) in ("idle", "mixed", "allocated"),
        f"{node} back",
    )


def preempt(chaos: Chaos, victim: Victim) -> None:
    """A job of a higher partition takes all nodes. Its victim is warned by its own signal."""
    _preempt(chaos, victim)
    assert chaos.ending(victim) == "interrupted SIGUSR2", chaos.evidence(victim)


def preempt_unwarned(chaos: Chaos, victim: Victim) -> None:
    """The same on a site that sends SIGTERM alone."""
    chaos.site.faults.preempt_send_user_signal(False)
    try:
        _preempt(chaos, victim)
    finally:
        chaos.site.faults.preempt_send_user_signal(True)
    assert chaos.ending(victim) == "interrupted SIGTERM", chaos.evidence(victim)


def _preempt(chaos: Chaos, victim: Victim) -> None:
    nodes = f"-N{chaos.site.settings.nodes}"
    high = chaos.site.slurm(
        "sbatch",
        "--parsable",
        "-p",
        "high",
        nodes,
        "--exclusive",
        "--mem=100",
        "-o",
        "/dev/null",
        "--wrap",
        "sleep 2",
    ).strip()
    until(
        lambda: (
            not chaos.site.slurm(
                "squeue", "-h", "-j", high, "--states=PENDING,RUNNING,COMPLETING", "-o", "%T"
            ).strip()
        ),
        "the preempting job ends",
        120,
    )
    chaos.starts_again(victim)
    chaos.recovers(victim)


def scancel_and_retry(chaos: Chaos, victim: Victim) -> None:
    """Somebody cancels the job; the cell is cancelled, and retried."""
    chaos.site.slurm("scancel", victim.job)

    def cancelled() -> bool:
        chaos.launch()
        return chaos.site.record(victim.cell).state().name == "cancelled"

    chaos.until(victim, cancelled, "cancelled")
    chaos.launch("retry")  # it trains again when the throttle has room
    assert chaos.site.record(victim.cell).state().name != "cancelled"


def controller_restart(chaos: Chaos, victim: Victim) -> None:
    """slurmctld is killed and started again: it is another process, and the attempt goes on."""
    file = chaos.site.settings.pid_file("slurmctld")
    before = processes.daemon(file)
    chaos.site.faults.ctld_restart(kill=True)
    after, now = processes.daemon(file), time.time()
    assert before and after and before != after and not processes.name(before)
    until(lambda: any(event["time"] > now for event in chaos.events(victim)), "the attempt goes on")
    assert chaos.attempts(victim.cell) == victim.attempt and chaos.ending(victim) in (
        "",
        "complete",
    ), chaos.evidence(victim)


def tracking_removed(chaos: Chaos, victim: Victim) -> None:
    """The tracking database, with runs in it, is deleted while jobs run."""
    until(lambda: "complete" in chaos.site.states(chaos.grid), "a cell is complete")
    for _ in range(2):
        done = chaos.site("collect", chaos.grid.stem)
        assert done.status == 0, done
        assert chaos.tracked(), "there is something to lose"
        shutil.rmtree(chaos.site.workspace.root / "mlflow")


def disk_full(chaos: Chaos, victim: Victim) -> None:
    """The file system of the runs is full until the attempt has met it; then there is room again,
    and the cell goes on by itself.
    """
    before = chaos.no_space(victim)
    with _full(chaos.site.workspace.runs / "filler") as fill:
        chaos.until(
            victim, lambda: fill() or chaos.no_space(victim) > before, "meets the full disk"
        )
    chaos.recovers(victim)
    assert chaos.site.record(victim.cell).failures() == []
    assert "No space left" in chaos.ending(victim) or chaos.ending(victim) == "", chaos.evidence(
        victim
    )


@contextmanager
def _full(filler: Path) -> Iterator[Callable[[], None]]:
    """A file system of its own without room. Yields what fills it again, where something was
    deleted meanwhile.
    """
    assert filler.parent.is_mount()

    def fill() -> None:
        with open(filler, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError as error:
                assert error.errno == errno.ENOSPC

    fill()
    try:
        yield fill
    finally:
        filler.unlink()


KINDS: dict[str, Strike] = {
    "kill -9 of a rank": kill_rank,
    "third-party requeue": requeue,
    "time limit": time_limit,
    "node killed and back": node_loss,
    "node frozen over a takeover": freeze,
    "preemption": preempt,
    "preemption by SIGTERM alone": preempt_unwarned,
    "scancel, then retry": scancel_and_retry,
    "slurmctld restart": controller_restart,
    "tracking database removed": tracking_removed,
    "disk full": disk_full,
}
