"""Contours: equal to skimage (masks), shapely (areas, Dice) and closed forms (volumes).

And their invariances.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from shapely import Polygon
from skimage.draw import polygon as skimage_polygon

from echolm import geometry

COORDINATES = st.one_of(
    st.integers(-4, 20).map(float),  # on pixel centres
    st.integers(-8, 40).map(lambda n: n / 2),
    st.floats(-6, 22).map(lambda x: round(x, 6)),
)
POLYGONS = st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=12).map(np.array)
CONTOURS = arrays(np.float64, (40, 2), elements=st.integers(0, 111_000).map(lambda n: n / 1000))


def reference_mask(points: np.ndarray, height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[skimage_polygon(points[:, 1], points[:, 0], (height, width))] = True
    return mask


def compiled() -> Any:
    """``echolm.geometry_fast``: its import compiles for seconds, in every process that collects."""
    return importlib.import_module("echolm.geometry_fast")


def compiled_mask(points: np.ndarray, height: int, width: int) -> np.ndarray:
    mask = np.zeros((1, height, width), np.uint8)
    compiled().fill(np.array(points[None], np.float64), mask)
    return mask[0]


@pytest.fixture(params=["numpy", "numba"])
def drawn_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test with both rasterisers."""
    fast = compiled() if request.param == "numba" else None
    monkeypatch.setattr(geometry, "_fast", lambda: fast)
    monkeypatch.setattr(geometry, "_COMPILE_AFTER", -1)
    return str(request.param)


def ellipse(
    a: float, b: float, centre: tuple[float, float] = (56.0, 56.0), count: int = 40
) -> np.ndarray:
    angle = 2 * np.pi * np.arange(count) / count
    return np.stack([centre[0] + a * np.cos(angle), centre[1] + b * np.sin(angle)], -1)


def star(seed: int, wobble: float = 0.3) -> np.ndarray:
    """A simple polygon of 40 points around the centre of a 112 x 112 frame."""
    radius = np.random.default_rng(seed).uniform(1 - wobble, 1 + wobble, (40, 1))
    return (ellipse(25, 35) - 56) * radius + 56


def tracing(widths: np.ndarray, length: float) -> np.ndarray:
    """Make a vertical ventricle.

    It has 20 horizontal chords of ``widths`` half-way up the disks of a long axis of ``length``.
    """
    y = 10 + length * (np.arange(20) + 0.5) / 20
    chords = np.stack([50 - widths / 2, y, 50 + widths / 2, y], -1)
    return np.concatenate([[[50, 10, 50, 10 + length]], chords])


# tracings


def test_contour_runs_down_one_side_and_up_the_other() -> None:
    rows = np.arange(84.0).reshape(21, 4)
    expected = [row[:2] for row in rows[1:]] + [row[2:] for row in rows[:0:-1]]
    np.testing.assert_array_equal(geometry.contour_from_chords(rows), expected)


def test_chords_are_the_inverse_of_the_contour_and_batched() -> None:
    rows = np.random.default_rng(0).normal(size=(2, 3, 21, 4))
    contours = geometry.contour_from_chords(rows)
    assert contours.shape == (2, 3, 40, 2)
    np.testing.assert_array_equal(geometry.chords_from_contour(contours), rows[..., 1:, :])


@pytest.mark.parametrize("shape", [(20, 4), (22, 4), (21, 2), (84,)])
def test_a_tracing_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="valid: .*21, 4"):
        geometry.contour_from_chords(np.zeros(shape))


def test_an_odd_contour_has_no_chords() -> None:
    with pytest.raises(ValueError, match="even"):
        geometry.chords_from_contour(np.zeros((39, 2)))


# area


@pytest.mark.parametrize("seed", range(20))
def test_area_equals_shapely(seed: int) -> None:
    contour = star(seed)
    assert geometry.area(contour) == pytest.approx(Polygon(contour).area, rel=1e-12)


@given(CONTOURS, st.floats(-np.pi, np.pi), st.floats(-50, 50), st.integers(0, 39))
@settings(max_examples=50)
def test_area_does_not_change_when_moved_turned_reversed_or_relabelled(
    contour: np.ndarray, angle: float, shift: float, roll: int
) -> None:
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.roll(contour @ turn.T + shift, roll, axis=0)[::-1]
    assert geometry.area(moved) == pytest.approx(geometry.area(contour), abs=1e-8)


def test_area_is_batched() -> None:
    contours = np.stack([star(0), star(1), star(2)])
    np.testing.assert_allclose(
        geometry.area(contours), [geometry.area(one) for one in contours], rtol=1e-14
    )


# volume


def test_a_cylinder_has_its_volume() -> None:
    contour = geometry.contour_from_chords(tracing(np.full(20, 30.0), 60.0))
    assert geometry.long_axis(contour) == pytest.approx(60)
    assert geometry.method_of_disks(contour) == pytest.approx(np.pi * 15**2 * 60)
    assert geometry.method_of_disks(contour, axis=30) == pytest.approx(np.pi * 15**2 * 30)


