"""Resizing by areas, against OpenCV and against arithmetic."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from echolm.errors import EchoLMError
from echolm.media.resize import resize_area

SIDES = st.integers(1, 90)


def noise(height: int, width: int, frames: int = 1) -> np.ndarray:
    """Pictures of which no pixel is like its neighbours."""
    return np.random.default_rng(height * 997 + width).integers(
        0, 256, (frames, height, width), np.uint8
    )


@given(old=st.tuples(SIDES, SIDES), share=st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)))
@settings(max_examples=60)
def test_downscaling_is_opencvs_area(old: tuple[int, int], share: tuple[float, float]) -> None:
    pictures = noise(*old)
    height = max(1, round(old[0] * share[0]))
    width = max(1, round(old[1] * share[1]))
    expected = cv2.resize(pictures[0], (width, height), interpolation=cv2.INTER_AREA)
    resized = resize_area(pictures, height, width)[0]
    assert np.abs(resized.astype(int) - expected.reshape(height, width)).max() <= 1


@given(old=st.tuples(SIDES, SIDES), times=st.tuples(st.floats(1, 4), st.floats(1, 4)))
@settings(max_examples=30)
def test_upscaling_is_bilinear(old: tuple[int, int], times: tuple[float, float]) -> None:
    pictures = noise(*old)
    height, width = round(old[0] * times[0]), round(old[1] * times[1])
    expected = cv2.resize(pictures[0], (width, height), interpolation=cv2.INTER_LINEAR)
    resized = resize_area(pictures, height, width)[0]
    assert np.abs(resized.astype(int) - expected.reshape(height, width)).max() <= 1


def test_pictures_of_an_echo_at_224() -> None:
    pictures = noise(600, 800, 2)
    expected = [cv2.resize(p, (224, 224), interpolation=cv2.INTER_AREA) for p in pictures]
    resized = resize_area(pictures, 224, 224)
    assert resized.dtype == np.uint8 and resized.shape == (2, 224, 224)
    assert np.abs(resized.astype(int) - np.stack(expected)).max() <= 1


@given(gray=st.integers(0, 255), old=st.tuples(SIDES, SIDES), new=st.tuples(SIDES, SIDES))
@settings(max_examples=40)
def test_an_even_picture_stays_as_it_is(
    gray: int, old: tuple[int, int], new: tuple[int, int]
) -> None:
    assert (resize_area(np.full((1, *old), gray, np.uint8), *new) == gray).all()


def test_whole_factors_are_plain_means() -> None:
    pictures = noise(60, 80, 3)
    blocks = pictures.reshape(3, 20, 3, 16, 5).mean((2, 4))
    assert np.array_equal(resize_area(pictures, 20, 16), np.rint(blocks).astype(np.uint8))


def test_the_same_size_is_the_same_picture() -> None:
    pictures = noise(7, 9)
    assert np.array_equal(resize_area(pictures, 7, 9), pictures)


@pytest.mark.parametrize(("height", "width"), [(0, 5), (5, 0), (-1, 5)])
def test_a_size_that_is_none(height: int, width: int) -> None:
    with pytest.raises(EchoLMError, match="valid: sides from 1"):
        resize_area(noise(8, 8), height, width)
