"""A member of a cohort: one run's network behind the shared trunk, its optimiser and schedule, and their state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.encoders.base import EncoderNetwork, State
from echolm.encoders.modes import set_modes
from echolm.errors import EchoLMError
from echolm.randomness import seeded
from echolm.tasks import Batch
from echolm.training.keyed import key_randomness


class Finetune(nn.Module):
    """The encoder from the cut on, fusion, head: State -> B x *outputs."""

    def __init__(self, encoder: EncoderNetwork, cut: int, config: FinetuneConfig) -> None:
        super().__init__()
        self.encoder, self.cut = encoder, cut
        self.fusion = config.fusion.build(config.encoder)
        self.head = config.head.build(config.fusion.width(config.encoder), config.task.outputs())
        self._takes = config.head.takes

    def forward(self, state: State) -> Tensor:
        """Outputs of the head."""
        features = self.encoder.run(state, self.cut, len(self.encoder.blocks) + 2)
        return self.head(features if self._takes == "features" else self.fusion(features))


class Pretrain(nn.Module):
    """An objective's network around the whole encoder: State with the normalised clip -> outputs."""

    def __init__(self, encoder: EncoderNetwork, config: PretrainConfig) -> None:
        super().__init__()
        objective = config.task.model(encoder)
        if objective is None:
            raise EchoLMError(f"task {config.task.name} has no pretraining objective (Task.model returns None)")
        self.encoder, self.objective = encoder, objective

    def forward(self, state: State) -> Tensor:
        """Outputs of the objective."""
        return self.objective(state.tensors["clip"])


def cut_of(config: FinetuneConfig | PretrainConfig) -> int:
    """The position before which nothing trains; 0 in pretraining."""
    return config.trainable.cut(config.encoder.blocks) if isinstance(config, FinetuneConfig) else 0


def own_tail(encoder: EncoderNetwork, cut: int) -> EncoderNetwork:
    """The encoder with stages before ``cut`` shared and the others copied."""
    stages = [stage if position < cut else copy.deepcopy(stage) for position, stage in enumerate(encoder.stages())]
    return EncoderNetwork(stages[0], stages[1:-1], stages[-1])


class Member:
    """The trainable side of one run. Its whole state is ``state()``; equal states continue bitwise equally."""

    def __init__(self, config: FinetuneConfig | PretrainConfig, encoder: EncoderNetwork, cut: int, device: torch.device) -> None:
        self.config = config
        blocks = config.encoder.blocks
        self._positions = config.trainable.positions(blocks) if isinstance(config, FinetuneConfig) else set(range(blocks + 2))
        network = own_tail(encoder, cut)
        with seeded("head", config.seed):
            model = Finetune(network, cut, config) if isinstance(config, FinetuneConfig) else Pretrain(network, config)
        self.keys = key_randomness(model, "member")
        self.model = model.to(device)
        self.train(False)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = config.optimizer.build(self.parameters) if self.parameters else None
        self.schedule = config.schedule.start()

    def train(self, training: bool) -> None:
        """Training or evaluation mode; a stage that does not train stays in evaluation mode."""
        self.model.train(training)
        set_modes(self.model.encoder, self._positions, training)

    def losses(self, state: State, batch: Batch, keys: Tensor) -> dict[str, Tensor]:
        """Per-sample losses (B,) in training mode; ``keys`` (B,) int64 feed dropout and stochastic depth."""
        self.keys.current = keys
        return self.config.task.loss(self.model(state), batch)

    def step(self, progress: float) -> None:
        """One optimiser step at the schedule's learning rate; ``progress`` in [0, 1) of all steps."""
        if self.optimizer is None:
            return
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.optimizer.lr * self.config.schedule.factor(self.schedule, progress)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """What training changes, by name: trained stages (``encoder.``), head and objective; parameters and buffers.

        The other stages follow from the weights' source.
        """
        prefix = {"encoder.stem.": 0, "encoder.readout.": len(self.model.encoder.blocks) + 1}
        kept = {}
        for name, tensor in self.model.state_dict().items():
            position = _position(name, prefix)
            if position is None or position in self._positions:
                kept[name] = tensor.detach()
        return _without_aliases(kept)

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what ``tensors`` gave; the names must be the same."""
        own = self.tensors()
        if set(own) != set(tensors):
            wrong = sorted(set(own) ^ set(tensors))
            raise EchoLMError(f"saved tensors do not belong to this configuration; first of {len(wrong)} names: {wrong[0]}")
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(tensors[name])

    def state(self) -> dict[str, Any]:
        """Tensors, optimiser and schedule."""
        optimizer = self.optimizer.state_dict() if self.optimizer else {}
        return {"tensors": self.tensors(), "optimizer": optimizer, "schedule": self.schedule}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state()`` of an equal configuration."""
        self.load_tensors(state["tensors"])
        if self.optimizer:
            self.optimizer.load_state_dict(state["optimizer"])
        self.schedule = state["schedule"]


def _position(name: str, ends: dict[str, int]) -> int | None:
    """The stage a tensor belongs to, None for head and objective."""
    for prefix, position in ends.items():
        if name.startswith(prefix):
            return position
    if name.startswith("encoder.blocks."):
        return 1 + int(name.split(".")[2])
    return None


def _without_aliases(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """One name per storage: an objective that holds the encoder would list it twice."""
    seen: set[tuple[int, int, tuple[int, ...]]] = set()
    kept = {}
    for name, tensor in tensors.items():
        key = (tensor.data_ptr(), tensor.storage_offset(), tuple(tensor.shape))
        if tensor.numel() and key in seen:
            continue
        seen.add(key)
        kept[name] = tensor
    return kept
