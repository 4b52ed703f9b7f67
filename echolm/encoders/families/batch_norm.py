"""Stages whose BatchNorm follows the configuration."""

from __future__ import annotations

from typing import Literal, Self

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

BatchNorm = Literal["frozen", "batch"]


class Stage(nn.Module):
    """A stage whose BatchNorm stays in eval mode when it is ``frozen``.

    It has stored statistics then, and trainable affine parameters.
    """

    def __init__(self, batch_norm: BatchNorm) -> None:
        super().__init__()
        self.batch_norm = batch_norm

    def train(self, mode: bool = True) -> Self:
        """Set the mode, as of any module, but for frozen BatchNorm."""
        super().train(mode)
        if self.batch_norm == "frozen":
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self
