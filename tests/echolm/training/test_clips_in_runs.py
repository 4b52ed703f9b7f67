"""Clips in training: what is drawn, what is averaged, and where frame numbers arrive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file
from training_support import (
    QUICK,
    Config,
    Fault,
    Result,
    config,
    join,
    prepare_run,
    record_of,
    start_ranks,
    train,
)
from training_toys import ToyTimeFusion

from echolm.tasks import Batch
from echolm.training.cohorts import Compute
from echolm.training.feed import ClipFeed, open_feed
from echolm.training.member import Member, cut_of
from echolm.training.stored_feed import StoredFeed
from echolm.training.trunk import first_network
from echolm.workspace import Workspace

FRAMES: list[dict[str, Any]] = []
"""What feeds gave: epoch, window, sample, frames."""


def windows(**changes: Any) -> Config:
    """A regression on windows of whole videos."""
    plain: dict[str, Any] = {
        "data": "videos",
        "task": "toy-ef-of-clip",
        "clip": {"name": "window", "period": 2, "windows": 4},
        "encoder": {"name": "toy-r3d", "batch_norm": "frozen"},
        "augmentation": "none",
        "epochs": 3,
    }
    return config(**(plain | changes))


def note_frames(into: Path | None = None) -> None:
    """Note from now on what every feed gives, in this process or in a file for each rank."""
    for kind in (ClipFeed, StoredFeed):
        _note_frames_of(kind, into)


def _note_frames_of(kind: Any, into: Path | None) -> None:
    """Do so for one kind of feed. One that keeps states asks the other kind for new ones alone."""
    original = kind.__call__

    def noting(self: Any, rows: np.ndarray, epoch: int | None, window: int | None = None) -> Any:
        batch, state = original(self, rows, epoch, window)
        assert batch.frames is not None and batch.frames.dtype == torch.int64
        for item, frames in zip(batch.items, batch.frames.tolist(), strict=True):
            note = {"epoch": epoch, "window": window, "sample": item.sample, "frames": frames}
            FRAMES.append(note)
            if into is not None:
                import os

                with open(into / f"frames-{os.environ['RANK']}", "a") as file:
                    file.write(json.dumps(note) + "\n")
        return batch, state

    kind.__call__ = noting


@pytest.fixture
def noted() -> Iterator[list[dict[str, Any]]]:
    """What feeds give during the test."""
    FRAMES.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClipFeed, "__call__", ClipFeed.__call__)
        patch.setattr(StoredFeed, "__call__", StoredFeed.__call__)
        note_frames()
        yield FRAMES


def by_place(notes: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[int]]:
    """Frames by epoch, window and sample, which must not differ between two calls."""
    places: dict[tuple[Any, ...], list[int]] = {}
    for note in notes:
        key = (note["epoch"], note["window"], note["sample"])
        assert places.setdefault(key, note["frames"]) == note["frames"], key
    return places


def test_four_windows_are_the_mean_of_four_single_evaluations_bitwise(videos: Workspace) -> None:
    run = windows(epochs=1)
    [outcome] = train(videos, run)
    assert outcome.state == "complete", outcome
    record = record_of(videos, run)
    prepared = prepare_run(run, videos)
    network = first_network(prepared, torch.device("cpu"))
    cut = cut_of(run)
    feed = open_feed(prepared, network, cut, torch.device("cpu"))
    member = Member(run, network, cut, torch.device("cpu"))
    member.load_tensors(load_file(record.file("best.safetensors")))
    member.train(False)
    rows = np.array(feed.store.split("test"))
    singles, frames = [], []
    for window in range(4):
        with torch.inference_mode():
            batch, state = feed(rows, None, window)
            singles.append(member.predict(state, feed.keys[rows]).numpy())
        assert batch.frames is not None
        frames.append(batch.frames.numpy())
    assert all((np.diff(clip) == 2).all() for clip in frames)
    assert all((frames[i + 1][:, 0] > frames[i][:, 0]).any() for i in range(3))
    mean = ((singles[0] + singles[1]) + singles[2] + singles[3]) / np.float32(4)
    table = pq.read_table(record.file("predictions.parquet")).to_pylist()
    stored = np.array([row["prediction"] for row in table if row["split"] == "test"])
    assert np.array_equal(stored, mean.astype(np.float64))
    assert not np.array_equal(singles[0], singles[3])
    truth = np.array([row["truth"] for row in table if row["split"] == "test"])
    assert outcome.metrics["test/loss"] == pytest.approx(np.square(truth - mean).mean(), rel=1e-5)


def test_one_window_is_a_plain_evaluation_in_the_middle(
    videos: Workspace, noted: list[dict[str, Any]]
) -> None:
    """So is the validation after each epoch, however many windows the end has."""
    one = windows(epochs=1, clip={"name": "window", "period": 2})
    train(videos, one)
    plain = by_place(noted)
    assert {window for epoch, window, _ in plain if epoch is None} == {None}
    noted.clear()
    train(videos, windows(epochs=1))
    several = by_place(noted)
    assert {window for epoch, window, _ in several if epoch is None} == {None, 0, 1, 2, 3}
    shared = plain.keys() & several.keys()
    assert len(shared) >= 19 and all(plain[key] == several[key] for key in shared)


def test_starts_are_drawn_anew_in_each_epoch_or_repeat_with_the_views(
    videos: Workspace, noted: list[dict[str, Any]]
) -> None:
    train(videos, windows(clip={"name": "window", "period": 2}))
    fresh = by_place(noted)
    noted.clear()
    train(videos, windows(clip={"name": "window", "period": 2}, views=2))
    fixed = by_place(noted)
    samples = {sample for epoch, _, sample in fresh if epoch is not None}
    assert len(samples) == 14
    for sample in samples:
        assert fixed[0, None, sample] == fixed[2, None, sample] == fresh[0, None, sample]
        assert fixed[1, None, sample] == fresh[1, None, sample]
    moved = [fresh[0, None, sample] != fresh[2, None, sample] for sample in samples]
    assert sum(moved) > 7
    noted.clear()
    train(videos, windows(clip={"name": "window", "period": 2}, view_seed=9, epochs=1))
    other = by_place(noted)
    assert sum(other[0, None, sample] != fresh[0, None, sample] for sample in samples) > 7


def augmented() -> Config:
    """Two views in turn, on batches of 13 samples and of 1."""
    return windows(augmentation="bhoodoo2026", views=2, batch_size=13)


def test_windows_are_equal_on_one_and_on_two_ranks(
    videos: Workspace, tmp_path: Path, noted: list[dict[str, Any]]
) -> None:
    run = augmented()
    [alone] = train(videos, run)
    expected = by_place(noted)
    there = Workspace(tmp_path / "ranks")
    there.store("videos").parent.mkdir(parents=True)
    there.store("videos").symlink_to(videos.store("videos").resolve())
    out = tmp_path / "out"
    join(
        *start_ranks(2, there, [run], out, before=note_frames, arguments=(tmp_path,)),
        timeout=120,
    )
    lines = [
        json.loads(line)
        for rank in "01"
        for line in (tmp_path / f"frames-{rank}").read_text().splitlines()
    ]
    assert by_place(lines) == expected
    summary = record_of(there, run).summary()
    assert summary is not None and summary["metrics"] == pytest.approx(alone.metrics, rel=1e-3)


def test_windows_are_equal_after_a_resume(
    videos: Workspace,
    tmp_path: Path,
    noted: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is stopped in training, in validation and between two windows of the end."""
    run = augmented()
    undisturbed = Workspace(tmp_path / "undisturbed")
    undisturbed.store("videos").parent.mkdir(parents=True)
    undisturbed.store("videos").symlink_to(videos.store("videos").resolve())
    train(undisturbed, run)
    expected = by_place(noted)
    noted.clear()
    for call in (2, 3, 5):
        with monkeypatch.context() as patch:
            Fault("echolm.training.batches:Batches.batch", call, "SIGTERM").install(patch.setattr)
            [outcome] = train(videos, run, compute=QUICK)
        assert outcome.state == "interrupted", outcome
    train(videos, run, compute=QUICK)
    assert by_place(noted) == expected
    results = [Result.of(record_of(place, run)) for place in (videos, undisturbed)]
    assert results[0] == results[1]


