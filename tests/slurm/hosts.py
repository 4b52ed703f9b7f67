"""The nodes' names in /etc/hosts: MASTER_ADDR is a node's name, so it must resolve. Every line
carries the lab's tag.
"""

from __future__ import annotations

import socket
from pathlib import Path

from echolm.errors import EchoLMError
from tests.slurm.configuration import address
from tests.slurm.settings import Settings

HOSTS = Path("/etc/hosts")


def tag(directory: Path) -> str:
    """How every line of a lab ends."""
    return f"# echolm-slurm-lab {directory}"


def lines(settings: Settings, text: str) -> list[str]:
    """What a lab adds to a hosts file: its nodes, and this machine's own name where the file lacks
    it.
    """
    own = socket.gethostname().split(".")[0]
    names = {name: address(number) for number, name in enumerate(settings.names, 1)}
    if not any(own in line.split("#")[0].split()[1:] for line in text.splitlines()):
        names[own] = "127.0.0.1"
    return [f"{where} {name} {tag(settings.directory)}" for name, where in names.items()]


def without(directory: Path, text: str) -> str:
    """A hosts file without a lab's lines."""
    return "".join(
        line
        for line in text.splitlines(keepends=True)
        if not line.rstrip().endswith(tag(directory))
    )


def clash(settings: Settings, text: str) -> str:
    """The first line that gives another address to one of the nodes' names, or ''."""
    names = {name: address(number) for number, name in enumerate(settings.names, 1)}
    for line in text.splitlines():
        where, *known = line.split("#")[0].split() or [""]
        if any(name in names and names[name] != where for name in known):
            return line
    return ""


def add(settings: Settings, path: Path = HOSTS) -> None:
    """Write a lab's lines. In place: the file may be a bind mount.

    EchoLMError: the file cannot be written, or gives the names to others.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    text = without(settings.directory, text)
    if line := clash(settings, text):
        raise EchoLMError(
            f"{path} has '{line}', and the SLURM lab needs that name; take the line out, "
            "then start the lab again"
        )
    text += "" if text.endswith("\n") or not text else "\n"
    _write(path, text + "".join(f"{line}\n" for line in lines(settings, text)))


def remove(directory: Path, path: Path = HOSTS) -> None:
    """Take a lab's lines out again."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if (kept := without(directory, text)) != text:
        _write(path, kept)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EchoLMError(
            f"{path} cannot be written ({error.strerror}), and the nodes' names must "
            "resolve: run the lab where it can be written"
        ) from error
