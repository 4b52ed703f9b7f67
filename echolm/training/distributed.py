"""Ranks: the few collectives the loop needs, over torch.distributed (gloo on CPU, NCCL on CUDA) or a single process.

Gradients are summed by the loop itself, not by torch's DistributedDataParallel: shards of a batch may be unequal or
empty, several members share one forward pass, and the loss is a sum over the whole effective batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from echolm.training.failures import RankFailed, RankLost, describe, failure_class, trace

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among ``world`` processes; rank 0 alone holds records and writes files."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def shard(self, rows: np.ndarray) -> np.ndarray:
        """This rank's contiguous part of a batch; parts differ by at most one row and may be empty."""
        return np.array_split(rows, self.world)[self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over ranks, in place."""
        if self.world > 1:
            with _reaching():
                dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether ``flag`` is set on any rank."""
        return bool(self.sum(torch.tensor(float(flag), device=self.device)) > 0)

    def share(self, value: T) -> T:
        """Rank 0's ``value`` on every rank (any picklable object)."""
        if self.world == 1:
            return value
        box = [value if self.first else None]
        with _reaching():
            dist.broadcast_object_list(box, src=0, device=self._object_device())
        return box[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T] | None:
        """All ranks' values, by rank, on rank 0; None elsewhere."""
        if self.world == 1:
            return [value]
        box: list[Any] | None = [None] * self.world if self.first else None
        with _reaching():
            dist.gather_object(value, box, dst=0)
        return box

    def agree(self, error: Exception | None) -> None:
        """Raise on every rank when any rank has an error: its own, else the first other's as RankFailed."""
        facts: list[tuple[str, str, str] | None] = [None] * self.world
        if self.world > 1:
            own = None if error is None else (failure_class(error), describe(error), trace(error))
            with _reaching():
                dist.all_gather_object(facts, own)
        if error is not None:
            raise error
        for rank, fact in enumerate(facts):
            if fact is not None:
                raise RankFailed(rank, *fact)

    @contextmanager
    def together(self) -> Iterator[None]:
        """An error in the block, which communicates with no other rank, is raised on every rank after it."""
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        self.agree(error)

    def sum_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Sum every parameter's gradient over ranks, as one flat tensor per dtype; a missing one counts as zero."""
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world == 1:
            return
        for dtype in sorted({p.dtype for p in parameters}, key=str):
            same = [p for p in parameters if p.dtype == dtype]
            flat = self.sum(torch.cat([p.grad.flatten() for p in same]))  # type: ignore[union-attr]
            for parameter, part in zip(same, flat.split([p.numel() for p in same]), strict=True):
                parameter.grad = part.view_as(parameter)

    def _object_device(self) -> torch.device:
        return self.device if self.device.type == "cuda" else torch.device("cpu")


@contextmanager
def _reaching() -> Iterator[None]:
    """torch.distributed reports a peer that is gone as a bare RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(f"another rank cannot be reached: {error}") from error


@contextmanager
def ranks_from_environment(device: str = "auto") -> Iterator[Ranks]:
    """The ranks torchrun (or a scheduler in its manner) started: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT.

    ``device``: ``auto`` takes CUDA when there is one; without the variables, a single process.
    """
    rank, world, local = (int(os.environ.get(name, default)) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"), ("LOCAL_RANK", "0")))
    with joined(rank, world, pick_device(device, local)) as ranks:
        yield ranks


@contextmanager
def joined(rank: int, world: int, device: torch.device, store: dist.Store | None = None) -> Iterator[Ranks]:
    """This process as one of ``world``; ``store`` is where they meet, None: what MASTER_ADDR and MASTER_PORT say."""
    if world == 1:
        yield Ranks(device=device)
        return
    import torch.distributed.nn.functional  # noqa: F401  (imported later, its default arguments would keep the group
    # alive until the interpreter has ended, where gloo's running threads abort the process)

    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", rank=rank, world_size=world, store=store)
    try:
        yield Ranks(rank, world, device)
    finally:
        dist.destroy_process_group()


def pick_device(device: str, local_rank: int = 0) -> torch.device:
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N`` -> a device, made current when it is a GPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = f"cuda:{local_rank % torch.cuda.device_count()}"
    chosen = torch.device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen
