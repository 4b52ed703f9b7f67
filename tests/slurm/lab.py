"""A real SLURM cluster of several nodes on this machine, for tests: ``python -m tests.slurm.lab up
| status | down``.

Root, no systemd, no network. Everything lies in one directory (ECHOLM_SLURM_LAB) and answers only
to its SLURM_CONF.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from echolm.errors import EchoLMError
from tests.slurm import cgroups, configuration, daemons, foreign, hosts, packages, processes
from tests.slurm.settings import Settings, directory, load, wanted

HELP = "env prints the export line for a shell; needs says what up will install"
ROOT = Path(__file__).parents[2]
KEPT = "kept"
"""In ``users/``: somebody brought the lab up to stay."""


def quiet(line: str) -> None:
    """Say nothing."""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Alone with a folder, among the processes that ask here. Leaves nothing behind."""
    held = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def up(
    where: Path, say: Callable[[str], None] = quiet, user: int | None = None, **sizes: int | bool
) -> Settings:
    """Bring a lab up, or what of it is down. It stays until ``down``; with ``user``, a process id,
    until its last user leaves.

    ``sizes``: fields of ``Settings`` for a new one. EchoLMError: not root, a foreign SLURM is here,
    a package or a daemon fails.
    """
    if os.geteuid() != 0:
        raise EchoLMError(
            "the SLURM lab needs root (it starts slurmd and gives nodes their names); "
            "run this as root, in a container for instance"
        )
    foreign.refuse()
    where.parent.mkdir(parents=True, exist_ok=True)
    with locked(where.parent):
        settings = load(where)
        if settings is None or not users(
            where
        ):  # else another session's test may have stopped parts of it on purpose
            settings = _running(where, say, sizes)
        (_users(where) / (str(user) if user else KEPT)).touch()
    return settings


@contextmanager
def session(
    where: Path, say: Callable[[str], None] = quiet, **sizes: int | bool
) -> Iterator[Settings]:
    """A lab for as long as this process needs it. The last user takes it down, unless it was
    brought up by hand before.
    """
    settings = up(where, say, os.getpid(), **sizes)
    try:
        yield settings
    finally:
        with locked(where.parent):
            (_users(where) / str(os.getpid())).unlink(missing_ok=True)
            if not any(_users(where).glob(KEPT)) and not users(where):
                _down(where, say)


def users(where: Path) -> list[int]:
    """The live processes that use a lab."""
    return [
        int(path.name) for path in _users(where).glob("[0-9]*") if psutil.pid_exists(int(path.name))
    ]


def _users(where: Path) -> Path:
    return where / "users"


def down(where: Path, say: Callable[[str], None] = quiet) -> None:
    """Stop a lab, with its jobs, and remove every trace of it. None there is fine."""
    if where.parent.is_dir():
        with locked(where.parent):
            _down(where, say)


def status(where: Path) -> str:
    """Its daemons, nodes and jobs."""
    settings = load(where)
    if not settings:
        return f"no SLURM lab in {where}; 'python -m tests.slurm.lab up' starts one"
    names = [path.stem for path in sorted(settings.pid_file("x").parent.glob("*.pid"))]
    found = {name: processes.daemon(settings.pid_file(name)) for name in names}
    told = [
        f"SLURM_CONF={settings.conf}",
        "daemons: "
        + ", ".join(
            f"{name} {process.pid if process else 'DOWN'}" for name, process in found.items()
        ),
    ]
    if daemons.succeeds(settings, "scontrol", "ping"):
        told += [
            daemons.run(settings, "sinfo", "-N", "-p", "main", "-o", "%N %T %c CPUs %m MB %G %E"),
            daemons.run(settings, "squeue"),
        ]
    told += [f"used by processes {', '.join(map(str, users(where)))}"] if users(where) else []
    return "\n".join(told)


def _running(where: Path, say: Callable[[str], None], sizes: dict[str, int | bool]) -> Settings:
    """A lab that is there, with every daemon that does not run started; or a new one, of which
    nothing stays if it does not start.
    """
    settings = load(where)
    if settings and processes.daemon(settings.pid_file("slurmctld")):
        _start(settings, say)
        return settings
    _down(where, say)  # what a crash or a reboot left
    settings = wanted(where, **{"cgroups": cgroups.available(), **sizes})
    packages.install(packages.missing(settings.accounting, settings.environment()["PATH"]), say)
    where.mkdir(exist_ok=True)
    if any(where.iterdir()):
        raise EchoLMError(
            f"{where} is not empty and not a SLURM lab; set ECHOLM_SLURM_LAB to a folder of its own"
        )
    settings.save()
    try:
        _write(settings)
        _start(settings, say)
    except BaseException:
        _down(where, quiet)
        raise
    return settings


def _write(settings: Settings) -> None:
    configuration.write(settings)
    if settings.cgroups:
        cgroups.make(settings)
    hosts.add(settings)


def _start(settings: Settings, say: Callable[[str], None]) -> None:
    """Every daemon that does not run, until the nodes are there."""
    daemons.all_of(settings, say)
    daemons.wait_for(lambda: all_there(settings), 60, f"{settings.nodes} nodes ready")
    say(
        f"{settings.nodes} nodes are up: "
        f"{daemons.run(settings, 'sinfo', '-h', '-p', 'main', '-o', '%N, %c CPUs, %G, %T').strip()}"
    )
    if not settings.cgroups:
        say("memory is not enforced: this machine has no cgroup v1 that can be written to")


def all_there(settings: Settings) -> bool:
    """Whether every node answers and takes jobs."""
    lines = daemons.run(settings, "sinfo", "-h", "-N", "-p", "main", "-o", "%t").split()
    return len(lines) == settings.nodes and set(lines) <= {"idle", "mix", "alloc"}


def _down(where: Path, say: Callable[[str], None]) -> None:
    settings = load(where)
    hosts.remove(where)
    if not settings:
        return
    if processes.daemon(settings.pid_file("slurmctld")):
        daemons.succeeds(settings, "scancel", "--full", "--signal=KILL", "--user=root", seconds=20)
    # nothing of it is needed again: no daemon gets time to save its state
    processes.kill(processes.daemons(settings.conf))
    processes.kill(processes.of_jobs(settings.conf))
    if settings.cgroups:
        cgroups.remove(settings)
    say("daemons and jobs stopped")
    shutil.rmtree(where)


def needs(settings: Settings) -> str:
    """What ``up`` will install."""
    missing = packages.missing(settings.accounting, settings.environment()["PATH"])
    told = (
        f"it will install Debian's {', '.join(missing)} with apt-get"
        if missing
        else "all its packages are installed"
    )
    return (
        f"The SLURM lab in {settings.directory}: {told}; it starts daemons on loopback "
        "addresses, as root, and stops them again"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.slurm.lab",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("act", choices=("up", "down", "status", "env", "needs"), help=HELP)
    options = parser.parse_args()
    where, began = directory(), time.monotonic()

    def say(line: str) -> None:
        print(f"[slurm lab {time.monotonic() - began:5.1f} s] {line}", flush=True)

    try:
        if options.act == "up":
            settings = up(where, say)
            say(f"up; export SLURM_CONF={settings.conf}")
        elif options.act == "down":
            down(where, say)
            say("down")
        elif options.act == "needs":
            print(needs(wanted(where)), flush=True)
        else:
            print(
                status(where)
                if options.act == "status"
                else f"export SLURM_CONF={where}/etc/slurm.conf"
            )
    except (EchoLMError, TimeoutError, psutil.Error) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
