"""ViViT is that of transformers, and its files load."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from videomae_references import by_frame

from echolm.encoders import ENCODERS
from echolm.encoders.base import EncoderNetwork
from echolm.encoders.families.vivit_files import own_names
from echolm.encoders.torchvision_compat import import_torchvision
from echolm.errors import EchoLMError

TINY = {
    "image_size": 32,
    "tubelet_size": [2, 8, 8],
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 256,
}
"""The shape of ``tiny-vivit``."""
VERSION_4 = (
    (r"layers\.(\d+)\.attention\.([qkv])_proj", r"encoder.layer.\1.attention.attention.\2"),
    (r"layers\.(\d+)\.attention\.o_proj", r"encoder.layer.\1.attention.output.dense"),
    (r"layers\.(\d+)\.mlp\.fc1", r"encoder.layer.\1.intermediate.dense"),
    (r"layers\.(\d+)\.mlp\.fc2", r"encoder.layer.\1.output.dense"),
    (r"layers\.(\d+)\.layernorm", r"encoder.layer.\1.layernorm"),
    (r"attention\.attention\.q\.", r"attention.attention.query."),
    (r"attention\.attention\.k\.", r"attention.attention.key."),
    (r"attention\.attention\.v\.", r"attention.attention.value."),
)


def reference(kind: str = "Model", frames: int = 16, **shape: Any) -> nn.Module:
    """Build a model of transformers whose every parameter is random, positions and norms too."""
    import_torchvision()  # before transformers, which imports it
    import transformers

    config = transformers.VivitConfig(num_frames=frames, **shape)
    torch.manual_seed(0)
    model: nn.Module = getattr(transformers, f"Vivit{kind}")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def as_of_version_4(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name tensors as files of the hub do, which version 4 of transformers wrote."""
    renamed = {}
    for key, value in state.items():
        for pattern, name in VERSION_4:
            key = re.sub(pattern, name, key)
        renamed[key] = value
    return renamed


def as_of_version_5(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(state)


LAYOUTS = {"version 4": as_of_version_4, "version 5": as_of_version_5}


def clips(batch: int = 2, size: int = 32) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, 16, size, size, generator=generator)


