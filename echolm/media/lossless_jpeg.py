"""One picture of lossless JPEG (ISO 10918-1, process 14), decoded by FFmpeg.

Pillow does not know this kind. PyAV is imported when a picture is met.
"""

from __future__ import annotations

import numpy as np

from echolm.errors import EchoLMError
from echolm.media.mjpeg import EXPLODE

RGB = "rgb24"
PACKED = ("bgr24", "rgb24", "gbrp")
"""FFmpeg's names of pictures of R, G, B."""


def decode_lossless(content: bytes, is_rgb: bool) -> tuple[np.ndarray, bool]:
    """Decode a picture.

    FFmpeg takes three components of equal size for R, G, B whatever they are, so the file's header
    decides that.

    Args:
        content: the picture.
        is_rgb: whether the file's header says that its components are R, G, B.

    Returns:
        H x W, or H x W x 3, uint8, and whether the three are Y, Cb, Cr.

    Raises:
        EchoLMError: it is no picture of 8 bits with one component or three.
        av.error.FFmpegError: it is damaged or truncated.
    """
    import av

    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = EXPLODE
    pictures = decoder.decode(av.Packet(content)) or decoder.decode(None)
    if len(pictures) != 1 or pictures[0].is_corrupt:
        raise EchoLMError("a lossless JPEG picture that is damaged or truncated")
    picture = pictures[0]
    kind = picture.format.name
    if kind in PACKED:
        return picture.to_ndarray(format=RGB), not is_rgb
    if kind == "gray":
        return picture.to_ndarray(), False
    if kind.startswith("yuvj"):
        return picture.reformat(format="yuvj444p").to_ndarray().transpose(1, 2, 0), True
    raise EchoLMError(f"a lossless JPEG picture of {kind}; valid: 8 bits, one component or three")
