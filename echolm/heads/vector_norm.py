"""BatchNorm over vectors that also takes a batch of one."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class VectorNorm(nn.BatchNorm1d):
    """``BatchNorm1d``, where a batch of one sample is normalised by the stored statistics.

    One sample has no variance. The last batch of an epoch may be one.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map B x width to B x width."""
        if not self.training or len(x) > 1:
            return super().forward(x)
        return functional.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
