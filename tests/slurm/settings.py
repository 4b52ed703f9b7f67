"""Where a lab lives and how large it is."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echolm.errors import EchoLMError

BLOCK = 40
"""Ports of one lab: controller, slurmdbd, MariaDB, then one a node from the eleventh."""


@dataclass(frozen=True)
class Settings:
    """One lab. ``port``: the first of ``BLOCK`` ports; everything listens on loopback addresses
    only.

    ``gpus``: fake ones a node. ``accounting``: slurmdbd and MariaDB, so that sacct works.
    ``cgroups``: jobs are tracked and their memory is enforced by cgroup v1.
    """

    directory: Path
    port: int
    nodes: int = 4
    cpus: int = 8
    gpus: int = 2
    accounting: bool = True
    cgroups: bool = False

    @property
    def conf(self) -> Path:
        """What SLURM_CONF is set to; every other configuration file lies beside it."""
        return self.directory / "etc" / "slurm.conf"

    @property
    def socket(self) -> Path:
        """Munge's."""
        return self.directory / "run" / "munge.socket"

    @property
    def names(self) -> list[str]:
        """n1, n2, ..."""
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    def pid_file(self, name: str) -> Path:
        """Of a daemon: ``slurmctld``, ``slurmd.n1``, ..."""
        return self.directory / "run" / f"{name}.pid"

    def log(self, name: str) -> Path:
        """Of a daemon."""
        return self.directory / "log" / f"{name}.log"

    def environment(self) -> dict[str, str]:
        """For every process of the lab and for its clients: this process's, with the lab's
        SLURM_CONF and no other SLURM's words.
        """
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("SLURM", "SBATCH", "SRUN", "SALLOC", "SQUEUE"))
        }
        path = os.pathsep.join(
            ["/usr/local/sbin", "/usr/sbin", "/sbin", os.environ.get("PATH", "/usr/bin:/bin")]
        )
        return {**kept, "PATH": path, "SLURM_CONF": str(self.conf)}

    def save(self) -> None:
        """In the lab's directory, which this marks as one."""
        marker(self.directory).write_text(
            json.dumps({**asdict(self), "directory": str(self.directory)}, indent=1) + "\n",
            encoding="utf-8",
        )


def marker(directory: Path) -> Path:
    """The file that says that a directory is a lab, and which."""
    return directory / "lab.json"


def load(directory: Path) -> Settings | None:
    """The lab in a directory, if one was begun there."""
    try:
        found = json.loads(marker(directory).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return Settings(
        **{
            key: Path(value) if key == "directory" else value
            for key, value in found.items()
            if key in Settings.__match_args__
        }
    )


def directory() -> Path:
    """ECHOLM_SLURM_LAB, or a folder in the system's temporary directory."""
    return Path(
        os.environ.get("ECHOLM_SLURM_LAB") or Path(tempfile.gettempdir()) / "echolm-slurm-lab"
    ).resolve()


def wanted(where: Path, **sizes: int | bool) -> Settings:
    """A new lab's settings. ECHOLM_SLURM_ACCOUNTING=0: without slurmdbd and MariaDB."""
    if len(str(where)) > 80:
        raise EchoLMError(
            f"{where} is too long for the lab's sockets; set ECHOLM_SLURM_LAB to a "
            "folder with a shorter name"
        )
    accounting = os.environ.get("ECHOLM_SLURM_ACCOUNTING", "1") != "0"
    fields: dict[str, Any] = {"accounting": accounting, **sizes}
    return Settings(where, _free_block(where), **fields)


def _free_block(where: Path) -> int:
    """The first port of a block that nobody listens in. Labs in different directories begin to
    search at different places.
    """
    first = zlib.crc32(str(where).encode()) % 200
    for step in range(200):
        port = 16800 + BLOCK * ((first + step) % 200)
        if all(_is_free(port + offset) for offset in range(BLOCK)):
            return port
    raise RuntimeError("no block of free ports between 16800 and 24800")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