def from_file(
    folder: Path, model: nn.Module, layout: str = "version 4", **fields: Any
) -> EncoderNetwork:
    path = folder / "pytorch_model.bin"
    torch.save(LAYOUTS[layout](model.state_dict()), path)
    return ENCODERS.parse({"name": "tiny-vivit", **fields}).build(path).eval()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_model_with_pooler_is_that_of_transformers(tmp_path: Path, layout: str) -> None:
    theirs = reference(**TINY)
    ours = from_file(tmp_path, theirs, layout, pooling="pooler")
    with torch.no_grad():
        expected, features = theirs(by_frame(clips())), ours(clips())
    tokens = expected.last_hidden_state[:, 1:]
    torch.testing.assert_close(features.tokens.flatten(1, 3), tokens, rtol=0, atol=1e-5)
    torch.testing.assert_close(features.pooled, expected.pooler_output, rtol=0, atol=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_classifier_reads_the_class_token(tmp_path: Path, layout: str) -> None:
    theirs = reference("ForVideoClassification", **TINY)
    ours = from_file(tmp_path, theirs, layout)
    theirs.classifier = nn.Identity()
    with torch.no_grad():
        expected = theirs(by_frame(clips())).logits
        mean = from_file(tmp_path, theirs, layout, pooling="mean")(clips())
        torch.testing.assert_close(ours(clips()).pooled, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(mean.pooled, mean.tokens.mean((1, 2, 3)))


def test_gradients_are_those_of_transformers(tmp_path: Path) -> None:
    theirs = reference(**TINY)
    ours = from_file(tmp_path, theirs, pooling="pooler").double()
    theirs, clip = theirs.double(), clips().double().requires_grad_()
    theirs(by_frame(clip)).pooler_output.square().sum().backward()
    expected, clip.grad = clip.grad, None
    ours(clip).pooled.square().sum().backward()
    torch.testing.assert_close(clip.grad, expected)
    stem = theirs.get_submodule("embeddings")
    for name, parameter in (
        ("stem.positions", stem.position_embeddings),
        ("stem.class_token", stem.cls_token),
        ("blocks.3.attention.q_bias", theirs.layers[3].attention.q_proj.bias),
        ("blocks.0.feed_forward.0.weight", theirs.layers[0].mlp.fc1.weight),
    ):
        torch.testing.assert_close(ours.get_parameter(name).grad, parameter.grad)


def test_maps_of_attention_are_those_of_transformers(tmp_path: Path) -> None:
    theirs = reference(**TINY)
    theirs.set_attn_implementation("eager")
    expected = theirs(by_frame(clips()), output_attentions=True).attentions
    maps = list(from_file(tmp_path, theirs, pooling="pooler").attentions(clips()))
    assert len(maps) == len(expected) == 4
    for mine, other in zip(maps, expected, strict=True):
        assert mine.shape == (2, 4, 129, 129)
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_a_file_for_32_frames_the_positions_alone_are_fresh(tmp_path: Path, layout: str) -> None:
    """As transformers loads it with mismatched sizes ignored."""
    theirs = reference("ForVideoClassification", frames=32, **TINY)
    ours = from_file(tmp_path, theirs, layout)
    fresh = ours.get_parameter("stem.positions")
    assert fresh.shape == (1, 129, 64) and fresh.requires_grad and not fresh.any()
    theirs.config.num_frames = 16
    theirs.config.save_pretrained(tmp_path)
    # The file beside it has the names of the layout.
    from transformers import VivitForVideoClassification

    again = VivitForVideoClassification.from_pretrained(
        tmp_path, ignore_mismatched_sizes=True
    ).eval()
    again.classifier = nn.Identity()
    with torch.no_grad():
        again.vivit.embeddings.position_embeddings.zero_()
        expected = again(by_frame(clips())).logits
        torch.testing.assert_close(ours(clips()).pooled, expected, rtol=0, atol=1e-5)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match=r"of another shape: stem\.positions \(1, 65, 64\)"):
        from_file(tmp_path, reference(frames=8, **TINY))
    whole = as_of_version_4(reference("ForVideoClassification", **TINY).state_dict())
    for key in whole:
        if (
            key.endswith("key.bias")
            or key.startswith("classifier")
            or re.search(r"\.layer\.[1-3]\.", key)
        ):
            continue
        torch.save({name: whole[name] for name in whole if name != key}, tmp_path / "cut.pt")
        with pytest.raises(EchoLMError, match="not weights of encoder tiny-vivit: missing: "):
            ENCODERS.parse("tiny-vivit").build(tmp_path / "cut.pt")


def test_its_own_state_dict_loads(tmp_path: Path) -> None:
    for pooling in ("class", "pooler"):
        encoder = ENCODERS.parse({"name": "tiny-vivit", "pooling": pooling})
        network = encoder.build(None)
        torch.save(network.state_dict(), tmp_path / "own.pt")
        again = encoder.build(tmp_path / "own.pt").state_dict()
        assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())


def test_the_published_file_at_full_size() -> None:
    """By its shapes. Half of its positions are of no use here, nor are the biases of its keys."""
    with torch.device("meta"):
        theirs = reference("ForVideoClassification", frames=32, num_labels=400)
        ours = ENCODERS.parse("vivit-b").build(None)
    state = as_of_version_4(theirs.get_submodule("vivit").state_dict())
    assert state["embeddings.position_embeddings"].shape == (1, 3137, 768)
    named = own_names(state, ours.get_parameter("stem.positions"))
    shapes = {name: tensor.shape for name, tensor in ours.state_dict().items()}
    assert {name: tensor.shape for name, tensor in named.items()} == shapes
    assert shapes["stem.positions"] == (1, 1569, 768)
    count = sum(tensor.numel() for tensor in state.values())
    assert sum(shape.numel() for shape in shapes.values()) == count - 1568 * 768 - 12 * 768
