"""A small network of the family of VideoMAE, for tests, demonstrations and dry runs on a CPU."""

from __future__ import annotations

from typing import Literal

from echolm.encoders import ENCODERS
from echolm.encoders.video_transformer import VideoTransformer


@ENCODERS.register
class TinyVideoMAE(VideoTransformer):
    """Four transformer blocks over 128 tokens: 16 frames of 32 x 32, cubes of 2 x 8 x 8."""

    size = 32
    scale = "0-1"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    blocks = 4
    width = 64
    heads = 4
    hidden = 256
    token_grid = (8, 4, 4)
    forward_flops = 73_400_320

    name: Literal["tiny-videomae"] = "tiny-videomae"
