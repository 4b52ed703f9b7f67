"""Networks for images on clips: frames are folded into the batch.

They are small networks of each published family.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from echolm import randomness
from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families import frame_transformer, resnet2d, vit
from echolm.encoders.families.batch_norm import BatchNorm
from echolm.encoders.families.frame_transformer import images_of
from echolm.encoders.families.per_frame import per_frame
from echolm.encoders.torchvision_compat import import_torchvision
from echolm.encoders.train_modes import set_modes
from echolm.randomness import seeded, to_tensor
from echolm.training.keyed_dropout import key_randomness

models = import_torchvision().models
FRAMES, SIZE = 4, 32


def plain_resnet() -> nn.Module:
    network = models.ResNet(models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=1)
    network.fc = nn.Identity()
    return network


def plain_vit() -> nn.Module:
    network = models.VisionTransformer(
        SIZE, 8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=24, dropout=0.4
    )
    network.heads = nn.Identity()
    nn.init.normal_(network.class_token)
    return network


def plain_convnext() -> nn.Module:
    widths = [(8, 12), (12, 16), (16, 24), (24, None)]
    blocks = [models.convnext.CNBlockConfig(*pair, 2) for pair in widths]
    network = models.ConvNeXt(blocks, stochastic_depth_prob=0.6, layer_scale=0.5)
    network.classifier = network.classifier[:-1]
    return network


def resnet(batch_norm: BatchNorm = "frozen") -> EncoderNetwork:
    return resnet2d.from_torchvision(plain_resnet(), batch_norm)


def panecho(images: frame_transformer.Images = "frames") -> EncoderNetwork:
    layers = [frame_transformer.transformer_layer(24, heads=4) for _ in range(3)]
    return frame_transformer.assemble(
        plain_convnext(), layers, frame_transformer.sinusoids(FRAMES, 24), images
    )


FAMILIES: dict[str, Callable[[], EncoderNetwork]] = {
    "resnet": resnet,
    "vit": lambda: vit.from_torchvision(plain_vit()),
    "panecho": panecho,
    "panecho as released": lambda: panecho("released"),
}


@pytest.fixture(params=FAMILIES)
def network(request: pytest.FixtureRequest) -> EncoderNetwork:
    with seeded(request.param):
        return FAMILIES[request.param]().double().eval()


@pytest.fixture(params=["resnet", "vit"])
def frame_network(request: pytest.FixtureRequest) -> EncoderNetwork:
    """A network in which frames meet only in the mean."""
    with seeded(request.param):
        return FAMILIES[request.param]().double().eval()


def clips(batch: int = 2, frames: int = FRAMES) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, frames, SIZE, SIZE, generator=generator, dtype=torch.float64)


def assert_same(left: Features, right: Features) -> None:
    for name, value in vars(left).items():
        assert (value is None) == (getattr(right, name) is None)
        if isinstance(value, Tensor):
            torch.testing.assert_close(value, getattr(right, name))


def test_a_run_in_two_parts_equals_the_whole_at_every_cut(network: EncoderNetwork) -> None:
    clip, end = clips(), len(network.blocks) + 2
    whole = network(clip)
    for cut in range(end + 1):
        halfway = network.run(State({"clip": clip}), 0, cut)
        rest = network.run(halfway, cut, end)
        assert isinstance(rest, Features)
        for name, value in vars(whole).items():
            if isinstance(value, Tensor):
                assert torch.equal(value, getattr(rest, name))


def test_state_is_batch_first_and_metadata_is_of_the_batch(network: EncoderNetwork) -> None:
    two = State({"clip": clips()})
    one = State({"clip": clips()[:1]})
    for stage in network.stages()[:-1]:
        two = stage(two)
        one = stage(one)
        assert two.meta == one.meta
        for name, tensor in two.tensors.items():
            assert tensor.shape[:2] == (2, FRAMES)
            torch.testing.assert_close(tensor[:1], one.tensors[name])


def test_stages_leave_their_input_as_it_was(network: EncoderNetwork) -> None:
    state = State({"clip": clips()})
    for stage in network.train().stages():
        before = {name: tensor.clone() for name, tensor in state.tensors.items()}
        result = stage(state)
        for name, tensor in state.tensors.items():
            assert torch.equal(before[name], tensor)
        state = result


def test_every_parameter_gets_a_gradient(network: EncoderNetwork) -> None:
    features = network(clips())
    given = [value for value in vars(features).values() if isinstance(value, Tensor)]
    sum(value.square().sum() for value in given).backward()
    for parameter in network.parameters():
        assert parameter.grad is not None and parameter.grad.any()


def test_an_empty_batch_gives_empty_features(network: EncoderNetwork) -> None:
    features = network(clips()[:0])
    width = network(clips()).pooled.shape[1]
    assert features.pooled.shape == (0, width) and features.frames.shape == (0, FRAMES, width)


def test_other_numbers_of_frames(network: EncoderNetwork) -> None:
    assert network(clips(frames=3)).frames.shape[:2] == (2, 3)


def test_frames_are_the_features_of_each_frame_alone(frame_network: EncoderNetwork) -> None:
    whole = frame_network(clips())
    for number, frame in enumerate(clips().split(1, dim=2)):
        alone = frame_network(frame)
        torch.testing.assert_close(alone.pooled, whole.frames[:, number])
        torch.testing.assert_close(alone.tokens[:, 0], whole.tokens[:, number])


def test_the_order_of_frames_does_not_matter_to_their_mean(frame_network: EncoderNetwork) -> None:
    order = [2, 0, 3, 1]
    whole, turned = frame_network(clips()), frame_network(clips()[:, :, order])
    torch.testing.assert_close(turned.frames, whole.frames[:, order])
    torch.testing.assert_close(turned.pooled, whole.pooled)


@pytest.mark.parametrize(
    ("plain", "build"),
    [
        (plain_resnet, lambda plain: resnet2d.from_torchvision(plain, "frozen")),
        (plain_vit, vit.from_torchvision),
    ],
)
def test_a_frame_is_what_torchvision_makes_of_it(
    plain: Callable[[], nn.Module], build: Callable[[nn.Module], EncoderNetwork]
) -> None:
    network = plain().eval()
    clip = clips().float()
    expected = torch.stack([network(clip[:, :, number]) for number in range(FRAMES)], dim=1)
    torch.testing.assert_close(build(network).eval()(clip).frames, expected)


def test_panecho_equals_a_plain_transformer_over_frames() -> None:
    convnext, width = plain_convnext().eval(), 24
    layer = nn.TransformerEncoderLayer(
        width, 4, width, dropout=0.0, activation="relu", batch_first=True
    )
    transformer = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    clip = clips().float()
    vectors = torch.stack([convnext(clip[:, :, number]) for number in range(FRAMES)], dim=1)
    expected = transformer(vectors + frame_transformer.sinusoids(FRAMES, width))
    network = frame_transformer.assemble(
        convnext, list(transformer.layers), frame_transformer.sinusoids(FRAMES, width), "frames"
    )
    features = network.eval()(clip)
    torch.testing.assert_close(features.frames, expected)
    torch.testing.assert_close(features.pooled, expected.mean(1))
    assert features.tokens is None and not any("positions" in key for key in network.state_dict())


def test_panecho_knows_the_order_of_frames() -> None:
    network, clip = panecho().double().eval(), clips()
    assert not torch.allclose(network(clip).pooled, network(clip.flip(2)).pooled)


def test_released_images_are_the_clips_planes_in_memory_order() -> None:
    """Of a gray clip of 16 frames, image i holds frames 3i, 3i + 1 and 3i + 2, modulo 16."""
    gray = torch.arange(16.0).view(1, 1, 16, 1, 1).expand(2, 3, 16, 1, 1)
    images = images_of(gray, "released")[1, :, :, 0, 0]
    for number, frames in enumerate(images.tolist()):
        first = 3 * number
        assert frames == [first % 16, (first + 1) % 16, (first + 2) % 16]
    clip = torch.randn(2, 3, 5, 4, 4)
    for planes, released in zip(clip, images_of(clip, "released"), strict=True):
        assert torch.equal(released, planes.flatten(0, 1).view(5, 3, 4, 4))
    assert torch.equal(images_of(clip, "frames")[:, 2, 1], clip[:, 1, 2])


def sample_keys(samples: list[int]) -> Tensor:
    return to_tensor(randomness.sample_keys([f"clip {number}" for number in samples]))


@pytest.mark.parametrize("name", ["vit", "panecho"])
def test_keyed_draws_follow_the_sample_through_folded_frames(name: str) -> None:
    """Dropout and stochastic depth in train mode: a sample depends on no neighbour.

    Its frames draw differently.
    """
    network = FAMILIES[name]().double().train()
    keys = key_randomness(network, "encoder")
    clip = clips(3)
    with torch.no_grad():
        keys.current = sample_keys([0, 1, 2])
        whole = network(clip)
        for part in ([2, 0], [1]):
            keys.current = sample_keys(part)
            expected = copy.copy(whole)
            for name, value in vars(whole).items():
                if isinstance(value, Tensor):
                    setattr(expected, name, value[part])
            assert_same(network(clip[part]), expected)
        keys.current = sample_keys([3, 4, 5])
        assert not torch.allclose(network(clip).pooled, whole.pooled)


def test_frames_of_a_sample_draw_differently() -> None:
    network = FAMILIES["vit"]().double().train()
    keys = key_randomness(network, "encoder")
    keys.current = sample_keys([0])
    still = clips(1, 1).expand(1, 3, FRAMES, SIZE, SIZE)
    frames = network(still).frames[0]
    for other in frames[1:]:
        assert not torch.allclose(frames[0], other)


def statistics(network: EncoderNetwork) -> list[Tensor]:
    state = network.state_dict()
    return [state[key].clone() for key in state if key.endswith("running_mean")]


@pytest.mark.parametrize("batch_norm", ["frozen", "batch"])
def test_batch_norm_follows_the_configuration(batch_norm: BatchNorm) -> None:
    """Where a stage trains, ``batch`` uses and keeps the statistics of all frames of the batch."""
    network = resnet(batch_norm)
    before = statistics(network)
    set_modes(network, range(2, 6), training=True)
    network(clips().float()).pooled.sum().backward()
    changed = [not torch.equal(*pair) for pair in zip(before, statistics(network), strict=True)]
    means = [key for key in network.state_dict() if key.endswith("running_mean")]
    trains = [not key.startswith(("stem.", "blocks.0.")) for key in means]
    assert changed == [batch_norm == "batch" and train for train in trains]


def test_batch_statistics_are_over_all_frames() -> None:
    network, clip = resnet("batch"), clips().float()
    set_modes(network, range(6), training=True)
    network(clip)
    convolved = network.stem.stem[0](clip.transpose(1, 2).flatten(0, 1))
    torch.testing.assert_close(network.stem.stem[1].running_mean, 0.1 * convolved.mean((0, 2, 3)))


def test_folding_keeps_the_frames_of_a_sample_together() -> None:
    x = torch.arange(24.0).view(2, 3, 4)
    seen = []

    def first_column(rows: Tensor) -> Tensor:
        seen.append(rows)
        return rows[:, :1]

    assert torch.equal(per_frame(first_column, x), x[:, :, :1])  # type: ignore[arg-type]
    assert torch.equal(seen[0], torch.cat([x[0], x[1]]))
