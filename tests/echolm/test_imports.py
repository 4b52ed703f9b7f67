"""What takes long to import is imported by those alone who need it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

BUILD_ALL = """
import sys
import torch
from echolm.encoders import ENCODERS
from echolm.heads import HEADS

for package in ("torchvision", "torch_geometric"):
    sys.modules[package] = None  # cannot be imported

def needed(component, build):
    try:
        build()
    except ModuleNotFoundError as error:
        return (error.name.partition(".")[0],)
    return ()

with torch.device("meta"):
    for name in ENCODERS.names():
        encoder = ENCODERS.parse(name)
        assert needed(encoder, lambda: encoder.build(None)) == encoder.imports, name
    for name in HEADS.names():
        head = HEADS.parse(name)
        assert needed(head, lambda: head.build(4, (2, 3, 2))) == head.imports, name
print("all")
"""


def test_components_import_what_they_say_and_nothing_else_that_takes_long() -> None:
    done = subprocess.run([sys.executable, "-c", BUILD_ALL], capture_output=True, text=True)
    assert done.stdout == "all\n", done.stderr


JOB = """
import sys
import cluster.slurm.job.run, cluster.ray.worker, cluster.worker
print(sorted(module for module in sys.modules if module.startswith("grid.")))
"""


def test_a_job_knows_nothing_of_how_a_grid_is_defined() -> None:
    """Its units carry their configurations."""
    done = subprocess.run([sys.executable, "-c", JOB], capture_output=True, text=True)
    assert done.stdout == "['grid.stored_configs', 'grid.units']\n", done.stderr


@pytest.mark.parametrize(
    "task", ["landmarks", {"name": "classification", "target": "ef", "below": 50}]
)
def test_a_training_imports_none_of_the_compiler_torchvision_and_pandas(
    task: Any, tiny: Path, tmp_path: Path
) -> None:
    """The first two take as long as torch, and pandas takes a tenth of a job's start."""
    config = {
        "data": "tiny",
        "task": task,
        "encoder": "tiny-r3d",
        "trainable": "all",
        "head": "mlp",
        "epochs": 1,
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "tiny").symlink_to(tiny / "store")
    command = [sys.executable, "-m", "echolm.cli", "-w", str(tmp_path), "train"]
    done = subprocess.run(
        [*command, str(tmp_path / "run.yaml"), "--device", "cpu"],
        env={**os.environ, "PYTHONPROFILEIMPORTTIME": "1"},
        capture_output=True,
        text=True,
    )
    assert "\ncomplete\n" in done.stdout, done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "torch" in imported
    assert not {"torch._dynamo", "torchvision", "torch_geometric", "pandas"} & imported
