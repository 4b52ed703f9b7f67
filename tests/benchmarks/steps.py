"""What a training step costs, and what reading ahead hides: ``python -m tests.benchmarks.steps``.

Prints lines and writes nothing that stays. Steps are those of the real loop on phantom clips, in
CPU seconds of the whole process, so reading is in them wherever it happens.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from echolm.config import FinetuneConfig, parse_config
from echolm.datasets.phantom.generate import generate_phantom
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import prepare
from echolm.training.batches import Batches
from echolm.training.loop import Cohort, fit
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace

READ_S = COMPUTE_S = 0.05
GOAL = 1.2
"""Wall time with reading ahead, as a multiple of the larger of reading and computing."""
RUN: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "all",
    "head": "mlp",
    "batch_size": 10,
}
NETWORKS: dict[str, list[dict[str, Any]]] = {
    "tiny-r3d all": [{}],
    "tiny-r3d all, augmented": [{"augmentation": "bhoodoo2026"}],
    "tiny-mvit k0": [{"encoder": "tiny-mvit", "trainable": "k0"}],
    "tiny-mvit k2": [{"encoder": "tiny-mvit", "trainable": "k2"}],
    "tiny-mvit k0, 8 members": [
        {
            "encoder": "tiny-mvit",
            "trainable": "k0",
            "head": {"name": "mlp", "width": width},
        }
        for width in range(64, 72)
    ],
}


@dataclass(frozen=True)
class Sizes:
    """How much is done."""

    videos: int = 60
    epochs: int = 4
    batches: int = 40


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes")
    sizes = Sizes(videos=12, epochs=1, batches=3) if parser.parse_args().tiny else Sizes()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace")
        source = Path(folder) / "source"
        generate_phantom(source, sizes.videos, seed=0)
        store = workspace.store("phantom")
        prepare("echonet-dynamic", source, store, workers=1, progress=False)
        for name, members in NETWORKS.items():
            steps = _steps(workspace, members, sizes)
            print(
                f"{name}: {1000 * statistics.median(steps):.1f} CPU ms a step"
                f" (lowest {1000 * min(steps):.1f}; {len(steps)} steps)",
                flush=True,
            )
        for line in _read_ahead(ClipStore.open(store), sizes):
            print(line, flush=True)
        print(_adam(sizes), flush=True)


def _steps(workspace: Workspace, members: list[dict[str, Any]], sizes: Sizes) -> list[float]:
    """Train members together. Return the CPU seconds of each step but the first two."""
    original = Cohort._step
    seconds: list[float] = []

    def timed(self: Cohort, *args: Any) -> None:
        began = time.process_time()
        original(self, *args)
        seconds.append(time.process_time() - began)

    runs = []
    for member in members:
        run = parse_config({**RUN, "epochs": sizes.epochs, **member})
        runs.append(prepare_run(run, workspace))
    with mock.patch.object(Cohort, "_step", timed):
        outcomes = fit(runs)
    assert all(outcome.state == "complete" for outcome in outcomes), outcomes
    return seconds[2:] or seconds


def _read_ahead(store: ClipStore, sizes: Sizes) -> Iterator[str]:
    """Read batches by a slow reader before computing, with and without reading ahead."""
    from echolm.training.batches import ClipRequest

    config = parse_config(RUN)
    assert isinstance(config, FinetuneConfig)
    original = ClipStore.read

    def slow(self: ClipStore, row: int, frames: np.ndarray) -> np.ndarray:
        time.sleep(READ_S)
        return original(self, row, frames)

    rows = [np.array([index % len(store.items)]) for index in range(sizes.batches)]
    larger = sizes.batches * max(READ_S, COMPUTE_S)
    with mock.patch.object(ClipStore, "read", slow):
        for name, is_ahead in (("read in the step", False), ("read ahead", True)):
            batches = Batches(
                store, config.goal, config.encoder, config.augmentation, torch.device("cpu")
            )
            began = time.monotonic()
            if is_ahead:
                batches.announce(ClipRequest(part, None) for part in rows)
            for part in rows:
                batches.batch(part, None)
                _compute()
            ratio = (time.monotonic() - began) / larger
            goal = f" (goal: under {GOAL})" if is_ahead else ""
            batches.close()
            yield (
                f"{name}: {1000 * READ_S:.0f} ms of reading and {1000 * COMPUTE_S:.0f} ms of"
                f" computing a batch: wall {ratio:.2f} of the larger{goal}"
            )


def _adam(sizes: Sizes) -> str:
    """Step the Adam of an mlp head with and without one kernel a parameter."""
    config = parse_config({**RUN, "encoder": "tiny-mvit", "trainable": "k0"})
    assert isinstance(config, FinetuneConfig)
    seconds = {}
    for fused in (True, None):
        head = config.head.build(config.head_width, config.task.outputs())
        optimizer = config.optimizer.build(head.named_parameters())
        for group in optimizer.param_groups:
            group["fused"] = fused
        for parameter in head.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()  # it makes the moments
        began = time.process_time()
        for _ in range(10 * sizes.batches):
            optimizer.step()
        seconds[fused] = (time.process_time() - began) / (10 * sizes.batches)
    return (
        f"Adam of an mlp head: {1e6 * seconds[True]:.0f} CPU us a step in one kernel a parameter,"
        f" {1e6 * seconds[None]:.0f} as torch steps on a CPU by itself"
    )


def _compute() -> None:
    """Multiply matrices for ``COMPUTE_S`` seconds."""
    matrix = torch.ones(64, 64)
    end = time.monotonic() + COMPUTE_S
    while time.monotonic() < end:
        matrix = matrix @ matrix / 64


if __name__ == "__main__":
    main()
