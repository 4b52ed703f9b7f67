"""Provenance: what a result was made with. Recorded, never part of identity."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from echolm.files import read_json
from echolm.plugins import sources_of

PINNED = "CODE.json"
"""File beside the packages of pinned code (``cluster.code``)."""
PACKAGES = (
    "echolm",
    "torch",
    "torchvision",
    "numpy",
    "pyarrow",
    "pydantic",
    "av",
    "mlflow",
    "submitit",
    "ray",
    "optuna",
)


@lru_cache(maxsize=1)
def provenance() -> dict[str, Any]:
    """Collect what this process runs with.

    Returns:
        Commit (and whether the checkout was changed), package versions, host, processor or GPU,
        SLURM job, threads.
    """
    import torch

    device = f"cpu ({cpu_name()})"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for name in PACKAGES:
        versions[name] = _version(name)
    return {
        "commit": commit(),
        "versions": versions,
        "host": socket.gethostname(),
        "device": device,
        "threads": torch.get_num_threads(),
        "slurm_job": os.environ.get("SLURM_JOB_ID"),
    }


def code_facts(config: BaseModel) -> dict[str, Any]:
    """Tell which code makes a run, beside the commit.

    Args:
        config: the run's configuration.

    Returns:
        ``code``: the SHA-256 of pinned code, None for a checkout or an installed package.
        ``plugins``: the plugins that the configuration uses, each with the SHA-256 of its source.
    """
    components = [getattr(config, field) for field in type(config).model_fields]
    return {"code": _pinned_fact("sha256"), "plugins": sources_of(components)}


def commit() -> str | None:
    """Return the commit of the code.

    Of pinned code it is the commit that it was made from, else the checkout's, with ``+changes``
    when files differ from it. None outside a checkout or before its first commit.
    """
    root = _root()
    if (root / PINNED).is_file():
        return _pinned_fact("commit")
    if not (root / ".git").exists():
        return None
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain")
    if head is None or changed is None or head.returncode:
        return None
    if changed.stdout.strip():
        return head.stdout.strip() + "+changes"
    return head.stdout.strip()


def _root() -> Path:
    """Return the folder that the packages lie in."""
    return Path(__file__).resolve().parent.parent


def _pinned_fact(name: str) -> str | None:
    """Return what ``CODE.json`` says of pinned code. None: this is no pinned code."""
    file = _root() / PINNED
    if not file.is_file():
        return None
    fact: str | None = read_json(file).get(name)
    return fact


def _git(root: Path, *words: str) -> subprocess.CompletedProcess[str] | None:
    """Run git in a checkout. None: it is not there or does not answer."""
    try:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """Name the processor, or its architecture where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
