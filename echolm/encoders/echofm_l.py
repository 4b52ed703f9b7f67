"""EchoFM's encoder (Kim et al., IEEE TMI 2025). Weights are read from a file."""

from __future__ import annotations

from typing import Literal

from echolm.encoders import ENCODERS, PublishedWeights, SeenData
from echolm.encoders.echofm import EchoFMEncoder


@ENCODERS.register
class EchoFML(EchoFMEncoder):
    """ViT-L: twenty-four blocks over 1,568 tokens and a class token, cubes of 4 x 16 x 16.

    The file may hold decoder and projector too. They are left out.
    """

    size = 224
    blocks = 24
    width = 1024
    heads = 16
    hidden = 4096
    token_grid = (8, 14, 14)
    forward_flops = 1_199_510_224_896
    published = {
        "echofm": PublishedWeights(
            file="echofm_vitl.pth",
            origin="https://huggingface.co/sekeun/EchoFM",
            licence="CC BY-NC-ND 4.0 (non-commercial, no derivatives)",
            seen=(
                SeenData(
                    dataset="private",
                    what="290,000 videos of 6,500 patients in 26 views, not published",
                    source="Kim et al. 2025, Data; newer files of the authors may have seen more",
                ),
            ),
        ),
    }

    name: Literal["echofm-l"] = "echofm-l"
