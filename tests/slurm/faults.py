"""What goes wrong on a real cluster, as verbs."""

from __future__ import annotations

import signal
import time

import psutil

from tests.slurm import configuration, daemons, processes
from tests.slurm.processes import environment
from tests.slurm.settings import Settings


class Faults:
    """The faults of one lab. Nodes are names (``n1``), jobs ids as squeue prints them (``12`` or
    ``12_3``).
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def node_kill(self, name: str) -> None:
        """A node loses power: slurmd, step daemons and tasks die at one moment. SLURM notices after
        SlurmdTimeout (NODE_FAIL).
        """
        processes.kill(self._stand_still(name))

    def node_up(self, name: str) -> None:
        """Its slurmd is started again."""
        daemons.node(self.settings, name)

    def node_freeze(self, name: str, whole: bool = False) -> None:
        """SIGSTOP to every process of its jobs. ``whole``: to slurmd and the step daemons too, so
        that SLURM gives the node up.
        """
        self._stand_still(name) if whole else processes.suspend(self.tasks(node=name))

    def node_thaw(self, name: str) -> None:
        """SIGCONT to all of them, whatever SLURM has decided meanwhile."""
        processes.resume([*self.tasks(node=name), *self._step_daemons(name), *self._slurmd(name)])

    def kill_rank(self, job: str, rank: int, number: int = signal.SIGKILL) -> int:
        """Send a signal to one rank's process, the topmost if it has children; returns its pid.
        LookupError: no such rank runs.
        """
        ranks = self.tasks(job=job, rank=rank)
        in_steps = [
            process for process in ranks if "SLURM_STEP_ID" in environment(process)
        ]  # the batch script has rank 0 too
        pids = {process.pid for process in in_steps or ranks}
        top = [
            process
            for process in in_steps or ranks
            if processes.parent(process) not in (None, *pids)
        ]
        if not top:
            raise LookupError(f"no process of rank {rank} of job {job}")
        top[0].send_signal(number)
        return top[0].pid

    def requeue(self, job: str) -> None:
        """By a third party: no signal of the job's own comes first, and the same script starts
        again.
        """
        daemons.run(self.settings, "scontrol", "requeue", job)

    def ctld_restart(self, kill: bool = False) -> None:
        """The controller ends and starts again; jobs go on. ``kill``: it gets no time to save its
        state.

        It saves every five seconds or so: a killed one forgets younger jobs, whose tasks run on,
        and gives their ids again.
        """
        self._ctld_stop(kill)
        daemons.controller(self.settings)

    def wait_saved(self) -> None:
        """Until the controller has saved what it knows now. It does so within seconds, where
        anything has changed.
        """
        state, now = self.settings.directory / "state" / "job_state", time.time()
        daemons.wait_for(
            lambda: (state.exists() and state.stat().st_mtime > now) or time.time() > now + 12,
            30,
            "saved state",
        )

    def dbd_stop(self) -> None:
        """Accounting's daemon is away: sacct fails, jobs go on."""
        processes.stop(
            [
                process
                for process in [processes.daemon(self.settings.pid_file("slurmdbd"))]
                if process
            ]
        )

    def dbd_start(self) -> None:
        """It is back."""
        daemons.slurmdbd(self.settings)

    def configure(self, restart: bool = False, **fields: str | None) -> None:
        """Change fields of slurm.conf; None leaves one out. ``restart``: the controller too, which
        some fields need.
        """
        configuration.change(self.settings, {**configuration.changes(self.settings), **fields})
        self._reread(restart)

    def preempt_send_user_signal(self, on: bool) -> None:
        """Whether a preempted job gets its --signal at once; sites without this send only TERM."""
        self.configure(SlurmctldParameters="preempt_send_user_signal" if on else None)

    def accounting_off(self) -> None:
        """A site without accounting: sacct says that it is disabled, and exits 1."""
        fields = configuration.keys(self.settings.conf.read_text(encoding="utf-8"))
        self.configure(
            restart=True,
            **{key: None for key in fields if key.startswith(configuration.ACCOUNTING)},
        )

    def unconfigure(self) -> None:
        """slurm.conf as the lab began, and every daemon that does not run is started."""
        changed = configuration.changes(self.settings)
        configuration.change(self.settings, {})
        if any(key.startswith((configuration.ACCOUNTING, "Max")) for key in changed):
            self._ctld_stop()
        daemons.all_of(self.settings)
        if changed:
            daemons.run(self.settings, "scontrol", "reconfigure")

    def tasks(
        self, node: str | None = None, job: str | None = None, rank: int | None = None
    ) -> list[psutil.Process]:
        """The processes of jobs, batch scripts included: on a node, of a job, of a rank."""
        raw = self._raw(job) if job else None
        wanted = {
            "SLURMD_NODENAME": node,
            "SLURM_JOB_ID": raw,
            "SLURM_PROCID": None if rank is None else str(rank),
        }
        found = [
            (process, environment(process)) for process in processes.of_jobs(self.settings.conf)
        ]
        return [
            process
            for process, has in found
            if all(value is None or has.get(key) == value for key, value in wanted.items())
        ]

    def _raw(self, job: str) -> str:
        """The number that a job's processes know: an array's element has one of its own."""
        return (
            daemons.run(self.settings, "squeue", "-h", "-j", job, "-o", "%A").strip()
            if "_" in job
            else job
        )

    def _reread(self, restart: bool) -> None:
        if restart:
            self.ctld_restart()
        daemons.run(self.settings, "scontrol", "reconfigure")

    def _ctld_stop(self, kill: bool = False) -> None:
        found = [
            process
            for process in [processes.daemon(self.settings.pid_file("slurmctld"))]
            if process
        ]
        processes.kill(found) if kill else processes.stop(found, 30)

    def _stand_still(self, name: str) -> list[psutil.Process]:
        """SIGSTOP to all that runs on a node, until nothing new is found: an srun that outlives its
        node ends its step a minute later, and means the step of the same number that runs elsewhere
        by then.
        """
        found = self._slurmd(name)
        processes.suspend(found)
        while more := [
            process
            for process in (*self._step_daemons(name), *self.tasks(node=name))
            if process not in found
        ]:
            processes.suspend(more)
            found += more
        return found

    def _slurmd(self, name: str) -> list[psutil.Process]:
        found = processes.daemon(self.settings.pid_file(f"slurmd.{name}"))
        return [found] if found else []

    def _step_daemons(self, name: str) -> list[psutil.Process]:
        """A step daemon has its node's log open."""
        log = self.settings.log(f"slurmd.{name}")
        here = [
            process
            for process in processes.daemons(self.settings.conf)
            if processes.name(process) == "slurmstepd"
        ]
        return [process for process in here if log in processes.files(process)]