def test_an_ellipsoid_has_its_volume_to_the_error_of_the_midpoint_rule() -> None:
    """Twenty disks of an ellipsoid of revolution: 4/3 pi a b^2 (1 + 1 / (2 * 20^2)) exactly."""
    height = (np.arange(20) + 0.5) / 10 - 1
    contour = geometry.contour_from_chords(tracing(40 * np.sqrt(1 - height**2), 80.0))
    assert geometry.method_of_disks(contour) == pytest.approx(
        4 / 3 * np.pi * 40 * 20**2 * (1 + 1 / 800), rel=1e-12
    )


@given(st.floats(0.1, 10), st.floats(-np.pi, np.pi), st.floats(-50, 50))
@settings(max_examples=30)
def test_volume_scales_with_the_cube_and_does_not_change_when_moved(
    scale: float, angle: float, shift: float
) -> None:
    contour = geometry.contour_from_chords(tracing(np.linspace(5, 40, 20), 70.0))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    expected = geometry.method_of_disks(contour) * scale**3
    assert geometry.method_of_disks(scale * contour @ turn.T + shift) == pytest.approx(
        expected, rel=1e-9
    )
    assert geometry.method_of_disks(scale * contour[::-1]) == pytest.approx(expected, rel=1e-9)


def test_volumes_are_batched_with_their_axes() -> None:
    contours = np.stack(
        [geometry.contour_from_chords(tracing(np.full(20, width), 60.0)) for width in (20.0, 30.0)]
    )
    expected = np.pi * np.array([10.0, 15.0]) ** 2 * [50, 70]
    np.testing.assert_allclose(geometry.method_of_disks(contours, axis=[50, 70]), expected)


def test_ejection_fraction_is_in_percent() -> None:
    np.testing.assert_array_equal(
        geometry.ejection_fraction([100, 80, 50, 0], [40, 80, 60, 0]), [60, 0, -20, np.nan]
    )


# masks


@given(POLYGONS, st.integers(1, 18), st.integers(1, 18))
@settings(max_examples=400)
def test_masks_equal_skimage_pixel_for_pixel(points: np.ndarray, height: int, width: int) -> None:
    """Self-crossing and degenerate polygons.

    Points off the image, on pixel centres, edges through pixel centres.
    """
    expected = reference_mask(points, height, width)
    np.testing.assert_array_equal(
        geometry._fill(points[None].astype(float), height, width)[0], expected
    )
    np.testing.assert_array_equal(compiled_mask(points, height, width), expected)


@pytest.mark.parametrize("kind", ["smooth", "noisy", "rounded"])
def test_masks_of_contours_equal_skimage_pixel_for_pixel(kind: str, drawn_by: str) -> None:
    contours = np.stack([star(seed, wobble=0.1) for seed in range(40)])
    if kind == "noisy":
        contours += np.random.default_rng(0).normal(0, 4, contours.shape)
    if kind == "rounded":  # the official EchoNet-Dynamic loader rounds first
        contours = np.rint(contours)
    expected = np.stack([reference_mask(contour, 112, 112) for contour in contours])
    np.testing.assert_array_equal(geometry.rasterise(contours, 112, 112), expected)


def test_a_mask_does_not_depend_on_its_batch(drawn_by: str) -> None:
    contours = np.stack([star(seed) for seed in range(70)])
    together = geometry.rasterise(contours, 112, 112)
    np.testing.assert_array_equal(
        together[[3, 69]], geometry.rasterise(contours[[3, 69]], 112, 112)
    )
    assert geometry.rasterise(np.zeros((0, 40, 2)), 5, 7).shape == (0, 5, 7)


def test_points_far_off_the_image_are_allowed(drawn_by: str) -> None:
    square = np.array([[-1e30, -1e30], [1e30, -1e30], [1e30, 1e30], [-1e30, 1e30]])
    assert geometry.rasterise(square[None], 6, 5).all()
    assert not geometry.rasterise(square[None] + 1e31, 6, 5).any()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_points_that_are_no_numbers_are_refused(value: float, drawn_by: str) -> None:
    contours = np.stack([star(0), star(1)])
    contours[1, 7, 0] = value
    with pytest.raises(ValueError, match="polygon 1"):
        geometry.rasterise(contours, 112, 112)
    with pytest.raises(ValueError, match="prediction: polygon 1"):
        geometry.overlap(np.stack([star(0), star(1)]), contours)


@given(st.lists(st.tuples(POLYGONS, POLYGONS), min_size=1, max_size=3), st.integers(1, 18))
@settings(max_examples=100)
def test_compiled_and_numpy_count_the_same_pixels(
    pairs: list[tuple[np.ndarray, np.ndarray]], size: int
) -> None:
    for truth, prediction in pairs:
        both = truth[None].astype(float), prediction[None].astype(float)
        np.testing.assert_array_equal(
            compiled().overlap(*both, size), geometry._overlap(*both, size)
        )


def test_counts_of_unequal_numbers_of_contours_are_refused(drawn_by: str) -> None:
    with pytest.raises(ValueError, match=r"prediction: \(1,\) contours for \(2,\) of truth"):
        geometry.overlap(np.stack([star(0), star(1)]), star(0)[None])


