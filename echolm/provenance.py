"""Provenance: what a result was made with. Recorded, never part of identity."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

PINNED = "CODE.json"
"""File beside the packages of pinned code (``cluster.code``)."""
PACKAGES = ("echolm", "torch", "torchvision", "numpy", "pyarrow", "pydantic", "av", "mlflow")


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Commit (and whether the checkout was changed), package versions, host, processor, GPU, SLURM job, threads."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "host": socket.gethostname(),
        "device": gpu or f"cpu ({_cpu()})",
        "threads": torch.get_num_threads(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }


def commit() -> str | None:
    """The commit that pinned code was made from; else the checkout's, with ``+changes`` when files differ from it; None outside a checkout or before its first commit."""
    here = Path(__file__).resolve().parent.parent
    if (here / PINNED).is_file():
        found: str | None = json.loads((here / PINNED).read_text(encoding="utf-8"))["commit"]
        return found
    if not (here / ".git").exists():
        return None
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if head.returncode else head.stdout.strip() + "+changes" * bool(changed.stdout.strip())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
