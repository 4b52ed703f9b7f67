"""The recipe: a draw depends on the key alone and has the stated shares.

Clips and points follow it.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from echolm.augmentation import AUGMENTATIONS
from echolm.augmentation.bhoodoo2026 import Bhoodoo2026
from echolm.identity import canonical
from echolm.randomness import sample_keys

RECIPE = Bhoodoo2026()
KEYS = sample_keys([f"video-{i}" for i in range(10_000)])
DRAWN = RECIPE.draw(KEYS)
NEUTRAL: dict[str, float | list[float]] = {
    "crop": [0, 0, 1, 1],
    "angle": 0,
    "scale": 1,
    "shift": [0, 0],
    "gain": 1,
    "offset": 0,
    "gamma": 1,
    "kernel": 0,
    "deviation": 0,
    "factor": 1,
}


def batch(count: int = 24, frames: int = 3, side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(
        0, 256, (count, frames, side, side), dtype=torch.uint8, generator=generator
    )
    return clips, torch.rand(count, 5, 2, generator=generator) * side


def rows(parameters: dict[str, np.ndarray], index: slice | np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[index] for name, values in parameters.items()}


# the draw


@given(st.lists(st.integers(0, 9999), min_size=0, max_size=8))
@settings(max_examples=30)
def test_a_row_depends_on_its_key_alone(index: list[int]) -> None:
    drawn = RECIPE.draw(KEYS[index])
    assert list(drawn) == list(DRAWN)
    for name, values in drawn.items():
        assert len(values) == len(index)
        np.testing.assert_array_equal(values, DRAWN[name][index])


@pytest.mark.parametrize(
    ("name", "shares"),
    [
        ("spatial", {"none": 0.4, "crop": 0.3, "shift-scale-rotate": 0.3}),
        ("colour", {"none": 0.4, "brightness-contrast": 0.2, "value": 0.2, "gamma": 0.2}),
        ("blur", {"none": 0.7, "gaussian": 0.15, "median": 0.15}),
        ("noise", {"none": 0.7, "gaussian": 0.15, "multiplicative": 0.15}),
        ("kernel", {0: 0.7, 3: 0.15 / 5 + 0.05, 5: 0.3 / 5 + 0.05, 7: 0.3 / 5 + 0.05}),
    ],
)
def test_each_choice_has_its_share(name: str, shares: dict[object, float]) -> None:
    assert set(np.unique(DRAWN[name])) == set(shares)
    for value, share in shares.items():
        spread = np.sqrt(share * (1 - share) / len(KEYS))
        assert (DRAWN[name] == value).mean() == pytest.approx(share, abs=4 * spread)


@pytest.mark.parametrize(
    ("name", "step", "choice", "low", "high"),
    [
        ("angle", "spatial", "shift-scale-rotate", -45, 45),
        ("scale", "spatial", "shift-scale-rotate", 0.7, 1.3),
        ("shift", "spatial", "shift-scale-rotate", -0.15, 0.15),
        ("gain", "colour", "brightness-contrast", 0.8, 1.2),
        ("offset", "colour", "brightness-contrast", -51, 51),
        ("offset", "colour", "value", -20, 20),
        ("gamma", "colour", "gamma", 0.8, 1.2),
        ("deviation", "noise", "gaussian", 10**0.5, 50**0.5),
        ("factor", "noise", "multiplicative", 0.9, 1.1),
    ],
)
def test_magnitudes_fill_their_range(
    name: str, step: str, choice: str, low: float, high: float
) -> None:
    values = DRAWN[name][DRAWN[step] == choice]
    assert values.min() >= low and values.max() <= high
    assert values.min() < low + 0.02 * (high - low) and values.max() > high - 0.02 * (high - low)
    if name != "deviation":
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.04 * (high - low))


@pytest.mark.parametrize(
    ("step", "names"),
    [
        ("spatial", ["crop", "angle", "scale", "shift"]),
        ("colour", ["gain", "offset", "gamma"]),
        ("blur", ["kernel"]),
        ("noise", ["deviation", "factor"]),
    ],
)
def test_what_was_not_chosen_is_neutral(step: str, names: list[str]) -> None:
    for name in names:
        values = DRAWN[name][DRAWN[step] == "none"]
        np.testing.assert_array_equal(values, np.broadcast_to(NEUTRAL[name], values.shape))


def test_steps_are_drawn_independently() -> None:
    active = np.stack([DRAWN[step] != "none" for step in ("spatial", "colour", "blur", "noise")])
    off_diagonal = np.corrcoef(active)[~np.eye(4, dtype=bool)]
    assert np.abs(off_diagonal).max() < 4 / np.sqrt(len(KEYS))


def test_describe_gives_plain_values() -> None:
    described = RECIPE.describe(int(KEYS[3]))
    assert json.loads(json.dumps(described)) == described
    assert described["spatial"] == DRAWN["spatial"][3]
    assert described["crop"] == DRAWN["crop"][3].tolist()


# applied


def test_without_parameters_it_is_augmentation_none() -> None:
    clips, points = batch()
    none = AUGMENTATIONS.parse("none")
    for size in (80, 40, 15):
        plain = none.apply(clips, points, size, none.draw(KEYS[:24]))
        off = Bhoodoo2026(p_spatial=0, p_colour=0, p_blur=0, p_noise=0)
        for other in (
            RECIPE.apply(clips, points, size, None),
            off.apply(clips, points, size, off.draw(KEYS[:24])),
        ):
            assert torch.equal(other[0], plain[0])
            assert torch.equal(other[1], plain[1])


@pytest.mark.parametrize("size", [80, 15])
def test_clips_stay_in_range_and_the_input_as_it_was(size: int) -> None:
    clips, points = batch(60)
    before = clips.clone(), points.clone()
    out, moved = RECIPE.apply(clips, points, size, rows(DRAWN, slice(60)))
    assert (
        out.dtype == torch.float32
        and out.shape == (60, 3, size, size)
        and moved.shape == points.shape
    )
    assert out.min() >= 0 and out.max() <= 255
    assert torch.equal(clips, before[0]) and torch.equal(points, before[1])


def test_permuting_or_splitting_the_batch_changes_no_sample() -> None:
    clips, points = batch(30)
    parameters = rows(DRAWN, slice(30))
    out, moved = RECIPE.apply(clips, points, 60, parameters)
    parts = np.array_split(np.random.default_rng(0).permutation(30), [1, 2, 9, 20, 20])
    for part in parts:
        index = torch.from_numpy(part)
        clip, point = RECIPE.apply(clips[index], points[index], 60, rows(parameters, part))
        torch.testing.assert_close(clip, out[index], atol=1e-3, rtol=0)
        torch.testing.assert_close(point, moved[index], atol=1e-4, rtol=0)


def test_all_frames_of_a_clip_get_the_same_draw() -> None:
    clips, points = batch(60, frames=1)
    out, _ = RECIPE.apply(clips.expand(-1, 3, -1, -1), points, 48, rows(DRAWN, slice(60)))
    torch.testing.assert_close(out, out[:, :1].expand_as(out), atol=1e-3, rtol=0)


def test_nothing_is_drawn_from_ambient_generators() -> None:
    clips, points = batch()
    torch.manual_seed(1)
    np.random.seed(1)
    first = RECIPE.apply(clips, points, 48, RECIPE.draw(KEYS[:24]))
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    second = RECIPE.apply(clips, points, 48, RECIPE.draw(KEYS[:24]))
    assert torch.equal(first[0], second[0])
    assert torch.equal(states[0], torch.get_rng_state())
    np.testing.assert_array_equal(states[1], np.random.get_state()[1])  # type: ignore[index]


def test_points_follow_the_pixels_through_the_recipe() -> None:
    """A Gaussian blob is where its point has gone, to 0.05 pixels of 224 on average."""
    spatial = Bhoodoo2026(p_spatial=1, p_colour=0, p_blur=0, p_noise=0)
    centres = np.random.default_rng(0).uniform(46, 66, (300, 2))
    y, x = np.mgrid[:112, :112]
    square = (x - centres[:, 0, None, None]) ** 2 + (y - centres[:, 1, None, None]) ** 2
    clips = torch.from_numpy(np.rint(250 * np.exp(-square / 8)).astype(np.uint8)).unsqueeze(1)
    out, points = spatial.apply(
        clips, torch.from_numpy(centres[:, None]), 224, spatial.draw(KEYS[:300])
    )
    frames, moved = out[:, 0].double(), points[:, 0]
    grid = torch.arange(224.0, dtype=torch.float64)
    mass = frames.sum((1, 2))
    measured = torch.stack([frames.sum(1) @ grid, frames.sum(2) @ grid], -1) / mass[:, None]
    inside = ((moved > 50) & (moved < 173)).all(1)
    difference = (measured - moved)[inside]
    assert len(difference) > 150
    assert difference.norm(dim=1).mean() < 0.05
    assert difference.mean(0).abs().max() < 0.02


def test_padding_is_black_where_only_the_geometry_changes() -> None:
    spatial = Bhoodoo2026(p_spatial=1, p_colour=0, p_blur=0, p_noise=0)
    white = torch.full((40, 1, 56, 56), 255, dtype=torch.uint8)
    parameters = spatial.draw(KEYS[:40])
    out, _ = spatial.apply(white, torch.zeros(40, 0, 2), 112, parameters)
    turned = torch.from_numpy(parameters["angle"] != 0)
    assert (out[turned].amin((1, 2, 3)) == 0).float().mean() > 0.9


def test_steps_act_in_the_order_of_the_paper() -> None:
    """Colour sees the padding of the spatial step, blur the colour, noise the blur."""
    parameters = rows(DRAWN, slice(1))
    parameters |= {
        "spatial": np.array(["shift-scale-rotate"]),
        "crop": np.array([[0.0, 0, 1, 1]]),
        "angle": np.zeros(1),
        "scale": np.ones(1),
        "shift": np.array([[0.5, 0.0]]),
        "colour": np.array(["value"]),
        "gain": np.ones(1),
        "offset": np.full(1, 20.0),
        "gamma": np.ones(1),
        "blur": np.array(["median"]),
        "kernel": np.array([3]),
        "noise": np.array(["multiplicative"]),
        "deviation": np.zeros(1),
        "factor": np.full(1, 1.1),
    }
    white = torch.full((1, 1, 40, 40), 255, dtype=torch.uint8)
    out, _ = RECIPE.apply(white, torch.zeros(1, 0, 2), 40, parameters)
    torch.testing.assert_close(out[..., :18], torch.full((1, 1, 40, 18), 22.0))
    torch.testing.assert_close(out[..., 22:], torch.full((1, 1, 40, 18), 255.0))


def test_an_empty_batch_stays_empty() -> None:
    clips, points = batch()
    out, moved = RECIPE.apply(clips[:0], points[:0], 48, RECIPE.draw(KEYS[:0]))
    assert out.shape == (0, 3, 48, 48) and moved.shape == (0, 5, 2)


# the declaration


def test_probabilities_and_magnitudes_are_part_of_the_identity() -> None:
    stored = canonical(RECIPE)
    assert set(stored) == set(Bhoodoo2026.model_fields)
    assert AUGMENTATIONS.parse(stored) == RECIPE == AUGMENTATIONS.parse("bhoodoo2026")
    assert AUGMENTATIONS.names() == ["bhoodoo2026", "flips", "none"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"p_blur": 1.1},
        {"crop_area": (0.5, 0.1)},
        {"crop_area": (0, 1)},
        {"crop_area": (0.1, 1.5)},
        {"scale": 1},
        {"gamma": (0, 1)},
        {"gaussian_kernels": (4,)},
        {"median_kernels": ()},
        {"noise_variance": (50, 10)},
        {"flip": 0.5},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Bhoodoo2026(**wrong)


def test_the_declarations_import_no_torch() -> None:
    code = (
        "import sys; from echolm.augmentation import AUGMENTATIONS as a; "
        "a.names(); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
