"""Multiscale vision transformers (MViTv2, Li et al. 2022) as stages, from torchvision's own modules.

State between stages: ``tokens`` B x (1 + T'H'W') x D, the class token first; metadata ``thw`` = (T', H', W').
"""

from __future__ import annotations

from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.torchvision_compat import import_torchvision

_mvit = import_torchvision().models.video.mvit


class Stem(nn.Module):
    """Patches, class token and (where the network has one) absolute position: clip -> tokens."""

    def __init__(self, patches: nn.Module, positions: nn.Module) -> None:
        super().__init__()
        self.patches = patches
        self.positions = positions

    def forward(self, state: State) -> State:
        """State with ``clip`` B x 3 x T x H x W -> State with ``tokens``."""
        patches: Tensor = self.patches(state.tensors["clip"])
        tokens = self.positions(patches.flatten(2).transpose(1, 2))
        return State({"tokens": tokens}, {"thw": tuple(patches.shape[2:])})


class Block(nn.Module):
    """One transformer block, which may pool the token grid: tokens -> tokens."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, state: State) -> State:
        """State with ``tokens`` -> State with ``tokens`` on the grid after this block."""
        tokens, thw = self.block(state.tensors["tokens"], state.meta["thw"])
        return State({"tokens": tokens}, {"thw": thw})


class Readout(nn.Module):
    """tokens -> Features: pooled is ``head`` of the class token; frames are the other tokens' mean over space."""

    def __init__(self, norm: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.head = head

    def forward(self, state: State) -> Features:
        """State with ``tokens`` -> Features after the last LayerNorm."""
        tokens: Tensor = self.norm(state.tensors["tokens"])
        grid = tokens[:, 1:].reshape(len(tokens), *state.meta["thw"], tokens.shape[-1])
        return Features(pooled=self.head(tokens[:, 0]), frames=grid.mean(dim=(2, 3)), tokens=grid)


def from_torchvision(network: nn.Module, keep_head: bool = False) -> EncoderNetwork:
    """Stages of a torchvision ``MViT``, which shares its parameters; its ``head`` is left out unless ``keep_head``."""
    stem = Stem(network.get_submodule("conv_proj"), network.get_submodule("pos_encoding"))
    blocks: list[nn.Module] = [Block(block) for block in network.get_submodule("blocks").children()]
    head = network.get_submodule("head") if keep_head else nn.Identity()
    return EncoderNetwork(stem, blocks, Readout(network.get_submodule("norm"), head))


def small(
    frames: int, size: int, widths: list[int], heads: list[int], strides: list[int], kv_strides: list[int],
    dropout: float, stochastic_depth: float,
) -> EncoderNetwork:
    """A small network of the family: MViTv2's choices (pooling residual, relative positions) in ``len(widths)`` blocks.

    ``strides``, ``kv_strides``: spatial strides of each block's queries, and of its keys and values.
    """
    inputs = [widths[0], *widths[:-1]]
    blocks = [
        _mvit.MSBlockConfig(count, width_in, width, [3, 3, 3], [3, 3, 3], [1, stride, stride], [1, pool, pool])
        for count, width_in, width, stride, pool in zip(heads, inputs, widths, strides, kv_strides, strict=True)
    ]
    network: nn.Module = _mvit.MViT(
        (size, size), frames, blocks, residual_pool=True, residual_with_cls_embed=False, rel_pos_embed=True,
        proj_after_attn=True, attention_dropout=dropout, stochastic_depth_prob=stochastic_depth, num_classes=1,
    )
    return from_torchvision(network)
