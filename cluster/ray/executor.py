"""Run units in processes that Ray places, on a cluster or on this machine.

It returns when all have ended. A process that is lost costs its unit one attempt. Classes, budgets
and remedies are those of ``cluster.failures``, as on SLURM. SIGINT or SIGTERM stops the runs at
their next optimiser step, with checkpoints, and a second one kills them. When the launcher is
killed, Ray ends its workers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.ray.capacity import capacity, check_room
from cluster.ray.connection import connected, worker_variables
from cluster.ray.pool import GangPool
from cluster.supervision import Supervision
from echolm.liveness import HEARTBEAT_S, PATIENCE_S
from grid.units import Job, Limits, Report


@dataclass
class RayExecutor:
    """Where units run on Ray.

    Attributes:
        address: of a cluster: host:port, or the file that ``echolm cluster ray-on-slurm`` wrote.
            None: RAY_ADDRESS, else a cluster of this machine that ends with the launch.
        patience_s: of the attempts.
        heartbeat_s: of the attempts.
        environment: variables that the workers get besides ``ECHOLM_*``.
        stopped: the signal that ended a launch.
        halted: the sentence that says why units were not started.
    """

    address: str | None = None
    patience_s: float = PATIENCE_S
    heartbeat_s: float = HEARTBEAT_S
    environment: dict[str, str] = field(default_factory=dict)
    stopped: str = field(default="", init=False)
    halted: str = field(default="", init=False)

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """Run a job's units. See ``grid.units.Executor``.

        Args:
            job: the units.
            limits: ``slots`` is 0 for as many as the cluster has room for now.
            report: is called for each report.

        Returns:
            The processes that were started, as host:pid.

        Raises:
            EchoLMError: there is no such cluster, it has no node for such a job, or processes end
                before they are ready.
        """
        with connected(self.address):
            needs = job.resources
            check_room(needs)
            units = Supervision(job, limits, report)
            pool = GangPool(
                units,
                slots=limits.slots or capacity(needs),
                report=report,
                times={"patience_s": self.patience_s, "heartbeat_s": self.heartbeat_s},
                environment={**worker_variables(needs.threads), **self.environment},
            )
            with pool.signals.noted():
                try:
                    pool.run()
                finally:
                    pool.close()
                    self.stopped = pool.signals.first
                    self.halted = units.stop_reason
        return pool.started
