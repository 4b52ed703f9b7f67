"""The trunk: the stages before a cohort's cuts, shared, in evaluation mode, without gradient.

A member's cut is the position before which nothing of its encoder trains. Members may have
different ones. One pass goes to the last of them, and its states at the others are kept on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from echolm.encoders.base import EncoderNetwork, Features, State
from echolm.errors import EchoLMError
from echolm.randomness import seeded
from echolm.training.prepare import PreparedRun, check_weights
from echolm.training.tensor_files import read_tensors

_PREFIX = "encoder."
"""Of the encoder's tensors in a run's best weights."""


@dataclass(frozen=True)
class CutStates:
    """A batch at each cut of a cohort.

    Attributes:
        by_cut: cut -> the State there, or the Features behind the last stage.
    """

    by_cut: dict[int, State | Features]

    def at(self, cut: int) -> State | Features:
        """Return the batch at a cut."""
        return self.by_cut[cut]


def at_cut(states: State | Features | CutStates, cut: int) -> State | Features:
    """Return the batch at a cut. What is no ``CutStates`` is at that cut already."""
    return states.at(cut) if isinstance(states, CutStates) else states


class Trunk:
    """Maps clips (B x 3 x T x H x W, normalised) to their states at the cuts.

    Args:
        encoder: the encoder with its first weights.
        cuts: positions of its stages.
    """

    def __init__(self, encoder: EncoderNetwork, *cuts: int) -> None:
        self.encoder = encoder
        self.cuts = tuple(sorted(set(cuts)))
        for stage in self.stages():
            stage.eval().requires_grad_(False)

    def stages(self) -> list[torch.nn.Module]:
        """List the stages before the last cut."""
        return self.encoder.stages()[: self.cuts[-1]]

    def __call__(
        self,
        clips: Tensor,
        context: dict[str, Tensor] | None = None,
        cuts: Sequence[int] | None = None,
    ) -> CutStates:
        """Compute the states at the cuts, in one pass.

        Args:
            clips: B x 3 x T x H x W.
            context: what is known of the clips, which the states carry on.
            cuts: those of its cuts that are wanted, ascending. None: all of them.
        """
        state: State | Features = State({"clip": clips}, context=context or {})
        states = {}
        position = 0
        with torch.no_grad():
            for cut in self.cuts if cuts is None else cuts:
                state = self.encoder.run(state, position, cut)
                states[cut] = state
                position = cut
        return CutStates(states)


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
    for name, tensor in read_tensors(run.weights).items():
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
