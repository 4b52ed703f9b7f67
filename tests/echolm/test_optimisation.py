"""Optimisers are torch's with the configured arguments; schedules equal torch's or a formula."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echolm.optimisation import (
    OPTIMIZERS,
    SCHEDULES,
    ConstantRate,
    CosineRate,
    PlateauRate,
    without_compiler,
)

losses = st.lists(
    st.one_of(st.floats(-2, 2), st.sampled_from([1.0, 1 - 1e-4, 1 - 2e-4, 0.0])),
    min_size=1,
    max_size=60,
)


def torch_optimizer(lr: float = 1.0) -> torch.optim.Optimizer:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def factors(schedule: PlateauRate, sequence: list[float]) -> list[float]:
    """The factor after each epoch.

    The state passes through JSON, as in a checkpoint of plain values.
    """
    state = schedule.start()
    factors_by_epoch = []
    for loss in sequence:
        state = json.loads(json.dumps(schedule.epoch(state, loss)))
        factors_by_epoch.append(schedule.factor(state, 0.5))
    return factors_by_epoch


@settings(max_examples=200)
@given(losses, st.floats(0.1, 0.9), st.integers(0, 6), st.sampled_from([0.0, 1e-4, 0.1]))
def test_plateau_equals_torch(
    sequence: list[float], reduce: float, patience: int, threshold: float
) -> None:
    schedule = PlateauRate(reduce=reduce, patience=patience, threshold=threshold)
    optimizer = torch_optimizer()
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=reduce, patience=patience, threshold=threshold, eps=0
    )
    expected = []
    for loss in sequence:
        reference.step(loss)
        expected.append(optimizer.param_groups[0]["lr"])
    assert factors(schedule, sequence) == pytest.approx(expected, rel=1e-12)


def test_plateau_at_the_papers_settings() -> None:
    """NLDL 2026 §4.1: halved when more than five epochs bring nothing."""
    assert factors(PlateauRate(), [1.0] * 13) == [1.0] * 6 + [0.5] * 6 + [0.25]


@given(losses)
def test_plateau_never_rises_and_does_not_change_the_given_state(sequence: list[float]) -> None:
    schedule = PlateauRate(patience=0)
    state = schedule.start()
    for loss in sequence:
        before = dict(state)
        after = schedule.epoch(state, loss)
        assert state == before and after["factor"] <= before["factor"]
        state = after


progress = st.floats(0, 1, exclude_max=True)


@given(progress, st.floats(0, 0.9), st.floats(0, 1))
def test_cosine_equals_its_closed_form(at: float, warmup: float, floor: float) -> None:
    value = CosineRate(warmup=warmup, floor=floor).factor({}, at)
    if at < warmup:
        expected = floor + (1 - floor) * at / warmup
    else:
        expected = (1 + floor) / 2 + (1 - floor) / 2 * math.cos(
            math.pi * (at - warmup) / (1 - warmup)
        )
    assert value == pytest.approx(expected, abs=1e-12)
    assert floor - 1e-12 <= value <= 1 + 1e-12


@given(st.integers(2, 300), st.floats(0, 0.9), st.floats(0, 1))
def test_cosine_rises_to_one_and_then_falls(steps: int, warmup: float, floor: float) -> None:
    schedule = CosineRate(warmup=warmup, floor=floor)
    values = [schedule.factor({}, step / steps) for step in range(steps)]
    peak = next(step for step in range(steps + 1) if step / steps >= warmup)
    assert all(a <= b + 1e-12 for a, b in zip(values[:peak], values[1:peak], strict=False))
    assert all(a >= b - 1e-12 for a, b in zip(values[peak:], values[peak + 1 :], strict=False))


def test_cosine_without_warmup_equals_torch() -> None:
    optimizer = torch_optimizer()
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.1)
    for step in range(50):
        assert CosineRate(floor=0.1).factor({}, step / 50) == pytest.approx(
            optimizer.param_groups[0]["lr"], rel=1e-9
        )
        optimizer.step()
        reference.step()


@given(progress)
def test_constant_stays(at: float) -> None:
    assert ConstantRate().factor(ConstantRate().start(), at) == 1.0


@pytest.mark.parametrize("name", ["constant", "cosine"])
@given(loss=st.floats(-2, 2))
def test_schedules_over_steps_keep_no_state(name: str, loss: float) -> None:
    schedule = SCHEDULES.parse(name)
    assert schedule.epoch(schedule.start(), loss) == schedule.start() == {}


@pytest.mark.parametrize(
    ("value", "cls", "expected"),
    [
        (
            "adam",
            torch.optim.Adam,
            {"lr": 5e-4, "betas": (0.9, 0.999), "weight_decay": 0.0, "fused": True},
        ),
        (
            {"name": "adam", "lr": 0.1, "betas": [0.5, 0.9], "weight_decay": 0.2},
            torch.optim.Adam,
            {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.2, "fused": True},
        ),
        (
            {"name": "adamw", "lr": 0.1, "betas": [0.5, 0.9], "weight_decay": 0.2},
            torch.optim.AdamW,
            {"lr": 0.1, "betas": (0.5, 0.9), "weight_decay": 0.2, "fused": True},
        ),
        ("adamw", torch.optim.AdamW, {"lr": 5e-4, "weight_decay": 0.0, "fused": True}),
        (
            {"name": "sgd", "lr": 0.1, "momentum": 0.7, "weight_decay": 0.2},
            torch.optim.SGD,
            {"lr": 0.1, "momentum": 0.7, "weight_decay": 0.2},
        ),
        ("sgd", torch.optim.SGD, {"lr": 5e-4, "momentum": 0.9, "weight_decay": 0.0}),
    ],
)
def test_optimisers_are_torchs_with_the_given_arguments(
    value: Any, cls: type, expected: dict[str, Any]
) -> None:
    parameters = [torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(1))]
    named = zip(("weight", "bias"), parameters, strict=True)
    built = OPTIMIZERS.parse(value).build(named)
    [group] = built.param_groups
    assert isinstance(built, cls) and group["params"] == parameters
    assert {name: group[name] for name in expected} == expected
    assert "param_names" not in group  # names in the state would be another checkpoint
    [defaults] = cls(parameters).param_groups
    for name, default in defaults.items():
        if name not in (*expected, "params", "betas", "momentum"):
            assert group[name] == default, name
    assert group.keys() == defaults.keys()


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (torch.optim.Adam, {"weight_decay": 0.1, "fused": True}),
        (torch.optim.AdamW, {"weight_decay": 0.1, "fused": True}),
        (torch.optim.AdamW, {"weight_decay": 0.1}),
        (torch.optim.SGD, {"momentum": 0.9, "weight_decay": 0.1}),
    ],
)
def test_an_optimiser_without_the_compiler_is_torchs_to_the_bit(
    cls: type[torch.optim.Optimizer], arguments: dict[str, Any]
) -> None:
    """Steps, state, a state that is loaded, and hooks of a step."""
    weights = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    inputs = torch.randn(8, 5, 3, generator=torch.Generator().manual_seed(1))

    def trained(kind: Any) -> tuple[torch.Tensor, dict[str, Any], int]:
        parameter = torch.nn.Parameter(weights.clone())
        optimizer = kind([parameter], lr=0.1, **arguments)
        steps = []
        for number, batch in enumerate(inputs):
            if number == 4:
                state = copy.deepcopy(optimizer.state_dict())
                optimizer = kind([parameter], lr=0.3, **arguments)
                optimizer.load_state_dict(state)
            optimizer.register_step_post_hook(lambda *_: steps.append(1))
            optimizer.zero_grad()
            (batch @ parameter).square().sum().backward()
            optimizer.step()
        return parameter.detach(), optimizer.state_dict(), len(steps)

    own, reference = trained(without_compiler(cls)), trained(cls)
    assert torch.equal(own[0], reference[0]) and not torch.equal(own[0], weights)
    assert own[2] == reference[2] == 20
    torch.testing.assert_close(own[1], reference[1], rtol=0, atol=0)


def test_a_class_without_the_compiler_is_made_once() -> None:
    assert without_compiler(torch.optim.SGD) is without_compiler(torch.optim.SGD)
    assert without_compiler(torch.optim.SGD).__name__ == "SGD", "profiles name steps by it"
