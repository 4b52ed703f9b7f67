"""The one error type whose message is written for the person at the keyboard."""


class EchoLMError(Exception):
    """Bad input or a state the command cannot work with.

    The message says what was given (file, row, field), what is valid, and what to type next.
    The command line prints it as one ``error: ...`` line and exits with status 1.
    """


class StorageError(EchoLMError, OSError):
    """A file or folder that cannot be written: full disk, missing permission, read-only file system."""


class NewerError(EchoLMError):
    """A file that a newer EchoLM wrote, which ``text`` says: only an update helps, fetching the file again does not."""

    def __init__(self, path: object, text: str) -> None:
        super().__init__(f"{path}: {text}")
        self.text = text


def printable(text: str) -> str:
    """A text without what a terminal would obey: an escape character is the text ``\\x1b``."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
