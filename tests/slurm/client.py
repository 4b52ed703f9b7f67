"""A lab as tests use it: its clients, what its queue says, and its faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tests.slurm import daemons, processes
from tests.slurm.faults import Faults

T = TypeVar("T")
FIELDS = ("%i", "%T", "%P", "%N", "%r", "%j")
WELL = ("idle", "mixed", "allocated", "completing", "planned")
"""States of nodes that need no resume."""


@dataclass(frozen=True)
class Job:
    """A line of squeue. ``id``: with the element's number in an array; ``nodes``: as SLURM folds
    them (``n[1-2]``).
    """

    id: str
    state: str
    partition: str
    nodes: str
    reason: str
    name: str


class Slurm(Faults):
    """A lab that is up. Ids and node names are strings, as SLURM prints them."""

    @property
    def environment(self) -> dict[str, str]:
        """For subprocesses: this process's, with the lab's SLURM_CONF."""
        return self.settings.environment()

    def run(self, *command: object, seconds: float = 60) -> str:
        """What a command prints. EchoLMError: it failed; with what it said."""
        return daemons.run(self.settings, *command, seconds=seconds)

    def sbatch(self, script: str, *options: object) -> str:
        """Submit a shell script (its lines, without #!). Returns the job's id. Output is dropped
        unless ``-o`` is among the options.
        """
        return (
            self.run("sbatch", "--parsable", "-o", "/dev/null", *options, "--wrap", script)
            .split(";")[0]
            .strip()
        )

    def squeue(self, job: str | None = None) -> list[Job]:
        """Every job that the controller remembers, one an array's element; those of one id."""
        lines = self.run(
            "squeue", "-h", "-r", "-t", "all", "-o", "|".join(FIELDS), *(["-j", job] if job else [])
        ).splitlines()
        return [Job(*line.split("|")) for line in lines]

    def state(self, job: str) -> str:
        """A job's state, in squeue's long words (RUNNING, NODE_FAIL, OUT_OF_MEMORY, ...)."""
        return self.squeue(job)[0].state

    def wait_for(self, predicate: Callable[[], T], seconds: float, what: str) -> T:
        """The first true answer. TimeoutError: none within so many seconds; with the queue and the
        nodes as they are.
        """
        try:
            return daemons.wait_for(predicate, seconds, what)
        except TimeoutError as error:
            jobs = self.run("squeue", "-t", "all")
            nodes = self.run("sinfo", "-N", "-p", "main", "-o", "%N %T %E")
            raise TimeoutError(f"{error}\n{jobs}\n{nodes}") from None

    def wait_for_state(self, job: str, *states: str, seconds: float = 180) -> str:
        """Until a job is in one of these states; which."""
        return self.wait_for(
            lambda: next((s for s in [self.state(job)] if s in states), ""),
            seconds,
            f"job {job} {' or '.join(states)}",
        )

    def cancel_all(self) -> None:
        """End every job at once, without its signals, and every process that one left behind."""
        if self.run("squeue", "-h"):
            self.run("scancel", "--user=root")
            self.wait_for(self._is_empty, 180, "empty queue")
        steps = [
            process
            for process in processes.daemons(self.settings.conf)
            if processes.name(process) == "slurmstepd"
        ]
        processes.kill(
            [*steps, *self.tasks()]
        )  # of jobs that a killed controller forgot, or that fled from SLURM

    def _is_empty(self) -> bool:
        """Whether no job is left; a cancelled one need not wait for KillWait."""
        processes.kill(self.tasks())
        return not self.run("squeue", "-h")

    def node_states(self) -> dict[str, str]:
        """Each node's state, in sinfo's long words; with ``*`` when it does not answer."""
        return dict(
            line.split()
            for line in self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines()
        )

    def restore(self) -> None:
        """The lab as it began: everything runs, nothing is queued, no field is changed."""
        self.mend()
        self.cancel_all()
        self.resume_nodes()
        self.wait_for(self.is_idle, 60, "idle nodes")

    def is_idle(self) -> bool:
        """Whether every node answers and has nothing to do."""
        return set(self.node_states().values()) == {"idle"}

    def mend(self) -> None:
        """What faults have left behind, except in the queue: all processes go on, dead daemons are
        started, no field is changed.
        """
        processes.resume([*processes.daemons(self.settings.conf), *self.tasks()])
        self.unconfigure()
        self.resume_nodes()

    def resume_nodes(self) -> None:
        """Nodes that were drained or given up take jobs again."""
        for node, state in self.node_states().items():
            if state not in WELL:
                daemons.succeeds(
                    self.settings, "scontrol", "update", f"nodename={node}", "state=resume"
                )
