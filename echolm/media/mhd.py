"""MetaImage files: a text header (``.mhd``) with its pixels beside it (``.raw``, ``.zraw``).

The header may also hold the pixels itself (``.mha``). Pixels are stored row by row from the top, so
that nothing is turned.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echolm.errors import EchoLMError
from echolm.media.raster import Raster, check_bytes, raster_video
from echolm.media.video import Video
from echolm.text import printable, suggest

FIRST_LINE = re.compile(rb"\s*(ObjectType|NDims|Comment)\s*=")
LAST_FIELD = "ElementDataFile"
LARGEST_HEADER = 65_536
"""Bytes. Headers have a few hundred."""
WITHIN = "LOCAL"
"""What a header calls the file of its pixels when it holds them itself."""
TYPES = {
    "MET_UCHAR": "u1",
    "MET_CHAR": "i1",
    "MET_USHORT": "u2",
    "MET_SHORT": "i2",
    "MET_UINT": "u4",
    "MET_INT": "i4",
    "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}
"""MetaImage's names of types -> numpy's, without the order of bytes."""


class _HeaderError(ValueError):
    """What is wrong with a header."""


def is_mhd(path: Path) -> bool:
    """Return whether a file begins like a header of MetaImage."""
    with open(path, "rb") as file:
        return FIRST_LINE.match(file.read(64)) is not None


def read_mhd(path: Path, frames: Sequence[int] | None = None) -> Video:
    """Read a MetaImage as a video, the frames in the order of ``frames`` (0-based, None for all).

    How values become gray levels says ``raster.gray_levels``. Pixels that are not square stay as
    they are (``raster``). The rate of frames is not read.

    Raises:
        EchoLMError: as ``read_mhd_raster``, or it has pixels that are no gray levels, or lacks a
            wanted frame.
    """
    return raster_video(path, read_mhd_raster(path), frames)


def read_mhd_raster(path: Path) -> Raster:
    """Read the numbers of a MetaImage.

    Raises:
        EchoLMError: the header or the file with its pixels cannot be read, the header lacks a field
            or has one of a value that is not valid, or the pixels are more or fewer than it says.
    """
    try:
        fields, end = _read_header(path)
        sizes = _sizes(fields)
        _check_kind(fields)
        kind = np.dtype(_byte_order(fields) + _type(fields))
        count = math.prod(sizes)
        check_bytes(path, count, kind.itemsize)
        content = _pixels(path, fields, end, count * kind.itemsize)
        spacing = _spacing(fields)
    except _HeaderError as error:
        raise EchoLMError(f"{path}: {error}") from error
    values: NDArray[Any] = np.frombuffer(content, kind).reshape(sizes[::-1])
    native = values.astype(kind.newbyteorder("="), copy=False)
    return Raster(values=native.reshape((-1, *native.shape[-2:])), spacing=spacing)


def count_mhd(path: Path) -> int:
    """Count the frames of a MetaImage, of which the header alone is read.

    Raises:
        EchoLMError: the header cannot be read, or does not say its sizes.
    """
    try:
        sizes = _sizes(_read_header(path)[0])
    except _HeaderError as error:
        raise EchoLMError(f"{path}: {error}") from error
    return 1 if len(sizes) == 2 else sizes[2]


def data_file(path: Path) -> Path:
    """Return the file with the pixels of a header: the header itself where it holds them.

    Raises:
        EchoLMError: the header cannot be read, or names no file beside it.
    """
    try:
        return _data_file(path, _read_header(path)[0])
    except _HeaderError as error:
        raise EchoLMError(f"{path}: {error}") from error


def _read_header(path: Path) -> tuple[dict[str, str], int]:
    """Read a header.

    Returns:
        Its fields, and the number of bytes up to the end of the last line.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(LARGEST_HEADER)
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    fields: dict[str, str] = {}
    end = 0
    for line in head.splitlines(keepends=True):
        end += len(line)
        if not line.strip():
            continue
        name, equals, value = line.decode("latin-1").partition("=")
        name = name.strip()
        if not equals:
            raise _HeaderError(f"has a line {name[:40]!r}; valid: FIELD = VALUE")
        if name in fields:
            raise _HeaderError(f"states {printable(name[:40])} twice")
        fields[name] = value.strip()
        if name == LAST_FIELD:
            return fields, end
    raise _HeaderError(f"has no field {LAST_FIELD}: no MetaImage, or truncated")


def _value(fields: Mapping[str, str], name: str) -> str:
    """Return a field as it is written, of a long one the beginning."""
    if name not in fields:
        raise _HeaderError(f"has no field {name}")
    return fields[name][:80]


