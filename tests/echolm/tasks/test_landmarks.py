"""The landmark task against numpy and skimage: frames, loss, rows, metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from echolm.heads.gcn import GCN
from echolm.heads.mean import MeanHead
from echolm.stores.clips import ClipStore
from echolm.stores.items import Item
from echolm.tasks import TASKS, Batch
from echolm.tasks.landmarks import Landmarks, landmark_rows

TASK = Landmarks()


@pytest.fixture(scope="module")
def store(tiny: Path) -> ClipStore:
    """The tiny store."""
    return ClipStore.open(tiny / "store")


def batch(items: list[Item], points: np.ndarray) -> Batch:
    """A batch of ``points`` B x 80 x 2, in [0, 1]."""
    clips = torch.zeros(len(items), 3, 1, 1, 1)
    return Batch(items, clips, torch.tensor(points, dtype=torch.float32), targets={})


def contours(store: ClipStore, count: int) -> np.ndarray:
    """Traced contours, count x 2 x 40 x 2 in pixels."""
    traced = []
    for item in store.items[:count]:
        traced.append([item.values["landmarks_ed"], item.values["landmarks_es"]])
    return np.array(traced, np.float64)


def test_it_is_registered_with_its_clip() -> None:
    assert TASKS.get("landmarks") is Landmarks
    assert TASK.clips == ("ed-to-es",)
    assert TASK.needed_values() == ("landmarks_ed", "landmarks_es")
    assert TASK.outputs() == (2, 40, 2)
    assert TASK.select == ("loss", "min")


def test_points_are_those_of_ed_then_of_es_and_the_clip_chooses_the_frames(
    store: ClipStore,
) -> None:
    for item in store.items:
        sample = TASK.prepare(item, 16)
        assert sample.frames is None
        np.testing.assert_array_equal(sample.points[:40], item.values["landmarks_ed"])
        np.testing.assert_array_equal(sample.points[40:], item.values["landmarks_es"])


def test_loss_is_the_mean_squared_error_of_160_numbers(store: ClipStore) -> None:
    rng = np.random.default_rng(0)
    truth = rng.random((3, 80, 2))
    outputs = rng.random((3, 2, 40, 2))
    tensor = torch.tensor(outputs, dtype=torch.float32)
    losses = TASK.loss(tensor, batch(store.items[:3], truth))
    expected = np.square(truth.reshape(3, 160) - outputs.reshape(3, 160)).mean(1)
    np.testing.assert_allclose(losses["loss"].numpy(), expected, rtol=1e-5)


def test_rows_are_in_pixels_of_the_112_grid(store: ClipStore) -> None:
    """Pixel centres: 0.5 / 112 of the frame is coordinate 0."""
    points = np.full((1, 80, 2), 0.5 / 112)
    outputs = torch.full((1, 2, 40, 2), (0.5 + 111) / 112)
    rows = TASK.rows(outputs, batch(store.items[:1], points))
    truth = np.array(rows["truth"].to_pylist())
    prediction = np.array(rows["prediction"].to_pylist())
    np.testing.assert_allclose(truth, np.zeros((2, 80)), atol=1e-5)
    np.testing.assert_allclose(prediction, np.full((2, 80), 111.0), atol=1e-5)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), spread=st.sampled_from([0.0, 0.5, 5.0, 60.0]))
def test_columns_equal_skimage_and_numpy(store: ClipStore, seed: int, spread: float) -> None:
    """From exact to absurd predictions, off the image too."""
    truth = contours(store, 3)
    prediction = truth + np.random.default_rng(seed).normal(0, spread, truth.shape)
    rows = landmark_rows(store.items[:3], truth, prediction).to_pylist()
    frames = zip(rows, truth.reshape(-1, 40, 2), prediction.reshape(-1, 40, 2), strict=True)
    for row, traced, predicted in frames:
        mask_truth = polygon2mask((112, 112), traced[:, ::-1])
        mask_prediction = polygon2mask((112, 112), predicted[:, ::-1])
        intersection = (mask_truth & mask_prediction).sum()
        areas = mask_truth.sum() + mask_prediction.sum()
        assert row["intersection"] == intersection
        assert row["area_truth"] == mask_truth.sum()
        assert row["area_prediction"] == mask_prediction.sum()
        assert row["dice"] == pytest.approx(200 * intersection / areas)
        difference = traced - predicted
        assert row["mke"] == pytest.approx(np.hypot(*difference.T).mean())
        assert row["squared_error"] == pytest.approx((difference**2).sum())
        np.testing.assert_allclose(row["truth"], traced.ravel())
        np.testing.assert_allclose(row["prediction"], predicted.ravel())


def test_a_perfect_prediction(store: ClipStore) -> None:
    truth = contours(store, 5)
    rows = landmark_rows(store.items[:5], truth, truth)
    assert TASK.metrics(rows) == {"dice/ED": 100.0, "dice/ES": 100.0, "mke/ED": 0.0, "mke/ES": 0.0}


def test_metrics_are_means_over_frames_by_phase(store: ClipStore) -> None:
    truth = contours(store, 4)
    shift = np.arange(8).reshape(4, 2, 1, 1) * np.array([1.0, 0.0])
    rows = landmark_rows(store.items[:4], truth, truth + shift)
    metrics = TASK.metrics(rows)
    assert metrics["mke/ED"] == pytest.approx(np.mean([0, 2, 4, 6]))
    assert metrics["mke/ES"] == pytest.approx(np.mean([1, 3, 5, 7]))
    shuffled = rows.take(pa.array(np.random.default_rng(0).permutation(8)))
    assert TASK.metrics(shuffled) == pytest.approx(metrics)


def test_rows_name_their_sample(store: ClipStore) -> None:
    rows = landmark_rows(store.items[:3], contours(store, 3), contours(store, 3))
    items = [item for item in store.items[:3] for _ in range(2)]
    for name in ("sample", "patient", "study", "split"):
        assert rows[name].to_pylist() == [getattr(item, name) for item in items]
    assert rows["slot"].to_pylist() == ["ED", "ES"] * 3
    assert rows["score"].to_pylist() == [None] * 6


def test_heads_that_give_contours_fit() -> None:
    TASK.check_head(GCN())
    TASK.check_head(MeanHead())


def test_every_metric_has_unit_and_direction(store: ClipStore) -> None:
    rows = landmark_rows(store.items[:1], contours(store, 1), contours(store, 1))
    assert {name.split("/")[0] for name in TASK.metrics(rows)} == set(TASK.describe())
