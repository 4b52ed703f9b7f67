"""Make a large grid whose cells stand in every state, quickly.

Records are as training leaves them, without the training.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import yaml

from echolm.liveness import beat, describe_self
from echolm.stores.clips import SCHEMA
from echolm.training.prepare import Inputs, prepare_run
from echolm.workspace import Workspace
from grid.definition.grid import Cell, load_grid

STATES = ("pending", "complete", "failed", "running", "interrupted")
AXES: dict[str, list[Any]] = {
    "trainable": ["k0", "k1", "k2", "all"],
    "head": ["mlp", "gcn"],
    "augmentation": ["none", "bhoodoo2026"],
    "fraction": [
        {"label": "100%", "set": {"data.fraction": 1.0}},
        {"label": "10%", "set": {"data.fraction": 0.1}},
    ],
}
EPOCHS = 20
"""Epochs behind a cell that has begun."""


def store(workspace: Workspace, name: str = "phantom") -> None:
    """Write what a clip store says of itself. Looking at runs needs no frames."""
    folder = workspace.store(name)
    folder.mkdir(parents=True)
    (folder / "store.json").write_text(
        json.dumps({"schema": SCHEMA, "fingerprint": "a" * 64}), encoding="utf-8"
    )


def grid(path: Path, cells: int, data: str = "phantom", **base: Any) -> list[Cell]:
    """Write a grid file of at least so many cells, and return its cells."""
    seeds = math.ceil(cells / 32)  # the other axes have 32 combinations
    axes = {**AXES, "seed": list(range(seeds))}
    plain = {"data": data, "task": "landmarks", "encoder": "tiny-r3d", "epochs": 100}
    path.write_text(
        yaml.safe_dump({"base": plain | base, "axes": axes}, sort_keys=False), encoding="utf-8"
    )
    return load_grid(str(path)).cells


def put(workspace: Workspace, cells: Sequence[Cell], states: Sequence[str] = STATES) -> None:
    """Give the cells these states in turn. Cells that run are held by this process."""
    here, inputs = describe_self(), Inputs(workspace)
    for cell, state in zip(cells, cycle(states), strict=False):
        if state == "pending":
            continue
        run = prepare_run(cell.config, workspace, inputs)
        attempt = run.record.attempt_path(1)
        attempt.mkdir(parents=True)
        (run.record.path / "config.json").write_text(json.dumps(run.identity))
        (attempt / "holder.json").write_text(
            json.dumps(here if state == "running" else {**here, "started": "1"})
        )
        (attempt / "heartbeat").write_bytes(beat(1))
        (attempt / "events.jsonl").write_text(
            "".join(json.dumps(event) + "\n" for event in _events(state))
        )
        if state == "complete":
            (run.record.path / "summary.json").write_text(json.dumps({"attempt": 1, "metrics": {}}))


def _events(state: str) -> list[dict[str, Any]]:
    metrics = {"val/loss": 0.01}
    for name in ("dice", "mke", "area"):
        metrics |= {f"val/{name}/ED": 1.0, f"val/{name}/ES": 1.0}
    events: list[dict[str, Any]] = [{"event": "started", "time": 0.0, "world": 1, "epoch": 0}]
    epoch = {"event": "epoch", "metrics": metrics, "seconds": 1.0, "lr": 5e-4}
    for number in range(EPOCHS):
        events.append({**epoch, "time": 1.0 + number, "epoch": number})
    if state == "complete":
        events.append({"event": "complete", "time": 99.0})
    if state == "failed":
        evidence = {
            "class": "bug",
            "error": "RuntimeError: this head is broken",
            "traceback": "Traceback\n" * 20,
        }
        events.append({"event": "failed", "time": 99.0, **evidence})
    return events
