"""A small grid whose run records, MLflow store and collected files EchoLM's own writers made.

Only the training is not done: predictions are the tracings with noise.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from echolm.attempt import Attempt
from echolm.cli import main
from echolm.stores.clips import ClipStore
from echolm.tasks.landmarks import GRID, landmark_rows
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid.definition.grid import Cell, Grid, load_grid
from grid.plan import save_cells

TITLE = """A <script>alert("title")</script> & 'quotes'"""
LABEL = "<img src=x onerror=alert(1)>"
ERROR = "</pre><script>alert('error')</script> & more"
NAME = "small"
YAML = f"""
title: {json.dumps(TITLE)}
base:
  data: echonet-dynamic-phantom
  task: landmarks
  encoder: tiny-r3d
  trainable: k1
  epochs: 4
  batch_size: 5
  optimizer: adam
axes:
  head: [{{label: "{LABEL}", set: {{head: {{name: mlp, width: 16}}}}}}, gcn]
  fraction:
    - {{label: "100%", set: {{data.fraction: 1.0}}}}
    - {{label: "50%", set: {{data.fraction: 0.5}}}}
  seed: [0, 1]
tables:
  main:
    title: "Landmarks </title><b>bold</b>"
    rows: [head, fraction]
    columns:
      - {{metric: dice, slot: ED, label: Dice ED (%)}}
      - {{metric: mke, slot: ES, label: MKE ES (px)}}
claims:
  odd:
    says: "the odd <b>head</b> is better than gcn"
    better: {{head: "{LABEL}", fraction: "100%"}}
    than: [{{head: gcn, fraction: "100%"}}]
    column: Dice ED (%)
    by: fold
    tables: {{all of it: main}}
"""
FAILED = {"fraction": "50%", "seed": "1", "head": "gcn"}
PENDING = {"fraction": "50%", "seed": "1", "head": LABEL}


@dataclass
class Made:
    """A workspace with what was made in it."""

    workspace: Workspace
    grid: Grid

    @property
    def page(self) -> Path:
        """Where the report is written."""
        return self.workspace.results(NAME) / "report.html"

    def echolm(self, *words: str) -> Result:
        """A command in the workspace."""
        return CliRunner().invoke(main, ["-w", str(self.workspace.root), *words])

    def report(self, *words: str) -> str:
        """The page as text, which must be written without an error."""
        done = self.echolm("report", NAME, *words)
        assert done.exit_code == 0, done.output
        return self.page.read_text(encoding="utf-8")

    def at(self, **coordinates: str) -> Cell:
        """The cell at some coordinates."""
        return next(
            cell for cell in self.grid.cells if coordinates.items() <= cell.coordinates.items()
        )


def write_grid(folder: Path) -> Path:
    path = folder / f"{NAME}.yaml"
    path.write_text(YAML)
    return path


@pytest.fixture(scope="session")
def made(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Complete cells, a failed one and one that was never run.

    The workspace's path is hostile too. It is only to be read.
    """
    root = tmp_path_factory.mktemp("report") / """work "space" <b>'&"""
    workspace = Workspace(root)
    root.joinpath("data").mkdir(parents=True)
    workspace.store("echonet-dynamic-phantom").symlink_to(tiny / "store")
    grid = load_grid(str(write_grid(root)))
    save_cells(grid, workspace)
    for number, cell in enumerate(grid.cells):
        if not PENDING.items() <= cell.coordinates.items():
            _run(cell, workspace, number, fails=FAILED.items() <= cell.coordinates.items())
    made = Made(workspace, grid)
    done = made.echolm("collect", NAME)
    assert done.exit_code == 0, done.output
    return made


def _run(cell: Cell, workspace: Workspace, number: int, fails: bool) -> None:
    """What a run leaves, by the interfaces that the loop uses."""
    prepared = prepare_run(cell.config, workspace)
    prepared.record.create(prepared.identity)
    attempt = Attempt.acquire(prepared.record)
    attempt.event("started")
    attempt.write("log.txt", b"epoch 1\n")
    for epoch in range(2 if fails else 4):
        losses = {
            "train/loss": 1.0 / (epoch + 1),
            "val/loss": 1.5 / (epoch + 1 + number),
            "val/dice/ED": 50.0 + 5 * epoch,
            "val/dice/ES": 45.0,
        }
        attempt.event("epoch", epoch=epoch, step=3 * epoch + 3, metrics=losses, seconds=0.1)
    if fails:
        attempt.release(
            "failed", **{"class": "bug", "error": ERROR, "traceback": f"Traceback\n{ERROR}"}
        )
        return
    store = ClipStore.open(prepared.store)
    rows = _predictions(store, np.random.default_rng(number), noise=1.0 + number)
    file = io.BytesIO()
    pq.write_table(rows, file)
    attempt.write("predictions.parquet", file.getvalue())
    facts = {
        "best_epoch": 2,
        "epochs": 4,
        "seconds": 12.5 + number,
        "synthetic": True,
        "counts": {"test": 5},
    }
    provenance = {"commit": "0123456789abcdef", "host": "node7", "device": "cpu (a processor)"}
    attempt.publish(
        {**facts, "provenance": provenance, "metrics": {"test/dice/ED": 80.0}},
        ["predictions.parquet"],
    )
    attempt.release("complete")


def _predictions(store: ClipStore, random: np.random.Generator, noise: float) -> pa.Table:
    """Rows of the test and the validation split."""
    items = [store.items[row] for split in ("test", "val") for row in store.split(split)]
    points = np.array(
        [[item.values["landmarks_ed"], item.values["landmarks_es"]] for item in items], np.float64
    )
    truth = (points + 0.5) * GRID / items[0].width - 0.5
    return landmark_rows(items, truth, truth + random.normal(0, noise, truth.shape))
