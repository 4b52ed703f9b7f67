"""What every place where cells run has in common: its options, its result, its news.

A *place* is this machine (``local``), SLURM or Ray. ``cluster.launch`` chooses one.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.failures import JobFailure
from echolm.arithmetic import Precision
from echolm.kept_weights import KeepName
from echolm.outages import is_empty_place
from echolm.workspace import Workspace
from grid.definition.grid import Cell, Grid
from grid.definition.schema import BlockResources
from grid.plan import CellStatus
from grid.units import Report, Unit

if TYPE_CHECKING:
    from cluster.slurm.submit.launch import LaunchStep

PLACES = ("local", "slurm", "ray")


@dataclass(frozen=True)
class LaunchOptions:
    """How cells are run. What a place does not know is refused by the command line.

    Attributes:
        on: the place, one of ``PLACES``.
        slots: workers or jobs at once. None for what fits this machine, the cluster or the profile,
            and of each block for what it says.
        threads: CPU threads of a worker or rank. None for what the block says, else one, on SLURM
            the profile's.
        micro_batch: samples pushed at once. None for the whole batch.
        gpus: GPUs for one unit, one rank each. None for what its block says, else 0.
        ranks: processes that train one unit without GPUs. None for what its block says, else 1.
        memory_gb: memory of a node (SLURM) or a unit (Ray). None for what the block says.
        minutes: time limit of a SLURM job. None for what the block says, else the profile's.
        profile: the SLURM site profile's file.
        checkpoint_minutes: the longest time without a checkpoint within an epoch. None for what
            the block says, else the default of ``Compute``.
        keep: what becomes of the weights of ended runs. None for what the block says, else all.
        watch_every: seconds between two looks at SLURM. None submits and returns.
        budget_gpu_hours: refuse to submit what is forecast to cost more.
        tflops: what a GPU, or a rank without one, computes, TFLOP/s. For forecasts where no
            complete run tells. None for what the profile says.
        precision: of the arithmetic. None for what the block says, else the profile on SLURM, else
            fp32.
        compile: whether torch.compile is used. None as for ``precision``.
        ray_address: a Ray cluster. None for RAY_ADDRESS, else a cluster of this machine.
        last: GPUs, ranks and arithmetic of the grid's last submission, which count where neither
            the command line nor the block says it.
    """

    on: str = "local"
    slots: int | None = None
    threads: int | None = None
    micro_batch: int | None = None
    gpus: int | None = None
    ranks: int | None = None
    memory_gb: float | None = None
    minutes: int | None = None
    checkpoint_minutes: float | None = None
    keep: KeepName | None = None
    profile: Path | None = None
    watch_every: float | None = None
    budget_gpu_hours: float | None = None
    tflops: float | None = None
    precision: Precision | None = None
    compile: bool | None = None
    ray_address: str | None = None
    last: BlockResources = BlockResources()

    def of_block(self, block: BlockResources) -> BlockResources:
        """Return what a unit of a block asks for: what was typed counts more than the block."""
        typed = BlockResources(
            gpus=self.gpus,
            ranks=self.ranks,
            threads=self.threads,
            memory_gb=self.memory_gb,
            minutes=self.minutes,
            slots=self.slots,
            checkpoint_minutes=self.checkpoint_minutes,
            keep=self.keep,
            precision=self.precision,
            compile=self.compile,
        )
        stated = block.stated
        if typed.gpus is not None:
            stated.pop("ranks", None)  # as many as GPUs
        if typed.ranks is not None:
            stated.pop("gpus", None)
        asked = typed.over(BlockResources.model_validate(stated))
        last = self.last.stated
        if asked.gpus is not None or asked.ranks is not None:
            last.pop("gpus", None)
            last.pop("ranks", None)
        return asked.over(BlockResources.model_validate(last))


@dataclass(frozen=True)
class LaunchResult:
    """How a launch left its cells.

    Attributes:
        statuses: where the cells stand now.
        done: whether all that could be done was done. Here and on Ray every cell is complete. On
            SLURM everything was submitted, and with ``watch_every`` every cell is complete.
        stopped: the name of the signal that ended the launch, or ''.
        stop_reason: why nothing more is started, or ''.
        given_up: cell -> why it is not started any more.
        covered: cells that SLURM jobs will train.
        submitted: ids of the SLURM arrays that were submitted.
        failures: job failures that were new.
    """

    statuses: list[CellStatus]
    done: bool
    stopped: str = ""
    stop_reason: str = ""
    given_up: dict[str, str] = field(default_factory=dict)
    covered: frozenset[str] = frozenset()
    submitted: tuple[str, ...] = ()
    failures: tuple[JobFailure, ...] = ()


class LaunchNews:
    """What a launch tells while it goes on. A subclass shows it. This one is silent."""

    def began(self, grid: Grid, statuses: list[CellStatus], planned: list[Unit]) -> None:
        """Hear where the cells stand, and which units will run."""

    def reports(self, cells: Sequence[Cell]) -> AbstractContextManager[Callable[[Report], None]]:
        """Return a context that takes the reports of these cells while they train."""
        return contextlib.nullcontext(lambda report: None)

    def step(self, step: LaunchStep) -> None:
        """Hear of one look at SLURM."""

    def warn(self, line: str) -> None:
        """Hear a line for the person who waits."""


def may_write(workspace: Workspace, statuses: Sequence[CellStatus]) -> bool:
    """Tell whether a launch may write into a workspace.

    Where its folder is empty and no cell has its data, it may be the mount point of a disk that is
    not there. Nothing could run then anyway.
    """
    if any(status.run for status in statuses):
        return True
    return not is_empty_place(workspace.root)


class Place(ABC):
    """Where cells of a grid run. Made for one launch, it writes nothing before ``launch``."""

    name: str

    def __init__(self, workspace: Workspace, options: LaunchOptions) -> None:
        self.workspace = workspace
        self.options = options

    def check(self) -> None:  # noqa: B027 - most places have nothing to refuse
        """Refuse what this place cannot do, before anything is written.

        Raises:
            EchoLMError: an option that no machine of the place can satisfy.
        """

    @abstractmethod
    def launch(self, grid: Grid, cells: Sequence[Cell], news: LaunchNews) -> LaunchResult:
        """Run what is missing of ``cells``. Launching twice runs nothing twice."""
