"""The interface of encoder networks: stages that pass a ``State`` and end in ``Features``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from torch import Tensor, nn

from echolm.encoders import Encoder


@dataclass
class State:
    """What one stage hands to the next: batch-first tensors, and static metadata equal for every sample
    (the token grid of a video transformer, for instance)."""

    tensors: dict[str, Tensor]
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass
class Features:
    """What an encoder ends in. ``tokens`` B x T x H x W x D, ``frames`` B x T x D, ``pooled`` B x D."""

    pooled: Tensor
    frames: Tensor | None = None
    tokens: Tensor | None = None


class EncoderNetwork(nn.Module):
    """Stem, blocks, readout.

    ``stem`` maps a State whose tensor ``clip`` is B x 3 x T x H x W to a State, each block State to State,
    ``readout`` State to Features.
    """

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], readout: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.readout = readout

    def stages(self) -> list[nn.Module]:
        """All stages by position: stem, blocks, readout."""
        return [self.stem, *self.blocks, self.readout]

    def run(self, state: State | Features, start: int, stop: int) -> State | Features:
        """Pass ``state`` through the stages at positions ``start`` to ``stop - 1``."""
        for stage in self.stages()[start:stop]:
            state = stage(state)
        return state

    def forward(self, clip: Tensor) -> Features:
        """Features of B x 3 x T x H x W clips, normalised as the encoder's declaration says."""
        return cast(Features, self.run(State({"clip": clip}), 0, len(self.blocks) + 2))


def normalise(clips: Tensor, encoder: Encoder) -> Tensor:
    """B x T x H x W gray values in 0-255 -> B x 3 x T x H x W in the encoder's own scale and statistics.

    The gray channel is repeated only here (a view until the subtraction).
    """
    scale = 1.0 if encoder.scale == "0-255" else 255.0
    mean = clips.new_tensor(encoder.mean).mul(scale).view(1, 3, 1, 1, 1)
    std = clips.new_tensor(encoder.std).mul(scale).view(1, 3, 1, 1, 1)
    return (clips.unsqueeze(1) - mean) / std
