"""Masks are drawn by key, cubes come together again, and recipes are fields written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echolm.config import PretrainConfig, parse_config
from echolm.encoders import ENCODERS
from echolm.errors import EchoLMError
from echolm.identity import cell_id
from echolm.objectives import OBJECTIVES
from echolm.objectives.cubes import normalised, to_clips, to_cubes
from echolm.objectives.masked_autoencoder import MaskedAutoencoder
from echolm.objectives.masks import Masks
from echolm.randomness import sample_keys, to_tensor
from echolm.training.keyed_dropout import Keys

VIT_B = (8, 14, 14)


def objective(**fields: Any) -> MaskedAutoencoder:
    """The objective."""
    made = OBJECTIVES.parse({"name": "masked-autoencoder", **fields})
    assert isinstance(made, MaskedAutoencoder)
    return made


def drawn(
    samples: list[str], grid: tuple[int, int, int] = VIT_B, step: str = "step", **fields: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Masked and visible places of samples."""
    keys = Keys()
    keys.current = to_tensor(sample_keys(samples))
    keys.step = to_tensor(sample_keys([step]))
    made = objective(**fields)
    masked, visible = Masks(made.mask, made.ratio, grid, keys)(len(samples))
    return masked.numpy(), visible.numpy()


def pretraining(encoder: str = "tiny-videomae", **fields: Any) -> PretrainConfig:
    """A pretraining by the objective."""
    plain = {"kind": "pretrain", "data": "d", "encoder": encoder, "clip": "uniform"}
    made = parse_config({**plain, "objective": {"name": "masked-autoencoder", **fields}})
    assert isinstance(made, PretrainConfig)
    return made


@pytest.mark.parametrize(("mask", "count"), [("random", 1_332), ("tube", 8 * 166)])
def test_the_number_of_masked_tokens_of_vit_b_at_85_percent(mask: str, count: int) -> None:
    masked, visible = drawn(["a", "b", "c"], mask=mask)
    assert masked.shape == (3, count) and visible.shape == (3, 1_568 - count)
    for row in range(3):
        whole = np.concatenate([masked[row], visible[row]])
        assert sorted(whole.tolist()) == list(range(1_568))
        assert (np.diff(masked[row]) > 0).all() and (np.diff(visible[row]) > 0).all()
    assert not np.array_equal(masked[0], masked[1])


def test_a_tube_is_the_same_place_at_all_times() -> None:
    masked, _ = drawn(["a"], mask="tube", grid=(4, 5, 6), ratio=0.5)
    by_time = masked.reshape(4, 15)
    assert (by_time - by_time[:1] == np.arange(4)[:, None] * 30).all()


@settings(max_examples=30)
@given(
    st.lists(st.text(max_size=4), min_size=1, max_size=6, unique=True),
    st.sampled_from(["random", "tube", "batch-shared"]),
    st.randoms(use_true_random=False),
)
def test_a_mask_does_not_depend_on_the_batch(samples: list[str], mask: str, random: Any) -> None:
    grid = (2, 4, 4)
    whole, _ = drawn(samples, grid, mask=mask, ratio=0.6)
    order = list(range(len(samples)))
    random.shuffle(order)
    for places in (order, order[:1], order[1:] or order):
        part, _ = drawn([samples[place] for place in places], grid, mask=mask, ratio=0.6)
        assert np.array_equal(part, whole[places])


def test_a_shared_mask_is_drawn_anew_each_step_with_the_probability() -> None:
    counts = []
    for step in range(200):
        masked, _ = drawn(["a", "b"], step=str(step), recipe="released")
        assert np.array_equal(masked[0], masked[1])
        counts.append(masked.shape[1])
    assert len(set(counts)) > 20
    error = np.sqrt(0.15 * 0.85 * 1_568)
    assert abs(np.mean(counts) - 0.15 * 1_568) < 4 * error / np.sqrt(len(counts))
    assert 0.8 * error < np.std(counts) < 1.2 * error


