"""Where the ranks of a job meet: a port that rank 0's system chose.

It is told to the others through a shared folder. A port derived from a job id, or a fixed one,
collides when jobs share a node. A free one of the system cannot.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch.distributed as dist

from echolm.errors import EchoLMError
from echolm.files import read_json, write_atomic, writing
from echolm.training.distributed import Ranks, joined, pick_device

WAIT_S = 300.0
"""Seconds that a rank waits for rank 0 to say where it listens.

Imports on a busy file system are slow.
"""


def meet(address: Path, rank: int, world: int, wait_s: float = WAIT_S) -> dist.Store:
    """Return a store that all ranks of one start of a job share.

    ``address`` is a file that only this start uses.

    Raises:
        EchoLMError: rank 0 does not write the file within ``wait_s`` seconds.
    """
    host = socket.gethostname()
    if rank == 0:
        store = dist.TCPStore(host, 0, world, is_master=True, wait_for_workers=False)
        with writing(address):
            address.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(address, json.dumps({"host": host, "port": store.port}).encode())
        return store
    end = time.monotonic() + wait_s
    while not address.exists():
        if time.monotonic() > end:
            raise EchoLMError(
                f"{address}: rank 0 did not say within {wait_s:.0f} s where it listens;"
                " look at its log"
            )
        time.sleep(0.1)
    first = read_json(address, "host", "port")
    return dist.TCPStore(first["host"], first["port"], world, is_master=False)


@contextmanager
def slurm_ranks(folder: Path, device: str = "auto") -> Iterator[Ranks]:
    """Join the tasks of this SLURM job as ranks. They meet at a file under ``folder``."""
    rank = int(os.environ.get("SLURM_PROCID", "0"))
    world = int(os.environ.get("SLURM_NTASKS", "1"))
    local_rank = int(os.environ.get("SLURM_LOCALID", "0"))
    job = os.environ.get("SLURM_JOB_ID", "0")
    start = os.environ.get("SLURM_RESTART_COUNT", "0")
    store = None
    if world > 1:
        store = meet(folder / f"{job}-{start}.json", rank, world)
    with joined(rank, world, pick_device(device, local_rank), store) as ranks:
        yield ranks
