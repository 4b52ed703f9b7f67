"""What a run's network costs: parameters, arithmetic, memory. Recorded, never part of identity."""

from __future__ import annotations

import resource

import numpy as np
import torch

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.encoders.flops import flop_counter
from echolm.training.feed import Feed
from echolm.training.member import Member, cut_of

KIB = 1024
_KNOWN: dict[str, int] = {}
"""Architecture -> operations that were counted in this process."""


def network_cost(member: Member, feed: Feed, row: int) -> dict[str, int]:
    """Return what a network costs.

    Args:
        member: the run's network.
        feed: gives a clip.
        row: the clip's row in the store.

    Returns:
        ``parameters``: of the whole network. ``trainable_parameters``: those that training changes.
        ``flops``: of one clip in one pass forward, through the frozen part too. A product and its
        sum are two. ``peak_memory``: bytes, of the GPU, else of the process since its start.
    """
    own = sum(parameter.numel() for parameter in member.model.parameters())
    return {
        "parameters": own + member.shared_parameters,
        "trainable_parameters": sum(parameter.numel() for parameter in member.parameters),
        "flops": _flops(member, feed, row),
        "peak_memory": peak_memory(),
    }


def _flops(member: Member, feed: Feed, row: int) -> int:
    """Return the operations for one clip. Members that differ in their seeds have the same."""
    key = _architecture(member.config)
    if key not in _KNOWN:
        _KNOWN[key] = _counted_flops(member, feed, row)
    return _KNOWN[key]


def _architecture(config: FinetuneConfig | PretrainConfig) -> str:
    """Return a text that is equal for runs whose networks take the same operations."""
    parts: tuple[object, ...] = (config.encoder, config.goal)
    if isinstance(config, FinetuneConfig):
        parts += (config.fusion, config.head)
    return repr(parts)


@torch.no_grad()
def _counted_flops(member: Member, feed: Feed, row: int) -> int:
    """Count the operations of convolutions and products of matrices for one clip."""
    rows = np.array([row])
    with member.uncompiled(), flop_counter() as counter:
        _, state = feed.through_trunk(rows, [cut_of(member.config)])
        member.predict(state, feed.keys[rows])
    return int(counter.get_total_flops())


def peak_memory() -> int:
    """Return the largest memory in use so far, in bytes: of the GPU, else of this process."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
