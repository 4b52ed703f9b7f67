"""The network of STF-Net, written from the text and the shapes of Echo-Vision-FM."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echolm.encoders.base import Features
from echolm.encoders.families.positions import grid_sinusoids, sinusoids_at
from echolm.errors import EchoLMError
from echolm.fusion.gated_pooling import GatedPooling


class ResidualBlock(nn.Module):
    """A bottleneck of three convolutions with BatchNorm beside a residual, then ReLU.

    Args:
        width: channels, of which the middle has half.
        dimensions: 2 or 3.
    """

    def __init__(self, width: int, dimensions: int) -> None:
        super().__init__()
        convolution = nn.Conv3d if dimensions == 3 else nn.Conv2d
        norm = nn.BatchNorm3d if dimensions == 3 else nn.BatchNorm2d
        middle = width // 2
        self.block = nn.Sequential(
            convolution(width, middle, 1, bias=False),
            norm(middle),
            nn.ReLU(),
            convolution(middle, middle, 3, padding=1, bias=False),
            norm(middle),
            nn.ReLU(),
            convolution(middle, width, 1, bias=False),
            norm(width),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Map B x width x ... to the same shape."""
        return torch.relu(maps + self.block(maps))


class JointPath(nn.Module):
    """Time and space at once: tokens B x T x H x W x D -> B x D.

    Args:
        grid: (T, H, W).
        width: D.
        hidden: within the gated attention.
        is_permuted: whether the channels are moved behind the positions after the 3D block. Else
            its memory is read as it lies.
    """

    encodings: Tensor

    def __init__(
        self, grid: tuple[int, int, int], width: int, hidden: int, is_permuted: bool
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(width, dimensions=3)
        self.pooling = GatedPooling(width, hidden)
        self.is_permuted = is_permuted
        self.register_buffer("encodings", grid_sinusoids(grid, width), persistent=False)

    def forward(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Map tokens to vectors. The numbers of the frames are not used."""
        encoded = tokens + self.encodings.to(tokens.dtype)
        maps = self.block(encoded.permute(0, 4, 1, 2, 3).contiguous())
        if self.is_permuted:
            mixed = maps.flatten(2).transpose(1, 2)
        else:
            # B x D x T x H x W is read as B x (T H W) x D.
            mixed = maps.reshape(len(maps), -1, maps.shape[1])
        vectors: Tensor = self.pooling(mixed)
        return vectors


class DisjointPath(nn.Module):
    """Space, then time: tokens B x T x H x W x D -> B x D.

    Args:
        grid: (T, H, W).
        width: D.
        hidden: within the gated attention.
        is_permuted: whether the channels are moved before the places for the 2D block. Else the
            memory of the tokens is read as it lies.
    """

    def __init__(
        self, grid: tuple[int, int, int], width: int, hidden: int, is_permuted: bool
    ) -> None:
        super().__init__()
        self.block = ResidualBlock(width, dimensions=2)
        self.pool_places = nn.Conv2d(width, width, grid[1:])
        self.encode = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.pooling = GatedPooling(width, hidden)
        self.is_permuted = is_permuted

    def forward(self, tokens: Tensor, numbers: Tensor) -> Tensor:
        """Map tokens and the original numbers of the frames (B x frames) to vectors."""
        batch, times, height, width, channels = tokens.shape
        if self.is_permuted:
            maps = tokens.flatten(0, 1).permute(0, 3, 1, 2)
        else:
            # (B T) x H x W x D is read as (B T) x D x H x W.
            maps = tokens.reshape(batch * times, channels, height, width)
        vectors = self.pool_places(self.block(maps)).view(batch, times, channels)
        encodings = sinusoids_at(numbers, channels).unflatten(1, (times, -1)).mean(dim=2)
        vectors = vectors + self.encode(encodings.to(tokens.dtype))
        pooled: Tensor = self.pooling(vectors)
        return pooled


class STFNetwork(nn.Module):
    """Features with the context ``frames`` -> the vectors of its paths beside each other."""

    def __init__(self, paths: list[nn.Module]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, features: Features) -> Tensor:
        """Map Features to vectors.

        Raises:
            EchoLMError: the numbers of the frames are not known.
        """
        assert features.tokens is not None
        numbers = features.context.get("frames")
        if numbers is None:
            raise EchoLMError(
                "fusion stf-net needs the original numbers of the frames; valid: a State with the "
                "context 'frames'"
            )
        return torch.cat([path(features.tokens, numbers) for path in self.paths], dim=1)