def _whole_numbers(fields: Mapping[str, str], name: str) -> list[int]:
    text = _value(fields, name)
    if not re.fullmatch(r"-?\d{1,12}(\s+-?\d{1,12})*", text, re.ASCII):
        raise _HeaderError(f"{name} is {text!r}; valid: whole numbers")
    return [int(number) for number in text.split()]


def _sizes(fields: Mapping[str, str]) -> list[int]:
    """Return width, height and, where it is stated, the number of frames."""
    sizes = _whole_numbers(fields, "DimSize")
    if len(sizes) not in (2, 3) or min(sizes) < 1:
        raise _HeaderError(f"DimSize is {_value(fields, 'DimSize')!r}; valid: 2 or 3 numbers")
    return sizes


def _is_true(fields: Mapping[str, str], *names: str) -> bool:
    """Return whether the first of the fields that is there is true. Without any it is not."""
    for name in names:
        if name in fields:
            return _value(fields, name).lower() in ("true", "1")
    return False


def _check_kind(fields: Mapping[str, str]) -> None:
    """Raise _HeaderError unless the pixels are binary and have one number each."""
    if not _is_true({"BinaryData": "True"} | dict(fields), "BinaryData"):
        raise _HeaderError("its pixels are written as text; valid: BinaryData = True")
    channels = fields.get("ElementNumberOfChannels", "1")
    if channels != "1":
        raise _HeaderError(f"ElementNumberOfChannels is {channels[:80]!r}: colour; valid: 1 (gray)")


def _type(fields: Mapping[str, str]) -> str:
    name = _value(fields, "ElementType")
    if name not in TYPES:
        raise _HeaderError(f"ElementType is {name!r}; {suggest(name, TYPES)}")
    return TYPES[name]


def _byte_order(fields: Mapping[str, str]) -> str:
    is_big = _is_true(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    return ">" if is_big else "<"


def _spacing(fields: Mapping[str, str]) -> tuple[float, float] | None:
    """Return (height, width) of a pixel in mm, None when the header states none."""
    text = fields.get("ElementSpacing", fields.get("ElementSize", ""))
    try:
        width, height = (float(number) for number in text.split()[:2])
    except ValueError:
        return None
    is_size = math.isfinite(width * height) and min(width, height) > 0
    return (height, width) if is_size else None


def _data_file(path: Path, fields: Mapping[str, str]) -> Path:
    """Return the file with the pixels.

    Raises:
        _HeaderError: it is not one file beside the header.
    """
    name = fields[LAST_FIELD]
    if name == WITHIN:
        return path
    is_plain = bool(name.strip(".")) and name.isprintable() and not set(name) & set("/\\%")
    if not is_plain or name.split()[0] == "LIST":
        raise _HeaderError(
            f"{LAST_FIELD} is {_value(fields, LAST_FIELD)!r}; valid: the name of one file beside it"
        )
    return path.with_name(name)


def _pixels(path: Path, fields: Mapping[str, str], end: int, size: int) -> bytes:
    """Return the ``size`` bytes of the pixels.

    Args:
        path: the header.
        fields: of the header.
        end: bytes of the header up to the end of the last line.
        size: bytes that the pixels have.
    """
    file = _data_file(path, fields)
    skipped = end
    if file != path:
        skipped = _whole_numbers({"HeaderSize": "0"} | dict(fields), "HeaderSize")[0]
    is_compressed = _is_true(fields, "CompressedData")
    try:
        with open(file, "rb") as content:
            if skipped < 0:  # the pixels are the end of the file
                skipped = max(content.seek(0, 2) - size, 0)
            content.seek(skipped)
            # one byte more shows that there is more
            found = content.read() if is_compressed else content.read(size + 1)
    except OSError as error:
        raise EchoLMError(
            f"{path}: its pixels, {file.name}, cannot be read: {error.strerror or error}"
        ) from error
    if is_compressed:
        found = _decompress(path, found, size)
    if len(found) != size:
        amount = f"{len(found):,}" if len(found) < size else "more"
        raise EchoLMError(
            f"{path}: its pixels, {file.name}, are {amount} bytes, but the header says {size:,}: "
            "damaged or truncated"
        )
    return found


def _decompress(path: Path, content: bytes, size: int) -> bytes:
    """Decompress what zlib compressed, up to one byte more than ``size``."""
    try:
        return zlib.decompressobj().decompress(content, size + 1)
    except zlib.error as error:
        raise EchoLMError(f"{path}: its compressed pixels are damaged: {error}") from error
