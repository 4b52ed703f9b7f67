"""Names of ViViT's tensors in files of the Hugging Face hub, brought to the names used here.

Transformers up to 4 and from 5 on name them differently. Both are behind ``vivit.`` where the file
holds a classifier too.
"""

from __future__ import annotations

import torch
from torch import Tensor

from echolm.encoders.families.video_transformer_files import join_weights, rename_all

UNUSED = r"classifier\..*"

_PREFIX = r"vivit\."
_LAYER = r"(?:encoder\.layer|layers)\.(\d+)"
_RENAMES = (
    (r"embeddings\.cls_token", r"stem.class_token"),
    (r"embeddings\.position_embeddings", r"stem.positions"),
    (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"stem.cubes.\1"),
    (rf"{_LAYER}\.layernorm_before\.(\w+)", r"blocks.\1.attention_norm.\2"),
    (rf"{_LAYER}\.layernorm_after\.(\w+)", r"blocks.\1.feed_norm.\2"),
    (r"layernorm\.(\w+)", r"readout.norm.\1"),
    (r"pooler\.dense\.(\w+)", r"readout.pooler.0.\1"),
    # transformers 4
    (rf"{_LAYER}\.attention\.attention\.(query|key|value)\.(\w+)", r"blocks.\1.attention.\2.\3"),
    (rf"{_LAYER}\.attention\.output\.dense\.(\w+)", r"blocks.\1.attention.output.\2"),
    (rf"{_LAYER}\.intermediate\.dense\.(\w+)", r"blocks.\1.feed_forward.0.\2"),
    (rf"{_LAYER}\.output\.dense\.(\w+)", r"blocks.\1.feed_forward.2.\2"),
    # transformers 5
    (rf"{_LAYER}\.attention\.q_proj\.(\w+)", r"blocks.\1.attention.query.\2"),
    (rf"{_LAYER}\.attention\.k_proj\.(\w+)", r"blocks.\1.attention.key.\2"),
    (rf"{_LAYER}\.attention\.v_proj\.(\w+)", r"blocks.\1.attention.value.\2"),
    (rf"{_LAYER}\.attention\.o_proj\.(\w+)", r"blocks.\1.attention.output.\2"),
    (rf"{_LAYER}\.mlp\.fc1\.(\w+)", r"blocks.\1.feed_forward.0.\2"),
    (rf"{_LAYER}\.mlp\.fc2\.(\w+)", r"blocks.\1.feed_forward.2.\2"),
)


def own_names(state: dict[str, Tensor], fresh_positions: Tensor) -> dict[str, Tensor]:
    """Rename the tensors of a published file, and join queries, keys and values.

    The biases of keys are left out: each adds one number to all scores of a query, which softmax
    removes.

    Args:
        state: of the file.
        fresh_positions: those of the network, 1 x (1 + N) x D. A table for twice as many cubes,
            that of a clip of twice as many frames, is replaced by it.
    """
    renamed = join_weights(rename_all(state, _PREFIX, _RENAMES))
    own = {}
    for key, value in renamed.items():
        if key.endswith(".attention.key.bias"):
            continue
        for part, name in (("query.bias", "q_bias"), ("value.bias", "v_bias")):
            key = key.replace(f".attention.{part}", f".attention.{name}")
        own[key] = value
    length, width = fresh_positions.shape[1:]
    table = own.get("stem.positions", fresh_positions)
    if table.shape == (1, 2 * length - 1, width):
        own["stem.positions"] = torch.clone(fresh_positions.detach())
    return own
