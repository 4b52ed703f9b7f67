"""Augmentation none: the resize, whatever the key."""

from __future__ import annotations

import torch

from echolm.augmentation import AUGMENTATIONS, affine
from echolm.randomness import sample_keys


def test_it_resizes_clips_and_points_and_draws_nothing() -> None:
    none = AUGMENTATIONS.parse("none")
    clips = torch.randint(
        0, 256, (2, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    points = torch.tensor([[[0.0, 13.5]], [[27.0, 27.5]]])
    parameters = none.draw(sample_keys(["a", "b"]))
    assert parameters == {} == none.describe(3)
    expected = affine.resize(clips, points, 56)
    for given in (parameters, None):
        out, moved = none.apply(clips, points, 56, given)
        assert torch.equal(out, expected[0])
        torch.testing.assert_close(moved, torch.tensor([[[0.5, 27.5]], [[54.5, 55.5]]]))
