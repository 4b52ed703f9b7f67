"""VideoMAE with ViT-L (Tong et al., NeurIPS 2022). Weights are read from a file."""

from __future__ import annotations

from typing import Literal

from echolm.encoders import ENCODERS, KINETICS, PublishedWeights
from echolm.encoders.video_transformer import VideoTransformer


@ENCODERS.register
class VideoMAEL(VideoTransformer):
    """Twenty-four transformer blocks over 1,568 tokens, cubes of 2 x 16 x 16.

    ``kinetics400`` was pretrained without labels, ``kinetics400-finetuned`` then classified, as of
    ``videomae-b``.
    """

    size = 224
    scale = "0-1"
    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)
    blocks = 24
    width = 1024
    heads = 16
    hidden = 4096
    token_grid = (8, 14, 14)
    forward_flops = 1_193_665_363_968
    published = {
        "kinetics400": PublishedWeights(
            file="videomae-large/pytorch_model.bin",
            origin="https://huggingface.co/MCG-NJU/videomae-large",
            licence="CC BY-NC 4.0 (non-commercial)",
            seen=(KINETICS,),
        ),
        "kinetics400-finetuned": PublishedWeights(
            file="videomae-large-finetuned-kinetics/pytorch_model.bin",
            origin="https://huggingface.co/MCG-NJU/videomae-large-finetuned-kinetics",
            licence="CC BY-NC 4.0 (non-commercial)",
            seen=(KINETICS,),
        ),
    }

    name: Literal["videomae-l"] = "videomae-l"
