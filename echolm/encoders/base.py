"""The interface of encoder networks: stages that pass a ``State`` and end in ``Features``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from echolm.encoders import Encoder
from echolm.errors import EchoLMError


@dataclass
class State:
    """What one stage hands to the next."""

    tensors: dict[str, Tensor]
    """Batch first."""
    meta: dict[str, Any] = field(default_factory=dict)
    """Static and equal for every sample, such as the token grid of a video transformer."""
    context: dict[str, Tensor] = field(default_factory=dict)
    """What is known of the clips beside their pixels, batch first.

    ``frames`` B x T int64 are the original numbers of their frames. All stages hand it on.
    """


@dataclass
class Features:
    """What an encoder ends in."""

    pooled: Tensor
    """B x D."""
    frames: Tensor | None = None
    """B x T x D."""
    tokens: Tensor | None = None
    """B x T x H x W x D. Of clips of which M tokens were kept (``keep_tokens``): B x M x D."""
    context: dict[str, Tensor] = field(default_factory=dict)
    """That of ``State``."""


class TokenStem(nn.Module):
    """A stem that makes one token of each cube of a clip, for encoders that are ``maskable``.

    It maps ``clip`` to ``tokens`` B x N x D with their positions added, in the order (t, h, w) of
    ``grid``. So token n is that of cube ``unravel_index(n, grid)``, whose pixels are a block of the
    shape ``cube``. The blocks after it take any subset of them (``keep_tokens``).

    Attributes:
        grid: (T', H', W'), as ``Encoder.token_grid``. Their product is N.
        cube: frames, height and width of a cube in pixels. The clip is ``grid`` times as large.
        width: D.
    """

    def __init__(self, grid: tuple[int, int, int], cube: tuple[int, int, int], width: int) -> None:
        super().__init__()
        self.grid = grid
        self.cube = cube
        self.width = width


def keep_tokens(state: State, kept: Tensor) -> State:
    """Keep some tokens of each clip, as a masked autoencoder does between stem and blocks.

    Blocks do not know of it. They carry ``kept`` on, and the readout gives Features without frames,
    whose ``tokens`` are B x M x D in the order of ``kept``::

        state = encoder.run(State({"clip": clip}), 0, 1)
        features = encoder.run(keep_tokens(state, kept), 1, len(encoder.blocks) + 2)

    Args:
        state: what a ``TokenStem`` gives.
        kept: int64 B x M, the places 0 to N - 1 of the tokens that stay, in any order.
    """
    tokens = state.tensors["tokens"]
    places = kept[:, :, None].expand(-1, -1, tokens.shape[2])
    tensors = {**state.tensors, "tokens": tokens.gather(1, places), "kept": kept}
    return State(tensors, state.meta, state.context)


class EncoderNetwork(nn.Module):
    """Stem, blocks, readout.

    ``stem`` maps a State whose tensor ``clip`` is B x 3 x T x H x W to a State. Each block maps a
    State to a State, ``readout`` a State to Features.
    """

    def __init__(self, stem: nn.Module, blocks: list[nn.Module], readout: nn.Module) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.readout = readout

    def stages(self) -> list[nn.Module]:
        """List all stages by position: stem, blocks, readout."""
        return [self.stem, *self.blocks, self.readout]

    def run(self, state: State | Features, start: int, stop: int) -> State | Features:
        """Pass ``state`` through the stages at positions ``start`` to ``stop - 1``.

        Its context is handed on, with what stages add to it.
        """
        context = state.context
        for stage in self.stages()[start:stop]:
            state = stage(state)
            context = {**context, **state.context}
            state.context = context
        return state

    def forward(self, clip: Tensor) -> Features:
        """Compute features of clips.

        Args:
            clip: B x 3 x T x H x W, normalised as the encoder's declaration says.
        """
        features = self.run(State({"clip": clip}), 0, len(self.blocks) + 2)
        return cast(Features, features)

    @torch.no_grad()
    def attentions(self, clip: Tensor) -> Iterator[Tensor]:
        """Compute the attention maps of one block after another, off the training path.

        A block that has them gives them by ``explain``. At 16 x 224 x 224 those of one block are
        118 MB a clip, so they come one by one.

        Args:
            clip: B x 3 x T x H x W, normalised as the encoder's declaration says.

        Yields:
            B x heads x N x N, whose rows sum to 1.

        Raises:
            EchoLMError: the encoder has none (``Encoder.attention_maps``).
        """
        state = self.stem(State({"clip": clip}))
        for block in self.blocks:
            if not hasattr(block, "explain"):
                raise EchoLMError(
                    f"{type(block).__name__}: its attention maps cannot be asked for; valid: an "
                    "encoder of the family of VideoMAE or ViViT"
                )
            state, maps = block.explain(state)
            yield maps


def normalise(clips: Tensor, encoder: Encoder, into: Tensor | None = None) -> Tensor:
    """Bring clips into the encoder's own scale and statistics.

    The gray channel is repeated only here (a view until the subtraction).

    Args:
        clips: B x T x H x W gray values in 0-255.
        encoder: which declares ``scale``, ``mean`` and ``std``.
        into: is filled and returned, B x 3 x T x H x W of the clips' type. None: a new tensor.

    Returns:
        B x 3 x T x H x W.
    """
    scale = 1.0 if encoder.scale == "0-255" else 255.0
    mean = _channels(tuple(encoder.mean), scale, clips.dtype, clips.device)
    std = _channels(tuple(encoder.std), scale, clips.dtype, clips.device)
    return torch.sub(clips.unsqueeze(1), mean, out=into).div_(std)


@lru_cache(maxsize=64)
def _channels(
    values: tuple[float, ...], scale: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Return a value a channel as 1 x 3 x 1 x 1 x 1. It is kept: nothing waits for it again."""
    with torch.inference_mode(False):
        numbers = torch.tensor(values, dtype=dtype, device=device) * scale
        return numbers.view(1, -1, 1, 1, 1)
