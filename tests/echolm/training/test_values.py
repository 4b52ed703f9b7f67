"""Runs of regression and classification: starts of heads, items left out, ridge regression."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from sklearn.linear_model import Ridge
from training_support import (
    Config,
    Fault,
    Reference,
    Result,
    config,
    join,
    outcomes,
    prepare_run,
    record_of,
    results_of,
    start_ranks,
    states,
    train,
)

from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore
from echolm.training.distributed import Ranks
from echolm.training.feed import open_feed
from echolm.training.member import Member
from echolm.training.prepare import left_out_line
from echolm.training.trunk import first_network
from echolm.workspace import Workspace

EDV = {"name": "regression", "target": "edv", "scale": 50}
LOW_EF = {"name": "classification", "target": "ef", "below": 55}
SAME: dict[str, Any] = {"name": "sgd", "lr": 1e-30}
"""An optimiser that changes nothing that float32 could show."""


def values(**changes: Any) -> Config:
    """A run of EDV: frozen, a linear head, one epoch. The store holds the frames from ED to ES."""
    plain = {"task": EDV, "trainable": "k0", "head": "linear", "augmentation": "none", "epochs": 1}
    return config(**{**plain, **changes})


def ridge(**changes: Any) -> Config:
    return values(**{"head": {"name": "ridge", "alpha": 0.5}, **changes})


def items(tiny: Path, split: str) -> list[Any]:
    store = ClipStore.open(tiny / "store")
    return [store.items[row] for row in store.split(split)]


def best(workspace: Workspace, run: Config) -> dict[str, torch.Tensor]:
    return load_file(record_of(workspace, run).file("best.safetensors"))


def rows_of(workspace: Workspace, run: Config, split: str = "test") -> list[dict[str, Any]]:
    path = record_of(workspace, run).file("predictions.parquet")
    return [row for row in pq.read_table(path).to_pylist() if row["split"] == split]


@pytest.mark.parametrize("name", ["linear", "linear-bn", "mlp", "mlp-bn", "attentive"])
def test_trained_heads_start_from_the_mean_of_the_training_targets(
    name: str, workspace: Workspace, tiny: Path
) -> None:
    """Of landmarks they start as they are built: runs of these are stored."""
    run = values(head=name, optimizer=SAME)
    [outcome] = train(workspace, run)
    assert outcome.state == "complete", outcome
    biases = [tensor for key, tensor in best(workspace, run).items() if tensor.shape == (1,)]
    edv = np.mean([item.values["edv"] for item in items(tiny, "train")])
    assert [bias.item() for bias in biases] == [pytest.approx(edv / 50, rel=1e-6)]


def test_landmark_heads_start_as_they_are_built(workspace: Workspace) -> None:
    run = config(epochs=1, trainable="k0", augmentation="none", optimizer=SAME)
    train(workspace, run)
    network = first_network(prepare_run(run, workspace), torch.device("cpu"))
    built = Member(run, network, 0, torch.device("cpu")).tensors()
    for name, tensor in best(workspace, run).items():
        assert torch.equal(tensor, built[name]), name


@pytest.mark.parametrize("log", [False, True])
def test_the_constant_is_the_mean_of_what_is_learned(
    log: bool, workspace: Workspace, tiny: Path
) -> None:
    run = values(encoder="none", head="mean", task={**EDV, "log": log})
    [outcome] = train(workspace, run)
    edv = np.array([item.values["edv"] for item in items(tiny, "train")])
    constant = np.exp(np.log(edv).mean()) if log else edv.mean()
    rows = rows_of(workspace, run)
    predicted = [row["prediction"][0] for row in rows]
    np.testing.assert_allclose(predicted, [constant] * 5, rtol=1e-6)
    assert [row["truth"][0] for row in rows] == [i.values["edv"] for i in items(tiny, "test")]
    errors = [abs(row["truth"][0] - row["prediction"][0]) for row in rows]
    assert outcome.metrics["test/mae"] == pytest.approx(np.mean(errors))
    assert "test/r2" in outcome.metrics and "test/bias" in outcome.metrics


def test_the_constant_of_classes_is_their_prevalence(workspace: Workspace, tiny: Path) -> None:
    """As a logit: the mean of the targets would be taken for one."""
    run = values(encoder="none", head="mean", task=LOW_EF)
    [outcome] = train(workspace, run)
    low = [item.values["ef"] < 55 for item in items(tiny, "train")]
    expected = (sum(low) + 1) / (len(low) + 2)
    rows = rows_of(workspace, run)
    np.testing.assert_allclose([row["score"][0] for row in rows], [expected] * 5, atol=1e-7)
    truths = [float(item.values["ef"] < 55) for item in items(tiny, "test")]
    assert [row["truth"][0] for row in rows] == truths
    accuracy = np.mean([row["truth"] == row["prediction"] for row in rows])
    assert outcome.metrics["test/accuracy"] == pytest.approx(accuracy)


def test_a_classifier_trains(workspace: Workspace) -> None:
    run = config(task=LOW_EF, head="linear-bn", augmentation="none", epochs=6)
    [outcome] = train(workspace, run)
    losses = [event["metrics"]["train/loss"] for event in record_of(workspace, run).history()]
    assert outcome.state == "complete" and losses[-1] < losses[0]
    assert {"test/f1", "test/balanced accuracy", "val/accuracy"} <= set(outcome.metrics)


def test_items_of_no_class_are_left_out_of_every_split(workspace: Workspace, tiny: Path) -> None:
    """The frame rates of the phantom as labels: 45 and 50 a second are classes, others none."""
    classes = {"slow": [45.0], "usual": [50.0]}
    task = {"name": "classification", "target": "fps", "classes": classes}
    with pytest.raises(EchoLMError, match="stands in no class: .* others: leave-out"):
        prepare_run(values(task=task), workspace)
    run = values(task={**task, "others": "leave-out"}, encoder="none", head="mean")
    said = left_out_line(prepare_run(run, workspace))
    assert said.endswith(", or of no class")
    [outcome] = train(workspace, run)
    counts = {}
    for split in ("train", "val", "test"):
        rates = [item.values["fps"] for item in items(tiny, split)]
        counts[split] = sum(rate in (45, 50) for rate in rates)
    assert outcome.state == "complete"
    assert record_of(workspace, run).summary()["counts"] == counts  # type: ignore[index]


# Ridge regression


def features(workspace: Workspace, run: Config, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The frozen features of a split, and what the task asks for, float64."""
    prepared = prepare_run(run, workspace)
    device = torch.device("cpu")
    network = first_network(prepared, device)
    cut = run.trainable.cut(run.encoder.blocks)  # type: ignore[union-attr]
    feed = open_feed(prepared, network, cut, device)
    batch, state = feed(np.array(feed.store.split(split)), None)
    pooled = state.at(cut).pooled.double().numpy()  # type: ignore[union-attr]
    return pooled, run.task.truth(batch).flatten(1).double().numpy()  # type: ignore[union-attr]


