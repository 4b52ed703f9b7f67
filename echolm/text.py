"""Put values into words that several rooms print."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

MINUTE, HOUR = 60, 3600
"""In seconds."""


def suggest(name: str, valid: Iterable[str]) -> str:
    """Say what may have been meant by a name that is not valid: ``did you mean 'x'? valid: ...``.

    Args:
        name: what was typed.
        valid: the names that could have been typed.
    """
    valid_names = sorted(valid)
    listed = ", ".join(valid_names) or "(none)"
    closest = difflib.get_close_matches(name, valid_names, n=1)
    if not closest:
        return f"valid: {listed}"
    return f"did you mean {closest[0]!r}? valid: {listed}"


def printable(text: str) -> str:
    r"""Return a text without what a terminal would obey.

    A character that cannot be printed is spelled as Python spells it: an escape becomes ``\x1b``.
    """
    letters = []
    for letter in text:
        if not letter.isprintable():
            letter = ascii(letter)[1:-1]  # without the quotation marks
        letters.append(letter)
    return "".join(letters)


def harmless(text: str, kept: str = "\n\t") -> str:
    r"""Return a text without what a terminal would obey, and without what turns its order round.

    Control characters (C0, DEL, C1), marks of direction and the like are spelled as Python spells
    them: an escape becomes ``\x1b``. Blanks of any width stay.

    Args:
        text: what somebody else may have written.
        kept: control characters that stay.
    """
    if text.isprintable():
        return text
    letters = []
    for letter in text:
        stays = letter.isprintable() or letter in kept or unicodedata.category(letter) == "Zs"
        letters.append(letter if stays else ascii(letter)[1:-1])
    return "".join(letters)


def one_line(text: str) -> str:
    """Return a text as one harmless line. A line's end becomes a blank."""
    return harmless(_LINE_ENDS.sub(" ", text), kept="")


_LINE_ENDS = re.compile(r"[\r\n]+")


def harmless_json(document: str) -> str:
    r"""Return a JSON document whose strings hold nothing that a terminal would obey.

    Such characters are written as JSON's escapes (``\u009b``), so the document means the same.

    Args:
        document: JSON whose strings may hold any character.
    """
    return _UNUSUAL.sub(_json_sign, document)


_UNUSUAL = re.compile(r"[^\n\x20-\x7e]")


def _json_sign(match: re.Match[str]) -> str:
    sign = match[0]
    if sign.isprintable() or unicodedata.category(sign) == "Zs":
        return sign
    return json.dumps(sign)[1:-1]  # without the quotation marks


MINUS = "\u2212"
"""A true minus sign, as wide as a plus."""
_HYPHEN_OF_A_NUMBER = re.compile(r"(?:^|(?<=[\s(\[|±+]))-(?=\d|inf\b|\.\d)")


def true_minus(text: str) -> str:
    """Return a text whose negative numbers have a minus sign in the place of a hyphen."""
    if "-" not in text:
        return text
    return _HYPHEN_OF_A_NUMBER.sub(MINUS, text)


def ranges(numbers: Iterable[int]) -> str:
    """Write numbers in order, neighbours as a range: ``0-3,7`` of 0, 1, 2, 3, 7."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])

    words = []
    for first, last in spans:
        words.append(str(first) if first == last else f"{first}-{last}")
    return ",".join(words)


def counted(number: float, noun: str) -> str:
    """Write a number with its noun: ``1 cell``, ``2 cells``, ``1,264 cells``, ``0.5 GPUs``.

    Args:
        number: how many. A float that is whole is written as a whole number.
        noun: the thing in the singular. Its plural adds an ``s``.
    """
    digits = f"{number:,.0f}" if number == int(number) else f"{number:g}"
    if number == 1:
        return f"{digits} {noun}"
    return f"{digits} {noun}s"


def duration(seconds: float) -> str:
    """Write a duration in the unit that suits it: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 1.5 * MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * HOUR:
        return f"{seconds / MINUTE:.0f} min"
    return f"{seconds / HOUR:.1f} h"


def file_size(bytes_: float) -> str:
    """Write a size in the unit that suits it, by thousands: ``512 B``, ``3.7 MB``, ``1.1 GB``."""
    size = float(bytes_)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            digits = f"{size:.0f}" if unit == "B" or size >= 99.5 else f"{size:.2g}"
            return f"{digits} {unit}"
        size /= 1000
    return f"{size:.2g} TB" if size < 99.5 else f"{size:,.0f} TB"


def last_line(log: Path, otherwise: str = "its log is empty") -> str:
    """Return the last line of a log that says something, without the blanks around it.

    Args:
        log: a text file. It need not exist.
        otherwise: what to return when there is no such line.
    """
    if not log.is_file():
        return otherwise
    return last_line_of(log.read_text(encoding="utf-8", errors="replace"), otherwise)


def last_line_of(text: str, otherwise: str) -> str:
    """Return the last line of a text that says something, or ``otherwise``."""
    for line in reversed(text.splitlines()):
        if line.strip():
            return line.strip()
    return otherwise
