"""Commands to type next, as values. Only who prints one knows how the program was called."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command of EchoLM to type next.

    Args:
        verb: the words that name it, ``launch`` or ``data prepare``.
        target: what it is about: a grid, a cell, a path. Empty without one.
        where: selections of cells, each spelled after a ``--where``.
        on: the place after ``--on``. Empty when the command does not say it.
        options: further words, as they are typed.
    """

    verb: str
    target: str = ""
    where: tuple[str, ...] = ()
    on: str = ""
    options: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words after the program's name."""
        words = self.verb.split()
        if self.target:
            words.append(self.target)
        if self.on:
            words += ["--on", self.on]
        for condition in self.where:
            words += ["--where", condition]
        return (*words, *self.options)

    def text(self, program: Sequence[str] = ("echolm",)) -> str:
        """Spell the command for a shell.

        Args:
            program: the program and the options that come before the verb, such as ``--workspace``.
        """
        return shlex.join([*program, *self.words])

    def __str__(self) -> str:
        return self.text()


@dataclass(frozen=True)
class Hint:
    """A sentence for the person at the keyboard, and the command that it ends with, if any."""

    text: str
    command: Command | None = None

    def spelled(self, program: Sequence[str] = ("echolm",)) -> str:
        """Spell the hint, its command as one types it after ``program``."""
        if self.command is None:
            return self.text
        return f"{self.text}: {self.command.text(program)}"
