"""Echo-Vision-FM's encoder (Zhang et al., Nature Communications 2025): VideoMAE with ViT-B.

Weights are read from a file.
"""

from __future__ import annotations

from typing import Literal

from echolm.encoders import ENCODERS, KINETICS, PublishedWeights, SeenData
from echolm.encoders.video_transformer import VideoTransformer


@ENCODERS.register
class EchoVisionFM(VideoTransformer):
    """The network of ``videomae-b``, fed and read as the released code does.

    Pixels are in [0, 1] without mean and standard deviation. There is no last LayerNorm, and pooled
    is the maximum over tokens (the text implies the mean). ``videomae`` are the weights that the
    released pretraining begins with.
    """

    size = 224
    scale = "0-1"
    mean = (0.0, 0.0, 0.0)
    std = (1.0, 1.0, 1.0)
    blocks = 12
    width = 768
    heads = 12
    hidden = 3072
    token_grid = (8, 14, 14)
    forward_flops = 360_689_172_480
    published = {
        "echo-vision-fm": PublishedWeights(
            file="echo-vision-fm/pytorch_model.bin",
            origin="https://github.com/ZiyangZhang0511/Echo-Vison-FM/releases/tag/v1",
            licence="none stated",
            seen=(
                KINETICS,
                SeenData(
                    dataset="mimic-iv-echo",
                    what="all 525,328 videos of 4,579 patients, so every split of it",
                    source="Zhang et al. 2025, Methods; the released code begins with VideoMAE",
                ),
            ),
        ),
        "videomae": PublishedWeights(
            file="videomae-base/pytorch_model.bin",
            origin="https://huggingface.co/MCG-NJU/videomae-base",
            licence="CC BY-NC 4.0 (non-commercial)",
            seen=(KINETICS,),
        ),
    }

    name: Literal["echo-vision-fm"] = "echo-vision-fm"
    final_norm: Literal["tokens", "none", "pooled"] = "none"
    pooling: Literal["mean", "max"] = "max"
