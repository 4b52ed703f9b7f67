"""EchoFM's pretraining network: encoder on visible tokens, decoder, and projector of time slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from echolm.encoders import Encoder
from echolm.encoders.base import EncoderNetwork, Features, State, TokenStem, keep_tokens
from echolm.encoders.families.echofm import (
    DEVIATION,
    EPSILON,
    ClassToken,
    EchoFMLayer,
    SeparatePositions,
)
from echolm.objectives.cubes import pick, to_cubes
from echolm.objectives.echofm_contrast import pixel_prior, valid_anchors
from echolm.objectives.masks import Masks
from echolm.training.keyed_dropout import KeyedUniform

if TYPE_CHECKING:
    from echolm.objectives.echofm import EchoFM
    from echolm.training.keyed_dropout import Keys

CHANNELS = 3
HIDDEN = 4
"""How many times as wide as a token the feed-forward part of decoder and projector is."""
SMALLEST = 1e-6
"""Added to the variance of a cube."""


@dataclass(frozen=True)
class EchoFMOutputs:
    """What the network gives. P are the numbers of a predicted cube, T the time slots."""

    predicted: Tensor
    """B x M x P."""
    target: Tensor
    """B x M x P, of the same kind."""
    masked: Tensor
    """B x M int64: the places of the masked cubes, ascending."""
    slots: Tensor
    """B x T x D: the projector's vectors."""
    prior: Tensor
    """B x T x T: see ``pixel_prior``. Of the variant ``paper`` it is not read."""
    draws: Tensor
    """B x 2 in [0, 1): which positive and which negative the variant ``paper`` takes."""


class EchoFMPretraining(nn.Module):
    """Clips B x 3 x F x H x W, normalised -> EchoFMOutputs.

    Args:
        objective: mask, target and decoder.
        declared: what the encoder reads.
        encoder: its network, whose stem is a TokenStem.
        keys: what masks and triplets are drawn from.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, objective: EchoFM, declared: Encoder, encoder: EncoderNetwork, keys: Keys
    ) -> None:
        super().__init__()
        stem = cast(TokenStem, encoder.stem)
        time, height, width = stem.grid
        self.encoder = encoder
        self.slots = time
        self.frames = target_frames(declared.frames, objective.target_frames)
        """Places in the clip of the frames that are predicted."""
        self.cube = (objective.target_frames // time, *stem.cube[1:])
        self.masks = Masks("tube", objective.ratio, stem.grid, keys)
        self.draws = KeyedUniform(keys, "triplet")
        self.decoder = EchoFMDecoder(
            grid=stem.grid,
            inputs=stem.width,
            width=objective.decoder_width,
            depth=objective.decoder_depth,
            heads=objective.decoder_heads,
            outputs=self.cube[0] * self.cube[1] * self.cube[2] * CHANNELS,
        )
        self.projector = Projector(stem.width, objective.projector_heads(declared))
        self._is_normalised = objective.target == "normalised"
        shape = (1, CHANNELS, 1, 1, 1)
        for name, values in (("mean", declared.mean), ("std", declared.std)):
            self.register_buffer(name, torch.tensor(values).view(shape), persistent=False)

    def forward(self, clip: Tensor) -> EchoFMOutputs:
        """Mask, encode the rest, predict what is masked, and project each time slot."""
        masked, visible = self.masks(len(clip))
        last = len(self.encoder.blocks) + 2
        state = cast(State, self.encoder.run(State({"clip": clip}), 0, 1))
        features = cast(Features, self.encoder.run(keep_tokens(state, visible), 1, last))
        tokens = features.tokens
        assert tokens is not None
        return EchoFMOutputs(
            predicted=self.decoder(tokens, visible, masked),
            target=self.target(clip, masked),
            masked=masked,
            slots=self.projector(tokens.unflatten(1, (self.slots, -1))),
            prior=pixel_prior(clip, self.slots),
            draws=self.draws(2),
        )

    def count(self, clip: Tensor) -> int:
        """Count the anchors of a batch that have a positive and a negative by its pixels."""
        return int(valid_anchors(pixel_prior(clip, self.slots)).sum())

    @torch.no_grad()
    def target(self, clip: Tensor, places: Tensor) -> Tensor:
        """Return what is predicted of the cubes at ``places`` (B x M): B x M x P."""
        cubes = pick(self.pixels(clip), places)
        if self._is_normalised:
            mean, deviation = self.statistics(cubes)
            cubes = (cubes - mean) / deviation
        return cubes.flatten(2)

    @torch.no_grad()
    def pixels(self, clip: Tensor) -> Tensor:
        """Return all cubes of the predicted frames in [0, 1]: B x N x pixels x channels."""
        frames = torch.tensor(self.frames, device=clip.device)
        return to_cubes(clip.index_select(2, frames) * self.std + self.mean, self.cube)

    @staticmethod
    def statistics(cubes: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and deviation of all numbers of each cube, B x N x 1 x 1."""
        mean = cubes.mean(dim=(2, 3), keepdim=True)
        variance = cubes.var(dim=(2, 3), keepdim=True, unbiased=True)
        return mean, (variance + SMALLEST).sqrt()


