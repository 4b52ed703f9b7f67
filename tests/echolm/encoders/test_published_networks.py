"""Published encoders are the published networks: the same parameters, keys and features."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from echolm.config import FinetuneConfig, parse_config
from echolm.encoders import ENCODERS, Encoder
from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.frame_transformer import sinusoids
from echolm.encoders.torchvision_compat import import_torchvision
from echolm.identity import cell_id
from echolm.randomness import seeded

models = import_torchvision().models


class PanEchoNetwork(nn.Module):
    """The published network as its description puts it.

    It has the published keys and two of its heads of tasks.
    """

    def __init__(self) -> None:
        super().__init__()
        images, video = nn.Module(), nn.Module()
        images.model = models.convnext_tiny(weights=None)
        images.model.classifier[-1] = nn.Identity()
        video.encoder, video.time_encoder = images, nn.Module()
        video.time_encoder.register_parameter(
            "pe", nn.Parameter(positions(16, 768)[None], requires_grad=False)
        )
        layer = nn.TransformerEncoderLayer(
            768, 8, 768, dropout=0.0, activation="relu", batch_first=True
        )
        video.transformer = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.encoder = video
        self.add_module("EF_head", nn.Sequential(nn.Dropout(0.25), nn.Linear(768, 1)))
        self.add_module(
            "LVWallThickness-increased-any_head", nn.Sequential(nn.Dropout(0.25), nn.Linear(768, 1))
        )

    def forward(self, clip: Tensor) -> Tensor:
        """Map B x 3 x T x H x W to B x 768.

        Channel and time keep their place when the images are cut out.
        """
        length = clip.shape[2]
        planes = clip.flatten(1, 2)
        vectors = [self.encoder.encoder.model(image) for image in planes.split(3, dim=1)]
        frames = torch.stack(vectors, 1) + self.encoder.time_encoder.pe[:, :length]
        return self.encoder.transformer(frames).mean(1)


def positions(length: int, width: int) -> Tensor:
    """Vaswani et al. 2017 §3.5, number by number."""
    table = torch.zeros(length, width)
    for position in range(length):
        for column in range(0, width, 2):
            angle = position / 10_000 ** (column / width)
            table[position, column] = math.sin(angle)
            table[position, column + 1] = math.cos(angle)
    return table


def frame_mean(network: nn.Module, clip: Tensor) -> Tensor:
    """Each frame alone, then the mean over frames."""
    return torch.stack([network(frame) for frame in clip.unbind(2)]).mean(0)


@dataclass(frozen=True)
class Case:
    """The published network of an encoder, and how its file and its features are made."""

    make: Callable[[], nn.Module]
    left_out: tuple[str, ...] = ()
    """First parts of keys that the encoder has no use for."""
    features: Callable[[nn.Module, Tensor], Tensor] = lambda network, clip: network(clip)
    file: Callable[[dict[str, Tensor]], Any] = lambda state: state
    frames: int = 16
    weights: Any = None


def prefixed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"module.{key}": value for key, value in state.items()}


CASES = {
    "r3d-18": Case(
        models.video.r3d_18,
        ("fc",),
        frames=8,
        weights=models.video.R3D_18_Weights.KINETICS400_V1,
    ),
    "mvit-v2-s": Case(
        models.video.mvit_v2_s,
        ("head",),
        file=prefixed,
        weights=models.video.MViT_V2_S_Weights.KINETICS400_V1,
    ),
    "resnet18-2d": Case(
        models.resnet18,
        ("fc",),
        frame_mean,
        frames=3,
        weights=models.ResNet18_Weights.IMAGENET1K_V1,
    ),
    "vit-b-16": Case(
        models.vit_b_16,
        ("heads",),
        frame_mean,
        prefixed,
        frames=2,
        weights=models.ViT_B_16_Weights.IMAGENET1K_V1,
    ),
    "echoprime": Case(lambda: models.video.mvit_v2_s(num_classes=512)),
    "panecho": Case(
        PanEchoNetwork,
        ("EF_head", "LVWallThickness-increased-any_head", "encoder.time_encoder"),
        file=lambda state: {"weights": prefixed(state), "epoch": 3},
        frames=4,
    ),
}


@dataclass
class Pair:
    """An encoder built from the checkpoint of ``reference``, the published network."""

    case: Case
    encoder: Encoder
    reference: nn.Module
    network: EncoderNetwork


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def varied(value: Tensor) -> Tensor:
    """Draw values of about the same scale, which overlap in memory.

    So a file holds a few thousand numbers of each.
    """
    if value.dim() == 0:
        return value
    strides = (13, 7, 5, 3, 1)[-value.dim() :]
    length = 1
    for size, stride in zip(value.shape, strides, strict=True):
        length += (size - 1) * stride
    spread = 0.05
    if value.numel() > 1 and value.std() > 0:
        spread = value.std()
    values = value.mean() + spread * torch.randn(length)
    return values.as_strided(value.shape, strides)


@pytest.fixture(scope="session", params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Both full networks, built once."""
    case, encoder = CASES[request.param], ENCODERS.parse(request.param)
    with seeded("reference"):
        reference = case.make()
        state = reference.state_dict()
        for key, value in list(state.items()):
            if not key.endswith(".pe"):
                state[key] = varied(value)
    reference.load_state_dict(state)
    checkpoint = tmp_path_factory.mktemp(request.param) / "checkpoint.pth"
    torch.save(case.file(state), checkpoint)
    return Pair(case, encoder, reference, encoder.build(checkpoint))


