"""Where the machine has cgroup v1, the lab tracks its jobs with it and enforces their memory, in a
part that is its own.

SLURM calls a node's cgroup ``slurm_<node>`` in every lab; links in the lab's directory lead to a
folder a lab.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.slurm.settings import Settings

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "freezer")


def available(root: Path = ROOT) -> bool:
    """Whether both hierarchies are there and can be written to."""
    return all(
        (root / name / "cgroup.procs").exists() and os.access(root / name, os.W_OK)
        for name in CONTROLLERS
    )


def folder(settings: Settings, controller: str, root: Path = ROOT) -> Path:
    """The lab's own part of a hierarchy."""
    return root / controller / f"echolm-slurm-lab-{settings.port}"


def make(settings: Settings) -> None:
    """The lab's parts, and the links that its cgroup.conf names."""
    links = settings.directory / "cgroup"
    links.mkdir()
    for controller in CONTROLLERS:
        folder(settings, controller).mkdir(exist_ok=True)
        (links / controller).symlink_to(folder(settings, controller))


def remove(settings: Settings) -> None:
    """Take them away. The processes in them have been killed; the kernel may need a moment."""
    for controller in CONTROLLERS:
        top = folder(settings, controller)
        for path in [*sorted(top.rglob("*/"), reverse=True), top] if top.is_dir() else []:
            _remove(path)


def _remove(path: Path) -> None:
    for _ in range(50):
        try:
            return path.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.1)
    path.rmdir()
