"""A small network of the family of ViViT, for tests, demonstrations and dry runs on a CPU."""

from __future__ import annotations

from typing import Literal

from echolm.encoders import ENCODERS
from echolm.encoders.video_vit import VideoViT


@ENCODERS.register
class TinyViViT(VideoViT):
    """Four transformer blocks over 128 tokens and a class token: 16 frames of 32 x 32."""

    size = 32
    scale = "0-1"
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)
    blocks = 4
    width = 64
    heads = 4
    hidden = 256
    token_grid = (8, 4, 4)
    forward_flops = 74_056_704

    name: Literal["tiny-vivit"] = "tiny-vivit"
