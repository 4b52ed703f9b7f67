"""What a batch is: store rows, resized or augmented by keys of their own; and which rows train."""

from __future__ import annotations

import csv
import shutil
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from training_support import config

from echolm.config import Data
from echolm.datasets.phantom.generate import generate_phantom
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import prepare
from echolm.training.batches import Batches
from echolm.training.selection import training_rows

TABLE = {
    0.005: (36, 6),
    0.01: (73, 12),
    0.02: (147, 25),
    0.1: (739, 127),
    0.25: (1848, 318),
    0.5: (3697, 636),
    1.0: (7394, 1273),
}
"""NLDL 2026 §4.3: samples of train and val."""


class Listing:
    """A store's list of samples, without frames: as many as the paper's."""

    def __init__(self, **counts: int) -> None:
        self.items = []
        self._rows: dict[str, list[int]] = {split: [] for split in counts}
        for split, count in counts.items():
            for number in range(count):
                self._rows[split].append(len(self.items))
                self.items.append(SimpleNamespace(sample=f"{split}{number:05d}", split=split))

    def split(self, name: str) -> list[int]:
        """Rows of a split."""
        return self._rows[name]


@pytest.fixture(scope="module")
def paper() -> Any:
    """Rows of EchoNet-Dynamic as the paper used it."""
    return Listing(train=7394, val=1273, test=1264)


def chosen(store: Any, split: str, fraction: float, seed: int = 0) -> set[int]:
    rows = training_rows(store, Data(name="x", fraction=fraction, subset_seed=seed), split)
    assert np.array_equal(rows, np.unique(rows))
    assert {store.items[int(row)].split for row in rows} == {split}
    return set(rows.tolist())


@pytest.mark.parametrize(("fraction", "counts"), TABLE.items())
def test_counts_are_the_paper_s(paper: Any, fraction: float, counts: tuple[int, int]) -> None:
    train, val = counts
    assert len(chosen(paper, "train", fraction)) == train
    assert len(chosen(paper, "val", fraction)) == val


@pytest.mark.parametrize("split", ["train", "val"])
def test_subsets_are_nested_and_follow_their_seed(paper: Any, split: str) -> None:
    subsets = [chosen(paper, split, fraction) for fraction in TABLE]
    for small, large in pairwise(subsets):
        assert small < large
    other = chosen(paper, split, 0.1, seed=1)
    assert len(other) == len(subsets[3]) and other != subsets[3]
    assert len(other & subsets[3]) < 0.25 * len(other)


def test_a_fraction_leaves_at_least_one_sample() -> None:
    assert len(chosen(Listing(train=3, val=2, test=1), "val", 0.001)) == 1


def test_the_test_split_is_whole_in_a_run_on_a_fraction(workspace: Any) -> None:
    from training_support import record_of, train

    run = config(data={"name": "tiny", "fraction": 0.5}, epochs=1)
    train(workspace, run)
    assert record_of(workspace, run).summary()["counts"] == {"train": 7, "val": 2, "test": 5}  # type: ignore[index]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> ClipStore:
    """A store with videos of 112 and of 80 pixels, alternating."""
    root = tmp_path_factory.mktemp("mixed")
    for number, size in enumerate((112, 80)):
        generate_phantom(root / str(size), videos=4, seed=number, size=size)
    for name in ("FileList.csv", "VolumeTracings.csv"):
        rows = read_csv(root / "112" / name)
        for row in read_csv(root / "80" / name):
            stem, dot, suffix = row["FileName"].partition(".")
            rows.append({**row, "FileName": f"{stem}B{dot}{suffix}"})
        with (root / "112" / name).open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    for video in (root / "80" / "Videos").iterdir():
        shutil.copy(video, root / "112" / "Videos" / f"{video.stem}B.avi")
    return prepare("echonet-dynamic", root / "112", root / "store", workers=1, progress=False)


def batches(store: ClipStore, **changes: Any) -> Batches:
    run = config(**changes)
    return Batches(store, run.goal, run.encoder, run.augmentation, torch.device("cpu"))


def test_frames_of_different_sizes_share_a_batch(mixed: ClipStore) -> None:
    """Each sample as it is alone, in the batch's order."""
    assert {item.height for item in mixed.items} == {80, 112}
    source = batches(mixed)
    rows = np.random.default_rng(0).permutation(len(mixed.items))
    keys = source.view_keys(rows, 0, 0, "fresh")
    for view in (None, keys):
        batch = source.batch(rows, view)
        samples = [item.sample for item in batch.items]
        assert samples == [mixed.items[row].sample for row in rows]
        for index in range(len(rows)):
            only = slice(index, index + 1)
            alone = source.batch(rows[only], None if view is None else view[only])
            torch.testing.assert_close(batch.clips[index], alone.clips[0])
            torch.testing.assert_close(batch.points[index], alone.points[0])


def test_points_are_the_traced_ones_in_fractions_of_the_frame(mixed: ClipStore) -> None:
    rows = np.arange(len(mixed.items))
    batch = batches(mixed).batch(rows, None)
    for item, points in zip(batch.items, batch.points, strict=True):
        traced = np.concatenate([item.values["landmarks_ed"], item.values["landmarks_es"]])
        np.testing.assert_allclose(points.numpy(), (traced + 0.5) / item.width, atol=1e-5)


def test_clips_have_the_encoder_s_shape_and_scale(tiny: Path) -> None:
    size = config().encoder.size
    batch = batches(ClipStore.open(tiny / "store")).batch(np.arange(6), None)
    assert batch.clips.shape == (6, 3, 16, size, size) and batch.clips.dtype == torch.float32
    assert torch.equal(batch.clips[:, 0], batch.clips[:, 2])
    assert -2.01 < batch.clips.min() and batch.clips.max() < 2.5
    assert batch.clips.std() > 0.1


def test_keys_depend_on_sample_epoch_and_seed_alone(tiny: Path) -> None:
    source = batches(ClipStore.open(tiny / "store"))
    rows = np.arange(8)
    fresh = [source.view_keys(rows, 0, epoch, "fresh") for epoch in range(4)]
    assert len(np.unique(np.concatenate(fresh))) == 32
    assert np.array_equal(source.view_keys(rows[::-1], 0, 1, "fresh"), fresh[1][::-1])
    fixed = [source.view_keys(rows, 0, epoch, 2) for epoch in range(4)]
    assert np.array_equal(fixed[0], fixed[2]) and np.array_equal(fixed[1], fixed[3])
    assert np.array_equal(fixed[0], fresh[0]) and not (fixed[0] == fixed[1]).any()
    assert not (source.view_keys(rows, 1, 0, "fresh") == fresh[0]).any()
