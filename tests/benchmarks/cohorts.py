"""Training a frozen sub-grid together, against cell by cell.

32 seeds of one frozen encoder, which share order and views: one cohort.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from echolm.config import parse_config
from echolm.datasets.phantom.generate import generate_phantom
from echolm.record import RunRecord
from echolm.stores.prepare_clips import prepare
from echolm.training import loop
from echolm.training.loop import fit
from echolm.training.prepare import Inputs, PreparedRun, prepare_run
from echolm.workspace import Workspace
from tests.benchmarks.measure import Comparison, Way, compare, number

RUN: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-mvit",
    "trainable": "k0",
    "head": "mlp",
    "batch_size": 10,
    "order_seed": 0,
    "view_seed": 0,
}
WEIGHTS_SEED = 0


class SubGrid:
    """A sub-grid on a phantom, which is trained anew in a workspace of its own each time.

    Args:
        folder: where all of it is.
        videos: of the phantom.
        seeds: how many cells there are.
        alone: how many of them are trained cell by cell, each of which costs the same.
        epochs: of each.
    """

    def __init__(self, folder: Path, videos: int, seeds: int, alone: int, epochs: int) -> None:
        self.folder = folder
        self.seeds = seeds
        self.alone_seeds = alone
        self.epochs = epochs
        self._numbers = itertools.count()
        self._store = folder / "store"
        generate_phantom(folder / "phantom", videos, seed=1)
        prepare("echonet-dynamic", folder / "phantom", self._store, workers=1, progress=False)
        self._weights = folder / "weights.pt"
        self._save_weights()
        self.trained: dict[str, list[RunRecord]] = {}
        """Way -> the records of its last round."""

    def _save_weights(self) -> None:
        """Save weights that all seeds begin with: with random ones, each would have its own."""
        import torch

        from echolm.randomness import seeded

        encoder = parse_config(RUN).encoder
        with seeded("benchmark", WEIGHTS_SEED):
            torch.save(encoder.build(None).state_dict(), self._weights)

    def runs(self, seeds: int) -> list[PreparedRun]:
        """Prepare the first cells in an empty workspace."""
        workspace = Workspace(self.folder / f"workspace-{next(self._numbers)}")
        workspace.store("phantom").parent.mkdir(parents=True)
        workspace.store("phantom").symlink_to(self._store)
        inputs = Inputs(workspace)
        runs = []
        for seed in range(seeds):
            changes = {"seed": seed, "epochs": self.epochs, "weights": f"file:{self._weights}"}
            runs.append(prepare_run(parse_config(RUN | changes), workspace, inputs))
        return runs

    def together(self) -> None:
        """Train all cells as one cohort."""
        runs = self.runs(self.seeds)
        check(fit(runs))
        self.trained["together"] = [run.record for run in runs]

    def alone(self) -> None:
        """Train cell by cell. Each keeps its own states."""
        self._train_alone("alone")

    def _train_alone(self, way: str) -> None:
        runs = self.runs(self.alone_seeds)
        for run in runs:
            check(fit([run]))
        self.trained[way] = [run.record for run in runs]

    def alone_each_epoch(self) -> None:
        """Train cell by cell, where every epoch passes each clip."""
        with no_states_kept():
            self._train_alone("every epoch")

    def largest_difference(self, way: str, other: str) -> float:
        """Return the largest relative difference of a metric of validation or test."""
        largest = 0.0
        # Cell by cell there are fewer: the first ones.
        for one, two in zip(self.trained[way], self.trained[other], strict=False):
            ours, theirs = metrics_of(one), metrics_of(two)
            for name, value in ours.items():
                scale = max(abs(value), abs(theirs[name]), 1e-12)
                largest = max(largest, abs(value - theirs[name]) / scale)
        return largest

    def largest_shift(self, way: str, other: str) -> float:
        """Return the largest difference of a predicted coordinate, in pixels of the 112 grid."""
        largest = 0.0
        # Cell by cell there are fewer: the first ones.
        for one, two in zip(self.trained[way], self.trained[other], strict=False):
            ours, theirs = (predictions_of(record) for record in (one, two))
            for row, other_row in zip(ours, theirs, strict=True):
                for value, other_value in zip(row, other_row, strict=True):
                    largest = max(largest, abs(value - other_value))
        return largest


@contextmanager
def no_states_kept() -> Iterator[None]:
    """Pass each clip through the frozen part in every epoch."""
    original = loop.keep_states
    loop.keep_states = lambda source, *_: source
    try:
        yield
    finally:
        loop.keep_states = original


def check(outcomes: Sequence[Any]) -> None:
    """Raise RuntimeError unless all runs are complete."""
    for outcome in outcomes:
        if outcome.state != "complete":
            raise RuntimeError(f"{outcome.cell} is {outcome.state}: {outcome.detail}")


def metrics_of(record: RunRecord) -> dict[str, float]:
    """Return the final metrics of a complete run."""
    summary = record.summary()
    assert summary is not None
    metrics: dict[str, float] = summary["metrics"]
    return metrics


def predictions_of(record: RunRecord) -> list[list[float]]:
    """Return the predictions of a complete run, a list a row."""
    table = pq.read_table(record.file("predictions.parquet"))
    rows: list[list[float]] = table["prediction"].to_pylist()
    return rows


def measure(folder: Path, tiny: bool) -> list[Comparison]:
    """Train 32 seeds for 4 epochs in three ways."""
    videos, seeds, alone, epochs = (24, 2, 1, 2) if tiny else (240, 32, 4, 4)
    grid = SubGrid(folder, videos, seeds, alone, epochs)
    ways = [
        Way("cell by cell, each clip passed in every epoch", alone, grid.alone_each_epoch),
        Way("cell by cell, states kept", alone, grid.alone),
        Way("together, states kept", seeds, grid.together, target=15),
    ]
    title = f"A frozen sub-grid: tiny-mvit, k0, mlp head, {seeds} seeds x {epochs} epochs"
    result = compare(title, "cells", ways, rounds=1 if tiny else 2)
    result.facts["cell by cell"] = f"{alone} of the {seeds} cells"
    result.facts["clips"] = f"phantom of {videos} videos, batches of {RUN['batch_size']}"
    for way, words in (("every epoch", "every epoch"), ("alone", "cell by cell, states kept")):
        difference = grid.largest_difference("together", way)
        shift = grid.largest_shift("together", way)
        result.facts[f"largest difference of a metric, together and {words}"] = (
            f"{number(difference)} of its value; of a predicted coordinate, {number(shift)} px"
        )
    return [result]
