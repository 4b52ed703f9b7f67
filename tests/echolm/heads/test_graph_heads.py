"""What graph heads promise: landmarks of any phases and points, frame-major, from every node."""

from __future__ import annotations

import copy

import pytest
import torch

from echolm.errors import EchoLMError
from echolm.heads import HEADS
from echolm.heads.decoder import GraphDecoder

NAMES = ["gcn", "gcn-fullyconnected", "gcnconv", "gatv2"]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def build(name: str, width: int, outputs: tuple[int, ...], **fields: object) -> GraphDecoder:
    module = HEADS.parse({"name": name, **fields}).build(width, outputs)
    assert isinstance(module, GraphDecoder)
    return module


@pytest.mark.parametrize(
    "shape", [(2, 40, 2), (1, 40, 2), (3, 7, 2), (2, 2, 2), (2, 1, 2), (1, 1, 2)]
)
def test_shapes_for_any_phases_and_points(name: str, shape: tuple[int, ...]) -> None:
    head = build(name, 5, shape, channels=(4, 6))
    assert head(torch.randn(3, 5)).shape == (3, *shape)
    assert head(torch.randn(0, 5)).shape == (0, *shape)


def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    head = build(name, 6, (2, 5, 2), channels=(4, 8)).double().train()
    x = torch.randn(4, 6, dtype=torch.float64)
    torch.testing.assert_close(head(x)[[2, 0]], head(x[[2, 0]]))


def test_outputs_are_frame_major(name: str) -> None:
    """Node phase * points + point is that phase's point, and its two channels are x and y."""
    head = build(name, 4, (2, 5, 2), channels=(4,))
    numbers = torch.stack([torch.arange(10.0), -torch.arange(10.0)], dim=1)[None]
    head.convolutions[-1].register_forward_hook(lambda *_: numbers)
    landmarks = head(torch.randn(1, 4))
    assert torch.equal(landmarks[0, :, :, 0], torch.arange(10.0).view(2, 5))
    assert torch.equal(landmarks[0, :, :, 1], -torch.arange(10.0).view(2, 5))


def test_gradient_reaches_every_node_and_parameter(name: str) -> None:
    head = build(name, 16, (2, 40, 2))
    head(torch.randn(2, 16)).square().sum().backward()
    assert (head.expand.weight.grad.view(80, -1) != 0).any(dim=1).all()
    for parameter in head.parameters():
        assert parameter.grad is not None and parameter.grad.any()


def test_every_landmark_sends_gradient_into_both_phases(name: str) -> None:
    head = build(name, 16, (2, 40, 2))
    x = torch.randn(2, 16)
    for phase, point in [(0, 0), (0, 39), (1, 17)]:
        head.zero_grad()
        head(x)[0, phase, point, 0].backward()
        rows = head.expand.weight.grad.view(2, 40, -1)
        assert rows[0].any() and rows[1].any() and rows[phase, point].any()


def test_graphs_move_with_the_module_and_stay_out_of_checkpoints(name: str) -> None:
    head = build(name, 8, (2, 4, 2))
    buffers = dict(head.named_buffers())
    assert buffers and not set(buffers) & set(head.state_dict())
    for buffer in copy.deepcopy(head).to("meta").buffers():
        assert buffer.device.type == "meta"


def test_no_head_draws_random_numbers(name: str) -> None:
    head = build(name, 8, (2, 4, 2)).train()
    x = torch.randn(3, 8)
    before = torch.get_rng_state()
    assert torch.equal(head(x), head.eval()(x))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("outputs", [(160,), (2, 40, 3), (40, 2)])
def test_outputs_that_are_not_landmarks_are_refused(name: str, outputs: tuple[int, ...]) -> None:
    with pytest.raises(
        EchoLMError,
        match=rf"head {name} gives landmarks \(phases, points, 2\), not outputs of shape",
    ):
        HEADS.parse(name).build(8, outputs)
    assert HEADS.parse(name).landmarks_only


@pytest.mark.parametrize("channels", [(), (16, 0)])
def test_impossible_channels_are_refused(name: str, channels: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="channels"):
        HEADS.parse({"name": name, "channels": channels})
