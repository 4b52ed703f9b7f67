"""VideoMAE with ViT-B (Tong et al., NeurIPS 2022). Weights are read from a file."""

from __future__ import annotations

from typing import Literal

from echolm.encoders import ENCODERS, KINETICS, PublishedWeights
from echolm.encoders.video_transformer import VideoTransformer


@ENCODERS.register
class VideoMAEB(VideoTransformer):
    """Twelve transformer blocks over 1,568 tokens, cubes of 2 x 16 x 16.

    ``kinetics400`` was pretrained without labels and has its LayerNorm over tokens.
    ``kinetics400-finetuned`` then learned to classify, and has it over the pooled vector
    (``final_norm: pooled``, or ``none`` to leave it out).
    """

    size = 224
    scale = "0-1"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    blocks = 12
    width = 768
    heads = 12
    hidden = 3072
    token_grid = (8, 14, 14)
    forward_flops = 360_689_172_480
    published = {
        "kinetics400": PublishedWeights(
            file="videomae-base/pytorch_model.bin",
            origin="https://huggingface.co/MCG-NJU/videomae-base",
            licence="CC BY-NC 4.0 (non-commercial)",
            seen=(KINETICS,),
        ),
        "kinetics400-finetuned": PublishedWeights(
            file="videomae-base-finetuned-kinetics/pytorch_model.bin",
            origin="https://huggingface.co/MCG-NJU/videomae-base-finetuned-kinetics",
            licence="CC BY-NC 4.0 (non-commercial)",
            seen=(KINETICS,),
        ),
    }

    name: Literal["videomae-b"] = "videomae-b"
