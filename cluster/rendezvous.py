"""Where the ranks of a job meet: a port that rank 0's system chose, told to the others through a shared folder.

A port derived from a job id, or a fixed one, collides when jobs share a node; a free one of the system cannot.
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
from echolm.record import read_json, write_atomic, writing
from echolm.training.distributed import Ranks, joined, pick_device

WAIT_S = 300.0
"""Seconds that a rank waits for rank 0 to say where it listens: imports on a busy file system are slow."""


def meet(place: Path, rank: int, world: int, wait_s: float = WAIT_S) -> dist.Store:
    """A store that all ranks of one start of a job share. ``place``: a file that only this start uses.

    EchoLMError when rank 0 does not write it within ``wait_s`` seconds.
    """
    if rank == 0:
        store = dist.TCPStore(socket.gethostname(), 0, world, is_master=True, wait_for_workers=False)
        with writing(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, json.dumps({"host": socket.gethostname(), "port": store.port}).encode())
        return store
    end = time.monotonic() + wait_s
    while not place.exists():
        if time.monotonic() > end:
            raise EchoLMError(f"{place}: rank 0 did not say within {wait_s:.0f} s where it listens; look at its log")
        time.sleep(0.1)
    found = read_json(place, "host", "port")
    return dist.TCPStore(found["host"], found["port"], world, is_master=False)


@contextmanager
def slurm_ranks(folder: Path, device: str = "auto") -> Iterator[Ranks]:
    """The tasks of this SLURM job as ranks; their meeting place is a file under ``folder``."""
    names = {"rank": "SLURM_PROCID", "world": "SLURM_NTASKS", "local": "SLURM_LOCALID"}
    found = {key: int(os.environ.get(name, "1" if key == "world" else "0")) for key, name in names.items()}
    place = folder / f"{os.environ.get('SLURM_JOB_ID', '0')}-{os.environ.get('SLURM_RESTART_COUNT', '0')}.json"
    store = meet(place, found["rank"], found["world"]) if found["world"] > 1 else None
    with joined(found["rank"], found["world"], pick_device(device, found["local"]), store) as ranks:
        yield ranks
