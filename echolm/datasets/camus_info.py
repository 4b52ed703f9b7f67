"""What CAMUS says of one view of a patient: ``Info_2CH.cfg`` and ``Info_4CH.cfg``.

Lines are ``KEY: VALUE``. The NIfTI release has ED, ES, NbFrame, Sex, Age, ImageQuality, EF and
FrameRate. The older release has LVedv, LVesv and LVef, and no rate. Frames are counted from 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echolm.text import printable

LARGEST = 65_536
"""Bytes of a file. CAMUS's have about 100."""
MOST_FRAMES = 10_000
UNKNOWN = ("", "-", "na", "n/a", "nan", "none", "unknown")
"""Words in lower case that stand for a value that is not known."""
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
QUALITIES = {"good": "Good", "medium": "Medium", "poor": "Poor"}
RELEASED = {
    "ef_released": (("ef", "lvef"), 0.0, 100.0),
    "esv_released": (("esv", "lvesv"), 0.0, 2000.0),
    "edv_released": (("edv", "lvedv"), 0.0, 2000.0),
}
"""Value -> its names in both releases, and the smallest and largest (percent, ml)."""


class InfoError(ValueError):
    """Why a file cannot be used.

    Attributes:
        line: where that shows, counted from 1. None: nowhere in particular.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True)
class ViewInfo:
    """One view of a patient.

    Attributes:
        frame_count: of its half sequence.
        values: ``ed`` and ``es`` (counted from 0), and those of ``sex``, ``age``, ``quality``,
            ``fps``, ``ef_released``, ``esv_released`` and ``edv_released`` that are stated.
    """

    frame_count: int
    values: dict[str, Any]


@dataclass(frozen=True)
class _Entry:
    key: str
    value: str
    line: int

    def error(self, valid: str) -> InfoError:
        """Say that the value is not valid."""
        return InfoError(f"{self.key} is {self.value[:40]!r}; valid: {valid}", self.line)


def read_info(path: Path) -> ViewInfo:
    """Read the file of one view.

    Raises:
        InfoError: it is no such file, lacks ED, ES or NbFrame, or has a value that is not valid.
        OSError: it cannot be read.
    """
    entries = _entries(_text(path))
    count = _frame(entries, "NbFrame", MOST_FRAMES)
    ed = _frame(entries, "ED", count) - 1
    es = _frame(entries, "ES", count) - 1
    if ed == es:
        raise InfoError(f"ED and ES are both frame {ed + 1}", entries["es"].line)
    facts = {
        "sex": _word(entries, "sex", SEXES),
        "age": _number(entries, ("age",), 0, 130),
        "quality": _word(entries, "imagequality", QUALITIES),
        "fps": _number(entries, ("framerate",), 1, 1000),
    }
    for name, (keys, low, high) in RELEASED.items():
        facts[name] = _number(entries, keys, low, high)
    known = {name: value for name, value in facts.items() if value is not None}
    return ViewInfo(frame_count=count, values={"ed": ed, "es": es, **known})


def _text(path: Path) -> str:
    with open(path, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise InfoError(f"has more than {LARGEST:,} bytes; such a file has a few lines")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InfoError("is not UTF-8", line) from error
    if "\0" in text:
        raise InfoError("is no text (a byte is 0)", text.count("\n", 0, text.index("\0")) + 1)
    return text


def _entries(text: str) -> dict[str, _Entry]:
    """Return the lines by their key in lower case."""
    entries: dict[str, _Entry] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        key, colon, value = line.partition(":")
        entry = _Entry(key=key.strip(), value=value.strip(), line=number)
        if not colon or not entry.key:
            raise InfoError(f"is {line[:40]!r}; valid: KEY: VALUE", number)
        if entry.key.lower() in entries:
            raise InfoError(f"states {printable(entry.key[:40])} a second time", number)
        entries[entry.key.lower()] = entry
    return entries


def _frame(entries: Mapping[str, _Entry], key: str, most: int) -> int:
    """Return a number of a frame, or of frames, from 1 to ``most``."""
    entry = entries.get(key.lower())
    if entry is None:
        raise InfoError(f"has no line {key}")
    if not re.fullmatch(r"\d{1,9}", entry.value, re.ASCII) or not 1 <= int(entry.value) <= most:
        raise entry.error(f"1 to {most}")
    return int(entry.value)


def _word(entries: Mapping[str, _Entry], key: str, valid: Mapping[str, str]) -> str | None:
    """Return a word as it is written everywhere, None where it is not known."""
    entry = entries.get(key)
    if entry is None or entry.value.lower() in UNKNOWN:
        return None
    if entry.value.lower() not in valid:
        raise entry.error(", ".join(dict.fromkeys(valid.values())))
    return valid[entry.value.lower()]


def _number(
    entries: Mapping[str, _Entry], keys: tuple[str, ...], low: float, high: float
) -> float | None:
    """Return the number that the first of the keys has, None where none is there or known."""
    for key in keys:
        entry = entries.get(key)
        if entry is None or entry.value.lower() in UNKNOWN:
            continue
        try:
            value = float(entry.value)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise entry.error(f"{low:g} to {high:g}")
        return value
    return None
