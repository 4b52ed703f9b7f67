"""A login node of which SLURM's commands are stand-ins.

sbatch queues jobs in a file, squeue prints it, nothing ever runs. The true programs are asked in
tests/slurm. Here is what a site does seldom: not answering, refusing, having odd limits.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from launch_support import Done, Shell

from cluster.failures import JobFailure, note
from grid.definition.grid import Cell

BLANK = {"encoder": "none", "trainable": "k0"}
"""No network to import: where only jobs matter."""
NODE = {"gpus_per_node": 2, "cpus_per_node": 8, "memory_gb_per_node": 32, "max_minutes": 120}
SCRIPTS = {
    "squeue": """echo x >> calls
if [ -e mute ]; then
  echo "slurm_load_jobs error: Unable to contact slurm controller" >&2
  exit 1
fi
cat queue""",
    "sacct": "echo Slurm accounting storage is disabled >&2; exit 1",
    "srun": "exit 1",
    "scancel": "exit 0",
    "scontrol": "cat config",
    "sbatch": """if [ -e refusing ]; then
  echo "sbatch: error: Batch job submission failed: Invalid account" >&2
  exit 1
fi
value() { sed -n "s/^#SBATCH --$1=//p" "$script"; }
id=$(($(cat id) + 1)); echo $id > id
last=$(value array | sed "s/.*-//; s/%.*//")
for task in $(seq 0 "${last:-0}"); do
  index=$([ "$last" ] && echo $task || echo N/A)
  names="$(value comment)|$(value job-name)"
  echo "$id|$index|PENDING|Resources|(null)|$names|$(date +%FT%T)|$id" >> queue
done
if [ -e unmounting ]; then
  root=$(cat unmounting)
  rm unmounting
  mv "$root" "$root away"
  mkdir "$root"
fi
echo "Submitted batch job $id" """,
}


class LoginNode(Shell):
    """A shell there."""

    is_warm = False

    def __init__(self, root: Path, store: Path | None) -> None:
        super().__init__(root, store)
        self.slurm = root / "slurm"
        self.slurm.mkdir()
        for name, lines in SCRIPTS.items():
            script = self.slurm / name
            script.write_text(f'#!/bin/sh\nscript=$1\ncd "{self.slurm}"\n{lines}\n')
            script.chmod(0o755)
        for name, text in {
            "queue": "",
            "calls": "",
            "id": "40",
            "config": "MaxArraySize            = 1001\n",
        }.items():
            (self.slurm / name).write_text(text)
        self.profile()

    def environment(self) -> dict[str, str]:
        """With the stand-ins first."""
        return {**super().environment(), "PATH": f"{self.slurm}{os.pathsep}{os.environ['PATH']}"}

    def profile(self, **changes: Any) -> Path:
        """The profile file ``site.yaml``."""
        plain = {
            "partitions": {"main": NODE},
            "time_minutes": 60,
            "warning_seconds": 60,
            "jobs_at_once": 4,
            "units_per_job": 1,
        }
        path = self.root / "site.yaml"
        path.write_text(yaml.safe_dump(plain | changes))
        return path

    def submit(self, grid: Path, *options: str | Path | int, command: str = "launch") -> Done:
        """``echolm launch GRID --on slurm``, in this process."""
        return self.inside(
            command, grid, "--on", "slurm", "--profile", self.root / "site.yaml", *options
        )

    def queue(self, state: str = "") -> list[list[str]]:
        """The fields of the jobs that were queued.

        With ``state``, all of them are in that state from now on.
        """
        lines = [line.split("|") for line in (self.slurm / "queue").read_text().splitlines()]
        if state:
            lines = [[*line[:2], state, *line[3:]] for line in lines]
            (self.slurm / "queue").write_text("".join("|".join(line) + "\n" for line in lines))
        return lines

    def asked(self) -> int:
        """How often squeue was asked."""
        return len((self.slurm / "calls").read_text().split())

    def failed(self, cell: Cell | None, kind: str, times: int, evidence: str = "") -> None:
        """As if so many jobs had failed, with ``cell`` or, for None, before they took one."""
        cells = (cell.id,) if cell else ()
        (self.workspace.grids / "toy").mkdir(parents=True, exist_ok=True)
        note(
            self.workspace,
            "toy",
            [JobFailure(kind, f"9{n}_0", "batch", cells, "n1", evidence) for n in range(times)],
        )
