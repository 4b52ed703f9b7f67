"""The Python that forks commands: they are what a cold start makes of them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import warm

SAY = """
import os, sys
print(sys.argv[1:], sys.executable == os.environ["REAL"])
"""


def typed(command: list[Any], folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--version"],
        ["nothing"],
        ["-w", "there", "status", "nothing"],
        ["components", "head", "--json"],
        ["schema", "grid"],
    ],
)
def test_a_command_prints_what_the_real_one_prints(words: list[str], tmp_path: Path) -> None:
    for forked, real in (
        ([warm.commands() / "echolm"], [Path(sys.executable).with_name("echolm")]),
        ([warm.python(), "-m", "echolm.cli"], [sys.executable, "-m", "echolm.cli"]),
    ):
        here, there = (typed([*command, *words], tmp_path) for command in (forked, real))
        assert (here.returncode, here.stdout, here.stderr) == (
            there.returncode,
            there.stdout,
            there.stderr,
        )


def test_what_the_server_does_not_know_is_for_the_real_python(tmp_path: Path) -> None:
    (tmp_path / "say.py").write_text(SAY)
    for command in (["say.py", "a b"], ["-c", SAY, "a b"], ["-m", "say", "a b"]):
        done = typed([warm.python(), *command], tmp_path, REAL=sys.executable)
        assert done.stdout == "['a b'] True\n", done


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_the_command(number: int, tmp_path: Path) -> None:
    settings = json.dumps(
        {
            "workspace": str(tmp_path),
            "compile": False,
            "imports": [],
        }
    )
    ours, remote = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [warm.python(), "-P", "-m", "cluster.worker_server", settings], stdin=remote
    )
    remote.close()
    assert ours.recv(100) == b"ready"
    process.send_signal(number)
    assert process.wait() == -number
    assert ours.recv(100) == b"", "the command has ended too"
