"""r3d-18 and mvit-v2-s are torchvision's networks: the same parameters, keys and features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from echolm.encoders import Encoder
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.mvit_v2_s import MViTV2S
from echolm.encoders.r3d_18 import R3D18
from echolm.encoders.torchvision_compat import import_torchvision
from echolm.randomness import seeded


@dataclass
class Pair:
    """An encoder built from the checkpoint of ``reference``, torchvision's network with its classifier."""

    encoder: Encoder
    reference: nn.Module
    network: EncoderNetwork


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def make(encoder: Encoder, model: Callable[..., nn.Module], prefix: str, folder: Path) -> Pair:
    with seeded("reference"):
        reference = model(weights=None)
    checkpoint = folder / "checkpoint.pth"
    torch.save({prefix + key: value for key, value in reference.state_dict().items()}, checkpoint)
    return Pair(encoder, reference, encoder.build(checkpoint))


@pytest.fixture(scope="module")
def r3d(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(R3D18(), import_torchvision().models.video.r3d_18, "", tmp_path_factory.mktemp("r3d"))


@pytest.fixture(scope="module")
def mvit(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(MViTV2S(), import_torchvision().models.video.mvit_v2_s, "module.", tmp_path_factory.mktemp("mvit"))


@pytest.fixture(params=["r3d", "mvit"])
def pair(request: pytest.FixtureRequest) -> Pair:
    found: Pair = request.getfixturevalue(request.param)
    return found


def without_classifier(pair: Pair) -> nn.Module:
    """torchvision's own network whose classifier is the identity."""
    setattr(pair.reference, "fc" if isinstance(pair.encoder, R3D18) else "head", nn.Identity())
    return pair.reference


def test_parameter_counts(r3d: Pair, mvit: Pair) -> None:
    """NLDL 2026 Table 1 counts classifiers of 400 classes (33.37 M and 34.5 M); ours have none."""
    assert count(r3d.network) == 33_371_472 - (512 * 400 + 400)
    assert count(mvit.network) == 34_537_744 - (768 * 400 + 400)


@pytest.mark.parametrize(
    ("k", "parameters"),
    [(1, 7_100_160), (2, 13_613_184), (6, 20_770_944), (9, 26_139_264), (12, 31_507_584), (16, 34_186_080)],
)
def test_parameters_of_the_last_k_blocks(mvit: Pair, k: int, parameters: int) -> None:
    assert sum(count(block) for block in mvit.network.blocks[-k:]) == parameters


def test_parameters_outside_the_blocks(mvit: Pair) -> None:
    assert count(mvit.network.stem) == 42_432 + 96
    assert count(mvit.network.readout) == 1_536


def test_every_parameter_of_torchvision_but_the_classifier_is_there(pair: Pair) -> None:
    own = sorted(value.double().sum().item() for value in pair.network.state_dict().values())
    theirs = pair.reference.state_dict().items()
    kept = sorted(value.double().sum().item() for key, value in theirs if key.split(".")[0] not in ("fc", "head"))
    assert own == kept


def test_blocks_and_published_file(pair: Pair) -> None:
    """The declared file is torchvision's, which carries the first digits of its hash."""
    video = import_torchvision().models.video
    weights = video.R3D_18_Weights if isinstance(pair.encoder, R3D18) else video.MViT_V2_S_Weights
    assert len(pair.network.blocks) == pair.encoder.blocks
    assert weights.KINETICS400_V1.url.endswith("/" + pair.encoder.published["kinetics400"].file)


def test_normalisation_is_that_of_the_published_weights(pair: Pair) -> None:
    video = import_torchvision().models.video
    weights = video.R3D_18_Weights if isinstance(pair.encoder, R3D18) else video.MViT_V2_S_Weights
    preset = weights.KINETICS400_V1.transforms()
    assert pair.encoder.scale == "0-1"
    assert (tuple(preset.mean), tuple(preset.std)) == (pair.encoder.mean, pair.encoder.std)


def test_pooled_features_are_torchvisions(pair: Pair) -> None:
    """At the declared 16 x 224 x 224, bit by bit; tokens and frames have the published grid."""
    clip = torch.randn(1, 3, pair.encoder.frames, pair.encoder.size, pair.encoder.size)
    with torch.no_grad():
        expected = without_classifier(pair).eval()(clip)
        features = pair.network.eval()(clip)
    assert torch.equal(features.pooled, expected) and expected.shape == (1, pair.encoder.width)
    grid = (2, 14, 14) if isinstance(pair.encoder, R3D18) else (8, 7, 7)
    assert features.tokens is not None and features.tokens.shape == (1, *grid, pair.encoder.width)
    assert features.frames is not None
    torch.testing.assert_close(features.frames, features.tokens.mean(dim=(2, 3)))