TOTALS = {
    "r3d-18": (33_371_472, 512 * 400 + 400),
    "mvit-v2-s": (34_537_744, 768 * 400 + 400),
    "resnet18-2d": (11_689_512, 512 * 1000 + 1000),
    "vit-b-16": (86_567_656, 768 * 1000 + 1000),
    "echoprime": (34_623_872, 0),
    "panecho": (42_006_624 + 2 * 769 + 16 * 768, 2 * 769 + 16 * 768),
}
"""Parameters of the published network, and those of them that the encoder leaves out.

NLDL 2026 Table 1 counts classifiers. Left out is the classifier, of PanEcho the heads of tasks and
the position table.
"""


KEYS = {"echoprime": 397, "panecho": 228}
"""Tensors of the published files, without what the encoder leaves out."""


def test_parameter_counts(pair: Pair) -> None:
    total, left_out = TOTALS[pair.encoder.name]
    assert count(pair.reference) == total
    assert count(pair.network) == total - left_out
    assert len(pair.network.blocks) == pair.encoder.blocks


def kept(pair: Pair) -> dict[str, Tensor]:
    """The published state dict without what the encoder leaves out."""
    left_out = tuple(f"{part}." for part in pair.case.left_out)
    state = pair.reference.state_dict()
    return {key: state[key] for key in state if not key.startswith(left_out)}


def test_every_tensor_of_the_file_is_there_and_no_other(pair: Pair) -> None:
    theirs, ours = kept(pair), pair.network.state_dict()
    assert len(ours) == len(theirs)
    if pair.encoder.name in KEYS:
        assert len(theirs) == KEYS[pair.encoder.name]
    assert sums(ours) == sums(theirs)


def sums(state: dict[str, Tensor]) -> list[float]:
    return sorted(value.double().sum().item() for value in state.values())


def test_parameters_of_the_stages(pair: Pair) -> None:
    """mvit-v2-s and echoprime: NLDL 2026's k of sixteen blocks, and the rest."""
    stem, *blocks, readout = map(count, pair.network.stages())
    if pair.encoder.name in ("mvit-v2-s", "echoprime"):
        last = {
            1: 7_100_160,
            2: 13_613_184,
            6: 20_770_944,
            9: 26_139_264,
            12: 31_507_584,
            16: 34_186_080,
        }
        assert {k: sum(blocks[-k:]) for k in last} == last
        assert (stem, readout) == (
            42_432 + 96,
            1_536 + (393_728 if pair.encoder.name == "echoprime" else 0),
        )
    elif pair.encoder.name == "panecho":
        assert (stem + sum(blocks[:4]), readout) == (27_820_128, 0)
        assert blocks == [237_888, 992_256, 11_112_960, 15_470_592 + 1_536] + [3_546_624] * 4
    elif pair.encoder.name == "vit-b-16":
        assert blocks == [7_087_872] * 12 and readout == 1_536


def test_published_file_is_declared_with_its_hash(pair: Pair) -> None:
    """torchvision's files carry the first digits of their hash in the name."""
    (item,) = pair.encoder.published.values()
    assert item.licence and item.origin
    if pair.case.weights:
        assert item.origin == pair.case.weights.url
        assert item.origin.endswith(f"/{item.file}") and item.file.endswith(f"-{item.sha256}.pth")
    else:
        files = {"echoprime": "echo_prime_encoder.pt", "panecho": "panecho.pt"}
        assert item.file == files[pair.encoder.name]


def staged(network: EncoderNetwork, clip: Tensor) -> Features:
    """Through all stages in two runs, as a trunk and a tail do."""
    cut = len(network.blocks) - 1
    features = network.run(network.run(State({"clip": clip}), 0, cut), cut, len(network.blocks) + 2)
    assert isinstance(features, Features)
    return features


def test_pooled_features_are_those_of_the_published_network(pair: Pair) -> None:
    """At 224 x 224.

    Residual networks of videos bit by bit. To rounding: images folded into the batch, and fused
    attention.
    """
    clip = torch.randn(1, 3, pair.case.frames, pair.encoder.size, pair.encoder.size)
    if pair.case.left_out and pair.encoder.name != "panecho":
        setattr(pair.reference, pair.case.left_out[0], nn.Identity())
    with torch.no_grad():
        expected = pair.case.features(pair.reference.eval(), clip)
        features = staged(pair.network.eval(), clip)
    assert expected.shape == (1, pair.encoder.width) and expected.std() > 0.01
    tolerance = 0 if pair.encoder.name == "r3d-18" else 1e-4
    if pair.encoder.name in ("mvit-v2-s", "echoprime"):
        tolerance = 1e-5
    torch.testing.assert_close(features.pooled, expected, rtol=tolerance, atol=tolerance)
    check_grids(pair, features)


GRIDS = {
    "r3d-18": (1, 14, 14),
    "mvit-v2-s": (8, 7, 7),
    "resnet18-2d": (3, 7, 7),
    "vit-b-16": (2, 14, 14),
    "echoprime": (8, 7, 7),
}


def check_grids(pair: Pair, features: Features) -> None:
    encoder = pair.encoder
    given = {name for name, value in vars(features).items() if isinstance(value, torch.Tensor)}
    assert given == set(encoder.gives)
    width = encoder.token_width or encoder.width
    if encoder.name in GRIDS:
        assert features.tokens is not None
        assert features.tokens.shape == (1, *GRIDS[encoder.name], width)
    assert features.frames is not None and features.frames.shape[::2] == (1, width)
    if encoder.name in ("r3d-18", "mvit-v2-s", "resnet18-2d", "echoprime"):
        torch.testing.assert_close(features.frames, features.tokens.mean(dim=(2, 3)))
    if encoder.name in ("resnet18-2d", "vit-b-16", "panecho"):
        torch.testing.assert_close(features.pooled, features.frames.mean(dim=1))


def test_positions_are_the_published_ones() -> None:
    torch.testing.assert_close(sinusoids(16, 768), positions(16, 768), rtol=0, atol=2e-6)


def test_the_classifier_of_r3d_18_may_be_the_vector(tmp_path: Path) -> None:
    """Echo-Vision-FM's VideoResNet. The 512 features stay where nothing is written."""
    reference = models.video.r3d_18(weights=None).eval()
    torch.save(reference.state_dict(), tmp_path / "r3d.pth")
    logits = ENCODERS.parse({"name": "r3d-18", "vector": "logits"})
    pooled = ENCODERS.parse("r3d-18")
    assert (logits.width, logits.token_width, pooled.width) == (400, 512, 512)
    network = logits.build(tmp_path / "r3d.pth").eval()
    assert count(network) == count(pooled.build(None)) + 512 * 400 + 400
    clip = torch.randn(1, 3, 8, 32, 32)
    with torch.no_grad():
        features = network(clip)
        torch.testing.assert_close(features.pooled, reference(clip), rtol=0, atol=0)
    assert features.tokens.shape == (1, 1, 2, 2, 512)
    assert logits.forward_flops - pooled.forward_flops == 2 * 512 * 400
    config = {"data": "d", "task": "landmarks", "trainable": "k0", "head": "linear"}
    plain = parse_config({**config, "encoder": "r3d-18", "weights": "random"})
    written = {**config, "encoder": {"name": "r3d-18", "vector": "pooled"}, "weights": "random"}
    assert cell_id(parse_config(written)) == cell_id(plain)
    assert isinstance(plain, FinetuneConfig) and plain.head_width == 512
    other = parse_config({**config, "encoder": logits, "weights": "random"})
    assert isinstance(other, FinetuneConfig) and other.head_width == 400
    assert cell_id(other) != cell_id(plain)
