"""The start of a cell beyond its training: ``python -m tests.benchmarks.start_up``.

Prints three lines and writes nothing that stays. A grid of 10,000 cells is launched into a
temporary workspace, and a job reads its batch, then prepares one unit after another as far as the
training.
Fresh processes import torch and its compiler, as trainings of torchvision's networks do, with
Python's own habit of looking for garbage and with EchoLM's. Others take a step of an optimiser.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

from cluster import unit as cluster_unit
from cluster.batch import JobBatch, new_batch_path
from echolm.config import parse_config
from echolm.identity import cell_id
from echolm.record import RunStatus
from echolm.states import RunState
from echolm.stores.clips import SCHEMA
from echolm.training.cohorts import Compute
from echolm.training.distributed import Ranks
from echolm.workspace import Workspace
from grid.definition.grid import Cell
from grid.plan import CellStatus, units

CELLS = 10_000
UNITS = 200
"""Units that the job takes: each is one cell."""
GOAL_MS = 50
PROCESSES = 5
"""Fresh processes of each kind that import, in turn."""
IMPORTS = "import torch, torch._dynamo"
STEP = """
import torch
from echolm.optimisation import without_compiler
parameter = torch.nn.Parameter(torch.ones(3))
optimizer = {}(torch.optim.AdamW)([parameter])
parameter.sum().backward()
optimizer.step()
"""
SELDOM = "from echolm.garbage import look_for_garbage_seldom; look_for_garbage_seldom()"
BASE: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "all",
    "head": "mlp",
}


def cells() -> list[CellStatus]:
    """Return 10,000 cells that wait."""
    statuses = []
    for seed in range(CELLS):
        config = parse_config({**BASE, "seed": seed})
        cell = Cell(cell_id(config), {"seed": str(seed)}, config)
        statuses.append(CellStatus(cell, RunStatus(RunState.PENDING)))
    return statuses


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        store = workspace.store("phantom")
        store.mkdir(parents=True)
        facts = {"schema": SCHEMA, "fingerprint": "a" * 64}
        (store / "store.json").write_text(json.dumps(facts))
        path = new_batch_path(workspace, "toy")
        JobBatch(path, workspace.root, "toy", tuple(units(cells()))).write()

        began = time.process_time()
        batch = JobBatch.read(path)
        once_ms = 1000 * (time.process_time() - began)
        began = time.process_time()
        with mock.patch.object(cluster_unit, "fit", return_value=[]):
            for unit in batch.units[:UNITS]:
                cluster_unit.train_unit(
                    workspace, "toy", unit, Compute(), Ranks(), lambda report: None
                )
        cell_ms = 1000 * (time.process_time() - began) / UNITS
    print(
        f"{CELLS:,} cells: start-up of a cell beyond its training, without imports:"
        f" {cell_ms:.1f} CPU ms (goal: under {GOAL_MS});"
        f" a job reads its batch once: {once_ms:.0f} CPU ms"
    )
    by_itself, seldom = [], []
    for _ in range(PROCESSES):
        by_itself.append(process_seconds(IMPORTS))
        seldom.append(process_seconds(f"{SELDOM}; {IMPORTS}"))
    print(
        f"a process that imports torch and its compiler, {PROCESSES} of each kind:"
        f" {statistics.median(seldom):.2f} CPU s, where Python looks for garbage seldom;"
        f" {statistics.median(by_itself):.2f} CPU s by itself"
    )

    torchs, ours = [], []
    for _ in range(PROCESSES):
        torchs.append(process_seconds(f"{SELDOM}\n{STEP.format('')}"))
        ours.append(process_seconds(f"{SELDOM}\n{STEP.format('without_compiler')}"))
    print(
        f"a process that imports torch and takes a step, {PROCESSES} of each kind:"
        f" {statistics.median(ours):.2f} CPU s, where an optimiser does not import the compiler;"
        f" {statistics.median(torchs):.2f} CPU s with torch's own class"
    )


def process_seconds(script: str) -> float:
    """Return the CPU seconds of a fresh process, its end included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", script], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
