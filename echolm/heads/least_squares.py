"""A linear map that is fitted in closed form, and the sums that it is fitted from."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from echolm.errors import EchoLMError


class Moments:
    """Number, means and centred products of samples (x, y), in float64.

    Batches are merged by the formulas of Chan, Golub and LeVeque (1979). Sums of products as they
    are would lose digits where means are large beside deviations.

    Args:
        inputs: numbers of x.
        outputs: numbers of y.
        device: where they are kept.
    """

    def __init__(self, inputs: int, outputs: int, device: torch.device | str = "cpu") -> None:
        self.count = 0
        self.inputs = inputs
        joint = inputs + outputs
        self.mean = torch.zeros(joint, dtype=torch.float64, device=device)
        # Rows are those of x alone: products of y with y are not needed.
        self.products = torch.zeros(inputs, joint, dtype=torch.float64, device=device)

    def add(self, x: Tensor, y: Tensor) -> None:
        """Add samples.

        Args:
            x: B x inputs.
            y: B x outputs.
        """
        if not len(x):
            return
        joint = torch.cat([x.double(), y.double()], dim=1)
        mean = joint.mean(0)
        centred = joint - mean
        total = self.count + len(x)
        shift = mean - self.mean
        weight = self.count * len(x) / total
        self.products += centred[:, : self.inputs].T @ centred
        self.products += weight * torch.outer(shift[: self.inputs], shift)
        self.mean += shift * (len(x) / total)
        self.count = total

    def over_ranks(self, add_up: Callable[[Tensor], Tensor]) -> None:
        """Become the moments of all ranks' samples.

        Args:
            add_up: sums a tensor over ranks, in place.
        """
        count = self.mean.new_tensor([self.count])
        sums = add_up(torch.cat([count, self.count * self.mean]))
        total = int(sums[0])
        mean = sums[1:] / total
        shift = self.mean - mean
        own = self.products + self.count * torch.outer(shift[: self.inputs], shift)
        self.products = add_up(own)
        self.mean = mean
        self.count = total


class LeastSquares(nn.Module):
    """A linear map in float64 without parameters to train. NaN until it is fitted or loaded.

    Args:
        width: of the vectors.
        outputs: shape of the outputs of a sample.
        alpha: weight of the squared norm of the map.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, width: int, outputs: tuple[int, ...], alpha: float) -> None:
        super().__init__()
        numbers = math.prod(outputs)
        self.outputs = outputs
        self.alpha = alpha
        unknown = torch.full((width, numbers), torch.nan, dtype=torch.float64)
        self.register_buffer("weight", unknown)
        self.register_buffer("bias", unknown[0].clone())

    def fit(self, moments: Moments) -> None:
        """Solve the normal equations of centred samples.

        Raises:
            EchoLMError: features that are not finite, or too large for the penalty to be felt.
        """
        width = len(self.weight)
        products = moments.products
        if not bool(torch.isfinite(products).all()):
            raise EchoLMError("the features of the training clips are not finite")
        normal = products[:, :width].clone()
        normal.diagonal().add_(self.alpha)
        factor, failed = torch.linalg.cholesky_ex(normal)
        # Pivots below the rounding of the largest entry hold no digit of the features. Whether
        # the factor exists nevertheless is chance.
        rounding = width * torch.finfo(normal.dtype).eps * normal.diagonal().max()
        if int(failed) or bool(factor.diagonal().square().min() <= rounding):
            raise EchoLMError(
                f"head ridge: alpha {self.alpha:g} is too small for these features: the normal "
                "equations are singular; choose a larger alpha"
            )
        weight = torch.cholesky_solve(products[:, width:], factor)
        self.weight.copy_(weight)
        self.bias.copy_(moments.mean[width:] - moments.mean[:width] @ weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map B x width to B x *outputs, float64."""
        return (x.double() @ self.weight + self.bias).unflatten(1, self.outputs)
