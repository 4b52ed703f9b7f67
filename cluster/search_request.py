"""What a search asks a place for. Each place reads it, so it stands below all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from echolm.arithmetic import Arithmetic


@dataclass(frozen=True)
class Workers:
    """The workers that a search wants in a place, until it has ``trials`` trials in all.

    Attributes:
        folder: the search's folder, and all that a worker needs to know.
        trials: how many trials the search has in the end.
        count: how many workers. 0 for the profile's ``jobs_at_once`` on SLURM, and for as many
            as a Ray cluster that runs has room for.
        threads: CPU threads a worker.
        devices: one entry a worker (``cpu``, ``cuda:0``), used in turn, where the place does not
            choose them itself.
        look: is called about once a second while the place waits for workers. It returns how many
            trials have ended.
        profile: the site profile, for SLURM.
        gpus: GPUs a worker, for SLURM.
        again: workers are submitted although those before them failed.
        ray_address: the address of a Ray cluster. None: RAY_ADDRESS, else a cluster of this
            machine.
        arithmetic: the precision of the trials' networks, and whether a compiler is used.
    """

    folder: Path
    trials: int
    count: int = 1
    threads: int = 1
    devices: tuple[str, ...] = ("cpu",)
    look: Callable[[], int] = lambda: 0
    profile: Path | None = None
    gpus: int = 0
    again: bool = False
    ray_address: str | None = None
    arithmetic: Arithmetic = Arithmetic()
