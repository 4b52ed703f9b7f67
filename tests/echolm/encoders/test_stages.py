"""Any encoder can be cut between any two stages, and gives what it declares."""

from __future__ import annotations

import pytest
import torch

from echolm.encoders import ENCODERS, Encoder
from echolm.encoders.base import EncoderNetwork, Features, State, normalise
from echolm.randomness import seeded

SMALL = ["none", "tiny-r3d", "tiny-mvit", "tiny-videomae", "tiny-vivit", "tiny-echofm"]


def build(encoder: Encoder) -> EncoderNetwork:
    with seeded("weights", encoder.name):
        return encoder.build(None).eval()


def clips(encoder: Encoder, batch: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, encoder.frames, encoder.size, encoder.size)
    return normalise(torch.randint(0, 256, shape, generator=generator).float(), encoder)


def same(left: Features, right: Features) -> bool:
    if left.context.keys() != right.context.keys():
        return False
    for name, value in [*vars(left).items(), *left.context.items()]:
        if name == "context":
            continue
        other = right.context.get(name, getattr(right, name, None))
        if value is None or other is None:
            if value is not other:
                return False
        elif not torch.equal(value, other):
            return False
    return True


@pytest.fixture(params=SMALL)
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return ENCODERS.parse(request.param)


def test_gives_what_it_declares(encoder: Encoder) -> None:
    network = build(encoder)
    features = network(clips(encoder))
    given = {name for name, value in vars(features).items() if isinstance(value, torch.Tensor)}
    assert given == set(encoder.gives)
    assert features.pooled.shape == (2, encoder.width)
    assert len(network.blocks) == encoder.blocks


@pytest.mark.parametrize(
    "name", ["tiny-r3d", "tiny-mvit", "tiny-videomae", "tiny-vivit", "tiny-echofm"]
)
def test_frames_are_the_spatial_mean_of_tokens(name: str) -> None:
    encoder = ENCODERS.parse(name)
    features = build(encoder)(clips(encoder))
    torch.testing.assert_close(features.frames, features.tokens.mean(dim=(2, 3)))
    assert features.tokens.shape[1] > 1


@pytest.mark.parametrize("name", ["tiny-r3d", "tiny-videomae", "tiny-echofm"])
def test_pooled_of_a_network_without_class_token_is_the_mean_of_its_tokens(name: str) -> None:
    encoder = ENCODERS.parse(name)
    features = build(encoder)(clips(encoder))
    torch.testing.assert_close(features.pooled, features.tokens.mean(dim=(1, 2, 3)))


def test_a_run_in_two_parts_equals_the_whole_at_every_cut(encoder: Encoder) -> None:
    network = build(encoder)
    clip = clips(encoder)
    whole = network(clip)
    end = encoder.blocks + 2
    for cut in range(end + 1):
        halfway = network.run(State({"clip": clip}), 0, cut)
        rest = network.run(halfway, cut, end)
        assert isinstance(rest, Features) and same(rest, whole)


def test_what_is_known_of_clips_is_handed_on_through_every_cut(encoder: Encoder) -> None:
    network = build(encoder)
    clip = clips(encoder)
    numbers = torch.arange(2 * encoder.frames).view(2, -1)
    end = encoder.blocks + 2
    for cut in range(end + 1):
        halfway = network.run(State({"clip": clip}, context={"times": numbers}), 0, cut)
        rest = network.run(halfway, cut, end)
        assert isinstance(rest, Features)
        assert list(rest.context) == ["times"] and rest.context["times"] is numbers


def test_a_stage_may_add_to_what_is_known(encoder: Encoder) -> None:
    class Adding(torch.nn.Module):
        def forward(self, state: State) -> State:
            return State(state.tensors, state.meta, {"added": state.tensors["clip"].sum((1, 2, 3))})

    network = build(encoder)
    grown = EncoderNetwork(Adding(), network.stages()[:-1], network.stages()[-1])
    known = {"times": torch.zeros(2, 1)}
    state = State({"clip": clips(encoder)}, context=known)
    features = grown.run(state, 0, encoder.blocks + 3)
    assert set(features.context) == {"times", "added"} and set(known) == {"times"}


def test_stages_leave_their_input_as_it_was(encoder: Encoder) -> None:
    """Several tails may read one trunk's output, also in train mode."""
    network = build(encoder).train()
    state = State({"clip": clips(encoder)})
    for stage in network.stages():
        before = {name: tensor.clone() for name, tensor in state.tensors.items()}
        result = stage(state)
        assert before.keys() == state.tensors.keys()
        for name, tensor in state.tensors.items():
            assert torch.equal(before[name], tensor)
        state = result


def test_state_is_batch_first_and_metadata_is_of_the_batch(encoder: Encoder) -> None:
    network = build(encoder)
    two = State({"clip": clips(encoder)})
    one = State({"clip": clips(encoder)[:1]})
    for stage in network.stages()[:-1]:
        two = stage(two)
        one = stage(one)
        assert two.meta == one.meta
        for name, tensor in two.tensors.items():
            torch.testing.assert_close(tensor[:1], one.tensors[name])


@pytest.mark.parametrize(
    "name", ["tiny-r3d", "tiny-mvit", "tiny-videomae", "tiny-vivit", "tiny-echofm"]
)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    encoder = ENCODERS.parse(name)
    network = build(encoder)
    features = network(clips(encoder))
    (features.pooled.square().sum() + features.tokens.square().sum()).backward()
    for parameter in network.parameters():
        assert parameter.grad is not None and parameter.grad.any()


@pytest.mark.parametrize(
    "name", ["tiny-r3d", "tiny-mvit", "tiny-videomae", "tiny-vivit", "tiny-echofm"]
)
def test_random_weights_come_from_the_seed(name: str) -> None:
    first = build(ENCODERS.parse(name)).state_dict()
    second = build(ENCODERS.parse(name)).state_dict()
    for key, value in first.items():
        assert torch.equal(value, second[key])


def test_none_sees_no_pixels_and_has_no_parameters() -> None:
    encoder = ENCODERS.parse("none")
    network = build(encoder)
    assert torch.equal(network(torch.rand(3, 3, 1, 16, 16)).pooled, torch.zeros(3, 1))
    assert list(network.parameters()) == []
