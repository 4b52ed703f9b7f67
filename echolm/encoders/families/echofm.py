"""EchoFM's transformer (Kim et al., IEEE TMI 2025) as stages.

It is the spatio-temporal masked autoencoder of Feichtenhofer et al. (2022). A clip is cut into
cubes, and every token attends to all others and to a class token. Positions in time and in space
are learned apart. State between stages: ``tokens`` B x N x D in the order (t, h, w), and beside
them the class token (``class``, B x 1 x D), so that a masked autoencoder may drop tokens by their
places (``echolm.encoders.base.keep_tokens``).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, State, TokenStem
from echolm.encoders.families.video_transformer import Attention, VideoTransformerReadout

EPSILON = 1e-6
"""Of each LayerNorm."""
DEVIATION = 0.02
"""Of the normal distribution that learned positions and class tokens begin with."""


class SeparatePositions(nn.Module):
    """Learned positions of tokens: one of their place, and one of their time.

    Args:
        grid: (T', H', W') of the tokens.
        width: D.
    """

    def __init__(self, grid: tuple[int, int, int], width: int) -> None:
        super().__init__()
        time, height, width_in_tokens = grid
        self.space = nn.Parameter(torch.empty(1, height * width_in_tokens, width))
        self.time = nn.Parameter(torch.empty(1, time, width))
        for parameter in (self.space, self.time):
            nn.init.trunc_normal_(parameter, std=DEVIATION)

    def forward(self) -> Tensor:
        """Return the positions of all tokens, 1 x N x D in the order (t, h, w)."""
        return (self.time[:, :, None] + self.space[:, None]).flatten(1, 2)


class ClassToken(nn.Module):
    """A learned token beside those of the cubes, with a position of its own.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(1, 1, width))
        self.position = nn.Parameter(torch.empty(1, 1, width))
        for parameter in (self.token, self.position):
            nn.init.trunc_normal_(parameter, std=DEVIATION)

    def forward(self, samples: int) -> Tensor:
        """Return it for each of ``samples``, B x 1 x D."""
        return (self.token + self.position).expand(samples, -1, -1)


class EchoFMStem(TokenStem):
    """Tokens of cubes with their positions, and the class token: clip -> tokens, class.

    Args:
        grid: how many cubes there are along time, height and width.
        cube: frames, height and width of a cube in pixels.
        width: D of a token.
    """

    def __init__(self, grid: tuple[int, int, int], cube: tuple[int, int, int], width: int) -> None:
        super().__init__(grid, cube, width)
        self.cubes = nn.Conv3d(3, width, cube, stride=cube)
        # As a linear layer of the flattened cube, which it is.
        nn.init.xavier_uniform_(self.cubes.weight.view(width, -1))
        self.positions = SeparatePositions(grid, width)
        self.class_token = ClassToken(width)

    def forward(self, state: State) -> State:
        """Map ``clip`` B x 3 x T x H x W to ``tokens`` and ``class``."""
        cubes: Tensor = self.cubes(state.tensors["clip"])
        tokens = cubes.flatten(2).transpose(1, 2) + self.positions()
        tensors = {"tokens": tokens, "class": self.class_token(len(tokens))}
        return State(tensors, {"grid": tuple(cubes.shape[2:])})


class EchoFMAttention(Attention):
    """Self-attention whose queries, keys and values all have biases.

    The bias of keys changes nothing. Published files have it.

    Args:
        width: D of a token.
        heads: among which D is divided.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads, biases=False)
        self.qkv = nn.Linear(width, 3 * width)

    def _project(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute queries, keys and values, each B x heads x N x (D / heads)."""
        projected: Tensor = self.qkv(tokens)
        query, key, value = projected.unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return query, key, value


class EchoFMLayer(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and beside a residual: B x N x D.

    Args:
        width: D of a token.
        heads: of the attention.
        hidden: width within the feed-forward part.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=EPSILON)
        self.attention = EchoFMAttention(width, heads)
        self.feed_norm = nn.LayerNorm(width, eps=EPSILON)
        self.feed_forward = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width)
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map B x N x D to B x N x D."""
        return self._feed(tokens + self.attention(self.attention_norm(tokens)))

    def explain(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Compute what ``forward`` gives, and the attention maps B x heads x N x N."""
        mixed, maps = self.attention.explain(self.attention_norm(tokens))
        return self._feed(tokens + mixed), maps

    def _feed(self, tokens: Tensor) -> Tensor:
        fed: Tensor = tokens + self.feed_forward(self.feed_norm(tokens))
        return fed


class EchoFMBlock(nn.Module):
    """A layer over the tokens of a clip and its class token: tokens, class -> tokens, class.

    Args:
        width: D of a token.
        heads: of the attention.
        hidden: width within the feed-forward part.
    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.layer = EchoFMLayer(width, heads, hidden)

    def forward(self, state: State) -> State:
        """Map ``tokens``, of which there may be any number, and ``class`` to the same."""
        return self._part(state, self.layer(self._join(state)))

    def explain(self, state: State) -> tuple[State, Tensor]:
        """Compute what ``forward`` gives, and the attention maps B x heads x (1 + N) x (1 + N).

        The class token is the first.
        """
        every, maps = self.layer.explain(self._join(state))
        return self._part(state, every), maps

    def _join(self, state: State) -> Tensor:
        return torch.cat([state.tensors["class"], state.tensors["tokens"]], dim=1)

    def _part(self, state: State, every: Tensor) -> State:
        tensors = {**state.tensors, "tokens": every[:, 1:], "class": every[:, :1]}
        return State(tensors, state.meta)


class EchoFMReadout(VideoTransformerReadout):
    """A LayerNorm over tokens, and their mean: tokens -> Features. The class token ends here.

    Args:
        width: D of a token.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width, "tokens", "mean")
        self.norm = nn.LayerNorm(width, eps=EPSILON)


def echofm_network(
    grid: tuple[int, int, int],
    cube: tuple[int, int, int],
    width: int,
    heads: int,
    hidden: int,
    blocks: int,
) -> EncoderNetwork:
    """Build an encoder of the family. Its arguments are those of its stages."""
    layers: list[nn.Module] = []
    for _ in range(blocks):
        layers.append(EchoFMBlock(width, heads, hidden))
    return EncoderNetwork(EchoFMStem(grid, cube, width), layers, EchoFMReadout(width))
