"""The gray of one JPEG picture in colour or gray, by what the picture says of its own colours.

libjpeg, which pillow uses, decides alike but for pictures that say nothing. Pillow is imported when
a picture is met.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from echolm.errors import EchoLMError

if TYPE_CHECKING:
    from PIL.JpegImagePlugin import JpegImageFile

JPEG = b"\xff\xd8\xff"
"""How a picture begins."""
LUMA_WEIGHTS = np.array([0.299, 0.587, 0.114])
"""Y of R, G, B (ITU-R BT.601, the luma of JPEG)."""
YCC_IDS = (1, 2, 3)
"""Ids of the components Y, Cb, Cr (JFIF)."""
RGB_IDS = (tuple(b"RGB"), tuple(b"rgb"))
CHROMA_WEIGHTS = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
"""Cb and Cr, less 128, of R, G, B."""
UNCHANGED = {True: "RGB", False: "YCbCr"}
"""The colours that pillow is asked for so that libjpeg converts nothing, by whether libjpeg takes
the components for R, G, B."""
NO_TRANSFORM = 0
"""Adobe's marker: the components are R, G, B."""
Chroma = tuple[np.ndarray, np.ndarray]
"""Cb and Cr of a picture, uint8 of one size."""


def jpeg_gray(content: bytes, is_rgb: bool) -> np.ndarray:
    """Decode a picture: its Y as it is stored, or Y by BT.601 of R, G, B.

    Args:
        content: the picture.
        is_rgb: what its components are when it does not say so itself.

    Returns:
        H x W uint8.

    Raises:
        EchoLMError: it has neither one component nor three.
        OSError: it is damaged or truncated. Pillow raises other types too.
    """
    with _opened(content) as picture:
        if _is_colour(picture) and not _holds_rgb(picture, is_rgb)[0]:
            picture.draft("L", picture.size)  # Y alone
            return np.array(picture)
    return jpeg_gray_and_chroma(content, is_rgb)[0]


def jpeg_gray_and_chroma(content: bytes, is_rgb: bool) -> tuple[np.ndarray, Chroma | None]:
    """Decode a picture, its colours too, which takes half as much time again.

    Args:
        content: the picture.
        is_rgb: what its components are when it does not say so itself.

    Returns:
        What ``jpeg_gray`` returns, and Cb and Cr as H x W uint8, None of one component.

    Raises:
        EchoLMError: it has neither one component nor three.
        OSError: it is damaged or truncated. Pillow raises other types too.
    """
    with _opened(content) as picture:
        if not _is_colour(picture):
            return np.array(picture), None
        holds_rgb, is_known = _holds_rgb(picture, is_rgb)
        picture.draft(UNCHANGED[holds_rgb and is_known], picture.size)
        pixels = np.asarray(picture)
    if holds_rgb:
        return luma(pixels), chroma_of_rgb(pixels)
    return pixels[..., 0].copy(), (pixels[..., 1], pixels[..., 2])


def luma(rgb: np.ndarray) -> np.ndarray:
    """Compute Y by BT.601 of H x W x 3 uint8: H x W uint8."""
    rounded: np.ndarray = np.rint(rgb @ LUMA_WEIGHTS).astype(np.uint8)
    return rounded


def chroma_of_rgb(rgb: np.ndarray) -> Chroma:
    """Compute Cb and Cr by BT.601 of H x W x 3 uint8: two H x W uint8, 128 where it is gray."""
    chroma = np.rint(128 + rgb @ CHROMA_WEIGHTS.T).clip(0, 255).astype(np.uint8)
    return chroma[..., 0], chroma[..., 1]


def _opened(content: bytes) -> JpegImageFile:
    from PIL import Image

    picture = Image.open(io.BytesIO(content), formats=["JPEG"])
    return picture  # type: ignore[return-value] # it is of the one format that is tried


def _is_colour(picture: JpegImageFile) -> bool:
    """Return whether a picture has three components. EchoLMError: neither one nor three."""
    components = len(picture.getbands())
    if components not in (1, 3):
        raise EchoLMError(f"a JPEG picture of {components} components; valid: 1 or 3")
    return components == 3


def _holds_rgb(picture: JpegImageFile, otherwise: bool) -> tuple[bool, bool]:
    """Return whether the three components of a picture are R, G, B, and whether libjpeg knows that.

    Args:
        picture: an opened picture that is not decoded yet.
        otherwise: the answer for a picture that does not say so.
    """
    ids = tuple(component[0] for component in picture.layer)  # type: ignore[attr-defined]
    transform = picture.info.get("adobe_transform")
    holds_rgb = _is_rgb(ids, transform, "jfif" in picture.info, otherwise)
    return holds_rgb, transform is not None or ids == RGB_IDS[0]


def _is_rgb(ids: tuple[int, ...], transform: int | None, has_jfif: bool, otherwise: bool) -> bool:
    """Return whether the three components of a picture are R, G, B.

    Args:
        ids: of the components.
        transform: of Adobe's marker APP14, None without one.
        has_jfif: whether there is a marker APP0 JFIF: the components are Y, Cb, Cr.
        otherwise: the answer for a picture that does not say so.
    """
    if has_jfif:
        return False
    if transform is not None:
        return transform == NO_TRANSFORM
    if ids in RGB_IDS:
        return True
    if ids == YCC_IDS:
        return False
    return otherwise
