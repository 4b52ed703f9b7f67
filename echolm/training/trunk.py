"""The trunk: the stages before a cohort's cut, shared, in evaluation mode, without gradient."""

from __future__ import annotations

from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from echolm.encoders.base import EncoderNetwork, State
from echolm.errors import EchoLMError
from echolm.randomness import seeded
from echolm.training.prepare import PreparedRun, check_weights

_PREFIX = "encoder."
"""Of the encoder's tensors in a run's best weights."""


class Trunk:
    """Maps clips (B x 3 x T x H x W, normalised) to the State (or Features) at the cut."""

    def __init__(self, encoder: EncoderNetwork, cut: int) -> None:
        self.encoder = encoder
        self.cut = cut
        for stage in encoder.stages()[:cut]:
            stage.eval().requires_grad_(False)

    def __call__(self, clips: Tensor, context: dict[str, Tensor] | None = None) -> State:
        """Compute the state at the cut.

        Args:
            clips: B x 3 x T x H x W.
            context: what is known of the clips, which the state carries on.
        """
        state = State({"clip": clips}, context=context or {})
        with torch.no_grad():
            return cast(State, self.encoder.run(state, 0, self.cut))


def first_network(run: PreparedRun, device: torch.device) -> EncoderNetwork:
    """Build the encoder with its first weights.

    They are those of another run, of a file, or drawn from (seed, "encoder").

    Raises:
        EchoLMError: the file does not fit, or it is not the one that the run was prepared with.
    """
    config = run.config
    from_run = config.weights.source == "run"
    with seeded("encoder", config.encoder.name, config.seed):
        network = config.encoder.build(None if from_run else run.weights)
    if from_run and run.weights is not None:
        load_upstream(network, run)
    check_weights(run)
    return network.to(device)


def load_upstream(network: EncoderNetwork, run: PreparedRun) -> None:
    """Load the ``encoder.`` tensors of another run's best weights: all of them, and no others."""
    assert run.weights is not None
    tensors = network.state_dict()
    saved = {}
    for name, tensor in load_file(run.weights).items():
        if name.startswith(_PREFIX):
            saved[name.removeprefix(_PREFIX)] = tensor
    wrong = sorted(tensors.keys() ^ saved.keys())
    if not wrong:
        wrong = [name for name in tensors if tensors[name].shape != saved[name].shape]
    if wrong:
        raise EchoLMError(
            f"{run.weights}: not a whole {run.config.encoder.name}: "
            f"missing, of another shape or not of this encoder: {wrong[0]} "
            f"(first of {len(wrong)}); valid: a run that trained all of it"
        )
    network.load_state_dict(saved)
