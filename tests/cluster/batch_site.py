"""A batch on a login node whose SLURM says what a test wants, from stand-ins on the PATH.

The true programs are asked in tests/slurm.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

from cluster.batch import Claim, JobBatch, new_batch_path
from cluster.slurm.submit.ended_jobs import record_ended_jobs
from cluster.slurm.submit.ledger import query_jobs
from echolm.liveness import describe_self
from echolm.workspace import Workspace
from grid.units import Unit

UNITS = tuple(Unit((f"cell{number}",)) for number in range(4))


class BatchSite:
    """A batch of four units, one array of four jobs, and programs that say what a test wants."""

    def __init__(self, root: Path) -> None:
        self.root, self.workspace = root, Workspace(root / "workspace")
        self.batch = self.made()
        self.batch.note_submitted("100", 4, 4)
        self.stamp = datetime.now().isoformat(timespec="seconds")
        for name in ("squeue", "sacct", "scancel", "scontrol", "sinfo"):
            self.says(name)

    def made(self) -> JobBatch:
        batch = JobBatch(new_batch_path(self.workspace, "toy"), self.workspace.root, "toy", UNITS)
        batch.write()
        return batch

    def says(self, program: str, *lines: str) -> None:
        (self.root / f"{program}.out").write_text("".join(f"{line}\n" for line in lines))
        path = self.root / program
        stem = f"{self.root}/{program}"
        path.write_text(f'#!/bin/sh\necho "$@" >> {stem}.calls\n/bin/cat {stem}.out\n')
        path.chmod(0o755)

    def calls(self, program: str) -> list[str]:
        path = self.root / f"{program}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def queued(self, job: str, state: str, reason: str = "None", node: str = "n1") -> str:
        array, _, task = job.partition("_")
        name = self.batch.name
        return f"{array}|{task}|{state}|{reason}|{node}|{name}|echolm-toy|{self.stamp}|{array}"

    def remembered(self, job: str, state: str, node: str = "n1") -> str:
        return f"{job}|{state}|{node}|{self.batch.name}|echolm-toy|{self.stamp}"

    def claim(self, unit: int, task: str, restart: int = 0, batch: JobBatch | None = None) -> Claim:
        """As job 100_<task> takes it, on another machine."""
        claim = Claim.take(batch or self.batch, UNITS[unit])
        assert claim
        holder = {
            **describe_self(),
            "boot": "another",
            "array": "100",
            "task": task,
            "slurm_restart": restart,
            "time": time.time(),
        }
        (claim.path / "holder.json").write_text(json.dumps(holder))
        return claim

    def log(self, job: str, text: str) -> None:
        (self.batch.path / "logs" / f"{job}_0_log.err").write_text(text)

    def settle(self) -> list[str]:
        return [
            failure.kind
            for failure in record_ended_jobs(
                self.workspace, "toy", query_jobs(self.workspace, "toy")
            )
        ]

    def covered(self) -> set[str]:
        return {cell for view in query_jobs(self.workspace, "toy") for cell in view.covered()}

    def cancelled(self) -> set[str]:
        return {path.parent.name for path in self.workspace.runs.glob("*/cancelled")}
