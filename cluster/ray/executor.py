"""The Ray executor: units in processes that Ray places, on a cluster or on this machine; it returns when all have ended.

A process that is lost costs its unit one attempt; classes, budgets and remedies are those of ``cluster.failures``, as on
SLURM. SIGINT or SIGTERM stops the runs at their next optimiser step, with checkpoints; a second one kills them. When the
launcher is killed, Ray ends its workers.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import dataclass, field

from cluster.ray.capacity import capacity, check_room
from cluster.ray.connection import connected, worker_variables
from cluster.ray.pool import Pool
from cluster.supervision import Supervision
from echolm.liveness import HEARTBEAT_S, PATIENCE_S
from grid.plan import Job, Limits, Report


@dataclass
class RayExecutor:
    """``address``: of a cluster (host:port, or the file that ``echolm cluster ray-on-slurm`` wrote); None: RAY_ADDRESS, else
    a cluster of this machine that ends with the launch. ``environment``: variables that the workers get besides ``ECHOLM_*``.

    ``stopped`` names the signal that ended a launch; ``halted`` is the sentence that says why units were not started.
    """

    address: str | None = None
    patience_s: float = PATIENCE_S
    heartbeat_s: float = HEARTBEAT_S
    environment: dict[str, str] = field(default_factory=dict)
    stopped: str = field(default="", init=False)
    halted: str = field(default="", init=False)

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """See ``grid.plan.Executor``. ``limits.slots``: 0 for as many as the cluster has room for now. Returns the processes
        that were started, as host:pid.

        EchoLMError: there is no such cluster; it has no node for such a job; processes end before they are ready.
        """
        with connected(self.address):
            needs = job.resources
            check_room(needs)
            slots = limits.slots or capacity(needs)
            units = Supervision(job, limits, report)
            times = {"patience_s": self.patience_s, "heartbeat_s": self.heartbeat_s}
            pool = Pool(units, slots, report, times, {**worker_variables(needs.threads), **self.environment})
            before = {number: signal.signal(number, pool.note) for number in (signal.SIGINT, signal.SIGTERM)}
            try:
                pool.run()
            finally:
                pool.close()
                for number, handler in before.items():
                    signal.signal(number, handler)
                self.stopped, self.halted = pool.stopped, units.halted
        return pool.started
