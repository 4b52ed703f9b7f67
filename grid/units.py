"""The plain data that executors consume: units, what they need, and what is reported of them.

A job imports this, and nothing of how a grid is defined.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from echolm.arithmetic import Arithmetic, Precision
from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.kept_weights import Keep
from echolm.record import RunStatus
from echolm.states import RunState

TO_RUN = (RunState.PENDING, RunState.INTERRUPTED)
"""States that a launch runs.

The others are complete, held elsewhere, or wait for ``echolm retry``.
"""
STOPPED = (RunState.FAILED, RunState.CANCELLED, RunState.PRUNED)
"""States that wait for ``echolm retry``. Cells that begin from such a one are blocked."""
_UPSTREAM = re.compile(r'"weights": "run:([0-9a-f]{16})"')


@dataclass(frozen=True)
class Resources:
    """What one job needs.

    Attributes:
        gpus: GPUs in all.
        ranks: one a GPU. Without GPUs, processes.
        threads: CPU threads a rank.
        memory_gb: memory a node, GB. None: the site's.
        minutes: minutes until its time limit.
        micro_batch: samples that a rank pushes at once. None: its whole share of the batch.
        checkpoint_minutes: of ``Compute``.
        keep: of ``Compute``.
        precision: of the arithmetic, one of ``echolm.arithmetic.PRECISIONS``.
        compile: whether torch.compile fuses the networks' operations.
    """

    gpus: int = 0
    ranks: int = 1
    threads: int = 1
    memory_gb: float | None = None
    minutes: int = 60
    micro_batch: int | None = None
    checkpoint_minutes: float | None = None
    keep: str = Keep.BEST

    @property
    def saving(self) -> dict[str, Any]:
        """What ``Compute`` takes of it about what is written, by name."""
        return {"checkpoint_minutes": self.checkpoint_minutes, "keep": str(self.keep)}

    precision: Precision = "fp32"
    compile: bool = False

    @property
    def arithmetic(self) -> Arithmetic:
        """How the networks compute."""
        return Arithmetic(self.precision, self.compile)


@dataclass(frozen=True)
class Limits:
    """How much may run at once, and how often it is started again.

    Attributes:
        slots: how many jobs run at once.
        restarts: how often a unit is started again whose process on this machine dies. On SLURM and
            Ray, the budgets of ``cluster.failures`` say it.
    """

    slots: int = 1
    restarts: int = 2


@dataclass(frozen=True)
class Unit:
    """One cohort: cells that one process trains together.

    Attributes:
        cells: ids of the cells.
        configs: cell id -> its configuration as JSON text, which is parsed where it is needed. So
            for the cells of its grid that they begin from. A unit of a batch that an earlier
            version wrote carries none, and its cells are looked up in ``cells.json``.
    """

    cells: tuple[str, ...]
    configs: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def after(self) -> tuple[str, ...]:
        """The cells whose weights its cells begin with, as far as their configurations are here."""
        texts = [self.configs.get(cell, "") for cell in self.cells]
        return tuple(dict.fromkeys(filter(None, map(upstream_of, texts))))

    @property
    def id(self) -> str:
        """The first cell's id."""
        return self.cells[0]

    def only(self, cells: Sequence[str]) -> Unit:
        """Return the unit of those of its cells, with the configurations that they need."""
        return Unit(tuple(cells), needed_configs(cells, self.configs))

    def config_of(self, cell: str) -> FinetuneConfig | PretrainConfig | None:
        """Return the configuration of a cell of it, or of one that its cells begin from.

        None where it carries none.
        """
        if cell not in self.configs:
            return None
        return parse_config(json.loads(self.configs[cell]), f"unit {self.id}: {cell}")


def upstream_of(config: str) -> str:
    """Return the cell whose weights a configuration begins with, from its JSON text, or ''."""
    match = _UPSTREAM.search(config)
    return match[1] if match else ""


def needed_configs(cells: Iterable[str], configs: Mapping[str, str]) -> dict[str, str]:
    """Return the configurations of cells and of those that they begin from, as far as known."""
    needed: dict[str, str] = {}
    for cell in cells:
        while cell in configs and cell not in needed:
            needed[cell] = configs[cell]
            cell = upstream_of(configs[cell])
    return needed


@dataclass(frozen=True)
class Job:
    """Units of one resource shape. An executor needs only this and the workspace's files.

    Attributes:
        workspace: the workspace's folder.
        grid: the grid's name.
        units: what is to be trained.
        resources: what each unit needs.
        slots: how many of them may run at once. None: as many as the launch allows.
        after: cells that jobs train first. The units begin with their weights.
    """

    workspace: Path
    grid: str
    units: tuple[Unit, ...]
    resources: Resources = Resources()
    slots: int | None = None
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """News from a job.

    Attributes:
        event: ``step`` (where a run stands, about once a second), ``epoch`` (a validated epoch),
            ``smaller`` (a micro-batch after out-of-memory), ``ended`` (a cell's outcome), ``died``
            (a process), ``outage`` (something is away, or back) or ``stopping`` (a signal came).
        cell: the id of the cell it is about, '' of the last two.
        facts: what is said of it.
    """

    event: str
    cell: str
    facts: dict[str, Any] = field(default_factory=dict)


class Executor(Protocol):
    """Where jobs run. Launching the same job twice runs nothing twice: records decide."""

    def launch(self, job: Job, limits: Limits, report: Callable[[Report], None]) -> list[str]:
        """Start the job's units.

        A local executor returns when all have ended. A scheduler's returns after submission.

        Returns:
            The identifiers of what was started (processes, scheduler jobs).
        """
        ...


def is_held_out_of_sight(state: RunStatus) -> bool:
    """Return whether a run has a holder that cannot be looked for from here."""
    return state.name == RunState.RUNNING and "unseen" in state.evidence
