"""A large grid whose cells stand in every state, made quickly: records as training leaves them, without the training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from echolm.data.store import SCHEMA
from echolm.liveness import beat, describe_self
from echolm.training.prepare import Inputs, prepare_run
from echolm.workspace import Workspace
from grid.definition import Cell, load_grid

STATES = ("pending", "complete", "failed", "running", "interrupted")
AXES: dict[str, list[Any]] = {
    "trainable": ["k0", "k1", "k2", "all"], "head": ["mlp", "gcn"], "augmentation": ["none", "bhoodoo2026"],
    "fraction": [{"label": "100%", "set": {"data.fraction": 1.0}}, {"label": "10%", "set": {"data.fraction": 0.1}}],
}  # fmt: skip
EPOCHS = 20
"""Behind a cell that has begun."""


def store(workspace: Workspace, name: str = "phantom") -> None:
    """What a clip store says of itself: looking at runs needs no frames."""
    folder = workspace.store(name)
    folder.mkdir(parents=True)
    (folder / "store.json").write_text(json.dumps({"schema": SCHEMA, "fingerprint": "a" * 64}), encoding="utf-8")


def grid(path: Path, cells: int, data: str = "phantom", **base: Any) -> list[Cell]:
    """Write a grid file of at least so many cells; its cells."""
    seeds = -(-cells // 32)
    axes = {**AXES, "seed": list(range(seeds))}
    plain = {"data": data, "task": "landmarks", "encoder": "tiny-r3d", "epochs": 100}
    path.write_text(yaml.safe_dump({"base": plain | base, "axes": axes}, sort_keys=False), encoding="utf-8")
    return load_grid(str(path)).cells


def put(workspace: Workspace, cells: Sequence[Cell], states: Sequence[str] = STATES) -> None:
    """Give the cells these states in turn. Cells that run are held by this process."""
    here, inputs = describe_self(), Inputs(workspace)
    for number, cell in enumerate(cells):
        if (state := states[number % len(states)]) == "pending":
            continue
        run = prepare_run(cell.config, workspace, inputs)
        attempt = run.record.attempt_path(1)
        attempt.mkdir(parents=True)
        (run.record.path / "config.json").write_text(json.dumps(run.identity))
        (attempt / "holder.json").write_text(json.dumps(here if state == "running" else {**here, "started": "1"}))
        (attempt / "heartbeat").write_bytes(beat(1))
        (attempt / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in _events(state)))
        if state == "complete":
            (run.record.path / "summary.json").write_text(json.dumps({"attempt": 1, "metrics": {}}))


def _events(state: str) -> list[dict[str, Any]]:
    metrics = {"val/loss": 0.01, **{f"val/{name}/{slot}": 1.0 for name in ("dice", "mke", "area") for slot in ("ED", "ES")}}
    events: list[dict[str, Any]] = [{"event": "started", "time": 0.0, "world": 1, "epoch": 0}]
    events += [{"event": "epoch", "time": 1.0 + n, "epoch": n, "metrics": metrics, "seconds": 1.0, "lr": 5e-4} for n in range(EPOCHS)]
    if state == "complete":
        events.append({"event": "complete", "time": 99.0})
    if state == "failed":
        evidence = {"class": "bug", "error": "RuntimeError: this head is broken", "traceback": "Traceback\n" * 20}
        events.append({"event": "failed", "time": 99.0, **evidence})
    return events
