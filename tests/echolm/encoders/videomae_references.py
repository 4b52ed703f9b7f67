"""VideoMAE of the transformers package with random weights, and its files in each layout."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State, keep_tokens
from echolm.encoders.families.video_transformer_files import own_names
from echolm.encoders.torchvision_compat import import_torchvision

TINY = {
    "image_size": 32,
    "patch_size": 8,
    "num_frames": 16,
    "tubelet_size": 2,
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "decoder_hidden_size": 32,
    "decoder_num_attention_heads": 2,
    "decoder_num_hidden_layers": 1,
    "decoder_intermediate_size": 64,
}
"""The shape of ``tiny-videomae``."""


def theirs() -> Any:
    """``transformers``, which takes a second to import in every process that collects."""
    import_torchvision()  # before transformers, which imports it
    return importlib.import_module("transformers")


def reference(kind: str, mean_pooling: bool, shape: dict[str, int] | None = None) -> nn.Module:
    """Build a model of transformers whose every parameter is random, biases and norms too.

    Args:
        kind: ``Model``, ``ForPreTraining`` or ``ForVideoClassification``.
        mean_pooling: without it there is a last LayerNorm over tokens.
        shape: fields of ``VideoMAEConfig``. None: those of ViT-B.
    """
    config = theirs().VideoMAEConfig(use_mean_pooling=mean_pooling, **(shape or {}))
    torch.manual_seed(0)
    model: nn.Module = getattr(theirs(), f"VideoMAE{kind}")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


def position_table(length: int, width: int) -> Tensor:
    """Return the fixed positions of transformers, length x width."""
    theirs()
    network = importlib.import_module("transformers.models.videomae.modeling_videomae")
    table: Tensor = network.get_sinusoid_encoding_table(length, width)[0]
    return table


def as_of_version_4(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name biases of queries and values as files of the hub do, which version 4 wrote."""
    renamed = {}
    for key, value in state.items():
        key = key.replace("attention.attention.query.bias", "attention.attention.q_bias")
        key = key.replace("attention.attention.value.bias", "attention.attention.v_bias")
        renamed[key] = value
    return renamed


def as_of_version_5(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leave the names as they are."""
    return dict(state)


_AUTHORS = (
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("attention.output.dense", "attn.proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("attention.attention.query.bias", "attn.q_bias"),
    ("attention.attention.value.bias", "attn.v_bias"),
)


def as_of_the_authors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name the tensors as VideoMAE's authors do, with one weight for queries, keys and values.

    Files of the pretraining have the encoder behind ``encoder.``, those of the fine-tuning not.
    """
    pretraining = "mask_token" in state
    prefix = "encoder." if pretraining else ""
    renamed = {}
    for key, value in state.items():
        stem = re.sub(r"^videomae\.", prefix, key)
        stem = re.sub(r"^(encoder\.)?encoder\.layer\.", f"{prefix}blocks.", stem)
        stem = re.sub(r"^decoder\.decoder_layers\.", "decoder.blocks.", stem)
        stem = re.sub(r"^(encoder\.)?layernorm\.", f"{prefix}norm.", stem)
        stem = stem.replace("classifier.", "head.")
        for old, new in _AUTHORS:
            stem = stem.replace(old, new)
        if stem.endswith("attention.attention.query.weight"):
            place = key.removesuffix("query.weight")
            parts = [state[f"{place}{part}.weight"] for part in ("query", "key", "value")]
            renamed[stem.replace("attention.attention.query", "attn.qkv")] = torch.cat(parts)
        elif not stem.endswith(("attention.key.weight", "attention.value.weight")):
            renamed[stem] = value
    return renamed


LAYOUTS: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "hub, version 4": as_of_version_4,
    "hub, version 5": as_of_version_5,
    "authors": as_of_the_authors,
}


def by_frame(clip: Tensor) -> Tensor:
    """As transformers wants clips: time before channels."""
    return clip.transpose(1, 2)


def on_kept(network: EncoderNetwork, clip: Tensor, kept: Tensor) -> Features:
    state = network.run(State({"clip": clip}), 0, 1)
    assert isinstance(state, State)
    features = network.run(keep_tokens(state, kept), 1, len(network.blocks) + 2)
    assert isinstance(features, Features)
    return features


def check_gradients(
    theirs: nn.Module, ours: nn.Module, tolerance: float, each: float | None = None
) -> None:
    """Compare gradients: of all parameters together, and each relative to its own size.

    Args:
        theirs: of transformers.
        ours: the encoder.
        tolerance: of all together.
        each: of one parameter. None: the same. Biases of queries need more in float32: their
            gradients are small sums of large numbers.
    """
    found = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    expected = own_names({name: grad for name, grad in found.items() if grad is not None})
    errors, sizes = [], []
    for name, parameter in ours.named_parameters():
        assert parameter.grad is not None, name
        errors.append((parameter.grad - expected[name]).norm())
        sizes.append(expected[name].norm())
        assert errors[-1] <= (each or tolerance) * sizes[-1], name
    assert torch.stack(errors).norm() <= tolerance * torch.stack(sizes).norm()
