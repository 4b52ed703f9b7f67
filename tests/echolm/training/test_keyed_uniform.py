"""Uniform draws for masks: keyed by seed, epoch or step, sample and place, and by nothing else."""

from __future__ import annotations

from itertools import combinations
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from training_support import config

from echolm import randomness
from echolm.encoders.base import State
from echolm.randomness import to_tensor, word
from echolm.tasks import Batch
from echolm.training.keyed_dropout import KeyedUniform, Keys, key_randomness
from echolm.training.member import Member

BATCH = 5
COUNT = 40_000


def sample_keys(batch: int = BATCH) -> np.ndarray:
    return randomness.sample_keys([f"clip {number}" for number in range(batch)])


def keys_of(batch: int = BATCH, step: int = 0) -> Keys:
    keys = Keys()
    keys.current = to_tensor(sample_keys(batch))
    keys.step = to_tensor(np.array([word("step", step)], np.uint64))
    return keys


@given(
    rows=st.lists(st.integers(0, BATCH - 1), min_size=1, max_size=8),
    shape=st.lists(st.integers(1, 4), max_size=3),
    place=st.text(max_size=3),
)
def test_a_sample_draws_the_same_in_every_batch(
    rows: list[int], shape: list[int], place: str
) -> None:
    keys = keys_of()
    whole = KeyedUniform(keys, place)(*shape)
    assert whole.shape == (BATCH, *shape) and whole.dtype == torch.float32
    assert 0 <= whole.min() and whole.max() < 1
    keys.current = to_tensor(sample_keys()[rows])
    assert torch.equal(KeyedUniform(keys, place)(*shape), whole[rows])


@given(split=st.integers(0, BATCH), shape=st.lists(st.integers(1, 4), max_size=3))
def test_a_draw_by_step_is_the_same_for_every_part_of_the_batch(
    split: int, shape: list[int]
) -> None:
    keys = keys_of()
    draw = KeyedUniform(keys, "mask", per="step")
    whole = draw(*shape)
    assert whole.shape == tuple(shape)
    for part in (sample_keys()[:split], sample_keys()[split:]):
        keys.current = to_tensor(part)
        assert torch.equal(draw(*shape), whole)
    other = keys_of(step=1)
    assert not torch.equal(KeyedUniform(other, "mask", per="step")(*shape), whole)


def test_an_empty_batch_draws_nothing() -> None:
    assert KeyedUniform(keys_of(0), "mask")(3, 2).shape == (0, 3, 2)


@pytest.mark.parametrize("per", ["sample", "step"])
def test_draws_are_uniform(per: Literal["sample", "step"]) -> None:
    """Mean 1/2, variance 1/12, and as many in each tenth: within five standard errors."""
    draws = KeyedUniform(keys_of(1), "mask", per)(COUNT).double()
    assert draws.mean().item() == pytest.approx(1 / 2, abs=5 * (1 / 12 / COUNT) ** 0.5)
    assert draws.var().item() == pytest.approx(1 / 12, abs=5 * (1 / 180 / COUNT) ** 0.5)
    tenths = torch.histc(draws, bins=10, min=0, max=1) / COUNT
    assert (tenths - 0.1).abs().max().item() < 5 * (0.1 * 0.9 / COUNT) ** 0.5


def test_samples_places_calls_and_scopes_draw_independently() -> None:
    keys = keys_of(2)
    by_sample = KeyedUniform(keys, "mask")
    draws = [
        *by_sample(COUNT),
        *by_sample(COUNT),
        *KeyedUniform(keys, "other")(COUNT),
        KeyedUniform(keys, "third", per="step")(COUNT),
        keys.drops("mask", 2, COUNT, 0.5)[0].float(),
    ]
    for one, other in combinations(draws, 2):
        correlation = torch.corrcoef(torch.stack([one, other]))[0, 1]
        assert abs(correlation) < 5 / COUNT**0.5


def test_two_modules_never_share_a_place() -> None:
    """Whatever they are called where they are made: their path in the model counts."""
    keys = Keys()
    model = nn.ModuleList([KeyedUniform(keys, "mask"), KeyedUniform(keys, "mask", per="step")])
    assert key_randomness(model, "member", keys) is keys
    modules = [module for module in model.modules() if isinstance(module, KeyedUniform)]
    assert [(module.place, module.per) for module in modules] == [
        ("member.0", "sample"),
        ("member.1", "step"),
    ]
    assert all(module.keys is keys for module in modules)


@pytest.mark.parametrize("per", ["sample", "step"])
def test_drawing_without_keys_is_an_error(per: Literal["sample", "step"]) -> None:
    with pytest.raises(RuntimeError, match="mask draws before Keys"):
        KeyedUniform(Keys(), "mask", per)(1)


class Shown(nn.Module):
    """Gives what the objective's masks would be, in place of its network."""

    def __init__(self, keys: Keys) -> None:
        super().__init__()
        self.by_sample = KeyedUniform(keys, "mask")
        self.by_step = KeyedUniform(keys, "mask", per="step")

    def forward(self, state: State) -> Tensor:
        return torch.cat(
            [self.by_sample(3), self.by_step(3).expand(len(state.tensors["clip"]), 3)], 1
        )


@pytest.fixture
def member() -> Member:
    """A pretraining's member whose outputs are its draws."""
    run = config(kind="pretrain", objective="toy-mean-frame", encoder="tiny-mvit", seed=3)
    member = Member(run, run.encoder.build(None), 0, torch.device("cpu"))
    member.model = Shown(member.keys)  # type: ignore[assignment]
    return member


def outputs(member: Member, samples: np.ndarray, *when: int) -> Tensor:
    """What a member draws for samples in training, or without ``when`` in evaluation."""
    state = State({"clip": torch.zeros(len(samples))})
    if not when:
        return member.predict(state, samples)
    seen: list[Tensor] = []

    class Goal:
        def loss(self, outputs: Tensor, batch: Any) -> dict[str, Tensor]:
            seen.append(outputs)
            return {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(member.config), "goal", Goal())
        member.losses(state, Batch([], state.tensors["clip"], Tensor(), {}), samples, *when)
    return seen[0]


@settings(max_examples=20)
@given(split=st.integers(1, BATCH - 1))
def test_a_member_draws_the_same_for_every_split(split: int) -> None:
    run = config(kind="pretrain", objective="toy-mean-frame", encoder="tiny-mvit")
    one = Member(run, run.encoder.build(None), 0, torch.device("cpu"))
    one.model = Shown(one.keys)  # type: ignore[assignment]
    samples = sample_keys()
    for when in ((), (2, 1)):
        parts = [outputs(one, part, *when) for part in (samples[:split], samples[split:])]
        assert torch.equal(torch.cat(parts), outputs(one, samples, *when))


def test_keys_are_fresh_in_training_and_fixed_in_evaluation(member: Member) -> None:
    samples = sample_keys()
    first = outputs(member, samples)
    second_step, second_epoch = outputs(member, samples, 0, 1), outputs(member, samples, 1, 1)
    start = outputs(member, samples, 0, 0)
    assert torch.equal(start[:, :3], second_step[:, :3]), "by sample: one draw an epoch"
    assert not (start[:, 3:] == second_step[:, 3:]).any(), "by step: another in each step"
    assert not (second_step == second_epoch).any()
    assert not (start == first).any()
    assert torch.equal(outputs(member, samples), first), "evaluation: always the same"
