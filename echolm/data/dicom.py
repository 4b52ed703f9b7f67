"""DICOM multi-frame cine loops to 8-bit gray. pydicom is imported when a DICOM file is met."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.data.video import Video, check_wanted, stack
from echolm.errors import EchoLMError

if TYPE_CHECKING:
    from pydicom import Dataset

GRAY = ("MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422")
"""Photometric interpretations that can be turned into gray."""
LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114])
"""Y of R, G, B (ITU-R BT.601, the luma of JPEG)."""


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM files do: a preamble of 128 bytes, then ``DICM``."""
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_dicom(path: Path, frames: Sequence[int] | None = None) -> Video:
    """The frames of a DICOM cine loop as T x H x W uint8, in the order of ``frames`` (0-based; None: all).

    Gray is the stored Y of YBR images, Y by BT.601 of RGB images, and the value itself of MONOCHROME2.
    EchoLMError: no pixels, not 8 bits, another photometric interpretation, undecodable pixels, a missing frame.
    """
    with warnings.catch_warnings(action="ignore"):  # pydicom's remarks on fields that nobody asked for
        dataset = _open(path)
        count = _count(path, dataset)
        numbers = list(range(count)) if frames is None else [int(number) for number in frames]
        check_wanted(path, numbers, count)
        unique = sorted(set(numbers))
        decoded = dict(zip(unique, _pixels(path, dataset, unique), strict=True))
        return Video(stack(path, decoded, numbers), _rate(dataset), np.array(numbers, np.int64))


def _open(path: Path) -> Dataset:
    try:
        import pydicom
    except ImportError as error:
        raise EchoLMError(f"{path}: reading DICOM needs pydicom; type: pip install pydicom") from error
    try:
        dataset = pydicom.dcmread(path)
    except OSError:
        raise
    except Exception as error:  # damaged files raise all kinds
        raise EchoLMError(f"{path}: not a readable DICOM file: {_one_line(error)}") from error
    if not _field(path, dataset, "PixelData"):
        raise EchoLMError(f"{path}: this DICOM file holds no pixels, or is truncated")
    kind, bits = (_field(path, dataset, name) for name in ("PhotometricInterpretation", "BitsAllocated"))
    if kind not in GRAY or bits != 8:
        raise EchoLMError(f"{path}: is {kind} with {bits} bits; valid: 8 bits and one of {', '.join(GRAY)}")
    return dataset


def _field(path: Path, dataset: Dataset, name: str) -> Any:
    """A field's value, None where there is none; values are first looked into here."""
    try:
        return dataset.get(name)
    except Exception as error:  # each kind of value raises its own
        raise EchoLMError(f"{path}: its field {name} is damaged: {_one_line(error)}") from error


def _count(path: Path, dataset: Dataset) -> int:
    """Frames of the loop; EchoLMError when the pixels cannot be that many."""
    given = _field(path, dataset, "NumberOfFrames")
    try:
        count = 1 if given in (None, "") else int(str(given))
    except ValueError:
        count = 0
    if count < 1:
        raise EchoLMError(f"{path}: its field NumberOfFrames is {str(given)!r}; valid: whole numbers from 1")
    size = len(dataset.PixelData)
    if count > size // _smallest_frame(path, dataset):
        raise EchoLMError(f"{path}: its field NumberOfFrames is {count}, but its pixels, {size} bytes, cannot be so many frames")
    return count


def _smallest_frame(path: Path, dataset: Dataset) -> int:
    """Bytes that a frame has at the least: a byte a pixel; compressed, the head of an item."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    if syntax is None or (syntax.is_transfer_syntax and syntax.is_compressed):
        return 8
    rows, columns = (_field(path, dataset, name) for name in ("Rows", "Columns"))
    return max(1, rows * columns) if isinstance(rows, int) and isinstance(columns, int) else 1


def _pixels(path: Path, dataset: Dataset, numbers: list[int]) -> Iterable[np.ndarray]:
    from pydicom.pixels.utils import iter_pixels

    try:
        return [_gray(frame, dataset) for frame in iter_pixels(dataset, indices=numbers, raw=True)]
    except Exception as error:  # each pixel decoder of pydicom raises its own types on damaged or unsupported data
        raise EchoLMError(f"{path}: its pixels cannot be decoded: {_one_line(error)}") from error


def _gray(frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    if frame.ndim == 2:
        return frame.copy()
    if str(dataset.PhotometricInterpretation).startswith("YBR"):
        return frame[..., 0].copy()
    luma: np.ndarray = np.rint(frame @ LUMA_WEIGHTS).astype(np.uint8)
    return luma


def _rate(dataset: Dataset) -> float | None:
    """Frames per second: from FrameTime in ms, else CineRate; None when neither is a number above 0."""
    for name in ("FrameTime", "CineRate"):
        with suppress(Exception):  # each kind of damaged value raises its own
            value = float(dataset.get(name))
            if value > 0 and math.isfinite(value):
                return 1000.0 / value if name == "FrameTime" else value
    return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
