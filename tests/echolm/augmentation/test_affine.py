"""Affine maps: points stay on the pixels they mark, and pixels equal scipy's.

What is outside the frame is black.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from echolm.augmentation import affine

NO_POINTS = torch.zeros(1, 0, 2)


def random_clips(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


def blobs(centres: np.ndarray, height: int = 112, width: int = 112, sigma: float = 2.5) -> Tensor:
    """B x 1 x H x W uint8: a Gaussian blob at each sub-pixel centre (B, 2)."""
    y, x = np.mgrid[:height, :width]
    square = (x - centres[:, 0, None, None]) ** 2 + (y - centres[:, 1, None, None]) ** 2
    return torch.from_numpy(
        np.rint(250 * np.exp(-square / (2 * sigma**2))).astype(np.uint8)
    ).unsqueeze(1)


def centroids(clips: Tensor) -> np.ndarray:
    """Centres of mass (B, 2) of the first frames, integer coordinates at pixel centres."""
    frames = clips[:, 0].numpy().astype(np.float64)
    y, x = np.mgrid[: frames.shape[1], : frames.shape[2]]
    centres: np.ndarray = np.stack([(frames * x).sum((1, 2)), (frames * y).sum((1, 2))], -1)
    return centres / frames.sum((1, 2))[:, None]


def random_maps(rng: np.random.Generator, count: int) -> np.ndarray:
    """Half crops, half shift-scale-rotates, in the ranges of the recipes."""
    extent = rng.uniform(0.3, 1, (count, 2))
    crops = affine.crop(np.concatenate([rng.uniform(0, 1 - extent), extent], axis=1))
    turns = affine.shift_scale_rotate(
        rng.uniform(-0.15, 0.15, (count, 2)),
        rng.uniform(0.7, 1.3, count),
        rng.uniform(-180, 180, count),
    )
    return np.where((np.arange(count) % 2 == 0)[:, None, None], crops, turns)


def before(points: np.ndarray, maps: np.ndarray, size: int, frame: int = 112) -> np.ndarray:
    """Where in a frame x frame picture the points (B, 2) of the size x size result come from."""
    result = (2 * points + 1) / size - 1 - maps[:, :, 2]
    source = np.linalg.solve(maps[:, :, :2], result[:, :, None])[:, :, 0]
    pixels: np.ndarray = ((source + 1) * frame - 1) / 2
    return pixels


def errors(measured: np.ndarray, points: Tensor) -> tuple[float, float]:
    """Mean distance, and largest mean offset of x or y, in pixels."""
    difference = measured - points[:, 0].numpy()
    return float(np.linalg.norm(difference, axis=1).mean()), float(np.abs(difference.mean(0)).max())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("size", [224, 112, 56, 48])
def test_resized_points_stay_on_the_pixels_they_mark(size: int, seed: int) -> None:
    centres = np.random.default_rng(seed).uniform(15, 97, (40, 2))
    clips, points = affine.resize(blobs(centres), torch.from_numpy(centres[:, None]), size)
    mean, bias = errors(centroids(clips), points)
    assert mean < 0.02
    assert bias < 0.01


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("size", [224, 48])
def test_warped_points_stay_on_the_pixels_they_mark(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = random_maps(rng, 40)
    target = rng.uniform(0.4 * size, 0.6 * size, (40, 2))
    centres = before(target, maps, size)
    inside = ((centres > 12) & (centres < 99)).all(1)
    assert inside.sum() > 20
    clips, points = affine.warp(
        blobs(centres[inside]), torch.from_numpy(centres[inside, None]), maps[inside], size
    )
    np.testing.assert_allclose(points[:, 0], target[inside], atol=1e-9)
    mean, bias = errors(centroids(clips), points)
    assert mean < 0.05
    assert bias < 0.02


def test_frames_need_not_be_square() -> None:
    centres = np.random.default_rng(0).uniform([15, 15], [145, 85], (30, 2))
    clips, points = affine.resize(
        blobs(centres, 100, 160, sigma=3), torch.from_numpy(centres[:, None]), 224
    )
    assert clips.shape == (30, 1, 224, 224)
    assert errors(centroids(clips), points)[0] < 0.02


def test_points_of_single_precision_stay_single_and_exact() -> None:
    points = torch.tensor([[[-0.5, -0.5], [111.5, 111.5], [0, 55.5]]])
    moved = affine.resize(torch.zeros(1, 1, 112, 112, dtype=torch.uint8), points, 224)[1]
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved, torch.tensor([[[-0.5, -0.5], [223.5, 223.5], [0.5, 111.5]]]))


@pytest.mark.parametrize("seed", range(3))
def test_warped_pixels_equal_scipy(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = random_maps(rng, 4)
    clips = torch.from_numpy(rng.integers(0, 256, (4, 2, 40, 40), np.uint8))
    warped = affine.warp(clips, torch.zeros(4, 0, 2), maps, 64)[0]
    for clip, result, one in zip(clips.numpy(), warped.numpy(), maps, strict=True):
        corners = np.array([[0.0, 0.0], [1, 0], [0, 1]])
        origin, right, down = before(corners, np.repeat(one[None], 3, 0), 64, 40)[:, ::-1]
        matrix = np.stack([down - origin, right - origin], axis=1)
        for frame, out in zip(clip.astype(float), result, strict=True):
            expected = ndimage.affine_transform(
                frame, matrix, origin, (64, 64), order=1, mode="grid-constant"
            )
            np.testing.assert_allclose(out, expected, atol=0.05)


@pytest.mark.parametrize("size", [112, 64, 40])
def test_enlarged_pixels_equal_scipy(size: int) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (1, 2, 40, 40), np.uint8)
    resized = affine.resize(torch.from_numpy(clip), NO_POINTS, size)[0]
    offset = 0.5 * 40 / size - 0.5
    for frame, out in zip(clip[0].astype(float), resized[0].numpy(), strict=True):
        expected = ndimage.affine_transform(
            frame, [40 / size] * 2, offset, (size, size), order=1, mode="nearest"
        )
        np.testing.assert_allclose(out, expected, atol=1e-2)


def test_halving_averages_blocks_of_pixels() -> None:
    clips = random_clips(1, 3, 112, 112)
    expected = clips.float().view(1, 3, 56, 2, 56, 2).mean((3, 5))
    torch.testing.assert_close(affine.resize(clips, NO_POINTS, 56)[0], expected)


@pytest.mark.parametrize("angle", [0.0, 45.0])
@pytest.mark.parametrize("size", [56, 48, 30])
def test_detail_that_a_small_frame_cannot_show_becomes_gray(size: int, angle: float) -> None:
    """If only nearby pixels were read, a grating of two pixels a period would become stripes."""
    stripes = torch.zeros(1, 1, 112, 112, dtype=torch.uint8)
    stripes[..., ::2] = 255
    maps = affine.shift_scale_rotate(np.zeros((1, 2)), np.ones(1), np.array([angle]))
    middle = slice(size // 4, -size // 4)
    small = affine.warp(stripes, NO_POINTS, maps, size)[0][..., middle, middle]
    assert small.mean().item() == pytest.approx(127.5, abs=3)
    assert small.std().item() < 20


def test_the_identity_map_is_the_resize() -> None:
    clips = random_clips(3, 2, 30, 30)
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(1)) * 30
    still = affine.shift_scale_rotate(np.zeros((3, 2)), np.ones(3), np.zeros(3))
    maps = affine.compose(affine.crop(np.tile([0.0, 0, 1, 1], (3, 1))), still)
    maps[1] = affine.crop(np.array([[0.1, 0.1, 0.5, 0.5]]))[0]
    warped, moved = affine.warp(clips, points, maps, 50)
    resized, unmoved = affine.resize(clips, points, 50)
    assert torch.equal(warped[[0, 2]], resized[[0, 2]])
    assert torch.equal(moved[[0, 2]], unmoved[[0, 2]])
    assert not torch.equal(warped[1], resized[1])


def test_clips_are_warped_alike_one_by_one_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU clip by clip, on a GPU those that move and those that do not."""
    clips = random_clips(5, 2, 30, 30)
    maps = random_maps(np.random.default_rng(0), 5)
    maps[[1, 2]] = affine.IDENTITY
    points = torch.zeros(5, 0, 2)
    alike = affine._alike
    one_by_one, _ = affine.warp(clips, points, maps, 50)
    monkeypatch.setattr(affine, "_alike", lambda maps, device: alike(maps, torch.device("cuda")))
    together, _ = affine.warp(clips, points, maps, 50)
    assert torch.equal(together, one_by_one)


