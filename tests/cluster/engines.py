"""The executors that the conformance suite runs, each in a way that suits a test.

How it is made, and how one waits for it.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from launch_support import Shell, until

from cluster.local import LocalExecutor
from cluster.slurm.submit.ledger import query_jobs
from grid.definition.grid import Cell, load_grid
from grid.plan import save_cells, unit_of
from grid.units import Executor, Job, Limits, Report, Resources
from tests import warm


@dataclass
class Engine:
    """One executor. ``returns``: whether its launch returns at once, and units go on without it."""

    name: str
    executor: Executor
    shell: Shell
    variables: dict[str, str]
    """Of the environment that workers of this process inherit."""
    returns: bool = False
    reports: list[Report] = field(default_factory=list)

    def launch(
        self,
        grid: Path,
        units: Sequence[Sequence[Cell]] | None = None,
        slots: int = 2,
        meanwhile: Callable[[], Any] | None = None,
        **resources: Any,
    ) -> None:
        """Launch the cells of a grid, each alone unless told otherwise, and wait for their end.

        ``meanwhile`` is done in another thread: launches that stay want the main one.
        """
        save_cells(load_grid(str(grid)), self.shell.workspace)
        units = units or [[cell] for cell in self.shell.cells(grid)]
        job = Job(
            self.shell.workspace.root,
            grid.stem,
            tuple(unit_of(unit) for unit in units),
            Resources(**resources),
        )
        errors: list[BaseException] = []
        other = threading.Thread(target=_keep(meanwhile or (lambda: None), errors))
        other.start()
        workers = warm.workers() if self.name == "local" else contextlib.nullcontext()
        with workers, mock.patch.dict(os.environ, self.variables):
            self.executor.launch(job, Limits(slots), self.reports.append)
        other.join()
        if errors:
            raise errors[0]
        if self.returns:
            with mock.patch.dict(os.environ, self.variables):
                until(
                    lambda: (
                        not any(view.alive for view in query_jobs(self.shell.workspace, grid.stem))
                    ),
                    "no job waits or runs",
                )

    @property
    def halted(self) -> str:
        """The sentence with which it stopped starting units."""
        return str(getattr(self.executor, "halted", ""))


def _keep(act: Callable[[], Any], errors: list[BaseException]) -> Callable[[], None]:
    def run() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    return run


@pytest.fixture(params=["local", "ray", "slurm"])
def engine(request: pytest.FixtureRequest, shell: Shell) -> Engine:
    """Each executor in turn, in the workspace of ``shell``."""
    if request.param == "local":
        return Engine("local", LocalExecutor(["cpu"]), shell, variables(shell))
    if request.param == "slurm":
        if os.environ.get("ECHOLM_TEST_SYSTEM") != "1":
            pytest.skip("installs and starts SLURM; set ECHOLM_TEST_SYSTEM=1 to run it")
        return slurm_engine(shell, request.getfixturevalue("slurm"))
    request.getfixturevalue("ray_cluster")
    return ray_engine(shell)


def ray_engine(shell: Shell) -> Engine:
    """Ray, as this process is connected to it."""
    from cluster.ray.executor import RayExecutor

    return Engine("ray", RayExecutor(environment=variables(shell)), shell, variables(shell))


def slurm_engine(shell: Shell, lab: Any) -> Engine:
    """The lab's SLURM: a job trains unit after unit, and the test waits for the jobs."""
    from cluster.profile import Partition, Profile
    from cluster.slurm.submit.executor import SlurmExecutor

    node = Partition(
        gpus_per_node=lab.settings.gpus, cpus_per_node=lab.settings.cpus, memory_gb_per_node=32
    )
    profile = Profile(
        partitions={"main": node},
        partition="main",
        time_minutes=10,
        memory_gb=2,
        warning_seconds=30,
    )
    own = {
        **variables(shell),
        "PYTHONPATH": shell.environment()["PYTHONPATH"],
        **{name: lab.environment[name] for name in ("PATH", "SLURM_CONF")},
    }
    return Engine("slurm", SlurmExecutor(profile), shell, own, returns=True)


def variables(shell: Shell) -> dict[str, str]:
    """What the faulty heads look at, in the workers."""
    return {
        name: value
        for name, value in shell.environment().items()
        if name.startswith(("TEST_", "ECHOLM_PLUGINS"))
    }
