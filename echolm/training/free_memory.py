"""How much memory this process may still take: of machine, cgroup, SLURM job and GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

KIB = 1024
MIB = 1024 * KIB
_CGROUPS = Path("/sys/fs/cgroup")
_CGROUP_FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    (
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "memory.stat",
        "total_inactive_file",
    ),
)
"""Limit, use, statistics and the name of what can be given back there, of cgroup v2 and v1."""


def free_memory() -> int:
    """Return the bytes of the host's memory that this process may still take.

    The least counts of what the machine has free, what its cgroups leave, and its part of what its
    SLURM job was given.
    """
    free = [_machine()]
    free += cgroup_room(Path("/proc/self/cgroup"), _CGROUPS)
    of_job = slurm_memory(os.environ)
    if of_job is not None:
        free.append(of_job - _resident())
    return max(min(free), 0)


def free_on(device: torch.device) -> int:
    """Return the bytes that are free on a device: of the GPU, else of the host."""
    if device.type != "cuda":
        return free_memory()
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + kept)


def slurm_memory(variables: Mapping[str, str]) -> int | None:
    """Return the bytes of a task of the SLURM job, None where the job has no limit.

    Args:
        variables: the environment. SLURM states MiB.
    """
    tasks = _whole(variables.get("SLURM_NTASKS_PER_NODE", "")) or 1
    by_node = _whole(variables.get("SLURM_MEM_PER_NODE", ""))
    if by_node:
        return by_node * MIB // tasks
    by_cpu = _whole(variables.get("SLURM_MEM_PER_CPU", ""))
    cpus = _whole(variables.get("SLURM_CPUS_ON_NODE", ""))
    if by_cpu and cpus:
        return by_cpu * cpus * MIB // tasks
    return None


def cgroup_room(memberships: Path, root: Path) -> Iterator[int]:
    """Yield the bytes that each cgroup of a process with a limit leaves.

    A cgroup is within its parents, whose limits count too.

    Args:
        memberships: ``/proc/<pid>/cgroup``.
        root: where cgroups are mounted.
    """
    try:
        lines = memberships.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        folder = root / "memory" if controllers else root
        below = Path(path.lstrip("/"))
        for parent in (below, *below.parents):
            yield from _room(folder / parent)


def _room(folder: Path) -> Iterator[int]:
    """Yield what one cgroup leaves, nothing where it has no limit."""
    for limit_file, use_file, statistics_file, given_back in _CGROUP_FILES:
        try:
            limit = _whole((folder / limit_file).read_text())
            used = _whole((folder / use_file).read_text())
            statistics = (folder / statistics_file).read_text()
        except OSError:
            continue
        if limit is None or used is None:
            continue
        for line in statistics.splitlines():
            name, _, value = line.partition(" ")
            if name == given_back:
                used -= int(value)
        yield limit - used


def _machine() -> int:
    """Return what the machine can give without swapping."""
    with open("/proc/meminfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * KIB
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _resident() -> int:
    """Return the bytes that this process has in memory."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _whole(text: str) -> int | None:
    """Return the whole number of a text, None for any other text."""
    return int(text) if text.strip().isdecimal() else None
