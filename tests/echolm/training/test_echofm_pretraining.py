"""Pretraining by EchoFM's objective: on ranks, after interruptions, and what comes after it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from test_equality import Beginning, assert_step_equal
from training_support import (
    QUICK,
    Config,
    Fault,
    Result,
    config,
    join,
    outcomes,
    record_of,
    start_ranks,
    train,
)

from echolm.cli.main import main
from echolm.objectives import echofm_contrast
from echolm.training.cohorts import Compute
from echolm.training.steps import OptimiserSteps
from echolm.workspace import Workspace

OBJECTIVE = {"name": "echofm", "decoder_width": 32, "decoder_depth": 1}
LOOPED = {"name": "window", "short": "loop"}


def pretraining(variant: str, **changes: Any) -> Config:
    """Two epochs on windows of whole videos, by the authors' optimiser."""
    plain = {
        "kind": "pretrain",
        "data": "videos",
        "encoder": "tiny-echofm",
        "clip": LOOPED,
        "objective": {**OBJECTIVE, "variant": variant},
        "optimizer": {"name": "adamw", "recipe": "echofm", "lr": 1e-3},
    }
    return config(**{**plain, **changes})


def losses_of(workspace: Workspace, run: Config) -> list[dict[str, float]]:
    """The metrics of each epoch."""
    return [event["metrics"] for event in record_of(workspace, run).history()]


def keep_losses(folder: Path) -> None:
    """Write the loss of the first step, as it is over all ranks. Called in a process of its own."""
    learn = OptimiserSteps._learn

    def learning(self: OptimiserSteps, step: Any, facts: Any) -> None:
        path = folder / os.environ["RANK"]
        if not path.exists():
            [[loss, *_]] = facts.read()
            path.write_text(repr(loss / len(step.rows)))
        learn(self, step, facts)

    OptimiserSteps._learn = learning  # type: ignore[method-assign]


def test_two_ranks_and_micro_batches_change_no_gradient(whole: Path, tmp_path: Path) -> None:
    """Of 13 samples on ranks of 7 and 6, whose anchors are counted before."""
    run = pretraining("v2", data="tiny", batch_size=13, epochs=5)
    beginning = Beginning(tmp_path, whole, [run], 8, "float64")
    parts = beginning.next_step(Compute(micro_batch=2), world=2)
    assert_step_equal(beginning.alone, parts, "float64")


def test_the_loss_of_v2_is_the_same_on_two_ranks(videos: Workspace) -> None:
    """Of the first step, before which nothing was rounded."""
    run = pretraining("v2", batch_size=13, epochs=1)
    losses = []
    for world in (1, 2):
        workspace = Workspace(videos.root / str(world))
        workspace.store("videos").parent.mkdir(parents=True)
        workspace.store("videos").symlink_to(videos.store("videos").resolve())
        settings: dict[str, Any] = {"before": keep_losses, "arguments": (workspace.root,)}
        out = workspace.root / "out"
        join(*start_ranks(world, workspace, [run], out, **settings))
        for rank in range(world):
            assert [outcome.state for outcome in outcomes(out / str(rank))] == ["complete"]
            losses.append(float((workspace.root / str(rank)).read_text()))
    assert len(losses) == 3 and losses == pytest.approx(losses[:1] * 3, rel=1e-6)


def test_anchors_of_the_whole_batch_are_counted_before_it_is_learned_from(
    videos: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a triplet loss of 1 for each valid anchor its mean is 1, whatever the batch."""
    triplets = echofm_contrast.mined_triplets

    def ones(prior: Any, vectors: Any, margin: float) -> Any:
        return triplets(prior, vectors, margin) * 0 + echofm_contrast.valid_anchors(prior)

    monkeypatch.setattr(echofm_contrast, "mined_triplets", ones)
    objective = {**OBJECTIVE, "variant": "v2", "cycle_weight": 0, "triplet_weight": 1e6}
    run = pretraining("v2", objective=objective, epochs=1)
    train(videos, run, compute=dataclasses.replace(QUICK, micro_batch=2))
    [metrics] = losses_of(videos, run)
    assert metrics["train/loss"] == pytest.approx(1e6, rel=1e-4)
    assert metrics["val/loss"] == pytest.approx(1e6, rel=1e-4)


@pytest.mark.parametrize("variant", ["paper", "v2"])
def test_an_interrupted_pretraining_ends_as_if_nothing_had_happened(
    variant: str, videos: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pretraining(variant, predictions=True)
    for call in (2, 7):
        with monkeypatch.context() as patch:
            Fault("echolm.training.batches:Batches.batch", call, "SIGTERM").install(patch.setattr)
            [outcome] = train(videos, run)
        assert outcome.state == "interrupted"
    [outcome] = train(videos, run)
    assert outcome.state == "complete"
    undisturbed = Workspace(videos.root / "again")
    undisturbed.store("videos").parent.mkdir(parents=True)
    undisturbed.store("videos").symlink_to(videos.store("videos").resolve())
    train(undisturbed, run)
    assert Result.of(record_of(videos, run)) == Result.of(record_of(undisturbed, run))
    losses = losses_of(videos, run)
    assert losses[0]["train/loss"] != losses[1]["train/loss"]


def test_pretrained_weights_are_tuned_and_drawn(videos: Workspace, whole: Path, tiny: Path) -> None:
    run = pretraining("v2", epochs=1)
    [outcome] = train(videos, run)
    tuned = config(encoder="tiny-echofm", weights=f"run:{outcome.cell}", trainable="k1", epochs=1)
    assert [tuned_outcome.state for tuned_outcome in train(videos, tuned)] == ["complete"]
    video = next((tiny / "source" / "Videos").glob("*.avi"))
    out = videos.root / "picture.png"
    arguments = ["--workspace", str(videos.root), "predict", outcome.cell, str(video)]
    told = CliRunner().invoke(main, [*arguments, "--out", str(out), "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.output)
    assert found["masked"] == pytest.approx(12 / 16)
    assert len(found["frames"]) == 8
    with Image.open(out) as picture:
        assert picture.format == "PNG" and picture.width > 2 * picture.height
        assert np.asarray(picture).std() > 0
