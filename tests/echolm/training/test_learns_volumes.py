"""What is learned of the phantom: its volumes are in the pictures, and a network finds them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats
from training_support import Config, config, record_of, train

from echolm.datasets.phantom.generate import generate_phantom
from echolm.stores.prepare_clips import prepare
from echolm.workspace import Workspace

CLIPS = 160
"""96 to learn from and 32 to test on: half of the test's 15 CPU seconds draw them, small."""


def test_volumes_are_learned_clearly_better_than_by_a_constant(tmp_path: Path) -> None:
    """Full training of the smallest encoder; the paired 95 % interval over patients excludes 0.

    EF is not learned from so few clips: it is a difference of two volumes.
    """
    generate_phantom(tmp_path / "source", videos=CLIPS, seed=0, size=64)
    workspace = Workspace(tmp_path / "workspace")
    store = workspace.store("phantom")
    prepare("echonet-dynamic", tmp_path / "source", store, "all", workers=1, progress=False)

    def errors(**changes: object) -> np.ndarray:
        run: Config = config(
            data="phantom",
            task={"name": "regression", "target": "edv", "scale": 50},
            clip="uniform",
            augmentation="none",
            batch_size=16,
            **changes,
        )
        [outcome] = train(workspace, run)
        assert outcome.state == "complete", outcome
        table = pq.read_table(record_of(workspace, run).file("predictions.parquet"))
        rows = [row for row in table.to_pylist() if row["split"] == "test"]
        absolute = [abs(row["truth"][0] - row["prediction"][0]) for row in rows]
        assert outcome.metrics["test/mae"] == pytest.approx(np.mean(absolute))
        return np.array(absolute)

    constant = errors(encoder="none", trainable="k0", head="mean", epochs=1)
    learned = errors(
        head="linear",
        epochs=12,
        optimizer={"name": "adam", "lr": 5e-3},
        schedule="cosine",
    )
    gain = constant - learned
    low, high = stats.t.interval(0.95, len(gain) - 1, gain.mean(), stats.sem(gain))
    assert low > 0, f"{gain.mean():.1f} ml [{low:.1f}, {high:.1f}]"
    assert learned.mean() < 0.8 * constant.mean()