def test_a_crop_shows_its_box() -> None:
    """Cut at whole pixels, it equals the resized slice but for the rim.

    There the slice has no neighbours to blend.
    """
    clips = random_clips(1, 2, 40, 40)
    maps = affine.crop(np.array([[0.25, 0.5, 0.5, 0.25]]))
    cropped, _ = affine.warp(clips, NO_POINTS, maps, 80)
    sliced, _ = affine.resize(clips[..., 20:30, 10:30], NO_POINTS, 80)
    inner = (..., slice(4, -4), slice(2, -2))
    torch.testing.assert_close(cropped[inner], sliced[inner], atol=1e-2, rtol=0)


def test_rotation_is_counter_clockwise_then_shifted() -> None:
    maps = affine.shift_scale_rotate(np.array([[0.0, 0.25]]), np.array([0.5]), np.array([90.0]))
    clips = torch.zeros(1, 1, 100, 100, dtype=torch.uint8)
    moved = affine.warp(clips, torch.tensor([[[89.5, 49.5], [49.5, 49.5]]]), maps, 100)[1]
    torch.testing.assert_close(moved, torch.tensor([[[49.5, 54.5], [49.5, 74.5]]]))


def test_what_comes_from_outside_the_frame_is_black() -> None:
    white = torch.full((1, 2, 112, 112), 255, dtype=torch.uint8)
    maps = affine.shift_scale_rotate(np.array([[0.25, 0.0]]), np.ones(1), np.zeros(1))
    shifted = affine.warp(white, NO_POINTS, maps, 224)[0]
    assert (shifted[..., :55] == 0).all()
    torch.testing.assert_close(shifted[..., 1:-1, 57:], torch.full((1, 2, 222, 167), 255.0))


def test_an_empty_batch_stays_empty() -> None:
    clips, points = torch.zeros(0, 16, 112, 112, dtype=torch.uint8), torch.zeros(0, 40, 2)
    for out, moved in (
        affine.resize(clips, points, 224),
        affine.warp(clips, points, np.zeros((0, 2, 3)), 224),
    ):
        assert out.shape == (0, 16, 224, 224)
        assert moved.shape == (0, 40, 2)
