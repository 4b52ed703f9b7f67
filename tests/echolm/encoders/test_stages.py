"""Any encoder can be cut between any two stages, and gives what it declares."""

from __future__ import annotations

import pytest
import torch

from echolm.encoders import ENCODERS, Encoder
from echolm.encoders.base import EncoderNetwork, Features, State, normalise
from echolm.randomness import seeded

SMALL = ["none", "tiny-r3d", "tiny-mvit"]


def build(encoder: Encoder) -> EncoderNetwork:
    with seeded("weights", encoder.name):
        return encoder.build(None).eval()


def clips(encoder: Encoder, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, encoder.frames, encoder.size, encoder.size)
    return normalise(torch.randint(0, 256, shape, generator=generator).float(), encoder)


def same(left: Features, right: Features) -> bool:
    pairs = [(left.pooled, right.pooled), (left.frames, right.frames), (left.tokens, right.tokens)]
    return all((a is None and b is None) or torch.equal(a, b) for a, b in pairs)  # type: ignore[arg-type]


@pytest.fixture(params=SMALL)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return ENCODERS.parse(request.param)


def test_gives_what_it_declares(encoder: Encoder) -> None:
    network = build(encoder)
    features = network(clips(encoder))
    assert {name for name, value in vars(features).items() if value is not None} == set(encoder.gives)
    assert features.pooled.shape == (2, encoder.width)
    assert len(network.blocks) == encoder.blocks


@pytest.mark.parametrize("name", ["tiny-r3d", "tiny-mvit"])
def test_frames_are_the_spatial_mean_of_tokens(name: str) -> None:
    encoder = ENCODERS.parse(name)
    features = build(encoder)(clips(encoder))
    torch.testing.assert_close(features.frames, features.tokens.mean(dim=(2, 3)))
    assert features.tokens.shape[1] > 1


def test_pooled_of_a_residual_network_is_the_mean_of_its_tokens() -> None:
    encoder = ENCODERS.parse("tiny-r3d")
    features = build(encoder)(clips(encoder))
    torch.testing.assert_close(features.pooled, features.tokens.mean(dim=(1, 2, 3)))


def test_a_run_in_two_parts_equals_the_whole_at_every_cut(encoder: Encoder) -> None:
    network, clip = build(encoder), clips(encoder)
    whole, end = network(clip), encoder.blocks + 2
    for cut in range(end + 1):
        halfway = network.run(State({"clip": clip}), 0, cut)
        rest = network.run(halfway, cut, end)
        assert isinstance(rest, Features) and same(rest, whole)


def test_stages_leave_their_input_as_it_was(encoder: Encoder) -> None:
    """Several tails may read one trunk's output, also in train mode."""
    network = build(encoder).train()
    state = State({"clip": clips(encoder)})
    for stage in network.stages():
        before = {name: tensor.clone() for name, tensor in state.tensors.items()}
        result = stage(state)
        assert before.keys() == state.tensors.keys()
        assert all(torch.equal(before[name], tensor) for name, tensor in state.tensors.items())
        state = result


def test_state_is_batch_first_and_metadata_is_of_the_batch(encoder: Encoder) -> None:
    network = build(encoder)
    two, one = State({"clip": clips(encoder)}), State({"clip": clips(encoder)[:1]})
    for stage in network.stages()[:-1]:
        two, one = stage(two), stage(one)
        assert two.meta == one.meta
        for name, tensor in two.tensors.items():
            torch.testing.assert_close(tensor[:1], one.tensors[name])


@pytest.mark.parametrize("name", ["tiny-r3d", "tiny-mvit"])
def test_every_parameter_gets_a_gradient(name: str) -> None:
    encoder = ENCODERS.parse(name)
    network = build(encoder)
    features = network(clips(encoder))
    (features.pooled.square().sum() + features.tokens.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())


@pytest.mark.parametrize("name", ["tiny-r3d", "tiny-mvit"])
def test_random_weights_come_from_the_seed(name: str) -> None:
    first, second = (build(ENCODERS.parse(name)).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_none_sees_no_pixels_and_has_no_parameters() -> None:
    encoder = ENCODERS.parse("none")
    network = build(encoder)
    assert torch.equal(network(torch.rand(3, 3, 1, 16, 16)).pooled, torch.zeros(3, 1))
    assert list(network.parameters()) == []
