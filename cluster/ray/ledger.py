"""What a launch on Ray writes down of lost processes, in ``grids/<grid>/failures.jsonl`` as launches on SLURM do, and what
follows from it: who is given up, how small micro-batches are, which nodes are avoided."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from cluster.failures import Failure, bad_nodes, counted, failures, given_up, micro_batch_of, note, stood
from cluster.ray.deaths import Death
from echolm.workspace import Workspace
from grid.plan import Job, launched_config

WORDS, CHARACTERS = 2000, 5000
"""Of what Ray says, and of the end of a log."""


class Ledger:
    """The failures of one job's grid, of earlier launches too."""

    def __init__(self, job: Job) -> None:
        self._workspace, self._grid, self._needs = Workspace(job.workspace), job.grid, job.resources

    def note(self, death: Death, cells: Sequence[str] = ()) -> None:
        """Write down a death. ``cells``: what its unit had left; none for a process that did not start."""
        words = f"{death.evidence[:WORDS]}\n{_end(death.log)}"
        note(self._workspace, self._grid, [Failure(death.kind, death.log.stem, "", tuple(cells), death.host, words, stood(self._workspace, cells))])

    def times(self, cells: Sequence[str], kind: str) -> int:
        """How often the worst of the cells has met a class."""
        counts = counted(failures(self._workspace, self._grid))
        return max((counts.get(cell, {}).get(kind, 0) for cell in cells), default=0)

    def within(self, cells: Sequence[str]) -> bool:
        """Whether none of the cells is over a budget."""
        return not set(cells) & set(given_up(failures(self._workspace, self._grid)))

    def bad_nodes(self) -> tuple[str, ...]:
        """Addresses of nodes that failed within the last day."""
        return bad_nodes(failures(self._workspace, self._grid), time.time())

    def micro_batch(self, cells: Sequence[str]) -> int | None:
        """The micro-batch of a unit: what was asked for, halved for each time that a node's memory ran out with it."""
        found = failures(self._workspace, self._grid)
        sizes = [micro_batch_of(found, cell, launched_config(self._workspace, self._grid, cell), self._needs) for cell in cells]
        return min((size for size in sizes if size is not None), default=None)


def _end(log: Path) -> str:
    """The end of what the last process of a log wrote, without Python's long list of the modules that a crash had loaded."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    last = re.split(r"^\S+ \S+ worker \d+ on \w+$", text, flags=re.MULTILINE)[-1]
    return "\n".join(line for line in last.splitlines() if not line.startswith("Extension modules:"))[-CHARACTERS:]
