"""A workspace whose grids run on the lab: ``echolm`` commands as real processes, with a site
profile of the lab.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))

from launch_support import PATIENCE_S, Done, Shell  # noqa: E402

from cluster.batch import batches  # noqa: E402
from echolm.record import find_records  # noqa: E402
from grid.definition.grid import Cell  # noqa: E402
from tests.slurm import daemons  # noqa: E402
from tests.slurm.faults import Faults  # noqa: E402
from tests.slurm.settings import Settings  # noqa: E402

BLANK = {"encoder": "none", "trainable": "k0"}
"""No network to import: where only jobs matter."""
POLL_S = 0.3
"""Looking all the time would take a core from the jobs that one waits for."""


def until(true: Callable[[], Any], what: str, seconds: float = PATIENCE_S) -> Any:
    """Return the first true value of ``true()``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := true():
            return value
        time.sleep(POLL_S)
    raise AssertionError(f"not within {seconds} s: {what}")


class Site(Shell):
    """A shell on a login node of the lab.

    ``code``: a folder of pinned code that several workspaces share. The wheel is built once, and
    jobs compile its modules once.
    """

    is_warm = False

    def __init__(
        self, root: Path, store: Path | None, settings: Settings, code: Path | None = None
    ) -> None:
        super().__init__(root, store)
        self.settings = settings
        self.faults = Faults(settings)
        if code:
            (self.workspace.root / "code").symlink_to(code)

    def environment(self) -> dict[str, str]:
        """With the lab's SLURM."""
        lab = self.settings.environment()
        return {**super().environment(), "PATH": lab["PATH"], "SLURM_CONF": lab["SLURM_CONF"]}

    def profile(self, **changes: Any) -> Path:
        """A profile file; short warnings, one unit a job, the lab's partitions."""
        node = {
            "gpus_per_node": self.settings.gpus,
            "cpus_per_node": self.settings.cpus,
            "memory_gb_per_node": 32,
        }
        plain: dict[str, Any] = {
            "partitions": dict.fromkeys(("main", "low", "high"), node),
            "partition": "main",
            "time_minutes": 10,
            "memory_gb": 2,
            "jobs_at_once": 2,
            "units_per_job": 1,
            "warning_seconds": 30,
        }
        path = self.root / "site.yaml"
        path.write_text(yaml.safe_dump(plain | changes))
        return path

    def submit(
        self, grid: Path, *options: str | Path, command: str = "launch", process: bool = False
    ) -> Done:
        """Run ``echolm launch GRID --on slurm``.

        Args:
            grid: the grid's file.
            options: further words.
            command: ``launch`` or ``retry``.
            process: as a process of its own. Else it is a call in this process, which saves the
                imports: what it starts are SLURM's commands alone.
        """
        words = (command, grid, "--on", "slurm", "--profile", self.root / "site.yaml", *options)
        if process:
            return self(*words)
        return self.inside(*words, ECHOLM_PLUGINS="faulty_heads")

    def slurm(self, *command: object) -> str:
        """What a SLURM command prints."""
        return daemons.run(self.settings, *command)

    def jobs(self, grid: Path, *states: str) -> list[str]:
        """Ids of a grid's jobs that wait or run, as squeue prints them."""
        arrays = {
            array["job"]
            for batch in batches(self.workspace, grid.stem)
            for array in batch.submitted()
        }
        lines = self.slurm("squeue", "-h", "-r", "-o", "%i %F %T").split("\n")
        found = [line.split() for line in lines if line]
        return [
            id for id, array, state in found if array in arrays and (not states or state in states)
        ]

    def job_of(self, grid: Path, cell: Cell) -> str:
        """The job whose claim of a cell's unit is open, '' when there is none."""
        for batch in batches(self.workspace, grid.stem):
            for claims in batch.claims().values():
                holder = claims[-1]["holder"]
                unit = next(
                    unit for unit in batch.units if unit.id == claims[-1]["path"].parent.name
                )
                if cell.id in unit.cells and claims[-1]["over"] is None:
                    return (
                        f"{holder['array']}_{holder['task']}"
                        if "array" in holder
                        else str(holder["slurm_job"])
                    )
        return ""

    def attempts_of(self, cell: Cell) -> list[int]:
        """The attempts of a cell, none before it has begun."""
        return [
            number
            for record in find_records(self.workspace.runs, cell.id)
            for number in record.attempts()
        ]

    def scripts(self, grid: Path) -> list[str]:
        """The sbatch scripts of a grid's jobs, oldest first."""
        paths = [
            path
            for batch in batches(self.workspace, grid.stem)
            for path in (batch.path / "logs").glob("*.sh")
        ]
        return [path.read_text() for path in sorted(paths, key=lambda path: path.stat().st_mtime)]

    def finish(self, grid: Path, seconds: float = 240, every: float = 2) -> None:
        """Launch again and again until every cell is complete, as ``--watch`` does."""
        told: list[Done] = []

        def complete() -> bool:
            if set(self.states(grid)) == {"complete"}:
                return True
            told.append(self.submit(grid))
            until(
                lambda: set(self.states(grid)) == {"complete"} or not self.jobs(grid),
                "a job to wait for",
                seconds,
            )
            return False

        try:
            until(complete, f"{grid.stem} complete", seconds)
        except AssertionError as error:
            raise AssertionError(
                f"{error}: {self.states(grid)}; {told[-1:]}\n{self.logs(grid)}"
            ) from None

    def logs(self, grid: Path, characters: int = 1500) -> str:
        """The ends of the newest batch's logs."""
        found = batches(self.workspace, grid.stem)[-1:]
        paths = [path for batch in found for path in sorted((batch.path / "logs").glob("*_log.*"))]
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-characters:]}" for path in paths
        )
