"""Single still pictures, PNG and JPEG, decoded by pillow. Pillow is imported when one is met.

The gray value of a pixel is, by the kind of picture:

- gray of 8 bits: the value as it is stored. Gray of 1, 2 and 4 bits: black is 0, white is 255, and
  the values between them are evenly spaced, as PNG defines it.
- gray of 16 bits: the upper 8 bits. A picture whose brightest pixel is below 1/16 of the range is
  refused. Its values were never scaled to 16 bits, and it would be black.
- colours (RGB, or a palette of them) that are all gray: their common value.
- other colours: refused, or the luma by ITU-R BT.601 where a dataset reads colour as gray. Of a
  JPEG it is the stored Y.
- transparency: an opaque picture is read as if it had none. Any other is refused, since nobody
  knows what lies behind it.

The pixels are taken as they are stored: an orientation that a JPEG notes is not applied.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from echolm.errors import EchoLMError
from echolm.media.jpeg import JPEG, jpeg_gray, luma
from echolm.media.video import Video, check_wanted

if TYPE_CHECKING:
    from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
NEXT_JPEG = b"\xff\xd9" + JPEG
"""Where one JPEG picture ends and another starts. Inside a picture these bytes do not occur."""
SIZE_IN_HEADER = struct.Struct(">II")
"""Width and height in a PNG's first chunk, after the signature, its length and its name."""
SIZE_STARTS = 16
GRAY = ("1", "L")
"""Pillow's names of gray of up to 8 bits."""
GRAY_16 = "I;16"
COLOURS = ("RGB", "P")
WITH_ALPHA = ("LA", "PA", "RGBA")
NEVER_SCALED = 65_536 // 16
"""The brightest pixel of a 16-bit picture is at least this, or the picture is refused."""
OPAQUE = 255
CONVERT = "Convert it: ffmpeg -i IN -pix_fmt gray OUT.png"


def is_image(path: Path) -> bool:
    """Return whether a file is one PNG or JPEG picture.

    JPEG pictures one after another are a video without a container, which FFmpeg reads.
    """
    with open(path, "rb") as file:
        head = file.read(len(PNG))
        if head == PNG:
            return True
        return head.startswith(JPEG) and NEXT_JPEG not in file.read()


def png_size(path: Path) -> tuple[int, int] | None:
    """Return (height, width) of a PNG in pixels, as its header says. None: it is no PNG.

    Nothing is decoded: 24 bytes are read.

    Raises:
        OSError: the file cannot be read.
    """
    end = SIZE_STARTS + SIZE_IN_HEADER.size
    with open(path, "rb", buffering=0) as file:
        head = file.read(end)
    if not head.startswith(PNG) or len(head) < end:
        return None
    width, height = SIZE_IN_HEADER.unpack_from(head, SIZE_STARTS)
    return height, width


def read_image(
    path: Path,
    frames: Sequence[int] | None = None,
    colour: Literal["refuse", "gray"] = "refuse",
) -> Video:
    """Read a still picture as a video of one frame.

    Args:
        path: a PNG or JPEG file.
        frames: numbers of frames, all 0, each of which gives the picture once more. None: once.
        colour: whether a picture in colour is an error, or is read as ``gray``.

    Raises:
        EchoLMError: it is of a kind that has no gray, holds several pictures, or is damaged or
            truncated.
    """
    numbers = [0]
    if frames is not None:
        numbers = [int(number) for number in frames]
    picture = _decode(path, as_gray=colour == "gray")
    check_wanted(path, numbers, 1)
    return Video(np.stack([picture] * len(numbers)), None, np.array(numbers, np.int64))


def _decode(path: Path, as_gray: bool) -> np.ndarray:
    """Decode the one picture of a file: H x W uint8."""
    from PIL import Image

    with warnings.catch_warnings(action="ignore"):  # pillow's remarks on very large pictures
        try:
            with Image.open(path, formats=["PNG", "JPEG"]) as picture:
                count = getattr(picture, "n_frames", 1)
                if count != 1:
                    raise EchoLMError(f"{path}: holds {count} pictures; valid: one picture a file")
                return _gray(path, picture, as_gray)
        except EchoLMError:
            raise
        except Exception as error:  # damaged files raise all kinds
            reason = " ".join(str(error).split())
            raise EchoLMError(
                f"{path}: the picture is damaged or truncated: {reason.replace(str(path), 'it')}"
            ) from error


def _gray(path: Path, picture: Image.Image, as_gray: bool) -> np.ndarray:
    """Return the gray values of an opened picture, by the rules at the top of this file."""
    mode = picture.mode
    if mode in WITH_ALPHA or "transparency" in picture.info:
        picture = _without_transparency(path, picture)
        return _gray_of_colours(path, picture, as_gray)
    if mode in GRAY:
        return np.array(picture.convert("L"))
    if mode == GRAY_16:
        return _upper_bits(path, np.array(picture))
    if mode in COLOURS:
        return _gray_of_colours(path, picture.convert("RGB"), as_gray)
    raise EchoLMError(
        f"{path}: is {picture.format} with pixels of kind {mode}; valid: gray of 1 to 16 bits, "
        f"RGB or a palette. {CONVERT}"
    )


def _without_transparency(path: Path, picture: Image.Image) -> Image.Image:
    """Return the colours of an opaque picture. EchoLMError: a pixel is transparent."""
    if picture.mode == GRAY_16:
        raise EchoLMError(f"{path}: has a transparent colour; valid: opaque pictures. {CONVERT}")
    with_alpha = picture.convert("RGBA")
    least, _ = with_alpha.getchannel("A").getextrema()
    if least != OPAQUE:
        raise EchoLMError(f"{path}: has transparent pixels; valid: opaque pictures. {CONVERT}")
    return with_alpha.convert("RGB")


def _upper_bits(path: Path, pixels: np.ndarray) -> np.ndarray:
    """Return the upper 8 bits of H x W gray of 16 bits."""
    brightest = int(pixels.max())
    if 0 < brightest < NEVER_SCALED:
        raise EchoLMError(
            f"{path}: is gray of 16 bits whose brightest pixel is {brightest} of 65535: its values "
            "were not scaled to 16 bits, and it would be black; scale them, or save 8 bits"
        )
    upper: np.ndarray = (pixels >> 8).astype(np.uint8)
    return upper


def _gray_of_colours(path: Path, picture: Image.Image, as_gray: bool) -> np.ndarray:
    """Return the common value of R, G and B, or their luma where colour is read as gray."""
    colours = np.array(picture)
    differs = (colours != colours[..., :1]).any(axis=-1)
    if not differs.any():
        return colours[..., 0].copy()
    if not as_gray:
        row, column = np.unravel_index(differs.argmax(), differs.shape)
        values = " ".join(str(value) for value in colours[row, column])
        raise EchoLMError(
            f"{path}: is a picture in colours (R G B of column {column}, row {row}: {values}); "
            f"valid: gray. {CONVERT}"
        )
    content = path.read_bytes()
    if content.startswith(JPEG):
        return jpeg_gray(content, is_rgb=False)
    return luma(colours)
