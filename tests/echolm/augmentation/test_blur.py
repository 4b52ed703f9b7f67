"""Blurs equal scipy's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from echolm.augmentation import blur


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([3, 5, 7]),
    st.integers(4, 14),
    st.integers(4, 14),
    st.booleans(),
)
@settings(max_examples=60)
def test_median_equals_scipy(seed: int, kernel: int, height: int, width: int, ties: bool) -> None:
    clips = np.random.default_rng(seed).uniform(0, 255, (2, 3, height, width)).astype(np.float32)
    clips = np.rint(clips / 64) if ties else clips
    expected = ndimage.median_filter(clips, (1, 1, kernel, kernel), mode="nearest")
    np.testing.assert_array_equal(blur.median(torch.from_numpy(clips), kernel), expected)


@pytest.mark.parametrize(("kernel", "sigma"), [(3, 0.8), (5, 1.1), (7, 1.4)])
def test_gaussian_equals_scipy(kernel: int, sigma: float) -> None:
    clips = np.random.default_rng(0).uniform(0, 255, (2, 3, 17, 22))
    expected = ndimage.gaussian_filter(clips, sigma, radius=kernel // 2, axes=(2, 3), mode="mirror")
    np.testing.assert_allclose(blur.gaussian(torch.from_numpy(clips), kernel), expected, atol=1e-9)


@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("function", [blur.gaussian, blur.median])
def test_flat_frames_stay_as_they_are(function: Callable[..., torch.Tensor], kernel: int) -> None:
    clips = torch.tensor([0.0, 100, 255]).view(1, 3, 1, 1).expand(2, 3, 9, 9)
    torch.testing.assert_close(function(clips, kernel), clips)
