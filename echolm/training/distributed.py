"""Ranks: the few collectives the loop needs.

They go over torch.distributed (gloo on CPU, NCCL on CUDA), or are trivial in a single process.

Gradients are summed by the loop itself, not by torch's DistributedDataParallel: shards of a batch
may be unequal or empty, several members share one forward pass, and the loss is a sum over the
whole effective batch.
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

from echolm.errors import EchoLMError
from echolm.states import FailureClass
from echolm.training.failures import (
    RankFailed,
    RankLost,
    describe_error,
    failure_class,
    traceback_text,
)

T = TypeVar("T")
RANK_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets for each process."""


@dataclass(frozen=True)
class Ranks:
    """This process among ``world`` processes. Rank 0 alone holds records and writes files."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def shard(self, rows: np.ndarray) -> np.ndarray:
        """Return this rank's contiguous part of a batch.

        Parts differ by at most one row and may be empty.
        """
        return np.array_split(rows, self.world)[self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """Sum over ranks, in place."""
        if self.world > 1:
            with _reaching():
                dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Tell whether ``flag`` is set on any rank."""
        count = self.sum(torch.tensor(float(flag), device=self.device))
        return bool(count > 0)

    def share(self, value: T) -> T:
        """Return rank 0's ``value`` on every rank (any object that pickles)."""
        if self.world == 1:
            return value
        box = [value if self.first else None]
        with _reaching():
            dist.broadcast_object_list(box, src=0, device=self._object_device())
        return box[0]  # type: ignore[return-value]

    def gather(self, value: T) -> list[T] | None:
        """Return all ranks' values, by rank, on rank 0, and None elsewhere."""
        if self.world == 1:
            return [value]
        box: list[Any] | None = [None] * self.world if self.first else None
        with _reaching():
            dist.gather_object(value, box, dst=0)
        return box

    def agree(self, error: Exception | None) -> None:
        """Raise on every rank when any rank has an error.

        A rank raises its own error, else the first other's as RankFailed.
        """
        facts: list[tuple[FailureClass, str, str] | None] = [None] * self.world
        if self.world > 1:
            with _reaching():
                dist.all_gather_object(facts, _error_facts(error))
        if error is not None:
            raise error
        for rank, fact in enumerate(facts):
            if fact is not None:
                raise RankFailed(rank, *fact)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise an error of the block on every rank, after the block.

        The block communicates with no other rank.
        """
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        self.agree(error)

    def sum_gradients(self, parameters: list[torch.nn.Parameter]) -> None:
        """Sum every parameter's gradient over ranks, as one flat tensor a dtype.

        A missing gradient counts as zero.
        """
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.world == 1:
            return
        for dtype in sorted({parameter.dtype for parameter in parameters}, key=str):
            same = [parameter for parameter in parameters if parameter.dtype == dtype]
            gradients = [parameter.grad.flatten() for parameter in same]  # type: ignore[union-attr]
            flat = self.sum(torch.cat(gradients))
            parts = flat.split([parameter.numel() for parameter in same])
            for parameter, part in zip(same, parts, strict=True):
                assert parameter.grad is not None
                # Into the gradient that is there: it lies in memory as its parameter does.
                parameter.grad.copy_(part.view_as(parameter))

    def _object_device(self) -> torch.device:
        return self.device if self.device.type == "cuda" else torch.device("cpu")


def _error_facts(error: Exception | None) -> tuple[FailureClass, str, str] | None:
    """Describe an error for other ranks: the error itself may not pickle."""
    if error is None:
        return None
    return failure_class(error), describe_error(error), traceback_text(error)


@contextmanager
def _reaching() -> Iterator[None]:
    """Name what torch.distributed reports of a peer that is gone: a bare RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost(f"another rank cannot be reached: {error}") from error


@contextmanager
def ranks_from_environment(device: str = "auto") -> Iterator[Ranks]:
    """Join the ranks that torchrun (or a scheduler in its manner) started.

    They are described by RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. Without
    WORLD_SIZE it is a single process.

    Args:
        device: ``auto`` takes CUDA when there is one.

    Raises:
        EchoLMError: the variables describe no ranks: they are left over from something else.
    """
    rank, world, local_rank = _rank_variables()
    with joined(rank, world, pick_device(device, local_rank)) as ranks:
        yield ranks


def _rank_variables() -> tuple[int, int, int]:
    """Return RANK, WORLD_SIZE and LOCAL_RANK. One that is empty is as good as not there."""
    given = {name: os.environ[name] for name in RANK_VARIABLES if os.environ.get(name)}
    world = given.get("WORLD_SIZE", "1")
    if world == "1":
        return 0, 1, _whole(given.get("LOCAL_RANK")) or 0
    rank, size = _whole(given.get("RANK")), _whole(world)
    local_rank = _whole(given.get("LOCAL_RANK", "0"))
    if rank is None or size is None or local_rank is None or rank >= size:
        raise _left_over(given, "are not a rank and the number of ranks")
    missing = [name for name in RANK_VARIABLES if name not in given and name != "LOCAL_RANK"]
    if missing:
        nobody = f"say that this is one of {size} processes, but {', '.join(missing)} are not set"
        raise _left_over(given, nobody)
    return rank, size, local_rank


def _left_over(given: dict[str, str], reason: str) -> EchoLMError:
    shown = " ".join(f"{name}={value}" for name, value in given.items())
    unset = " ".join(f"-u {name}" for name in given)
    return EchoLMError(
        f"the environment's {shown} {reason}; for one process take them out "
        f"(env {unset} echolm ...), for several start them with torchrun"
    )


def _whole(text: str | None) -> int | None:
    """Return the whole number that a text is, None for any other text."""
    return int(text) if text and text.isdecimal() else None


@contextmanager
def joined(
    rank: int, world: int, device: torch.device, store: dist.Store | None = None
) -> Iterator[Ranks]:
    """Join ``world`` ranks as one of them.

    Args:
        rank: which one this process is.
        world: how many there are.
        device: what this one computes on.
        store: where they meet. None: what MASTER_ADDR and MASTER_PORT say.
    """
    if world == 1:
        yield Ranks(device=device)
        return
    # Imported later, its default arguments would keep the group alive until the interpreter has
    # ended, where gloo's running threads abort the process.
    import torch.distributed.nn.functional  # noqa: F401

    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=world, store=store)
    try:
        yield Ranks(rank, world, device)
    finally:
        dist.destroy_process_group()


def pick_device(device: str, local_rank: int = 0) -> torch.device:
    """Choose a device, and make it current when it is a GPU.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        local_rank: which of the node's GPUs ``cuda`` means.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = f"cuda:{local_rank % torch.cuda.device_count()}"
    chosen = torch.device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen
