"""Names of EchoFM's tensors in published files, brought to the names used here.

A file holds the state dict of the whole pretraining under ``model``, with queries, keys and values
apart. An earlier release holds the encoder alone.
"""

from __future__ import annotations

import re

import torch
from torch import Tensor

CONTAINER = "model"
"""The key under which a file holds its state dict, beside ``model_args``."""
UNUSED = r"decoder_.*|mask_token|prj_norm\..*"
"""Of decoder and projector."""

_RENAMES = (
    (r"patch_embed\.proj\.(\w+)", r"stem.cubes.\1"),
    (r"pos_embed_spatial", r"stem.positions.space"),
    (r"pos_embed_temporal", r"stem.positions.time"),
    (r"cls_token", r"stem.class_token.token"),
    (r"pos_embed_class", r"stem.class_token.position"),
    (r"blocks\.(\d+)\.norm1\.(\w+)", r"blocks.\1.layer.attention_norm.\2"),
    (r"blocks\.(\d+)\.norm2\.(\w+)", r"blocks.\1.layer.feed_norm.\2"),
    (r"blocks\.(\d+)\.attn\.([qkv])\.(\w+)", r"blocks.\1.layer.attention.\2.\3"),
    (r"blocks\.(\d+)\.attn\.proj\.(\w+)", r"blocks.\1.layer.attention.output.\2"),
    (r"blocks\.(\d+)\.mlp\.fc1\.(\w+)", r"blocks.\1.layer.feed_forward.0.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2\.(\w+)", r"blocks.\1.layer.feed_forward.2.\2"),
    (r"norm\.(\w+)", r"readout.norm.\1"),
)


def own_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a published file, and join queries, keys and values.

    A name that is not of such a file stays as it is.
    """
    renamed = {}
    for key, value in state.items():
        renamed[_own_name(key)] = value
    for key in list(renamed):
        match = re.fullmatch(r"(.*\.attention\.)q\.(weight|bias)", key)
        if match:
            _join(renamed, match[1], match[2])
    return renamed


def _own_name(key: str) -> str:
    for pattern, own in _RENAMES:
        match = re.fullmatch(pattern, key)
        if match:
            return match.expand(own)
    return key


def _join(state: dict[str, Tensor], attention: str, kind: str) -> None:
    """Put the weights or biases of an attention into one, unless the file lacks one of them."""
    names = [f"{attention}{part}.{kind}" for part in "qkv"]
    tensors = [state[name] for name in names if name in state]
    if len(tensors) < len(names) or len({tensor.shape for tensor in tensors}) > 1:
        return
    for name in names:
        del state[name]
    state[f"{attention}qkv.{kind}"] = torch.cat(tensors)
