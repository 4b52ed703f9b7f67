"""Objectives: what pretraining learns from clips without labels.

An objective builds its own network around the encoder. The loop knows it by the interface ``Goal``,
as it knows a task. One file an objective.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from echolm.registry import Registry
from echolm.tasks.goal import Goal

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import nn

    from echolm.encoders import Encoder
    from echolm.encoders.base import EncoderNetwork
    from echolm.training.keyed_dropout import Keys


class Objective(Goal):
    """What pretraining learns.

    A class implements ``build`` or ``build_for``, ``prepare`` and ``loss``. It implements ``rows``
    where predictions may be asked for, or where another metric than the loss selects.
    """

    def check_encoder(self, encoder: Encoder) -> None:
        """Raise ValueError when the objective cannot be learned with ``encoder``."""

    def build_for(self, declared: Encoder, encoder: EncoderNetwork, keys: Keys) -> nn.Module:
        """Build the network where it depends on what the encoder declares. By default ``build``.

        Args:
            declared: what the encoder reads and gives.
            encoder: as in ``build``.
            keys: as in ``build``.
        """
        return self.build(encoder, keys)

    def build(self, encoder: EncoderNetwork, keys: Keys) -> nn.Module:
        """Build the objective's network around ``encoder``, of which every stage trains.

        Args:
            encoder: the network that later runs start from (``weights: run:CELL``).
            keys: what random modules draw from, for ``KeyedUniform`` (masks, windows). Dropout and
                stochastic depth are replaced by keyed forms afterwards and need no keys here.

        Returns:
            A module: B x 3 x T x H x W normalised clips -> the outputs that ``loss`` takes. They
            are a tensor, or whatever else ``loss`` and ``rows`` read.
        """
        raise TypeError(f"objective {self.name} does not implement build")

    def pass_flops(self, encoder: Encoder) -> int | None:
        """Return the operations of one clip in one pass forward in training, for forecasts.

        By default they are the encoder's. None: it declares none.
        """
        return encoder.forward_flops

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        """Return nothing beside the validation loss, which selects the checkpoint."""
        return {}


OBJECTIVES: Registry[Objective] = Registry(
    "objective",
    ["echolm.objectives.masked_autoencoder", "echolm.objectives.echofm"],
)
