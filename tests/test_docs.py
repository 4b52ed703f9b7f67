"""The README and the pages under docs: what they tell people to type is typed here.

A block is marked by its language: ``sh`` is typed, ``yaml file=NAME`` and ``python file=NAME`` are
written before what follows is typed. ``sh site`` (a cluster), ``sh long`` and ``sh install`` are
only read: each of their commands and options must be there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from echolm.cli import main
from tests import warm

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(?P<mark>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#]+)(#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        mark: what stands behind its first fence.
        text: its lines.
    """

    mark: str
    text: str

    @property
    def file(self) -> str:
        """The file that it is the content of, or ''."""
        return self.mark.partition("file=")[2]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [Block(match["mark"].strip(), match["text"]) for match in BLOCK.finditer(text)]


def type_page(page: Path, folder: Path) -> None:
    """Write the files of a page and type its commands in a folder, block by block."""
    kept = {name: os.environ[name] for name in os.environ if not name.startswith("ECHOLM_")}
    path = f"{warm.commands()}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**kept, "PATH": path, "PYTHONUTF8": "1"}
    for block in blocks(page):
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.mark == "sh":
            done = subprocess.run(
                ["bash", "-euxo", "pipefail", "-c", block.text],
                cwd=folder,
                env=environment,
                capture_output=True,
                encoding="utf-8",
                timeout=800,
            )
            assert done.returncode == 0, f"{page.name}\n{done.stdout}\n{done.stderr}"
            assert "Traceback" not in done.stderr, done.stderr


def test_the_readme_and_the_tutorial(tmp_path: Path) -> None:
    """In one folder: the tutorial goes on from the commands of the README."""
    type_page(README, tmp_path)
    type_page(ROOT / "docs" / "tutorial.md", tmp_path)
    assert (tmp_path / "contours.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", ["grids", "data", "own-data", "components", "cluster"])
def test_a_page(name: str, tmp_path: Path) -> None:
    type_page(ROOT / "docs" / f"{name}.md", tmp_path)


def echolm_lines(page: Path) -> list[list[str]]:
    """The words of every line of a page's shell blocks that begins with ``echolm``."""
    lines = []
    for block in blocks(page):
        if block.mark.split()[:1] == ["sh"]:
            for line in block.text.splitlines():
                if line.startswith("echolm "):
                    lines.append(shlex.split(line, comments=True)[1:])
    return lines


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_every_command_and_option_that_is_told_exists(page: Path) -> None:
    for words in echolm_lines(page):
        command: click.Command = main
        rest = list(words)
        while isinstance(command, click.Group):
            name = rest.pop(0)
            assert name in command.commands, words
            command = command.commands[name]
        context = click.Context(command)
        command.make_parser(context).parse_args(args=rest)


def test_the_readme_lists_every_command() -> None:
    told = set()
    for line in README.read_text(encoding="utf-8").splitlines():
        match = re.fullmatch(r"echolm ([a-z|-]+) ?(\S*)  +\S.*", line)
        if match:
            told |= commands_told(match[1], match[2])
    there = set()
    for name, command in main.commands.items():
        if isinstance(command, click.Group):
            there |= {f"{name} {inner}" for inner in command.commands}
        else:
            there.add(name)
    assert told == there


def commands_told(first: str, second: str) -> set[str]:
    """``data``, ``check|list`` -> ``data check``, ``data list``."""
    names = set()
    for name in first.split("|"):
        if isinstance(main.commands[name], click.Group):
            names |= {f"{name} {inner}" for inner in second.split("|")}
        else:
            names.add(name)
    return names


@pytest.mark.parametrize("page", [README, *PAGES], ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for match in LINK.finditer(page.read_text(encoding="utf-8")):
        target = match["target"]
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {match["target"] for match in LINK.finditer(README.read_text(encoding="utf-8"))}
    assert {f"docs/{page.name}" for page in PAGES} <= linked
