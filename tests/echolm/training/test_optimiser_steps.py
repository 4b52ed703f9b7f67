"""Clipping, groups and schedule of a member equal a plain torch loop."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from training_support import config

from echolm.encoders import ENCODERS
from echolm.encoders.base import State
from echolm.optimisation import CosineRate
from echolm.randomness import seeded
from echolm.training.member import Member

EPOCHS, STEPS = 3, 2
BLOCKS = ENCODERS.get("tiny-r3d").blocks


def member(**optimizer: Any) -> Member:
    """A member of which everything trains."""
    run = config(
        epochs=EPOCHS,
        optimizer=optimizer,
        schedule={"name": "cosine", "warmup": 0.25, "begin": 0.1, "floor": 0.01},
    )
    with seeded("encoder", 0):
        network = run.encoder.build(None)
    return Member(run, network, 0, torch.device("cpu"))


def stages_above(name: str) -> int:
    """How many stages of the encoder come after a parameter's own."""
    parts = name.split(".")
    if parts[:2] == ["encoder", "stem"]:
        return BLOCKS + 1
    return BLOCKS - int(parts[2]) if parts[:2] == ["encoder", "blocks"] else 0


def factor(share: float) -> float:
    """The schedule's closed form."""
    if share < 0.25:
        return 0.1 + 0.9 * share / 0.25
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (share - 0.25) / 0.75))


@pytest.mark.parametrize("clip", [None, 0.05, 1e6])
@pytest.mark.parametrize("decay", ["all", "weights"])
@pytest.mark.parametrize("layer_decay", [1.0, 0.7])
def test_steps_equal_a_plain_torch_loop(clip: float | None, decay: str, layer_decay: float) -> None:
    """The reference has a group a parameter, and clips by hand. Both are in float64."""
    lr, weight_decay = 3e-3, 0.1
    own = member(
        name="adamw",
        lr=lr,
        weight_decay=weight_decay,
        clip=clip,
        decay=decay,
        layer_decay=layer_decay,
    )
    own.model.double()
    model = copy.deepcopy(own.model)
    groups = []
    for name, parameter in model.named_parameters():
        own_decay = 0.0 if decay == "weights" and parameter.dim() < 2 else weight_decay
        rate = lr * layer_decay ** stages_above(name)
        groups.append({"params": [parameter], "weight_decay": own_decay, "rate": rate})
    optimizer = torch.optim.AdamW(groups, lr=lr)
    encoder = own.config.encoder
    generator = torch.Generator().manual_seed(0)
    shape = (2, 3, encoder.frames, encoder.size, encoder.size)
    for number in range(EPOCHS * STEPS):
        clips = torch.randn(shape, generator=generator, dtype=torch.float64)
        for network in (own.model, model):
            network(State({"clip": clips})).square().sum().backward()
        gradients = [parameter.grad for parameter in model.parameters()]
        norm = math.sqrt(sum(float(g.double().square().sum()) for g in gradients))  # type: ignore[union-attr]
        scale = 1.0 if clip is None else min(1.0, clip / (norm + 1e-6))
        for gradient in gradients:
            assert gradient is not None
            gradient *= scale
        share = own.config.schedule.progress(number // STEPS, number % STEPS, EPOCHS, STEPS)
        for group in optimizer.param_groups:
            group["lr"] = group["rate"] * factor(share)
        optimizer.step()
        optimizer.zero_grad()
        own.step(share)
        assert share == number / (EPOCHS * STEPS)
    before = dict(model.named_parameters())
    for name, parameter in own.model.named_parameters():
        assert torch.allclose(parameter, before[name], rtol=0, atol=1e-7), name


def test_groups_are_as_few_as_can_be() -> None:
    assert len(member(name="adamw").optimizer.param_groups) == 1  # type: ignore[union-attr]
    plain = {"name": "adamw", "weight_decay": 0.1}
    assert len(member(**plain, decay="weights").optimizer.param_groups) == 2  # type: ignore[union-attr]
    layers = member(**plain, decay="weights", layer_decay=0.5).optimizer
    rates = {group["lr"] for group in layers.param_groups}  # type: ignore[union-attr]
    assert rates == {5e-4 * 0.5**place for place in range(BLOCKS + 2)}


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize(
    ("warmup", "begin", "floor"), [(0.05, 0.1, 1e-4), (0.1, None, 0.2), (0, 0.5, 0)]
)
def test_the_schedule_equals_its_closed_form_at_1000_points(
    per: str, warmup: float, begin: float | None, floor: float
) -> None:
    """50 epochs of 20 steps."""
    schedule = CosineRate(warmup=warmup, begin=begin, floor=floor, per=per)  # type: ignore[arg-type]
    found, expected = [], []
    for number in range(1_000):
        epoch, step = divmod(number, 20)
        found.append(schedule.factor({}, schedule.progress(epoch, step, 50, 20)))
        share = number / 1_000 if per == "step" else epoch / 50
        start = floor if begin is None else begin
        if share < warmup:
            expected.append(start + (1 - start) * share / warmup)
        else:
            angle = math.pi * (share - warmup) / (1 - warmup)
            expected.append((1 + floor) / 2 + (1 - floor) / 2 * math.cos(angle))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert len(set(found)) in ([50] if per == "epoch" else [999, 1_000])


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_a_checkpoint_of_an_earlier_version_goes_on_in_one_kernel(name: str) -> None:
    """How a step is computed is not what a run is: it gives the same up to rounding."""
    earlier, later = member(name=name), member(name=name)
    assert earlier.optimizer is not None and later.optimizer is not None
    for group in earlier.optimizer.param_groups:
        assert group["fused"] is True
        group["fused"] = None
    _step_once(earlier, seed=0)
    later.load_state(copy.deepcopy(earlier.state()))
    assert [group["fused"] for group in later.optimizer.param_groups] == [True]
    for seed in (1, 2):
        for one in (earlier, later):
            _step_once(one, seed)
    for ours, theirs in zip(later.parameters, earlier.parameters, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-7)


def _step_once(own: Member, seed: int) -> None:
    """Take a step with gradients that are drawn."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in own.parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    own.step(0.5)
