"""The one error type whose message is written for the person at the keyboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from echolm.commands import Command


class EchoLMError(Exception):
    """Bad input or a state the command cannot work with.

    The message says what was given (file, row, field), what is valid, and what to type next.
    The command line prints it as one ``error: ...`` line and exits with status 1.

    Args:
        message: the sentence. When a command follows, the sentence ends with a semicolon and
            ``type``, before the colon.
        command: what to type next. It is printed after the message and a colon.
    """

    def __init__(self, message: object = "", command: Command | None = None) -> None:
        # What an exception is made of must be in its arguments: they are what is pickled.
        if command is None:
            super().__init__(message)
        else:
            super().__init__(message, command)
        self.message = str(message)
        self.command = command

    def text(self, program: Sequence[str] = ("echolm",)) -> str:
        """Spell the error, its command as one types it after ``program``."""
        if self.command is None:
            return self.message
        return f"{self.message}: {self.command.text(program)}"

    def __str__(self) -> str:
        return self.text()


class StorageError(EchoLMError, OSError):
    """A file or folder that cannot be written.

    The disk is full, a permission is missing, or the file system is read-only.
    """


class NewerError(EchoLMError):
    """A file that a newer EchoLM wrote. Only an update helps: fetching the file again does not.

    Args:
        path: the file.
        reason: what shows that it is newer.
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.reason = reason