class Projector(nn.Module):
    """One vector for each time slot, by a transformer layer over its visible tokens.

    Args:
        width: D of a token.
        heads: of the layer's attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.layer = EchoFMLayer(width, heads, HIDDEN * width)
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        nn.init.trunc_normal_(self.class_token, std=DEVIATION)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map B x T x V x D, V visible tokens of each slot, to B x T x D."""
        samples, slots = tokens.shape[:2]
        flat = tokens.flatten(0, 1)
        begun = self.class_token.expand(len(flat), -1, -1)
        mixed = self.layer(torch.cat([begun, flat], dim=1))
        projected: Tensor = self.norm(mixed[:, 0]).unflatten(0, (samples, slots))
        return projected


class EchoFMDecoder(nn.Module):
    """Encoded visible tokens, and a mask token for each masked one -> numbers of masked cubes.

    Args:
        grid: (T', H', W') of a clip's tokens.
        inputs: width of the encoder's tokens.
        width: of its own.
        depth: its blocks.
        heads: of their attention.
        outputs: numbers of a cube.
    """

    def __init__(
        self,
        grid: tuple[int, int, int],
        inputs: int,
        width: int,
        depth: int,
        heads: int,
        outputs: int,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, width)
        self.mask_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = SeparatePositions(grid, width)
        self.class_token = ClassToken(width)
        self.layers = nn.ModuleList()
        for _ in range(depth):
            self.layers.append(EchoFMLayer(width, heads, HIDDEN * width))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.last = nn.Linear(width, outputs)
        nn.init.normal_(self.mask_token, std=DEVIATION)
        for linear in (self.project, self.last):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, tokens: Tensor, visible: Tensor, masked: Tensor) -> Tensor:
        """Predict the masked cubes.

        Args:
            tokens: the encoder's, B x (N - M) x inputs.
            visible: their places, B x (N - M).
            masked: the places of the others, B x M.

        Returns:
            B x M x outputs.
        """
        positions = self.positions().expand(len(tokens), -1, -1)
        seen = self.project(tokens) + pick(positions, visible)
        hidden = self.mask_token + pick(positions, masked)
        every = torch.cat([self.class_token(len(tokens)), seen, hidden], dim=1)
        for layer in self.layers:
            every = layer(every)
        predicted: Tensor = self.last(self.norm(every[:, -masked.shape[1] :]))
        return predicted


def target_frames(frames: int, count: int) -> tuple[int, ...]:
    """Return the places of the predicted frames: ``count`` from the first to the last, evenly.

    Of 32 frames 8 are 0, 4, 8, 13, 17, 22, 26, 31: one in each time slot.
    """
    if count == 1:
        return (0,)
    return tuple(place * (frames - 1) // (count - 1) for place in range(count))
