"""Heads: a vector per clip (or Features) -> outputs of the shape the task asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from echolm.errors import EchoLMError
from echolm.registry import Component, Registry

if TYPE_CHECKING:
    from torch import Tensor, nn


class Head(Component):
    """Maps what an encoder gives to outputs.

    ``build`` returns a module ``forward(x) -> B x *outputs``, where ``takes`` says what x is.
    """

    takes: ClassVar[Literal["vector", "features"]] = "vector"
    """``vector``: what the fusion gives. ``features``: the encoder's Features."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Fields of Features it reads itself (only with ``takes = "features"``)."""
    landmarks_only: ClassVar[bool] = False
    """Whether ``outputs`` must be (phases, points, 2)."""
    starts_from_mean: ClassVar[bool] = False
    """Whether the module has ``begin(output)`` and takes the start of every task.

    It is called once before training with ``Task.start``, or the mean training target (*outputs)
    where a task has no start.
    """
    closed_form: ClassVar[bool] = False
    """Whether the module has ``fit(moments)`` and is fitted once by least squares before training.

    ``echolm.training.closed_form`` does it. Nothing trains then, so the encoder must be frozen.
    """

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """Build the module.

        Args:
            width: of the vectors it takes, or of the tokens or frames that it ``needs``.
            outputs: shape of its outputs per sample.
        """
        raise TypeError(f"head {self.name} does not implement build")

    def check_width(self, width: int) -> None:
        """Raise ValueError when the head cannot be built for this width."""

    def begin(self, module: nn.Module, output: Tensor) -> None:
        """Let a module that ``build`` made start from an output (*outputs).

        It becomes the bias of the last linear layer with as many outputs. A module without such a
        layer starts as it is built.
        """
        from torch import nn, no_grad

        if self.starts_from_mean:
            module.begin(output)  # type: ignore[operator]
            return
        layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        if not layers or layers[-1].bias is None:
            return
        bias = layers[-1].bias
        if len(bias) == output.numel():
            with no_grad():
                bias.copy_(output.flatten())


Channels = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]


class GraphHead(Head):
    """A head that maps the vector to the nodes of a graph, one a point and phase.

    Graph convolutions with ELU between them follow.
    """

    landmarks_only = True

    channels: Channels = (16, 32, 32, 48)
    """Widths of the convolutions, read from the last to the first.

    They are EchoGraphs' configuration. NLDL 2026 gives no widths.
    """

    def contours(self, outputs: tuple[int, ...]) -> tuple[int, int]:
        """Return phases and points of ``outputs`` (phases, points, 2).

        Raises:
            EchoLMError: for another shape.
        """
        if len(outputs) != 3 or outputs[-1] != 2:
            raise EchoLMError(
                f"head {self.name} gives landmarks (phases, points, 2), "
                f"not outputs of shape {outputs}"
            )
        phases, points, _ = outputs
        return phases, points


HEADS: Registry[Head] = Registry(
    "head",
    [
        "echolm.heads.mlp",
        "echolm.heads.gcn",
        "echolm.heads.gcn_fullyconnected",
        "echolm.heads.gcnconv",
        "echolm.heads.gatv2",
        "echolm.heads.mean",
        "echolm.heads.linear",
        "echolm.heads.linear_bn",
        "echolm.heads.mlp_bn",
        "echolm.heads.attentive",
        "echolm.heads.ridge",
    ],
)
