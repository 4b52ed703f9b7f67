"""How much memory the members of a cohort take, counted on networks without data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.encoders.base import State
from echolm.training.member import Finetune, cut_of, own_tail

Config = FinetuneConfig | PretrainConfig
TRAINED_COPIES = 4
"""Copies of a trained parameter: itself, its gradient, and two moments as Adam keeps them."""
SHARE = 0.6
"""Of the free memory that members may take. States, batches and the trunk need some of it too."""


@dataclass(frozen=True)
class MemberMemory:
    """Bytes that a member takes.

    Attributes:
        kept: as long as it trains: parameters, gradients, state of the optimiser.
        in_step: what one sample leaves for the backward pass. Members step one after another.
    """

    kept: int
    in_step: int


def member_memory(config: Config) -> MemberMemory | None:
    """Count what a member of a cohort takes. Runs that differ in their seeds take the same.

    Returns:
        None where it cannot be counted: a network cannot be built without data, or the run is a
        pretraining, which is alone.
    """
    if not isinstance(config, FinetuneConfig):
        return None
    return _counted(config.model_copy(update={"seed": 0}))


@lru_cache(maxsize=64)
def _counted(config: FinetuneConfig) -> MemberMemory | None:
    try:
        with torch.device("meta"):
            return _count(config)
    except Exception:
        # Whatever a component cannot do on the meta device. Memory that runs out is caught later.
        return None


def _count(config: FinetuneConfig) -> MemberMemory:
    encoder = config.encoder
    cut = cut_of(config)
    network = encoder.build(None)
    model = Finetune(own_tail(network, cut), cut, config)
    stages = model.encoder.stages()
    trained = config.trainable.positions(encoder.blocks)
    for position, stage in enumerate(stages):
        stage.requires_grad_(position in trained)
    kept = 0
    for parameter in model.parameters():
        copies = TRAINED_COPIES if parameter.requires_grad else 1
        kept += copies * parameter.numel() * parameter.element_size()
    clip = torch.empty(1, 3, encoder.frames, encoder.size, encoder.size)
    frames = torch.zeros(1, encoder.frames, dtype=torch.int64)
    with torch.no_grad():
        state: Any = State({"clip": clip}, context={"frames": frames})
        state = network.run(state, 0, cut)
    saved = _Saved()
    with torch.autograd.graph.saved_tensors_hooks(saved.add, lambda tensor: tensor):
        model(state)
    return MemberMemory(kept, saved.bytes)


class _Saved:
    """Sums up what a forward pass saves for the backward pass."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, tensor: Tensor) -> Tensor:
        """Count a saved tensor, unless it is a parameter or a view of one."""
        base = tensor if tensor._base is None else tensor._base
        if not isinstance(base, torch.nn.Parameter):
            self.bytes += tensor.numel() * tensor.element_size()
        return tensor


def how_many_fit(members: list[MemberMemory], samples: int, free: int) -> int:
    """Return how many of the first members fit into memory together, at least one.

    Args:
        members: what each takes.
        samples: of a micro-batch.
        free: bytes that are free.
    """
    left = SHARE * free
    largest_step = 0
    kept = 0
    for count, member in enumerate(members):
        kept += member.kept
        largest_step = max(largest_step, samples * member.in_step)
        if count and kept + largest_step > left:
            return count
    return len(members)
