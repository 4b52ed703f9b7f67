"""How long the lab takes for what tests wait for: ``python -m tests.slurm.measure``, in a lab of
its own.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.slurm.client import Slurm
from tests.slurm.lab import down, up

SLEEP = "exec sleep 600"


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print the seconds that a block takes."""
    began = time.monotonic()
    yield
    print(f"{time.monotonic() - began:6.1f} s  {what}", flush=True)


def running(slurm: Slurm, *options: str) -> str:
    """A job that runs, and whose process is there."""
    job = slurm.sbatch(SLEEP, *options)
    slurm.wait_for(lambda: slurm.tasks(job=job), 60, "job's process")
    return job


def nodes(slurm: Slurm) -> None:
    """A node that dies, and one that hangs."""
    killed = running(slurm, "-w", "n1", "--no-requeue")
    slurm.node_kill("n1")
    with timed("node_kill until NODE_FAIL"):
        slurm.wait_for_state(killed, "NODE_FAIL", seconds=120)
    with timed("node_up until the node is idle"):
        slurm.node_up("n1")
        slurm.wait_for(lambda: slurm.node_states()["n1"] == "idle", 60, "node")
    hung = running(slurm, "-w", "n2", "--no-requeue")
    slurm.node_freeze("n2", whole=True)
    with timed("node_freeze(whole=True) until NODE_FAIL"):
        slurm.wait_for_state(hung, "NODE_FAIL", seconds=120)
    with timed("node_thaw until the node is idle and its old tasks are gone"):
        slurm.node_thaw("n2")
        slurm.wait_for(
            lambda: slurm.node_states()["n2"] == "idle" and not slurm.tasks(job=hung), 120, "node"
        )


def jobs(slurm: Slurm) -> None:
    """Submission, requeue, preemption."""
    with timed("sbatch until the job's process runs"):
        job = running(slurm)
    with timed("requeue until it runs again"):
        slurm.requeue(job)
        slurm.wait_for(lambda: slurm.state(job) == "PENDING", 30, "requeue")
        slurm.wait_for_state(job, "RUNNING", seconds=180)
    with timed("cancel_all"):
        slurm.cancel_all()
    running(slurm, "-p", "low", "--exclusive", "-w", "n3")
    with timed("a high job preempts a low one that does not end by itself (GraceTime 6)"):
        running(slurm, "-p", "high", "--exclusive", "-w", "n3")
    slurm.cancel_all()


def daemons(slurm: Slurm) -> None:
    """What restarting costs."""
    with timed("ctld_restart()"):
        slurm.ctld_restart()
    slurm.wait_saved()
    with timed("ctld_restart(kill=True)"):
        slurm.ctld_restart(kill=True)
    with timed("accounting_off()"):
        slurm.accounting_off()
    with timed("restore() after it"):
        slurm.restore()
    with timed("restore() with nothing to do"):
        slurm.restore()


def main() -> None:
    """Everything once."""
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}")
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "lab"
        try:
            with timed("up, packages there, without accounting"):
                up(where, accounting=False)
            down(where)
            with timed("up, packages there"):
                slurm = Slurm(up(where))
            with timed("up again"):
                up(where)
            for part in (jobs, daemons, nodes):
                part(slurm)
        finally:
            with timed("down"):
                down(where)


if __name__ == "__main__":
    main()
