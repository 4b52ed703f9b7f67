"""Names of a video transformer's tensors in published files, brought to the names used here.

Two layouts are known. The Hugging Face hub has queries, keys and values apart, behind ``videomae.``
where the file holds more than the encoder. Up to transformers 4 it names their biases ``q_bias``
and ``v_bias``, from 5 on ``query.bias`` and ``value.bias``. VideoMAE's authors have them in one
tensor ``qkv``, behind ``encoder.`` in files of the pretraining.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from echolm.encoders.families.video_transformer import FinalNorm

CONTAINERS = ("model", "module")
"""Keys under which the authors' files hold the state dict."""

_UNUSED = r"encoder_to_decoder\..*|mask_token|decoder\..*|classifier\..*|head\..*"
"""Of the decoder of a pretraining, and of a classifier."""

_PREFIX = r"videomae\.|encoder\.(?=patch_embed\.|pos_embed|blocks\.|norm\.)"
_RENAMES = (
    # the hub
    (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"stem.cubes.\1"),
    (r"encoder\.layer\.(\d+)\.layernorm_before\.(\w+)", r"blocks.\1.attention_norm.\2"),
    (r"encoder\.layer\.(\d+)\.layernorm_after\.(\w+)", r"blocks.\1.feed_norm.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.([qv]_bias)", r"blocks.\1.attention.\2"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.query\.bias", r"blocks.\1.attention.q_bias"),
    (r"encoder\.layer\.(\d+)\.attention\.attention\.value\.bias", r"blocks.\1.attention.v_bias"),
    (
        r"encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)\.weight",
        r"blocks.\1.attention.\2.weight",
    ),
    (r"encoder\.layer\.(\d+)\.attention\.output\.dense\.(\w+)", r"blocks.\1.attention.output.\2"),
    (r"encoder\.layer\.(\d+)\.intermediate\.dense\.(\w+)", r"blocks.\1.feed_forward.0.\2"),
    (r"encoder\.layer\.(\d+)\.output\.dense\.(\w+)", r"blocks.\1.feed_forward.2.\2"),
    (r"layernorm\.(\w+)", r"readout.norm.\1"),
    # the authors
    (r"patch_embed\.proj\.(\w+)", r"stem.cubes.\1"),
    (r"pos_embed", r"stem.positions"),
    (r"blocks\.(\d+)\.norm1\.(\w+)", r"blocks.\1.attention_norm.\2"),
    (r"blocks\.(\d+)\.norm2\.(\w+)", r"blocks.\1.feed_norm.\2"),
    (r"blocks\.(\d+)\.attn\.([qv]_bias|qkv\.weight)", r"blocks.\1.attention.\2"),
    (r"blocks\.(\d+)\.attn\.proj\.(\w+)", r"blocks.\1.attention.output.\2"),
    (r"blocks\.(\d+)\.mlp\.fc1\.(\w+)", r"blocks.\1.feed_forward.0.\2"),
    (r"blocks\.(\d+)\.mlp\.fc2\.(\w+)", r"blocks.\1.feed_forward.2.\2"),
    (r"norm\.(\w+)", r"readout.norm.\1"),
    # both
    (r"fc_norm\.(\w+)", r"readout.norm.\1"),
)


def unused_keys(final_norm: FinalNorm) -> str:
    """Return the regular expression of keys that an encoder with this last LayerNorm leaves out.

    A file may hold the one over tokens (``layernorm``, ``norm``), the one over the pooled vector
    (``fc_norm``), or none.
    """
    unused = [_UNUSED]
    if final_norm != "tokens":
        unused.append(r"(videomae\.)?layernorm\..*|(encoder\.)?norm\..*")
    if final_norm != "pooled":
        unused.append(r"fc_norm\..*")
    return "|".join(unused)


def own_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a published file, and join queries, keys and values.

    A name that is in neither layout stays as it is.
    """
    return join_weights(rename_all(state, _PREFIX, _RENAMES))


def rename_all(
    state: dict[str, Tensor], prefix: str, renames: Sequence[tuple[str, str]]
) -> dict[str, Tensor]:
    """Rename tensors by the first rule whose pattern matches the whole name behind its prefix.

    Args:
        state: the tensors.
        prefix: a regular expression of what a name may begin with and no rule knows of.
        renames: pattern and new name. A name that no pattern matches stays as it is.
    """
    renamed = {}
    for key, value in state.items():
        renamed[_own_name(key, prefix, renames)] = value
    return renamed


def _own_name(key: str, prefix: str, renames: Sequence[tuple[str, str]]) -> str:
    bare = re.sub(rf"^(?:{prefix})", "", key)
    for pattern, own in renames:
        match = re.fullmatch(pattern, bare)
        if match:
            return match.expand(own)
    return key


def join_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Put the weights of each attention's queries, keys and values into one tensor ``qkv``."""
    joined = dict(state)
    for key in state:
        if key.endswith(".attention.query.weight"):
            _join(joined, key.removesuffix("query.weight"))
    return joined


def _join(state: dict[str, Tensor], attention: str) -> None:
    """Put the three weights of an attention into one, unless the file lacks one of them."""
    names = [f"{attention}{part}.weight" for part in ("query", "key", "value")]
    weights = [state.get(name) for name in names]
    found = [weight for weight in weights if weight is not None]
    if len(found) < len(names) or len({weight.shape for weight in found}) > 1:
        return
    for name in names:
        del state[name]
    state[f"{attention}qkv.weight"] = torch.cat(found)
