"""Heads: a vector per clip (or Features) -> outputs of the shape the task asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from echolm.errors import EchoLMError
from echolm.registry import Component, Registry

if TYPE_CHECKING:
    from torch import nn


class Head(Component):
    """A head. ``build`` returns a module ``forward(x) -> B x *outputs``, x as ``takes`` says."""

    needs: ClassVar[tuple[str, ...]] = ()
    """Fields of Features it reads itself (only with ``takes = "features"``)."""
    takes: ClassVar[Literal["vector", "features"]] = "vector"
    landmarks_only: ClassVar[bool] = False
    """Whether ``outputs`` must be (phases, points, 2)."""
    starts_from_mean: ClassVar[bool] = False
    """Whether the module has ``begin(mean)``, called once before training with the mean training target (*outputs)."""

    def build(self, width: int, outputs: tuple[int, ...]) -> nn.Module:
        """The module for vectors of ``width`` and outputs of shape ``outputs`` per sample."""
        raise TypeError(f"head {self.name} does not implement build")


class GraphHead(Head):
    """A head that decodes the vector into the nodes of a graph, one a point and phase, and maps them by graph
    convolutions with ELU between them.

    ``channels``: the convolutions' widths, read from the last to the first (EchoGraphs' configuration; NLDL 2026 gives
    no widths).
    """

    landmarks_only: ClassVar[bool] = True

    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 32, 32, 48)

    def contours(self, outputs: tuple[int, ...]) -> tuple[int, int]:
        """Phases and points of ``outputs`` (phases, points, 2); EchoLMError for another shape."""
        if len(outputs) != 3 or outputs[-1] != 2:
            raise EchoLMError(f"head {self.name} gives landmarks (phases, points, 2), not outputs of shape {outputs}")
        return outputs[0], outputs[1]


HEADS: Registry[Head] = Registry(
    "head",
    [
        "echolm.heads.mlp",
        "echolm.heads.gcn",
        "echolm.heads.gcn_fullyconnected",
        "echolm.heads.gcnconv",
        "echolm.heads.gatv2",
        "echolm.heads.mean",
    ],
)
