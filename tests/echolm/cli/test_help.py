"""Help: whole sentences, quick, and without the heavy libraries."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version

import click
import pytest
from launch_support import Shell

from echolm.cli import main


def commands(
    group: click.Group = main, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    for name, command in group.commands.items():
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_says_what_it_needs(path: tuple[str, ...], shell: Shell) -> None:
    """Each argument in capitals is explained in the text; each option has a help text."""
    command = ALL[path]
    text = (command.help or "").split("\b")[0]
    assert text.split("\n\n")[0].rstrip().endswith((".", "?")), text
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, f"{path}: {parameter.name}"


SHORT = [
    "launch",
    "status",
    "logs",
    "cancel",
    "retry",
    "train",
    "predict",
    "data",
    "grid",
    "grid list",
    "grid show",
    "grid explain",
]


@pytest.mark.parametrize("words", [(), ("grid",)], ids=str)
def test_short_help_is_not_cut_off(words: tuple[str, ...], shell: Shell) -> None:
    done = shell.inside(*words, "-h", COLUMNS="80")
    assert done.status == 0
    listed = {
        " ".join((*words, line.split()[0])): line
        for line in done.out.partition("Commands:")[2].splitlines()
        if line.strip()
    }
    own = [name for name in SHORT if name in listed]
    assert own and [name for name in own if listed[name].endswith("...")] == []


@pytest.mark.parametrize(
    ("words", "free_of"),
    [
        (["-h"], ["torch", "mlflow", "pyarrow", "numpy", "pandas"]),
        (["launch", "-h"], ["torch", "mlflow", "pyarrow", "numpy", "pandas"]),
        (["grid", "show", "demo"], ["torch", "mlflow", "pyarrow", "pandas"]),
        (["status", "demo"], ["torch", "mlflow", "pyarrow", "pandas"]),
        (["launch", "demo", "--dry-run"], ["torch", "mlflow", "pyarrow", "pandas"]),
        (["cancel", "demo", "--where", "head=nosuch"], ["torch", "mlflow", "pyarrow", "pandas"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_quick_commands_load_no_heavy_library(
    words: list[str], free_of: list[str], bare: Shell
) -> None:
    program = (
        "import sys; from echolm.cli import main\n"
        "try: main(sys.argv[1:], standalone_mode=True)\n"
        f"finally: print('LOADED', sorted(set({free_of!r}) & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        env=bare.environment(),
    )
    assert "LOADED []" in done.stderr, done.stderr


def test_version(shell: Shell) -> None:
    assert shell.inside("--version").out.rstrip().endswith(f"version {version('echolm')}")
