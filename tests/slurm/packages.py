"""The Debian packages that a lab needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from echolm.errors import EchoLMError

PROGRAMS = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sinfo": "slurm-client",
    "munged": "munge",
    "unshare": "util-linux",
}
ACCOUNTING = {"slurmdbd": "slurmdbd", "mariadbd": "mariadb-server"}
POLICY = Path("/usr/sbin/policy-rc.d")


def missing(accounting: bool, path: str) -> list[str]:
    """The packages whose programs are not in ``path``."""
    programs = {**PROGRAMS, **ACCOUNTING} if accounting else PROGRAMS
    return [
        package for program, package in programs.items() if not shutil.which(program, path=path)
    ]


def install(packages: list[str], say: Callable[[str], None]) -> None:
    """Install them without recommended ones and without starting their services.

    EchoLMError: this machine has no apt, or apt failed; with its last lines.
    """
    if not packages:
        return
    if not shutil.which("apt-get"):
        raise EchoLMError(
            f"the SLURM lab needs {', '.join(packages)}, and this machine has no "
            "apt-get; install them by hand, then run it again"
        )
    say(f"installing Debian's {', '.join(packages)} with apt-get")
    own = not POLICY.exists()
    if own:  # tells Debian's packages not to start what they install
        POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
        POLICY.chmod(0o755)
    try:
        _apt("update", check=False)
        _apt("install", "-y", "--no-install-recommends", *packages)
    finally:
        if own:
            POLICY.unlink()
    say("installed")


def _apt(*words: str, check: bool = True) -> None:
    command = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", *words]
    done = subprocess.run(
        command,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if check and done.returncode:
        last = "\n".join(done.stdout.splitlines()[-15:])
        raise EchoLMError(
            f"{' '.join(command)} failed; run it by hand and mend what it says, then "
            f"start the lab again. Its last lines:\n{last}"
        )
