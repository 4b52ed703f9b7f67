"""An opened DICOM file: its frames as gray, one at a time, and whether they have colour."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echolm.errors import EchoLMError
from echolm.media.colour import has_colour, refuse_colour
from echolm.media.jpeg import Chroma, chroma_of_rgb, jpeg_gray, jpeg_gray_and_chroma, luma
from echolm.media.lossless_jpeg import decode_lossless
from echolm.media.reading import Reading

if TYPE_CHECKING:
    from pydicom import Dataset
    from pydicom.uid import UID

JPEG_8_BIT = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
"""Transfer syntaxes of ordinary JPEG pictures: Baseline, and Extended of 8 bits."""
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
"""Transfer syntaxes of lossless JPEG (ISO 10918-1): Process 14, any predictor or the first."""


@dataclass(frozen=True, eq=False)
class DicomCine:
    """An opened DICOM file.

    Attributes:
        path: of the file.
        dataset: what pydicom read.
        syntax: the transfer syntax: how the pixels are stored.
        count: frames that the pixels hold.
        encoded: the frames of compressed pixels.
        grays: frames that were decoded when colour was looked for.
    """

    path: Path
    dataset: Dataset
    syntax: UID
    count: int
    encoded: list[bytes]
    grays: dict[int, np.ndarray] = field(default_factory=dict)

    def decode(self, number: int) -> np.ndarray:
        """Decode one frame to gray: H x W uint8.

        Raises:
            EchoLMError: it cannot be decoded, or is of another size than the header says.
        """
        frame = self.grays.get(number)
        if frame is None:
            with decoding(self.path):
                if self.syntax in JPEG_8_BIT:
                    frame = jpeg_gray(self.encoded[number], self._is_rgb)
                else:
                    frame = _gray(*self._decode_colours(number))
        rows, columns = self.dataset.Rows, self.dataset.Columns
        if frame.shape != (rows, columns):
            raise EchoLMError(
                f"{self.path}: frame {number} is {frame.shape[1]} x {frame.shape[0]} pixels; "
                f"its header says {columns} x {rows}"
            )
        return frame

    def check_colour(self, reading: Reading) -> None:
        """Raise an error when the pictures have colour and may not have it.

        The first frame, the middle one and the last are looked at, whichever frames are wanted.
        Scanners store gray pictures as RGB or YBR too: what counts is the pixels.

        Raises:
            Skipped: the file is left out by choice.
            EchoLMError: the file may not have colour, or a frame cannot be decoded.
        """
        if reading.colour == "gray":
            return
        for number in sorted({0, self.count // 2, self.count - 1}):
            with decoding(self.path):
                self.grays[number], chroma = self._gray_and_chroma(number)
            if chroma is not None and has_colour(*chroma):
                refuse_colour(self.path, number, reading)

    @property
    def _is_rgb(self) -> bool:
        return str(self.dataset.PhotometricInterpretation) == "RGB"

    def _gray_and_chroma(self, number: int) -> tuple[np.ndarray, Chroma | None]:
        """Decode one frame, and its Cb and Cr. None of gray."""
        if self.syntax in JPEG_8_BIT:
            return jpeg_gray_and_chroma(self.encoded[number], self._is_rgb)
        pixels, is_ybr = self._decode_colours(number)
        chroma = None
        if pixels.ndim == 3 and is_ybr:
            chroma = (pixels[..., 1], pixels[..., 2])
        elif pixels.ndim == 3:
            chroma = chroma_of_rgb(pixels)
        return _gray(pixels, is_ybr), chroma

    def _decode_colours(self, number: int) -> tuple[np.ndarray, bool]:
        """Decode one frame that is no ordinary JPEG: H x W or H x W x 3, and whether of Y, Cb, Cr.

        pydicom gets a call for each frame: one that gives several frames of uncompressed
        YBR_FULL_422 takes all but the first from the wrong place (pydicom 3.0).
        """
        if self.syntax in JPEG_LOSSLESS:
            return decode_lossless(self.encoded[number], self._is_rgb)
        from pydicom.pixels import get_decoder

        decoder = get_decoder(self.syntax)
        pixels, properties = decoder.as_array(self.dataset, index=number, raw=True)
        return pixels, str(properties["photometric_interpretation"]).startswith("YBR")


def _gray(pixels: np.ndarray, is_ybr: bool) -> np.ndarray:
    """Return the stored gray or Y, or Y by BT.601 of R, G, B."""
    if pixels.ndim == 2:
        return pixels.copy()
    if is_ybr:
        return pixels[..., 0].copy()
    return luma(pixels)


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turn what a decoder raises into one line. Each raises its own types on damaged data."""
    try:
        yield
    except Exception as error:
        raise EchoLMError(f"{path}: its pixels cannot be decoded: {one_line(error)}") from error


def one_line(error: Exception) -> str:
    """Return the text of an error without its line breaks."""
    return " ".join(str(error).split())
