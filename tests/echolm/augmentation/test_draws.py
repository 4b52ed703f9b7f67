"""Draws: ranges, shares, and crop boxes that fit."""

from __future__ import annotations

import numpy as np

from echolm.augmentation import draws


def test_between_covers_its_range() -> None:
    np.testing.assert_allclose(draws.between(np.array([0, 0.5, 1]), -2, 4), [-2, 1, 4])


def test_pick_and_choose_give_every_option_its_share() -> None:
    u = (np.arange(1000) + 0.5) / 1000
    sizes, counts = np.unique(draws.pick(u, (3, 5, 5, 7)), return_counts=True)
    assert sizes.tolist() == [3, 5, 7] and counts.tolist() == [250, 500, 250]
    gate, kind = np.meshgrid(u[::10], u[::10])
    chosen = draws.choose(gate.ravel(), kind.ravel(), 0.6, "a", "b")
    names, counts = np.unique(chosen, return_counts=True)
    assert names.tolist() == ["a", "b", "none"] and counts.tolist() == [3000, 3000, 4000]


def test_crop_boxes_lie_in_the_frame_and_keep_to_their_limits() -> None:
    rng = np.random.default_rng(0)
    areas, ratios = rng.random((2, 10, 5000))
    position = rng.random((2, 5000))
    boxes = draws.crop_box(areas, ratios, position, (0.08, 1.0), (3 / 4, 4 / 3))
    corner, extent = boxes[:, :2], boxes[:, 2:]
    assert (corner >= 0).all()
    assert (corner + extent <= 1 + 1e-12).all()
    area = extent.prod(1)
    ratio = extent[:, 0] / extent[:, 1]
    assert area.min() >= 0.08 and area.max() <= 1
    assert ratio.min() >= 3 / 4 - 1e-12
    assert ratio.max() <= 4 / 3 + 1e-12
    assert abs(np.log(ratio).mean()) < 0.02
    centred = (1 - extent.mean(0)) / 2
    assert np.abs(corner.mean(0) - centred).max() < 0.02


def test_the_first_attempt_that_fits_is_taken_else_the_whole_frame() -> None:
    areas = np.array([[0.99, 0.99], [0.25, 0.99]])
    ratios = np.array([[0.0, 0.0], [0.5, 0.0]])
    boxes = draws.crop_box(areas, ratios, np.full((2, 2), 0.5), (0.0, 1.0), (1 / 2, 2.0))
    np.testing.assert_allclose(boxes, [[0.25, 0.25, 0.5, 0.5], [0, 0, 1, 1]])
