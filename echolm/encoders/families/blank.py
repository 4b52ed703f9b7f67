"""The network that looks at no pixels."""

from __future__ import annotations

from torch import nn

from echolm.encoders.base import EncoderNetwork, Features, State


class Stem(nn.Module):
    """clip -> one zero per sample."""

    def forward(self, state: State) -> State:
        """State with ``clip`` B x ... -> State with ``zeros`` B x 1."""
        clip = state.tensors["clip"]
        return State({"zeros": clip.new_zeros(len(clip), 1)})


class Readout(nn.Module):
    """zeros -> Features."""

    def forward(self, state: State) -> Features:
        """State with ``zeros`` B x 1 -> Features whose ``pooled`` it is."""
        return Features(pooled=state.tensors["zeros"])


def blank() -> EncoderNetwork:
    """A network without blocks and parameters; ``pooled`` is zeros B x 1."""
    return EncoderNetwork(Stem(), [], Readout())
