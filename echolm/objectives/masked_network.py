"""The network of a masked autoencoder: an encoder on visible tokens, and a decoder.

It is that of VideoMAE (Tong et al. 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from echolm.encoders import Encoder
from echolm.encoders.base import EncoderNetwork, Features, State, TokenStem, keep_tokens
from echolm.encoders.families.positions import sinusoids
from echolm.encoders.families.video_transformer import VideoTransformerBlock
from echolm.objectives.cubes import normalised, pick, statistics, to_cubes
from echolm.objectives.masks import Masks

if TYPE_CHECKING:
    from echolm.objectives.masked_autoencoder import MaskedAutoencoder
    from echolm.training.keyed_dropout import Keys

CHANNELS = 3
HIDDEN = 4
"""How many times as wide as a token the feed-forward part of the decoder is."""


@dataclass(frozen=True)
class Reconstruction:
    """What a masked autoencoder gives. P are the numbers of a cube: its pixels times channels."""

    predicted: Tensor
    """B x M x P."""
    target: Tensor
    """B x M x P, of the same kind."""
    masked: Tensor
    """B x M int64: the places of the masked cubes, ascending."""


class MaskedNetwork(nn.Module):
    """Clips B x 3 x T x H x W, normalised -> Reconstruction.

    Args:
        objective: mask, target and decoder.
        declared: what the encoder reads.
        encoder: its network, whose stem is a TokenStem.
        keys: what masks are drawn from.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        objective: MaskedAutoencoder,
        declared: Encoder,
        encoder: EncoderNetwork,
        keys: Keys,
    ) -> None:
        super().__init__()
        stem = cast(TokenStem, encoder.stem)
        frames, height, width = stem.cube
        self.encoder = encoder
        self.cube = stem.cube
        self.frames = tuple(range(declared.frames))
        """Places in the clip of the frames that are predicted."""
        self.masks = Masks(objective.mask, objective.ratio, stem.grid, keys)
        self.decoder = Decoder(
            count=stem.grid[0] * stem.grid[1] * stem.grid[2],
            inputs=stem.width,
            width=objective.decoder_width,
            depth=objective.decoder_depth,
            heads=objective.decoder_heads,
            outputs=frames * height * width * CHANNELS,
        )
        self._is_normalised = objective.target == "normalised"
        shape = (1, CHANNELS, 1, 1, 1)
        for name, values in (("mean", declared.mean), ("std", declared.std)):
            self.register_buffer(name, torch.tensor(values).view(shape), persistent=False)

    def forward(self, clip: Tensor) -> Reconstruction:
        """Mask, encode the rest, and predict what is masked."""
        masked, visible = self.masks(len(clip))
        last = len(self.encoder.blocks) + 2
        state = cast(State, self.encoder.run(State({"clip": clip}), 0, 1))
        features = self.encoder.run(keep_tokens(state, visible), 1, last)
        tokens = cast(Features, features).tokens
        assert tokens is not None
        predicted = self.decoder(tokens, visible, masked)
        return Reconstruction(predicted, self.target(clip, masked), masked)

    @torch.no_grad()
    def target(self, clip: Tensor, places: Tensor) -> Tensor:
        """Return what is predicted of the cubes at ``places`` (B x M): B x M x P."""
        cubes = pick(self.pixels(clip), places)
        if self._is_normalised:
            cubes = normalised(cubes)
        return cubes.flatten(2)

    @torch.no_grad()
    def pixels(self, clip: Tensor) -> Tensor:
        """Return all cubes of normalised clips in [0, 1]: B x N x pixels x channels."""
        return to_cubes(clip * self.std + self.mean, self.cube)

    @staticmethod
    def statistics(cubes: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation that normalised cubes lack, B x N x 1 x channels."""
        return statistics(cubes)


class Decoder(nn.Module):
    """Encoded visible tokens, and a mask token for each masked one -> numbers of masked cubes.

    Args:
        count: tokens of a clip, N.
        inputs: width of the encoder's tokens.
        width: of its own.
        depth: its blocks.
        heads: of their attention.
        outputs: numbers of a cube.
    """

    positions: Tensor

    def __init__(
        self, count: int, inputs: int, width: int, depth: int, heads: int, outputs: int
    ) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, width, bias=False)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.register_buffer("positions", sinusoids(count, width)[None], persistent=False)
        self.blocks = nn.ModuleList()
        for _ in range(depth):
            self.blocks.append(VideoTransformerBlock(width, heads, HIDDEN * width))
        self.norm = nn.LayerNorm(width)
        self.last = nn.Linear(width, outputs)
        nn.init.trunc_normal_(self.mask_token, std=0.02)
        nn.init.xavier_uniform_(self.project.weight)
        nn.init.xavier_uniform_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, tokens: Tensor, visible: Tensor, masked: Tensor) -> Tensor:
        """Predict the masked cubes.

        Args:
            tokens: the encoder's, B x (N - M) x inputs.
            visible: their places, B x (N - M).
            masked: the places of the others, B x M.

        Returns:
            B x M x outputs.
        """
        positions = self.positions.expand(len(tokens), -1, -1)
        seen = self.project(tokens) + pick(positions, visible)
        hidden = self.mask_token + pick(positions, masked)
        state = State({"tokens": torch.cat([seen, hidden], dim=1)})
        for block in self.blocks:
            state = block(state)
        last = state.tensors["tokens"][:, visible.shape[1] :]
        predicted: Tensor = self.last(self.norm(last))
        return predicted
