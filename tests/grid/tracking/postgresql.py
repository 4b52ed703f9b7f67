"""A PostgreSQL server of its own on a free port of this machine, and the Python driver for it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = "/usr/lib/postgresql"
POLICY = Path("/usr/sbin/policy-rc.d")
"""Tells Debian's packages not to start what they install."""


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database; the server ends and its files go with it."""
    programs = _programs()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    user: dict[str, Any] = (
        {"user": "postgres", "group": "postgres", "extra_groups": []} if os.getuid() == 0 else {}
    )
    folder = Path(
        tempfile.mkdtemp(prefix="echolm-postgresql-")
    )  # not below tmp_path, which another user cannot enter
    if user:
        shutil.chown(folder, "postgres", "postgres")

    def run(program: str, *words: str) -> None:
        subprocess.run(
            [programs / program, *words], check=True, cwd=folder, stdout=subprocess.DEVNULL, **user
        )

    try:
        run("initdb", "-D", f"{folder}/data", "-U", "echolm", "-A", "trust", "--no-sync")
        settings = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run("pg_ctl", "-D", f"{folder}/data", "-l", f"{folder}/log", "-w", "-o", settings, "start")
        try:
            run("createdb", "-h", "127.0.0.1", "-p", port, "-U", "echolm", "mlflow")
            yield f"postgresql+psycopg2://echolm@127.0.0.1:{port}/mlflow"
        finally:
            run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def driver(folder: Path) -> Path:
    """psycopg2 installed into ``folder``, for ``sys.path``.

    The environment itself stays as it is.
    """
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(folder),
        "psycopg2-binary",
    ]
    subprocess.run(pip, check=True)
    return folder


def _programs() -> Path:
    """Debian's newest; installed, and not started, where there is none."""
    if not (found := sorted(Path(PROGRAMS).glob("*/bin/initdb"))):
        own = not POLICY.exists()
        if own:
            POLICY.write_text("#!/bin/sh\nexit 101\n", encoding="utf-8")
            POLICY.chmod(0o755)
        try:
            for words in (["update"], ["install", "-y", "--no-install-recommends", "postgresql"]):
                apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=600", *words]
                subprocess.run(
                    apt,
                    check=words != ["update"],
                    env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                )
        finally:
            if own:
                POLICY.unlink()
        found = sorted(Path(PROGRAMS).glob("*/bin/initdb"))
    return found[-1].parent
