"""DICOM multi-frame cine loops to 8-bit gray. pydicom is imported when a DICOM file is met."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echolm.data.video import Video, check_wanted
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
    dataset = _open(path)
    count = int(dataset.get("NumberOfFrames") or 1)
    numbers = list(range(count)) if frames is None else [int(number) for number in frames]
    check_wanted(path, numbers, count)
    unique = sorted(set(numbers))
    decoded = dict(zip(unique, _pixels(path, dataset, unique), strict=True))
    stack = np.stack([decoded[number] for number in numbers])
    return Video(stack, _rate(dataset), np.array(numbers, np.int64))


def _open(path: Path) -> Dataset:
    try:
        import pydicom
    except ImportError as error:
        raise EchoLMError(f"{path}: reading DICOM needs pydicom; type: pip install pydicom") from error
    try:
        dataset = pydicom.dcmread(path)
    except (pydicom.errors.InvalidDicomError, EOFError, ValueError) as error:
        raise EchoLMError(f"{path}: not a readable DICOM file: {error}") from error
    if "PixelData" not in dataset:
        raise EchoLMError(f"{path}: this DICOM file holds no pixels")
    kind, bits = dataset.get("PhotometricInterpretation"), dataset.get("BitsAllocated")
    if kind not in GRAY or bits != 8:
        raise EchoLMError(f"{path}: is {kind} with {bits} bits; valid: 8 bits and one of {', '.join(GRAY)}")
    return dataset


def _pixels(path: Path, dataset: Dataset, numbers: list[int]) -> Iterable[np.ndarray]:
    from pydicom.pixels.utils import iter_pixels

    try:
        return [_gray(frame, dataset) for frame in iter_pixels(dataset, indices=numbers, raw=True)]
    except Exception as error:  # each pixel decoder of pydicom raises its own types on damaged or unsupported data
        raise EchoLMError(f"{path}: its pixels cannot be decoded: {error}") from error


def _gray(frame: np.ndarray, dataset: Dataset) -> np.ndarray:
    if frame.ndim == 2:
        return frame.copy()
    if str(dataset.PhotometricInterpretation).startswith("YBR"):
        return frame[..., 0].copy()
    luma: np.ndarray = np.rint(frame @ LUMA_WEIGHTS).astype(np.uint8)
    return luma


def _rate(dataset: Dataset) -> float | None:
    """Frames per second: from FrameTime in ms, else CineRate."""
    if dataset.get("FrameTime"):
        return 1000.0 / float(dataset.FrameTime)
    return float(dataset.CineRate) if dataset.get("CineRate") else None
