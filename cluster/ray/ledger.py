"""Write down the processes that a launch on Ray lost, and say what follows from it.

They stand in ``grids/<grid>/failures.jsonl``, as those of launches on SLURM do. What follows: who
is given up, how small micro-batches are, which nodes are avoided.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.failures import (
    JobFailure,
    bad_nodes,
    counted,
    earliest_checkpoint,
    failures,
    given_up,
    micro_batch_of,
    note,
)
from cluster.ray.worker_loss import WorkerLoss
from echolm.workspace import Workspace
from grid.stored_configs import unit_config
from grid.units import Job, Unit

EVIDENCE_CHARACTERS = 2000
"""How much is kept of what Ray says."""
LOG_CHARACTERS = 5000
"""How much is kept of the end of a log."""


class Ledger:
    """The failures of one job's grid, of earlier launches too."""

    def __init__(self, job: Job) -> None:
        self._workspace = Workspace(job.workspace)
        self._grid = job.grid
        self._needs = job.resources

    def note(self, loss: WorkerLoss, cells: Sequence[str] = ()) -> None:
        """Write down a loss.

        Args:
            loss: what the process died of.
            cells: what its unit had left. None for a process that did not start.
        """
        failure = JobFailure(
            kind=loss.kind,
            job=loss.log.stem,
            batch="",
            cells=tuple(cells),
            node=loss.host,
            evidence=f"{loss.evidence[:EVIDENCE_CHARACTERS]}\n{_end_of_log(loss.log)}",
            place=earliest_checkpoint(self._workspace, cells),
        )
        note(self._workspace, self._grid, [failure])

    def times(self, cells: Sequence[str], kind: str) -> int:
        """Return how often the worst of the cells has met a class."""
        counts = counted(self._failures())
        return max((counts.get(cell, {}).get(kind, 0) for cell in cells), default=0)

    def within(self, cells: Sequence[str]) -> bool:
        """Tell whether none of the cells is over a budget."""
        return given_up(self._failures()).keys().isdisjoint(cells)

    def bad_nodes(self) -> tuple[str, ...]:
        """Return the addresses of nodes that failed within the last day."""
        return bad_nodes(self._failures(), time.time())

    def micro_batch(self, unit: Unit) -> int | None:
        """Return the micro-batch of a unit.

        It is what was asked for, halved for each time that a node's memory ran out with it.
        """
        recorded = self._failures()
        sizes = []
        for cell in unit.cells:
            config = unit_config(unit, cell, self._workspace, self._grid)
            size = micro_batch_of(recorded, cell, config, self._needs)
            if size is not None:
                sizes.append(size)
        return min(sizes, default=None)

    def _failures(self) -> list[JobFailure]:
        return failures(self._workspace, self._grid)


def _end_of_log(log: Path) -> str:
    """Return the end of what the last process of a log wrote.

    Python's long list of the modules that a crash had loaded is left out.
    """
    if not log.is_file():
        return ""
    text = log.read_text(encoding="utf-8", errors="replace")
    last_process = re.split(r"^\S+ \S+ worker \d+ on \w+$", text, flags=re.MULTILINE)[-1]
    lines = last_process.splitlines()
    kept = [line for line in lines if not line.startswith("Extension modules:")]
    return "\n".join(kept)[-LOG_CHARACTERS:]
