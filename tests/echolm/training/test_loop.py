"""One run, alone.

It learns, selects by validation, reports test once, and obeys its callback and its cancel mark.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from skimage.draw import polygon2mask
from training_support import Fault, Reference, Result, config, record_of, train

from echolm.record import PREDICTIONS_KEY, PREDICTIONS_SCHEMA
from echolm.stores.clips import ClipStore
from echolm.stores.items import Item
from echolm.training import loop
from echolm.training.batches import Batches
from echolm.training.prepare import PreparedRun
from echolm.workspace import Workspace

PLAIN = config(
    augmentation="none",
    epochs=6,
    optimizer={"name": "adam", "lr": 2e-3},
    head={"name": "mlp", "dropout": 0},
)
FROZEN = {"name": "toy-r3d", "batch_norm": "frozen"}
LEARNER = config(epochs=6, optimizer={"name": "adam", "lr": 2e-3})
COLUMNS = {
    "sample": "string",
    "patient": "string",
    "study": "string",
    "split": "string",
    "target": "string",
    "slot": "string",
    "truth": "list<element: double>",
    "prediction": "list<element: double>",
    "score": "list<element: double>",
}


def mask(flat: list[float]) -> np.ndarray:
    """skimage's filled polygon of interleaved x, y on the 112 grid."""
    return polygon2mask((112, 112), np.reshape(flat, (40, 2))[:, ::-1])


def on_the_grid(points: np.ndarray, item: Item) -> np.ndarray:
    """Pixels of an item's frames as pixels of the 112 grid. Their centres are whole numbers."""
    return (points + 0.5) * 112 / item.width - 0.5


@pytest.mark.parametrize("encoder", ["toy-r3d", "tiny-mvit"])
def test_training_lowers_the_training_loss(encoder: str, reference: Reference) -> None:
    run = PLAIN.model_copy(update={"encoder": config(encoder=encoder).encoder})
    losses = [metrics["train/loss"] for _, metrics in reference(run).epochs]
    assert losses[-1] < 0.5 * losses[0]


def test_every_sample_of_val_and_test_has_both_phases_once(
    reference: Reference, tiny: Path
) -> None:
    rows = reference(LEARNER).predictions
    expected = set()
    for item in ClipStore.open(tiny / "store").items:
        if item.split != "train":
            expected |= {(item.sample, item.split, slot) for slot in ("ED", "ES")}
    keys = rows.select(["sample", "split", "slot"]).to_pylist()
    assert len(keys) == len(expected) == 20
    assert {tuple(key.values()) for key in keys} == expected
    assert set(rows["target"].to_pylist()) == {"landmarks"}


def test_predictions_have_the_documented_columns(reference: Reference) -> None:
    schema = reference(LEARNER).predictions.schema
    assert {name: str(schema.field(name).type) for name in COLUMNS} == COLUMNS
    assert {"intersection", "area_truth", "area_prediction", "squared_error"} <= set(schema.names)


def test_stored_metrics_are_those_of_the_stored_predictions(reference: Reference) -> None:
    """Recomputed from truth and prediction alone, with skimage and numpy."""
    result = reference(LEARNER)
    rows = result.predictions.to_pylist()
    for split in ("val", "test"):
        for slot in ("ED", "ES"):
            dice, errors = [], []
            for row in rows:
                if (row["split"], row["slot"]) == (split, slot):
                    truth, prediction = mask(row["truth"]), mask(row["prediction"])
                    overlap = (truth & prediction).sum()
                    dice.append(200 * overlap / (truth.sum() + prediction.sum()))
                    distances = np.reshape(np.subtract(row["truth"], row["prediction"]), (40, 2))
                    errors.append(np.linalg.norm(distances, axis=1).mean())
            metrics = result.metrics
            assert metrics[f"{split}/dice/{slot}"] == pytest.approx(np.mean(dice), rel=1e-12)
            assert metrics[f"{split}/mke/{slot}"] == pytest.approx(np.mean(errors), rel=1e-12)
        squares = []
        for row in rows:
            if row["split"] == split:
                squares.append(np.square(np.subtract(row["truth"], row["prediction"]) / 112))
        assert result.metrics[f"{split}/loss"] == pytest.approx(np.mean(squares), rel=1e-5)


def test_truth_is_the_traced_contour_of_the_store(reference: Reference, tiny: Path) -> None:
    items = {item.sample: item for item in ClipStore.open(tiny / "store").items}
    for row in reference(LEARNER).predictions.to_pylist():
        item = items[row["sample"]]
        traced = on_the_grid(item.values[f"landmarks_{row['slot'].lower()}"], item)
        np.testing.assert_allclose(np.reshape(row["truth"], (40, 2)), traced, atol=1e-4)