CODE = """
import sys
{before}
import numpy as np
from echolm import geometry
square = np.tile([[2.0, 2], [7, 2], [7, 7], [2, 7]], (9_000, 1, 1))
for end in (" ", "\\n"):
    pixels = geometry.rasterise(square, 9, 9).sum() // 9_000
    print(pixels, "echolm.geometry_fast" in sys.modules, end=end)
"""


@pytest.mark.parametrize("before", ["", "sys.modules['numba'] = None"], ids=["numba", "no numba"])
def test_many_polygons_are_compiled_where_numba_is_installed(before: str, tmp_path: Path) -> None:
    """The code stays in memory: a process writes neither to its home nor to numba's folder."""
    environment = {**os.environ, "HOME": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path)}
    run = [sys.executable, "-c", CODE.format(before=before)]
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["36", "False", "36", str(not before)]
    assert not any(tmp_path.iterdir())


# Dice


def test_dice_of_ellipses_in_closed_form() -> None:
    outer, inner = ellipse(30, 40, count=400), ellipse(20, 30, count=400)
    intersection, area_outer, area_inner = geometry.overlap(outer, inner)
    expected = 2 * 20 * 30 / (20 * 30 + 30 * 40)
    assert geometry.dice_from_overlap(intersection, area_outer, area_inner) == pytest.approx(
        expected, abs=2e-3
    )
    assert intersection == area_inner == pytest.approx(np.pi * 600, rel=1e-2)


def test_dice_of_two_circles_in_closed_form() -> None:
    radius, distance = 25.0, 20.0
    half = distance / 2
    lens = 2 * radius**2 * np.arccos(half / radius) - 2 * half * np.sqrt(radius**2 - half**2)
    a, b = (ellipse(radius, radius, (56 + side * half, 56), count=400) for side in (-1, 1))
    dice = geometry.dice_from_overlap(*geometry.overlap(a, b))
    assert dice == pytest.approx(lens / (np.pi * radius**2), abs=5e-3)


def test_dice_of_contours_equals_exact_clipping_within_the_error_of_pixels() -> None:
    truth = np.stack([star(seed, wobble=0.08) for seed in range(60)])
    prediction = np.stack([star(seed + 1000, wobble=0.08) for seed in range(60)])
    pairs = [(Polygon(a), Polygon(b)) for a, b in zip(truth, prediction, strict=True)]
    exact = np.array([2 * a.intersection(b).area / (a.area + b.area) for a, b in pairs])
    error = geometry.dice_from_overlap(*geometry.overlap(truth, prediction)) - exact
    assert abs(error.mean()) < 1e-3
    assert np.abs(error).max() < 0.01


@given(POLYGONS, POLYGONS)
@settings(max_examples=60)
def test_dice_is_symmetric_and_between_0_and_1(a: np.ndarray, b: np.ndarray) -> None:
    first, second = (geometry.rasterise(points[None], 16, 16)[0] for points in (a, b))
    dice = geometry.dice(first, second)
    assert 0 <= dice <= 1
    assert dice == geometry.dice(second, first)
    assert geometry.dice(first, first) == 1
    assert (dice == 1) == bool((first == second).all())


def test_two_empty_masks_agree() -> None:
    empty, full = np.zeros((3, 3), bool), np.ones((3, 3), bool)
    np.testing.assert_array_equal(
        geometry.dice([empty, empty, full], [empty, full, full]), [1, 0, 1]
    )


def test_overlap_counts_what_the_masks_hold(drawn_by: str) -> None:
    truth = np.stack([star(seed) for seed in range(6)]).reshape(2, 3, 40, 2)
    prediction = truth[:, ::-1] + 3
    intersection, area_truth, area_prediction = geometry.overlap(truth, prediction)
    first, second = (
        geometry.rasterise(contours.reshape(6, 40, 2), 112, 112).reshape(2, 3, 112, 112)
        for contours in (truth, prediction)
    )
    np.testing.assert_array_equal(intersection, (first & second).sum((2, 3)))
    np.testing.assert_array_equal(
        [area_truth, area_prediction], [first.sum((2, 3)), second.sum((2, 3))]
    )
    np.testing.assert_array_equal(
        geometry.dice(first, second),
        geometry.dice_from_overlap(intersection, area_truth, area_prediction),
    )
    assert [counts.shape for counts in geometry.overlap(truth[:0], truth[:0])] == [(0, 3)] * 3


# keypoint error


def test_keypoint_error_is_the_mean_distance() -> None:
    contour = star(0)
    moved = contour.copy()
    moved[:20] += [3, 4]
    assert geometry.keypoint_error(contour, moved) == pytest.approx(2.5)
    np.testing.assert_allclose(
        geometry.keypoint_error([contour, contour], [moved, contour]), [2.5, 0]
    )


@given(CONTOURS, CONTOURS, CONTOURS)
@settings(max_examples=40)
def test_keypoint_error_is_a_metric(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    between = geometry.keypoint_error
    assert between(a, a) == 0
    assert between(a, b) == between(b, a)
    assert (between(a, b) > 0) == bool((a != b).any())
    assert between(a, c) <= between(a, b) + between(b, c) + 1e-9
