"""The smallest whole demo, from data to the table and a picture, in folders with hostile names."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests import warm

GRID = """
title: the smallest whole demo
base:
  data: echonet-dynamic-phantom
  task: landmarks
  encoder: tiny-r3d
  epochs: 2
  batch_size: 5
  optimizer: {name: adam, lr: 1.0e-3}
axes:
  trainable: [k1]
  head: [{name: mlp, width: 16}, gcn]
  seed: [0, 1]
include:
  - {encoder: none, trainable: k0, head: mean, seed: 0}
tables:
  main:
    title: Landmarks
    rows: [head]
    columns:
      - {metric: dice, slot: ED, label: Dice ED (%), digits: 4}
      - {metric: mke, slot: ES, label: MKE ES (px), digits: 4}
"""
PHANTOM = 'the "phantom"'
HOSTILE = "it's a wörk\nspace ☃ #&;$(x)"


class Typing:
    """``echolm`` commands in one workspace."""

    def __init__(self, root: Path) -> None:
        self.root = root
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("ECHOLM_", "MLFLOW_"))
        }
        self.environment = kept | {"ECHOLM_WORKSPACE": str(root / "work space"), "PYTHONUTF8": "1"}

    def __call__(self, *words: object) -> str:
        """What a command prints. It must succeed, with no warning but of a strange ventricle."""
        command = [warm.python(), "-m", "echolm.cli", *map(str, words)]
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            capture_output=True,
            encoding="utf-8",
            timeout=800,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        heard = [
            line
            for line in done.stderr.splitlines()
            if not line.startswith("warning: the ED contour is smaller")
        ]
        assert not any(word in line for line in heard for word in ("Traceback", "arning")), (
            done.stderr
        )
        return done.stdout


def dice(row: dict[str, Any]) -> float:
    """In percent, from the areas."""
    return float(100 * 2 * row["intersection"] / (row["area_truth"] + row["area_prediction"]))


def keypoint_error(row: dict[str, Any]) -> float:
    """Mean distance of the points, in pixels."""
    points, truth = (np.reshape(row[name], (-1, 2)) for name in ("prediction", "truth"))
    return float(np.linalg.norm(points - truth, axis=1).mean())


COLUMNS = {"Dice ED (%)": ("ED", dice), "MKE ES (px)": ("ES", keypoint_error)}


def numbers(files: list[Path], column: str) -> tuple[float, float]:
    """Mean over runs of mean and standard deviation over patients, from predictions alone."""
    slot, metric = COLUMNS[column]
    means, spreads = [], []
    for file in files:
        patients = defaultdict(list)
        for row in pq.read_table(file).to_pylist():
            if (row["split"], row["slot"]) == ("test", slot):
                patients[row["patient"]].append(metric(row))
        values = [np.mean(found) for found in patients.values()]
        assert len(values) == 5
        means.append(np.mean(values))
        spreads.append(np.std(values, ddof=1))
    return float(np.mean(means)), float(np.mean(spreads))


def test_from_data_to_the_table_and_a_picture(tmp_path: Path) -> None:
    root = tmp_path / HOSTILE
    root.mkdir()
    echolm = Typing(root)
    (root / "whole.yaml").write_text(GRID)
    echolm("data", "phantom", "echonet-dynamic", PHANTOM, "--videos", 24)
    echolm("data", "prepare", "echonet-dynamic", PHANTOM)
    assert "5 of 5 cells of whole" in echolm("grid", "show", "whole.yaml")
    launched = echolm("launch", "whole.yaml", "--slots", 2)
    assert launched.splitlines()[-1] == "whole: 5 cells: 5 complete"
    status = json.loads(echolm("status", "whole.yaml", "--json"))
    assert status["states"] == {"complete": 5}
    assert json.loads(echolm("collect", "--json"))["collected"]["whole"]["runs"] == 5

    shown = list(
        csv.DictReader(
            io.StringIO(
                echolm("tables", "whole", "--format", "csv", "--spread", "std-over-patients")
            )
        )
    )
    assert len(shown) == 3 * 2, "heads x columns"
    for line in shown:
        cells = [cell for cell in status["cells"] if cell["coordinates"]["head"] == line["head"]]
        assert len(cells) == int(line["n_seeds"]) == (1 if line["head"] == "mean" else 2)
        found = [
            Path(cell["record"]) / "attempts" / str(cell["attempt"]) / "predictions.parquet"
            for cell in cells
        ]
        assert (float(line["mean"]), float(line["spread"])) == pytest.approx(
            numbers(found, line["column"]), abs=1e-9
        )
    assert "| mean" in echolm("tables", "whole")

    clip = next((root / PHANTOM / "Videos").glob("*.avi"))
    cell = status["cells"][0]["cell"]
    echolm("predict", cell, clip, "--ed", 1, "--es", 9, "--out", 'a "picture".png')
    with Image.open(root / 'a "picture".png') as picture:
        assert picture.size[0] > picture.size[1], "two frames side by side"
    assert "whole: 5 cells: 5 complete; running 0" in echolm(
        "launch", "whole.yaml", "--no-collect"
    ), "typed again, it does nothing"