def test_results_come_from_the_epoch_with_the_best_validation_loss(workspace: Workspace) -> None:
    """The learning rate grows until it spoils what was learned."""
    rising = {"name": "cosine", "warmup": 0.99}
    run = config(
        augmentation="none",
        epochs=5,
        schedule=rising,
        optimizer={"name": "adam", "lr": 1.0},
        encoder=FROZEN,
    )
    train(workspace, run)
    record = record_of(workspace, run)
    losses = [event["metrics"]["val/loss"] for event in record.history()]
    summary = record.summary()
    assert summary and summary["best_epoch"] == int(np.argmin(losses)) != 4
    assert summary["metrics"]["val/loss"] == min(losses)
    best = record.history()[summary["best_epoch"]]["metrics"]
    for name in ("val/dice/ED", "val/mke/ES"):
        assert summary["metrics"][name] == best[name]


def test_the_test_split_is_seen_once_after_training(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    original = Batches.batch

    def batch(self: Any, rows: np.ndarray, *rest: Any) -> Any:
        seen.append(tuple(self.store.items[int(row)].split for row in rows))
        return original(self, rows, *rest)

    monkeypatch.setattr(Batches, "batch", batch)
    monkeypatch.setattr("echolm.training.cost._KNOWN", {})  # else another test may have measured it
    train(workspace, config())
    splits = [set(batch) for batch in seen]
    epoch = [{"train"}] * 3 + [{"val"}]
    measured = {"train"}  # the clip of which the cost is measured, at the end
    assert splits == [*epoch, *epoch, {"val"}, {"test"}, measured]
    assert len(seen[-1]) == 1


def test_the_summary_says_what_a_table_needs(workspace: Workspace, tiny: Path) -> None:
    run = config()
    [outcome] = train(workspace, run)
    record = record_of(workspace, run)
    summary = record.summary()
    assert outcome.state == "complete" and summary
    assert outcome.metrics == summary["metrics"]
    assert summary["counts"] == {"train": 14, "val": 5, "test": 5}
    assert summary["synthetic"] is True
    assert summary["fingerprint"] == record.identity()["fingerprint"]
    assert record.state().name == "complete"
    assert {path.name for path in record.attempt_path(1).iterdir()} == {
        "best.safetensors",
        "predictions.parquet",
        "summary.json",
        "events.jsonl",
        "log.txt",
        "holder.json",
        "heartbeat",
    }
    assert 0 < sum(event["seconds"] for event in record.history()) <= summary["seconds"] + 1e-3


def test_a_complete_run_is_not_trained_again(workspace: Workspace) -> None:
    train(workspace, config())
    before = Result.of(record_of(workspace, config()))
    [outcome] = train(workspace, config())
    assert (outcome.state, record_of(workspace, config()).attempts()) == ("complete", [1])
    assert Result.of(record_of(workspace, config())) == before


def test_the_mean_baseline_predicts_the_mean_training_contour(
    workspace: Workspace, tiny: Path
) -> None:
    run = config(encoder="none", trainable="k0", head="mean", augmentation="none", epochs=1)
    train(workspace, run)
    store = ClipStore.open(tiny / "store")
    stored = pq.read_table(record_of(workspace, run).file("predictions.parquet"))
    assert stored.schema.metadata[PREDICTIONS_KEY] == str(PREDICTIONS_SCHEMA).encode()
    rows = stored.to_pylist()
    for slot in ("ED", "ES"):
        name = f"landmarks_{slot.lower()}"
        traced = np.stack([store.items[row].values[name] for row in store.split("train")])
        mean = on_the_grid(traced.mean(0), store.items[0])
        for row in rows:
            if row["slot"] == slot:
                np.testing.assert_allclose(np.reshape(row["prediction"], (40, 2)), mean, atol=1e-3)


def test_the_callback_is_told_validation_metrics_of_each_epoch(workspace: Workspace) -> None:
    calls: list[tuple[str, int]] = []
    metrics_by_epoch: list[dict[str, float]] = []

    def note(run: PreparedRun, epoch: int, metrics: dict[str, float]) -> loop.Verdict:
        calls.append((run.cell, epoch))
        metrics_by_epoch.append(metrics)
        return "continue"

    train(workspace, config(), on_epoch=note)
    record = record_of(workspace, config())
    cell = record.path.parent.name
    assert calls == [(cell, 0), (cell, 1)]
    for metrics, event in zip(metrics_by_epoch, record.history(), strict=True):
        logged = {"train/loss": event["metrics"]["train/loss"]}
        for name, value in metrics.items():
            logged[f"val/{name}"] = value
        assert logged == event["metrics"]


def test_verdict_stop_completes_the_run_from_what_it_has(workspace: Workspace) -> None:
    [outcome] = train(
        workspace,
        config(epochs=50),
        on_epoch=lambda run, epoch, metrics: "stop" if epoch == 1 else "continue",
    )
    summary = record_of(workspace, config(epochs=50)).summary()
    assert outcome.state == "complete" and summary and summary["epochs"] == 2


def test_verdict_pruned_ends_the_run_and_a_retry_continues_it(
    workspace: Workspace, reference: Reference
) -> None:
    record = record_of(workspace, config())
    [outcome] = train(workspace, config(), on_epoch=lambda *_: "pruned")
    assert (outcome.state, record.state().name, record.summary()) == ("pruned", "pruned", None)
    train(workspace, config())
    assert Result.of(record) == reference(config())
    assert [event["epoch"] for event in record.events(2) if event["event"] == "epoch"] == [1]


@pytest.mark.parametrize("step", [1, 2, 5])
def test_a_cancel_mark_stops_within_a_step_and_loses_nothing(
    step: int, workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, steps = record_of(workspace, config()), 0
    original = loop.Cohort._step

    def marking(self: loop.Cohort, *args: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            (record.path.parent / "cancelled").touch()
        original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Cohort, "_step", marking)
        [outcome] = train(workspace, config())
    assert (outcome.state, record.state().name, steps) == ("cancelled", "cancelled", step)
    [again] = train(workspace, config())
    assert (again.state, record.attempts()) == ("cancelled", [1])
    assert "retry" in again.detail
    (record.path.parent / "cancelled").unlink()
    train(workspace, config())
    assert Result.of(record) == reference(config())
    started = record.events(2)[0]
    assert (started["epoch"], started["step"]) == divmod(step, 3)


def test_a_loss_that_is_not_finite_ends_the_run_with_the_evidence(
    workspace: Workspace, tiny: Path
) -> None:
    run = config(optimizer={"name": "sgd", "lr": 1e30}, augmentation="none")
    [outcome] = train(workspace, run)
    record = record_of(workspace, run)
    [failure] = record.failures()
    assert (outcome.state, failure["class"], record.state().name) == (
        "failed",
        "diverged",
        "failed",
    )
    assert (failure["epoch"], failure["step"]) == (0, 1)
    assert failure["loss"] in ("nan", "inf")
    store = ClipStore.open(tiny / "store")
    assert set(failure["samples"]) <= {store.items[row].sample for row in store.split("train")}
    assert len(failure["samples"]) == 5
    assert "Diverged" in failure["traceback"] and "training loss is" in outcome.detail
    assert record.summary() is None


def test_weights_that_explode_in_the_last_step_of_an_epoch_are_noticed_in_validation(
    workspace: Workspace,
) -> None:
    run = config(optimizer={"name": "sgd", "lr": 1e30}, augmentation="none", batch_size=14)
    [outcome] = train(workspace, run)
    [failure] = record_of(workspace, run).failures()
    assert (outcome.state, failure["class"], failure["epoch"], failure["step"]) == (
        "failed",
        "diverged",
        0,
        1,
    )
    assert "the loss of val sample" in outcome.detail


def test_an_exception_of_the_callback_ends_the_run_as_a_bug(workspace: Workspace) -> None:
    def broken(*_: Any) -> loop.Verdict:
        raise ValueError("what the callback says")

    [outcome] = train(workspace, config(), on_epoch=broken)
    [failure] = record_of(workspace, config()).failures()
    assert (outcome.state, failure["class"]) == ("failed", "bug")
    assert "what the callback says" in failure["traceback"]


def test_a_failed_run_continues_from_its_checkpoint(
    workspace: Workspace, reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        Fault("echolm.training.batches:Batches.batch", 6, "raise").install(patch.setattr)
        [outcome] = train(workspace, config())
    assert outcome.state == "failed" and "injected" in outcome.detail
    train(workspace, config())
    record = record_of(workspace, config())
    assert record.events(2)[0]["epoch"] == 1
    assert Result.of(record) == reference(config())


def test_the_ambient_generators_are_neither_read_nor_moved(
    workspace: Workspace, reference: Reference
) -> None:
    run = config(encoder="tiny-mvit")
    expected = reference(run)
    torch.manual_seed(1)
    np.random.seed(2)
    random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index,union-attr]
    train(workspace, run)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index,union-attr]
    assert random.getstate() == before[2]
    assert Result.of(record_of(workspace, run)) == expected


def test_best_weights_hold_the_cell_they_are_of(workspace: Workspace) -> None:
    train(workspace, config())
    record = record_of(workspace, config())
    tensors = load_file(record.file("best.safetensors"))
    assert {name.split(".")[0] for name in tensors} == {"encoder", "head"}
    assert all(torch.isfinite(tensor.double()).all() for tensor in tensors.values())