def test_a_shared_mask_leaves_and_takes_at_least_one() -> None:
    for ratio in (1e-9, 1 - 1e-9):
        masked, visible = drawn(["a"], (1, 2, 2), mask="batch-shared", ratio=ratio)
        assert min(masked.shape[1], visible.shape[1]) == 1


def test_cubes_come_together_again() -> None:
    clips = torch.rand(2, 3, 4, 6, 8)
    cubes = to_cubes(clips, (2, 3, 4))
    assert cubes.shape == (2, 8, 24, 3)
    assert torch.equal(to_clips(cubes, (2, 2, 2), (2, 3, 4)), clips)
    # Cube 5 is the second in time, the first in height, the second in width.
    assert torch.equal(cubes[0, 5, :, 1], clips[0, 1, 2:4, 0:3, 4:8].flatten())


def test_normalised_cubes_have_mean_0_and_deviation_1_and_flat_ones_are_0() -> None:
    cubes = torch.rand(2, 5, 24, 3, dtype=torch.float64)
    cubes[1, 2] = 0.25
    found = normalised(cubes)
    assert (found[1, 2] == 0).all()
    found = found[0]
    assert torch.allclose(found.mean(1), torch.zeros(5, 3, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(found.std(1), torch.ones(5, 3, dtype=torch.float64), atol=1e-4)


def test_a_recipe_is_its_fields_written_out() -> None:
    paper = pretraining(recipe="paper")
    assert cell_id(paper) == cell_id(pretraining(ratio=0.85, mask="random", target="raw"))
    released = {"ratio": 0.15, "mask": "batch-shared", "target": "normalised"}
    assert cell_id(pretraining(recipe="released")) == cell_id(pretraining(**released))
    assert pretraining(recipe="released", ratio=0.1).objective.ratio == 0.1  # type: ignore[attr-defined]
    again = parse_config(pretraining(recipe="released").model_dump(mode="json"))
    assert cell_id(again) == cell_id(pretraining(recipe="released"))


@pytest.mark.parametrize(
    ("encoder", "fields", "message"),
    [
        ("tiny-mvit", {}, "encoder tiny-mvit cannot run on a part of its tokens; valid: .*"),
        ("tiny-videomae", {"ratio": 0.001}, "0.001 of 128 tokens .* masks none or all"),
        ("tiny-videomae", {"ratio": 0.05, "mask": "tube"}, "0.05 of 16 tokens"),
        ("tiny-videomae", {"ratio": 1}, "objective.ratio"),
        ("tiny-videomae", {"recipe": "papre"}, "did you mean 'paper'. valid: paper, released"),
        ("tiny-videomae", {"mask": "tubes"}, "objective.mask"),
        ("tiny-videomae", {"decoder_width": 100}, "a multiple of 64, or an even number"),
        ("tiny-videomae", {"decoder_width": 33}, "a multiple of 64, or an even number"),
    ],
)
def test_what_cannot_be_learned_is_told_when_it_is_read(
    encoder: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(EchoLMError, match=message):
        pretraining(encoder, **fields)


def test_visible_pixels_alone_reach_the_prediction() -> None:
    encoder = ENCODERS.parse("tiny-videomae")
    made = objective(ratio=0.75, decoder_width=32, decoder_depth=1)
    keys = Keys()
    network = made.build_for(encoder, encoder.build(None), keys)
    clip = torch.rand(1, 3, 16, 32, 32, requires_grad=True)
    keys.current = to_tensor(sample_keys(["a"]))
    outputs = network(clip)
    outputs.predicted.sum().backward()
    assert clip.grad is not None
    moved = to_cubes(clip.grad, (2, 8, 8)).abs().sum(dim=(2, 3))[0] > 0
    assert moved.nonzero()[:, 0].tolist() == sorted(
        set(range(128)) - set(outputs.masked[0].tolist())
    )
    assert not outputs.target.requires_grad