@pytest.mark.parametrize("task", [EDV, "landmarks"], ids=["edv", "landmarks"])
def test_ridge_is_scikit_learn_s_on_frozen_features(task: Any, workspace: Workspace) -> None:
    run = ridge(task=task, epochs=7)
    assert states(train(workspace, run)) == ["complete"]
    x, y = features(workspace, run, "train")
    reference = Ridge(alpha=0.5).fit(x, y)
    weights = best(workspace, run)
    coefficients = np.atleast_2d(reference.coef_)
    np.testing.assert_allclose(weights["head.weight"].T.numpy(), coefficients, atol=1e-8)
    np.testing.assert_allclose(weights["head.bias"].numpy(), reference.intercept_, atol=1e-8)
    assert set(weights) == {"head.weight", "head.bias"}

    summary = record_of(workspace, run).summary()
    assert summary is not None
    assert (summary["epochs"], summary["best_epoch"]) == (1, 0), "nothing more could change"
    assert summary["cost"]["trainable_parameters"] == 0
    if task == EDV:
        tested, _ = features(workspace, run, "test")
        predicted = [row["prediction"][0] for row in rows_of(workspace, run)]
        expected = 50 * reference.predict(tested).ravel()
        np.testing.assert_allclose(predicted, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "where",
    [
        ("echolm.training.closed_form:_Fit.add", 2),
        ("echolm.training.closed_form:_Fit.solve", 1),
        ("echolm.training.loop:Cohort._step", 2),
    ],
    ids=["in the pass", "at its end", "after a step"],
)
def test_ridge_that_was_interrupted_is_the_same(
    where: tuple[str, int],
    workspace: Workspace,
    reference: Reference,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no checkpoint before it is fitted, so that none holds numbers that are not there."""
    run = ridge()
    with monkeypatch.context() as patch:
        Fault(*where, "SIGTERM").install(patch.setattr)
        assert states(train(workspace, run)) == ["interrupted"]
    assert states(train(workspace, run)) == ["complete"]
    assert Result.of(record_of(workspace, run)) == reference(run)


def test_ridge_in_a_cohort_is_as_alone(workspace: Workspace, reference: Reference) -> None:
    """Beside members that train: it leaves after one epoch, and they go on."""
    others = [values(epochs=3), values(epochs=3, trainable="k1")]
    runs = [ridge(), *others]
    assert states(train(workspace, *runs)) == ["complete"] * 3
    got, expected = results_of(workspace, runs), reference.all(runs)
    np.testing.assert_allclose(
        np.concatenate(got[0].predictions["prediction"].to_pylist()),
        np.concatenate(expected[0].predictions["prediction"].to_pylist()),
        rtol=1e-4,
    )
    assert [len(result.epochs) for result in got] == [1, 3, 3]


def test_ridge_on_two_ranks_is_as_on_one(
    workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    run = ridge(batch_size=13)
    join(*start_ranks(2, workspace, [run], tmp_path / "out"))
    assert states(outcomes(tmp_path / "out" / "1")) == ["complete"]
    got = Result.of(record_of(workspace, run)).predictions["prediction"].to_pylist()
    expected = reference(run).predictions["prediction"].to_pylist()
    np.testing.assert_allclose(np.concatenate(got), np.concatenate(expected), rtol=1e-4)


def test_ridge_behind_a_fusion_that_trains_fails_with_words(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ridge(fusion="toy-batch")
    [outcome] = train(workspace, run, ranks=Ranks())
    assert outcome.state == "failed"
    assert "head ridge is fitted before training, but fusion toy-batch trains" in outcome.detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"trainable": "k1"}, "head ridge is fitted once to what a frozen encoder gives, and"),
        ({"trainable": "all"}, "trainable is all; valid: k0"),
        ({"task": LOW_EF}, "head ridge is fitted to numbers by least squares"),
        ({"task": "regression"}, "task regression needs more than its name: .*target: ..."),
        ({"head": {"name": "ridge", "alpha": 0}}, "alpha"),
    ],
)
def test_what_ridge_cannot_do_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(EchoLMError, match=reason):
        ridge(**changes)


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ({"target": "evd"}, "no item has a value 'evd'; did you mean .* valid: ed, edv, ef"),
        ({"target": "landmarks_ed"}, "'landmarks_ed' is points"),
        ({"target": "es_before_ed"}, "'es_before_ed' is not a number in 24 items of 24"),
    ],
)
def test_a_value_that_cannot_be_learned_blocks_the_run(
    task: dict[str, Any], reason: str, workspace: Workspace
) -> None:
    """Before it has a record."""
    with pytest.raises(EchoLMError, match=f"data/tiny: task regression: .*{reason}"):
        prepare_run(values(task={"name": "regression", **task}), workspace)
    assert not workspace.runs.exists()
