"""Where the workers of a search run: processes of this machine, SLURM jobs, or a Ray cluster. One function, ``start_workers``.

A worker takes only the search's folder (grid/search/worker.py), so a place needs to know nothing of trials.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workers:
    """What a search asks a place for: ``count`` workers of ``threads`` CPU threads, until ``trials`` trials in all.

    ``devices``: one entry a worker (``cpu``, ``cuda:0``), used in turn, where the place does not choose them itself.
    ``profile``, ``gpus``: the site profile, and GPUs a worker, for SLURM, where ``count`` may be 0: the profile's
    ``jobs_at_once``. ``again``: workers are submitted though those before them failed. ``ray_address``: of a Ray cluster, else
    RAY_ADDRESS, else one of this machine; on a cluster that runs, ``count`` may be 0: as many as it has room for.
    ``look``: called about once a second while the place waits for workers; returns how many trials have ended.
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


def start_workers(on: str, workers: Workers) -> str:
    """Start workers in a place. ``local`` and ``ray`` return when nothing is left for them to do, with the name of the
    signal that stopped them, or ''; ``slurm`` returns after submission. Starting again continues. EchoLMError: no worker
    can work."""
    if on == "slurm":
        from cluster.slurm.search import run_slurm

        return run_slurm(workers)
    if on == "ray":
        from cluster.ray_search import run_ray

        return run_ray(workers)
    from cluster.local_search import run_local

    return run_local(workers)
