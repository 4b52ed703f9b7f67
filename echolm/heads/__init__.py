"""Heads: a vector per clip (or Features) -> outputs of the shape the task asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

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


HEADS: Registry[Head] = Registry("head", ["echolm.heads.mlp", "echolm.heads.gcn", "echolm.heads.mean"])
