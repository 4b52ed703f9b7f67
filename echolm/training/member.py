"""A member of a cohort: one run behind the shared trunk.

It has the run's network, its optimiser and schedule, and their state.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from echolm.arithmetic import Arithmetic, in_float32
from echolm.config import FinetuneConfig, PretrainConfig
from echolm.encoders.base import EncoderNetwork, State
from echolm.encoders.train_modes import set_modes
from echolm.errors import EchoLMError
from echolm.randomness import fold, seeded, word
from echolm.tasks import Batch
from echolm.training.coming_draws import ComingDraws
from echolm.training.keyed_dropout import KeyedUniform, Keys, compile_in_place, key_randomness
from echolm.training.parcel import to_device
from echolm.training.trunk import CutStates, at_cut

_EVALUATION = "evaluation"
"""Stands for epoch and step in the keys of evaluation, which are the same in every epoch."""


class Finetune(nn.Module):
    """The encoder from the cut on, fusion, head: State -> B x *outputs."""

    def __init__(self, encoder: EncoderNetwork, cut: int, config: FinetuneConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.cut = cut
        self.fusion = config.fusion.build(config.encoder)
        self.head = config.head.build(config.head_width, config.task.outputs())
        self._takes = config.head.takes

    def forward(self, state: State | CutStates) -> Tensor:
        """Compute the outputs of the head."""
        return self.head(self.inputs(state))

    def inputs(self, state: State | CutStates) -> Any:
        """Compute what the head takes: the fusion's vectors B x D, or the encoder's Features."""
        begin = at_cut(state, self.cut)
        features = self.encoder.run(begin, self.cut, len(self.encoder.blocks) + 2)
        return features if self._takes == "features" else self.fusion(features)


class Pretrain(nn.Module):
    """An objective's network around the whole encoder: State with the clip -> outputs."""

    def __init__(self, encoder: EncoderNetwork, config: PretrainConfig, keys: Keys) -> None:
        super().__init__()
        self.encoder = encoder
        self.objective = config.objective.build_for(config.encoder, encoder, keys)

    def forward(self, state: State | CutStates) -> Any:
        """Compute the outputs of the objective."""
        begin = at_cut(state, 0)
        assert isinstance(begin, State)
        return self.objective(begin.tensors["clip"])


def cut_of(config: FinetuneConfig | PretrainConfig) -> int:
    """Return the position before which nothing trains. It is 0 in pretraining."""
    if isinstance(config, PretrainConfig):
        return 0
    return config.trainable.cut(config.encoder.blocks)


def own_tail(encoder: EncoderNetwork, cut: int) -> EncoderNetwork:
    """Return the encoder with its own copies of the stages from ``cut`` on.

    The stages before are left out: the trunk passes them. Empty modules hold their positions, so
    that nothing that walks over a member's modules walks over a frozen part that it shares.
    """
    stages = encoder.stages()
    for position in range(len(stages)):
        if position < cut:
            stages[position] = nn.Identity()
        else:
            stages[position] = copy.deepcopy(stages[position])
    return EncoderNetwork(stages[0], stages[1:-1], stages[-1])


