"""Which stages of an encoder train, and in which mode its modules run."""

from __future__ import annotations

from collections.abc import Collection

from echolm.encoders.base import EncoderNetwork


def set_modes(network: EncoderNetwork, trained: Collection[int], training: bool) -> None:
    """Set the mode of every module and ``requires_grad`` of every parameter.

    Stages that train follow ``training``. All others are in eval mode always, without gradient: no
    dropout, no stochastic depth, stored BatchNorm statistics. A stage may keep parts of itself in
    eval mode while it trains (``batch_norm: frozen``).

    Args:
        network: the encoder.
        trained: positions of the stages that train (0 the stem, 1..blocks, blocks + 1 the readout).
        training: whether those are in training mode.

    Raises:
        ValueError: for a position that does not exist.
    """
    stages = network.stages()
    unknown = set(trained) - set(range(len(stages)))
    if unknown:
        raise ValueError(
            f"positions {sorted(unknown)} do not exist; "
            f"the encoder's stages are 0 to {len(stages) - 1}"
        )
    network.train(training)
    for position, stage in enumerate(stages):
        stage.requires_grad_(position in trained)
        stage.train(training and position in trained)
