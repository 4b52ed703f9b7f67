"""The trunk: the stages before a cohort's cut, shared, in evaluation mode, without gradient."""

from __future__ import annotations

from typing import cast

import torch
from safetensors.torch import load_file
from torch import Tensor

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.encoders.base import EncoderNetwork, State
from echolm.errors import EchoLMError
from echolm.randomness import seeded
from echolm.training.prepare import PreparedRun


class Trunk:
    """Clips (B x 3 x T x H x W, normalised) -> the State (or Features) at the cut."""

    def __init__(self, encoder: EncoderNetwork, cut: int) -> None:
        self.encoder, self.cut = encoder, cut
        for stage in encoder.stages()[:cut]:
            stage.eval().requires_grad_(False)

    def __call__(self, clips: Tensor) -> State:
        with torch.no_grad():
            return cast(State, self.encoder.run(State({"clip": clips}), 0, self.cut))


def first_network(run: PreparedRun, device: torch.device) -> EncoderNetwork:
    """The encoder with its first weights: of a run, of a file, or drawn from (seed, "encoder")."""
    config: FinetuneConfig | PretrainConfig = run.config
    upstream = config.weights.source == "run"
    with seeded("encoder", config.encoder.name, config.seed):
        network = config.encoder.build(None if upstream else run.weights)
    if upstream and run.weights is not None:
        load_upstream(network, run)
    return network.to(device)


def load_upstream(network: EncoderNetwork, run: PreparedRun) -> None:
    """Load the ``encoder.`` tensors of another run's best weights: all of them, and no others."""
    assert run.weights is not None
    own = network.state_dict()
    saved = {name[8:]: value for name, value in load_file(run.weights).items() if name.startswith("encoder.")}
    differ = sorted(own.keys() ^ saved.keys()) or [name for name in own if own[name].shape != saved[name].shape]
    if differ:
        what = f"missing, of another shape or not of this encoder: {differ[0]} (first of {len(differ)})"
        raise EchoLMError(f"{run.weights}: not a whole {run.config.encoder.name}: {what}; valid: a run that trained all of it")
    network.load_state_dict(saved)
