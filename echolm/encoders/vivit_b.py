"""ViViT with ViT-B (Arnab et al., ICCV 2021). Weights are read from a file."""

from __future__ import annotations

from typing import Literal

from echolm.encoders import ENCODERS, KINETICS, PublishedWeights
from echolm.encoders.video_vit import VideoViT


@ENCODERS.register
class ViViTB(VideoViT):
    """Twelve transformer blocks over 1,568 tokens and a class token, cubes of 2 x 16 x 16.

    ``kinetics400`` was trained with labels on clips of 32 frames. Here clips have 16, so its table
    of positions does not fit, and begins anew. Pixels are in [-1, 1], as in its training.
    """

    size = 224
    scale = "0-1"
    mean = (0.5, 0.5, 0.5)
    std = (0.5, 0.5, 0.5)
    blocks = 12
    width = 768
    heads = 12
    hidden = 3072
    token_grid = (8, 14, 14)
    forward_flops = 360_974_684_160
    published = {
        "kinetics400": PublishedWeights(
            file="vivit-b-16x2-kinetics400/pytorch_model.bin",
            origin="https://huggingface.co/google/vivit-b-16x2-kinetics400",
            licence="MIT",
            seen=(KINETICS,),
        )
    }

    name: Literal["vivit-b"] = "vivit-b"
