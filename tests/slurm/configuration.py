"""The lab's configuration files, from ``templates/`` and a lab's settings. Fields of slurm.conf can
be changed while it runs.
"""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from string import Template

from tests.slurm.settings import Settings

TEMPLATES = Path(__file__).with_name("templates")
ACCOUNTING = "AccountingStorage"


def write(settings: Settings) -> None:
    """All files of a new lab: slurm.conf and its companions, munge's key, and the fake GPUs."""
    for folder in (
        "etc",
        "log",
        "run",
        "state",
        "dev",
        "users",
        *(f"spool/{name}" for name in settings.names),
    ):
        (settings.directory / folder).mkdir(parents=True, exist_ok=True)
    for number in range(settings.gpus):  # SLURM wants character devices; links to /dev/null pass
        (settings.directory / "dev" / f"nvidia{number}").symlink_to("/dev/null")
    _private(settings.directory / "etc" / "munge.key", os.urandom(1024))
    _private(settings.conf.with_name("slurmdbd.conf"), rendered("slurmdbd.conf", settings).encode())
    settings.conf.with_name("gres.conf").write_text(gres(settings), encoding="utf-8")
    settings.conf.with_name("cgroup.conf").write_text(
        rendered("cgroup.conf", settings), encoding="utf-8"
    )
    change(settings, {})


def change(settings: Settings, fields: dict[str, str | None]) -> None:
    """Write slurm.conf anew with these fields in place of the template's; None leaves one out. {}
    is the lab as it began.
    """
    settings.conf.with_name("changes.json").write_text(json.dumps(fields), encoding="utf-8")
    settings.conf.write_text(
        with_fields(rendered("slurm.conf", settings), fields), encoding="utf-8"
    )


def changes(settings: Settings) -> dict[str, str | None]:
    """What ``change`` was given last."""
    return dict(json.loads(settings.conf.with_name("changes.json").read_text(encoding="utf-8")))


def rendered(name: str, settings: Settings) -> str:
    """A template with a lab's values in it. Accounting's fields fall away in a lab without."""
    text = Template((TEMPLATES / name).read_text(encoding="utf-8")).substitute(
        directory=settings.directory,
        host=socket.gethostname().split(".")[0],
        socket=settings.socket,
        nodes=nodes(settings),
        controller=settings.port + 1,
        slurmdbd=settings.port + 2,
        database=settings.port + 3,
        gres="GresTypes=gpu" if settings.gpus else "",
        tracking="cgroup" if settings.cgroups else "linuxproc",
        task="cgroup" if settings.cgroups else "none",
    )
    return (
        text
        if settings.accounting
        else with_fields(text, {key: None for key in keys(text) if key.startswith(ACCOUNTING)})
    )


def nodes(settings: Settings) -> str:
    """The NodeName lines. Each node has a loopback address and a port of its own, and claims CPUs
    and memory as it likes.
    """
    gres = f" Gres=gpu:{settings.gpus}" if settings.gpus else ""
    return "\n".join(
        f"NodeName={name} NodeHostname={name} NodeAddr={address(number)} "
        f"Port={settings.port + 10 + number}"
        f" CPUs={settings.cpus} RealMemory={settings.cpus * 4000}{gres} State=UNKNOWN"
        for number, name in enumerate(settings.names, 1)
    )


def address(number: int) -> str:
    """A node's own loopback address."""
    return f"127.0.77.{number}"


def gres(settings: Settings) -> str:
    """gres.conf."""
    devices = (
        f"Name=gpu File={settings.directory}/dev/nvidia[0-{settings.gpus - 1}]\n"
        if settings.gpus
        else ""
    )
    return f"AutoDetect=off\n{devices}"


def keys(text: str) -> list[str]:
    """The names of the fields of a slurm.conf, as written, outside of node and partition lines."""
    return [
        line.split("=")[0]
        for line in text.splitlines()
        if "=" in line and not line.startswith(("#", "NodeName", "PartitionName"))
    ]


def with_fields(text: str, fields: dict[str, str | None]) -> str:
    """A slurm.conf with fields replaced, left out (None), or added before its nodes."""
    kept = [
        line
        for line in text.splitlines()
        if line.startswith("#") or line.split("=")[0] not in fields
    ]
    place = next(
        (number for number, line in enumerate(kept) if line.startswith("NodeName")), len(kept)
    )
    return (
        "\n".join(
            [
                *kept[:place],
                *(f"{key}={value}" for key, value in fields.items() if value is not None),
                *kept[place:],
            ]
        )
        + "\n"
    )


def _private(path: Path, content: bytes) -> None:
    """A file that only its owner reads: munge and slurmdbd insist."""
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(content)
