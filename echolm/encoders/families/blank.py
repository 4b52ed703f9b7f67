"""The network that looks at no pixels."""

from __future__ import annotations

from torch import nn

from echolm.encoders.base import EncoderNetwork, Features, State


class BlankStem(nn.Module):
    """The beginning: clip -> one zero per sample."""

    def forward(self, state: State) -> State:
        """Map ``clip`` B x ... to ``zeros`` B x 1."""
        clip = state.tensors["clip"]
        return State({"zeros": clip.new_zeros(len(clip), 1)})


class BlankReadout(nn.Module):
    """The end: zeros -> Features."""

    def forward(self, state: State) -> Features:
        """Map ``zeros`` B x 1 to Features whose ``pooled`` they are."""
        return Features(pooled=state.tensors["zeros"])


def blank() -> EncoderNetwork:
    """Build a network without blocks and parameters. ``pooled`` is zeros B x 1."""
    return EncoderNetwork(BlankStem(), [], BlankReadout())