@pytest.mark.parametrize("regime", ["k0", "k2", "all"])
def test_frame_numbers_reach_the_fusion(
    regime: str, videos: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the cut, micro-batches and a cohort, as the batch has them."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    ToyTimeFusion.seen.clear()
    original = Member.losses

    def losses(self: Member, state: Any, batch: Batch, *args: Any) -> Any:
        result = original(self, state, batch, *args)
        assert batch.frames is not None
        seen.append((batch.frames, ToyTimeFusion.seen[-1]))
        return result

    monkeypatch.setattr(Member, "losses", losses)
    members = [
        windows(trainable=regime, fusion="toy-time", head={"name": "mlp", "width": width}, epochs=1)
        for width in (4, 8)
    ]
    outcomes = train(videos, *members, compute=Compute(micro_batch=3))
    assert [outcome.state for outcome in outcomes] == ["complete"] * 2, outcomes
    sizes = [len(frames) for frames, _ in seen]
    assert set(sizes) == {1, 2, 3} and sum(sizes) == 2 * 14
    assert all(torch.equal(frames, context) for frames, context in seen)
    assert len({tuple(clip) for frames, _ in seen for clip in frames.tolist()}) > 7


def test_uniform_sees_the_whole_video_and_repeats_where_it_is_short(
    videos: Workspace, noted: list[dict[str, Any]]
) -> None:
    train(videos, windows(clip="uniform", epochs=1))
    items = {item.sample: item for item in open_store(videos).items}
    for (_, window, sample), frames in by_place(noted).items():
        held = items[sample].frames
        assert window is None and (frames[0], frames[-1]) == (held[0], held[-1])
        assert len(frames) == 16 and frames == sorted(frames)


def open_store(workspace: Workspace) -> Any:
    from echolm.stores.clips import ClipStore

    return ClipStore.open(workspace.store("videos"))


def test_members_of_other_clips_are_no_cohort(videos: Workspace) -> None:
    from echolm.training.cohorts import acquire, cohorts
    from echolm.training.distributed import Ranks

    runs = [
        windows(trainable="k1", clip=clip, epochs=1)
        for clip in ("uniform", {"name": "window", "period": 2}, {"name": "window", "period": 3})
    ]
    handles = [acquire(prepare_run(run, videos), Compute(), Ranks()) for run in runs]
    assert [len(group) for group in cohorts(handles)] == [1, 1, 1]
    for handle in handles:
        handle.end("interrupted")
