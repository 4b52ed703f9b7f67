"""A small network of EchoFM's kind, for tests, demonstrations and dry runs on a CPU."""

from __future__ import annotations

from typing import Literal

from echolm.encoders import ENCODERS
from echolm.encoders.echofm import EchoFMEncoder


@ENCODERS.register
class TinyEchoFM(EchoFMEncoder):
    """Four blocks over 128 tokens and a class token: 32 frames of 32 x 32, cubes of 4 x 8 x 8."""

    size = 32
    blocks = 4
    width = 64
    heads = 4
    hidden = 256
    token_grid = (8, 4, 4)
    forward_flops = 80_348_160

    name: Literal["tiny-echofm"] = "tiny-echofm"
