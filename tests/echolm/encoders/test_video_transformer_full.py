"""ViT-B at full size against transformers: Echo-Vision-FM's pretraining network and its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from videomae_references import as_of_version_4, by_frame, on_kept, reference

from echolm.encoders import ENCODERS
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.published import check_file
from echolm.errors import EchoLMError


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def model() -> nn.Module:
    """Return the network with its decoder: 94,209,408 parameters."""
    return reference("ForPreTraining", mean_pooling=True)


@pytest.fixture(scope="module")
def file(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "pytorch_model.bin"
    torch.save(as_of_version_4(model.state_dict()), path)
    return path


@pytest.fixture(scope="module")
def network(file: Path) -> EncoderNetwork:
    return ENCODERS.parse("echo-vision-fm").build(file).eval()


def test_parameters_and_positions(model: nn.Module, network: EncoderNetwork) -> None:
    assert count(model) == 94_209_408
    encoder = model.get_submodule("videomae")
    assert count(network) == count(encoder) == 86_225_664
    positions = encoder.get_submodule("embeddings").position_embeddings
    torch.testing.assert_close(network.stem.positions, positions, rtol=0, atol=6e-8)


@torch.no_grad()
def test_tokens_of_a_whole_clip(
    model: nn.Module, network: EncoderNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through two of the twelve blocks. What is kept of a clip goes through all, below."""
    layers: Any = model.get_submodule("videomae.encoder")
    monkeypatch.setitem(layers._modules, "layer", layers.layer[:2])
    monkeypatch.setitem(network._modules, "blocks", network.blocks[:2])
    clip = torch.rand(1, 3, 16, 224, 224)
    expected = model.get_submodule("videomae")(by_frame(clip)).last_hidden_state
    features = network(clip)
    assert features.tokens.shape == (1, 8, 14, 14, 768)
    error = (features.tokens.flatten(1, 3) - expected).abs().max()
    assert error <= 1e-6 * expected.abs().max()
    assert torch.equal(features.pooled, features.tokens.flatten(1, 3).max(1).values)


@torch.no_grad()
def test_tokens_with_85_percent_masked(model: nn.Module, network: EncoderNetwork) -> None:
    """Through all twelve blocks. Gradients are those of transformers in small, elsewhere."""
    clip = torch.rand(1, 3, 16, 224, 224)
    kept = torch.randperm(1568)[1332:].sort().values[None]
    mask = torch.ones(1, 1568, dtype=torch.bool).scatter(1, kept, False)
    encoder = model.get_submodule("videomae")
    expected = encoder(by_frame(clip), bool_masked_pos=mask).last_hidden_state
    tokens = on_kept(network, clip, kept).tokens
    assert (tokens - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_its_file_is_checked(file: Path) -> None:
    facts = check_file("echo-vision-fm:echo-vision-fm", file)
    assert facts["parameters"] == 86_225_664 and facts["licence"] == "none stated"
    with pytest.raises(EchoLMError, match=r"missing: readout\.norm\.weight.*videomae-base/"):
        check_file("videomae-b:kinetics400", file)
