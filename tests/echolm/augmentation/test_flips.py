"""Flips: frames and points are mirrored together, exactly, by a key."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from echolm.augmentation import affine
from echolm.augmentation.flips import Flips
from tests.echolm.augmentation.test_affine import blobs, centroids, random_clips

KEYS = np.arange(2000, dtype=np.uint64)


@pytest.mark.parametrize("size", [112, 80])
@pytest.mark.parametrize(("horizontal", "vertical"), [(1, 0), (0, 1), (1, 1)])
def test_frames_equal_numpy_and_points_stay_on_what_they_mark(
    horizontal: int, vertical: int, size: int
) -> None:
    centres = np.array([[30.0, 50.0], [70.0, 41.0]])
    clips, points = blobs(centres), torch.from_numpy(centres)[:, None]
    plain, _ = affine.resize(clips, points, size)
    recipe = Flips(horizontal=horizontal, vertical=vertical)
    frames, moved = recipe.apply(clips, points, size, recipe.draw(KEYS[:2]))
    axes = [axis for axis, is_flipped in ((-1, horizontal), (-2, vertical)) if is_flipped]
    assert np.array_equal(frames.numpy(), np.flip(plain.numpy(), axes))
    np.testing.assert_allclose(moved[:, 0].numpy(), centroids(frames), atol=0.02)


def test_each_way_is_drawn_by_its_own_chance_and_by_the_key_alone() -> None:
    drawn = Flips(horizontal=0.5, vertical=0.2).draw(KEYS)
    assert abs(drawn["horizontal"].mean() - 0.5) < 0.05
    assert abs(drawn["vertical"].mean() - 0.2) < 0.05
    both = (drawn["horizontal"] & drawn["vertical"]).mean()
    assert abs(both - 0.1) < 0.04, "independent"
    alone = Flips(horizontal=0.5, vertical=0.2).draw(KEYS[7:8])
    assert alone["horizontal"][0] == drawn["horizontal"][7]


def test_samples_that_are_not_drawn_and_evaluation_are_only_resized() -> None:
    clips, points = random_clips(3, 2, 60, 50), torch.rand(3, 4, 2) * 50
    expected, expected_points = affine.resize(clips, points, 40)
    recipe = Flips(horizontal=0, vertical=0)
    for parameters in (None, recipe.draw(KEYS[:3])):
        frames, moved = recipe.apply(clips, points, 40, parameters)
        assert torch.equal(frames, expected) and torch.equal(moved, expected_points)
