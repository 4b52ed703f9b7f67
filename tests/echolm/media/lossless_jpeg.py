"""Write lossless JPEG (ISO 10918-1, process 14): no library here does for gray pictures."""

from __future__ import annotations

import struct

import numpy as np

IDS = (1, 2, 3)


def lossless_jpeg(picture: np.ndarray) -> bytes:
    """A picture, H x W or H x W x 3 uint8, predicted by the pixel at its left."""
    values = picture.reshape(*picture.shape[:2], -1).astype(int)
    height, width, components = values.shape
    predicted = np.full_like(values, 128)
    predicted[1:, 0] = values[:-1, 0]
    predicted[:, 1:] = values[:, :-1]
    bits = "".join(_code(int(difference)) for difference in (values - predicted).ravel())
    bits += "1" * (-len(bits) % 8)
    content = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    # nine codes of four bits: the number of bits of a difference, 0 to 8
    table = b"\x00" + bytes([0, 0, 0, 9] + [0] * 12) + bytes(range(9))
    frame = struct.pack(">BHHB", 8, height, width, components)
    scan = bytes([components])
    for number in IDS[:components]:
        frame += bytes([number, 0x11, 0])
        scan += bytes([number, 0])
    scan += bytes([1, 0, 0])
    return b"".join(
        [
            b"\xff\xd8",
            _segment(0xC4, table),
            _segment(0xC3, frame),
            _segment(0xDA, scan),
            content,
            b"\xff\xd9",
        ]
    )


def _code(difference: int) -> str:
    length = abs(difference).bit_length()
    value = difference if difference >= 0 else difference + (1 << length) - 1
    return f"{length:04b}" + (f"{value:0{length}b}" if length else "")


def _segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(content) + 2) + content