class Member:
    """The trainable side of one run.

    Its whole state is ``state()``. Equal states continue bitwise equally.

    Attributes:
        shared_parameters: how many parameters the stages before its cut have, which it shares.
    """

    def __init__(
        self,
        config: FinetuneConfig | PretrainConfig,
        encoder: EncoderNetwork,
        cut: int,
        device: torch.device,
        arithmetic: Arithmetic = Arithmetic(),  # noqa: B008 - it is frozen
    ) -> None:
        self.config = config
        self._device = device
        self._arithmetic = arithmetic
        self._training: bool | None = None
        """The mode of its modules, so that they are walked only when it changes."""
        self._positions = _trained_positions(config)
        self.keys = Keys()
        shared = nn.ModuleList(encoder.stages()[:cut])
        self.shared_parameters = sum(parameter.numel() for parameter in shared.parameters())
        self.model = self._build_model(own_tail(encoder, cut), cut).to(device)
        self._draws_always = isinstance(self.model, Pretrain) or any(
            isinstance(module, KeyedUniform) for module in self.model.modules()
        )
        """Whether it draws in evaluation too, or what all samples of a step share."""
        self._coming: tuple[int, ComingDraws] | None = None
        """An epoch, and what its coming batches draw."""
        self.train(False)
        if arithmetic.compile:
            compile_in_place(self.model)
        named = [pair for pair in self.model.named_parameters() if pair[1].requires_grad]
        self.parameters = [parameter for _, parameter in named]
        self.optimizer = config.optimizer.build(named) if named else None
        self._rates: list[float] = []
        """Each group's learning rate, before the schedule's factor."""
        if self.optimizer:
            self._rates = [group["lr"] for group in self.optimizer.param_groups]
        self.schedule = config.schedule.start()

    def _build_model(self, network: EncoderNetwork, cut: int) -> Finetune | Pretrain:
        model: Finetune | Pretrain
        with seeded("head", self.config.seed):
            if isinstance(self.config, PretrainConfig):
                model = Pretrain(network, self.config, self.keys)
            else:
                model = Finetune(network, cut, self.config)
        key_randomness(model, "member", self.keys)
        return model

    def train(self, training: bool) -> None:
        """Set training or evaluation mode. A stage that does not train stays in evaluation mode.

        A walk over all modules takes longer than a step of a small head: it is made when the mode
        changes.
        """
        if training is self._training:
            return
        self._training = training
        self.model.train(training)
        set_modes(self.model.encoder, self._positions, training)

    def losses(
        self, state: State | CutStates, batch: Batch, samples: np.ndarray, epoch: int, step: int
    ) -> dict[str, Tensor]:
        """Compute losses by sample (B,) in training mode, see ``Goal.loss``.

        Args:
            state: the batch at the cut.
            batch: the batch.
            samples: uint64 keys of its samples (B,).
            epoch: with the sample, what dropout and masks draw from.
            step: the step in the epoch, for draws that all samples of a step share.
        """
        self._set_training_keys(samples, epoch, step)
        return self.config.goal.loss(self._outputs(state), batch)

    def count(self, state: State | CutStates) -> float:
        """Count what the loss divides by in a part of a batch, see ``Goal.counts_whole_batch``."""
        network = self.model.get_submodule("objective")
        begin = at_cut(state, 0)
        assert isinstance(begin, State)
        return float(network.count(begin.tensors["clip"]))  # type: ignore[operator]

    def predict(self, state: State | CutStates, samples: np.ndarray) -> Any:
        """Compute the outputs for evaluation.

        What draws even then (a mask) draws the same in every epoch, so that losses compare.

        Args:
            state: the batch at the cut.
            samples: uint64 keys of its samples (B,).
        """
        if self._draws_always:
            self._set_keys(samples, _EVALUATION, _EVALUATION)
        return self._outputs(state)

    def uncompiled(self) -> AbstractContextManager[Any]:
        """Return a context without the compiler, for who must see each operation."""
        if not self._arithmetic.compile:
            return nullcontext()
        return torch.compiler.set_stance("force_eager")

    def head_inputs(self, state: State | CutStates) -> Any:
        """Compute what the head takes, of a run that has one. Without keys: nothing may draw."""
        assert isinstance(self.model, Finetune)
        with self._arithmetic.autocast(self._device):
            return in_float32(self.model.inputs(state))

    def _outputs(self, state: State | CutStates) -> Any:
        """Compute the network's outputs, in float32 whatever it computes in."""
        with self._arithmetic.autocast(self._device):
            outputs = self.model(state)
        return in_float32(outputs)

    def announce(self, epoch: int, batches: Sequence[np.ndarray]) -> None:
        """Say which samples come next in training, so that they are drawn for together.

        Results do not depend on it.

        Args:
            epoch: of the batches.
            batches: uint64 keys of the samples of each, in their order.
        """
        if self._device.type == "cpu" and not self._draws_always:
            self._coming = epoch, ComingDraws(self.config.seed, epoch, batches)

    def _set_training_keys(self, samples: np.ndarray, epoch: int, step: int) -> None:
        if self._coming and self._coming[0] == epoch:
            found = self._coming[1].find(samples)
            if found is not None:
                self.keys.take(*found, len(samples))
                return
        self._set_keys(samples, epoch, step)

    def _set_keys(self, samples: np.ndarray, epoch: int | str, step: int | str) -> None:
        seed = self.config.seed
        by_sample = fold(samples, "network", seed, epoch)
        by_step = np.array([word("step", seed, epoch, step)], np.uint64)
        keys = to_device(np.concatenate([by_sample, by_step]), self._device)
        self.keys.current = keys[:-1]
        self.keys.step = keys[-1:]

    def divide_gradients(self, denominator: Tensor) -> None:
        """Divide the gradients of sums by the denominator of the whole batch, a number.

        With a denominator of 0 nothing was learned from, and the sums are 0 already. It stays on
        the device: nothing waits for it.
        """
        divisor = torch.where(denominator == 0, 1.0, denominator)
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad /= divisor

    def step(self, progress: float) -> None:
        """Make one optimiser step at the schedule's rates, with gradients of the whole batch.

        Args:
            progress: the share of the training that is over, see ``Schedule.progress``.
        """
        if self.optimizer is None:
            return
        factor = self.config.schedule.factor(self.schedule, progress)
        for group, rate in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        clip = self.config.optimizer.clip
        if clip is not None:
            nn.utils.clip_grad_norm_(self.parameters, clip)
        self.optimizer.step()
        for parameter in self.parameters:
            parameter.grad = None

    def tensors(self) -> dict[str, Tensor]:
        """Return what training changes, by name: parameters and buffers.

        They are those of trained stages (``encoder.``), head and objective. The other stages follow
        from the weights' source.
        """
        blocks = len(self.model.encoder.blocks)
        kept = {}
        for name, tensor in self.model.state_dict(keep_vars=True).items():
            position = _stage_position(name, blocks)
            if position is None or position in self._positions:
                kept[name] = tensor
        return _without_aliases(kept)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave. The names must be the same."""
        current = self.tensors()
        wrong = sorted(current.keys() ^ tensors.keys())
        if wrong:
            raise EchoLMError(
                "saved tensors do not belong to this configuration; "
                f"first of {len(wrong)} names: {wrong[0]}"
            )
        with torch.no_grad():
            for name, tensor in current.items():
                tensor.copy_(tensors[name])

    def state(self) -> dict[str, Any]:
        """Return tensors, optimiser and schedule."""
        optimizer = self.optimizer.state_dict() if self.optimizer else {}
        return {"tensors": self.tensors(), "optimizer": optimizer, "schedule": self.schedule}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state()`` of an equal configuration."""
        self.load_tensors(state["tensors"])
        if self.optimizer:
            self.optimizer.load_state_dict(_as_built(state["optimizer"], self.optimizer))
        self.schedule = state["schedule"]


