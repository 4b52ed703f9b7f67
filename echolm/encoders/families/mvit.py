"""Multiscale vision transformers (MViTv2, Li et al. 2022) as stages.

They are made of torchvision's own modules. State between stages: ``tokens`` B x (1 + T'H'W') x D,
the class token first. Its metadata ``thw`` is (T', H', W').
"""

from __future__ import annotations

from torch import Tensor, nn

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.encoders.families.mvit_attention import MultiscaleAttention
from echolm.encoders.torchvision_compat import import_torchvision

_mvit = import_torchvision().models.video.mvit


class MViTStem(nn.Module):
    """Patches, class token and (where the network has one) absolute position: clip -> tokens."""

    def __init__(self, patches: nn.Module, positions: nn.Module) -> None:
        super().__init__()
        self.patches = patches
        self.positions = positions

    def forward(self, state: State) -> State:
        """Map ``clip`` B x 3 x T x H x W to ``tokens``."""
        patches: Tensor = self.patches(state.tensors["clip"])
        tokens = self.positions(patches.flatten(2).transpose(1, 2))
        return State({"tokens": tokens}, {"thw": tuple(patches.shape[2:])})


class MViTBlock(nn.Module):
    """One transformer block, which may pool the token grid: tokens -> tokens.

    Its attention is replaced by one that gives the same, fused.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block
        block.attn = MultiscaleAttention(block.get_submodule("attn"))

    def forward(self, state: State) -> State:
        """Map ``tokens`` to ``tokens`` on the grid after this block."""
        tokens, thw = self.block(state.tensors["tokens"], state.meta["thw"])
        return State({"tokens": tokens}, {"thw": thw})


class MViTReadout(nn.Module):
    """The end of the network: tokens -> Features.

    Pooled is ``head`` of the class token. Frames are the other tokens' mean over space.
    """

    def __init__(self, norm: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.norm = norm
        self.head = head

    def forward(self, state: State) -> Features:
        """Map ``tokens`` to Features after the last LayerNorm."""
        tokens: Tensor = self.norm(state.tensors["tokens"])
        class_token = tokens[:, 0]
        grid = tokens[:, 1:].reshape(len(tokens), *state.meta["thw"], tokens.shape[-1])
        return Features(pooled=self.head(class_token), frames=grid.mean(dim=(2, 3)), tokens=grid)


def from_torchvision(network: nn.Module, keep_head: bool = False) -> EncoderNetwork:
    """Arrange a torchvision ``MViT`` as stages, which share its parameters.

    Its ``head`` is left out unless ``keep_head``.
    """
    stem = MViTStem(network.get_submodule("conv_proj"), network.get_submodule("pos_encoding"))
    blocks = network.get_submodule("blocks").children()
    head = network.get_submodule("head") if keep_head else nn.Identity()
    readout = MViTReadout(network.get_submodule("norm"), head)
    return EncoderNetwork(stem, [MViTBlock(block) for block in blocks], readout)


def small(
    frames: int,
    size: int,
    widths: list[int],
    heads: list[int],
    strides: list[int],
    kv_strides: list[int],
    dropout: float,
    stochastic_depth: float,
) -> EncoderNetwork:
    """Build a small network of the family, with a block for each of ``widths``.

    It has MViTv2's choices: pooling residual, relative positions.

    Args:
        frames: of a clip.
        size: height and width of a frame.
        widths: of each block's output.
        heads: of each block.
        strides: spatial strides of each block's queries.
        kv_strides: spatial strides of each block's keys and values.
        dropout: of attention.
        stochastic_depth: of the last block. It grows from 0.
    """
    inputs = [widths[0], *widths[:-1]]
    blocks = []
    for number, width in enumerate(widths):
        block = _mvit.MSBlockConfig(
            num_heads=heads[number],
            input_channels=inputs[number],
            output_channels=width,
            kernel_q=[3, 3, 3],
            kernel_kv=[3, 3, 3],
            stride_q=[1, strides[number], strides[number]],
            stride_kv=[1, kv_strides[number], kv_strides[number]],
        )
        blocks.append(block)
    network: nn.Module = _mvit.MViT(
        (size, size),
        frames,
        blocks,
        residual_pool=True,
        residual_with_cls_embed=False,
        rel_pos_embed=True,
        proj_after_attn=True,
        attention_dropout=dropout,
        stochastic_depth_prob=stochastic_depth,
        num_classes=1,
    )
    return from_torchvision(network)
