"""Masks: which tokens of a clip an encoder does not see. They are drawn by key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from echolm.objectives.masking import Mask, masked_count
from echolm.training.keyed_dropout import KeyedUniform

if TYPE_CHECKING:
    from echolm.training.keyed_dropout import Keys


class Masks(nn.Module):
    """Draws the masked and the visible tokens of a batch.

    Args:
        kind: as ``MaskedAutoencoder.mask``.
        ratio: the share that is masked.
        grid: (T', H', W') of the tokens.
        keys: what is drawn from.
    """

    def __init__(self, kind: Mask, ratio: float, grid: tuple[int, int, int], keys: Keys) -> None:
        super().__init__()
        self.kind = kind
        self.ratio = ratio
        self.grid = grid
        per_step = self.kind == "batch-shared"
        self.draws = KeyedUniform(keys, "mask", per="step" if per_step else "sample")

    def forward(self, samples: int) -> tuple[Tensor, Tensor]:
        """Draw for a batch.

        Args:
            samples: of the batch.

        Returns:
            Places of the masked tokens B x M and of the visible ones B x (N - M), ascending.
        """
        time, height, width = self.grid
        if self.kind == "batch-shared":
            masked, visible = _by_chance(self.draws(time * height * width), self.ratio)
            return masked.expand(samples, -1), visible.expand(samples, -1)
        if self.kind == "random":
            return _smallest(self.draws(time * height * width), self.ratio)
        masked, visible = _smallest(self.draws(height * width), self.ratio)
        return _at_all_times(masked, self.grid), _at_all_times(visible, self.grid)


def _smallest(draws: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Mask the share of smallest draws B x N, the first of equal ones."""
    count = masked_count(ratio, draws.shape[1])
    places = draws.argsort(dim=1, stable=True)
    return places[:, :count].sort(dim=1).values, places[:, count:].sort(dim=1).values


def _by_chance(draws: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """Mask the draws (N,) below the ratio, at least one, and not all."""
    is_masked = draws < ratio
    is_masked[draws.argmin()] = True
    is_masked[draws.argmax()] = False
    return is_masked.nonzero()[:, 0], (~is_masked).nonzero()[:, 0]


def _at_all_times(places: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Repeat places B x M of one time at all times: B x (T' * M)."""
    time, height, width = grid
    starts = torch.arange(time, device=places.device) * (height * width)
    return (starts[None, :, None] + places[:, None, :]).flatten(1)