def _as_built(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Return an optimiser's state for one that may compute another way.

    Before a step was one kernel on CPUs too, ``fused`` was not set in what they saved.
    """
    groups = []
    for group, own in zip(state["param_groups"], optimizer.param_groups, strict=True):
        groups.append({**group, **{name: own[name] for name in ("fused",) if name in own}})
    return {**state, "param_groups": groups}


def _trained_positions(config: FinetuneConfig | PretrainConfig) -> set[int]:
    """Return the positions of the stages that train: all of them in pretraining."""
    blocks = config.encoder.blocks
    if isinstance(config, PretrainConfig):
        return set(range(blocks + 2))
    return config.trainable.positions(blocks)


def _stage_position(name: str, blocks: int) -> int | None:
    """Return the position of the stage a tensor belongs to, None for head and objective."""
    if name.startswith("encoder.stem."):
        return 0
    if name.startswith("encoder.readout."):
        return blocks + 1
    if name.startswith("encoder.blocks."):
        return 1 + int(name.split(".")[2])
    return None


def _without_aliases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Keep one name for each tensor: an objective that holds the encoder lists it twice.

    They are told apart as objects. Those without memory (meta) have no addresses.
    """
    seen: set[int] = set()
    kept = {}
    for name, tensor in tensors.items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            kept[name] = tensor.detach()
    return kept
