"""Cases of bad input: odd videos and DICOM files, through what is typed. See
``bad_input_cases.py``."""

from __future__ import annotations

import struct
from collections.abc import Callable

from bad_input_case import (
    PREDICT,
    PREPARE,
    STORE,
    VIDEO,
    accepted,
    bad_video,
    refused,
)
from bad_input_support import avi, change, cut, dicom, steps, write

LEAVES = ("picture.png",)
CONTOURS = "picture.png: contours at frames 5 (ED) and 12 (ES)"
CHUNK = b"00dc"


def chunks(content: bytes) -> list[tuple[int, int]]:
    """Where the frames of an AVI lie: begin and end, without the padding."""
    places = []
    position = content.index(b"movi") + 4
    while content[position : position + 4] == CHUNK:
        (length,) = struct.unpack_from("<I", content, position + 4)
        places.append((position + 8, position + 8 + length))
        position += 8 + length + length % 2
    return places


def without_content(*numbers: int) -> Callable[[bytes], bytes]:
    """Frames whose chunks have zero length, as a recorder writes frames that it dropped."""

    def edit(content: bytes) -> bytes:
        for number in sorted(numbers, reverse=True):
            begin, end = chunks(content)[number]
            end += (end - begin) % 2
            content = content[: begin - 4] + bytes(4) + content[end:]
        return content

    return edit


def index_beyond_the_file(content: bytes) -> bytes:
    """An index whose offsets lie far beyond the end."""
    start = content.index(b"idx1")
    return content[: start + 8] + content[start + 8 :].replace(b"\0\0", b"\x7f\x7f")


MEDIA = [
    bad_video(
        "a video with frames of zero length",
        change(VIDEO, without_content(1, 2)),
        "2 frames of zero length (1-2): dropped by the recorder",
        "ffmpeg -i IN -fps_mode cfr",
    ),
    refused(
        "a video with frames of zero length, predicted",
        change(VIDEO, without_content(1, 2)),
        PREDICT,
        f"Error: {VIDEO}: 2 frames of zero length (1-2): dropped by the recorder",
    ),
    accepted(
        "a video with a damaged index, predicted",
        change(VIDEO, index_beyond_the_file),
        PREDICT,
        CONTOURS,
        leaves=LEAVES,
    ),
    accepted(
        "a video with a damaged index, without its frames",
        change(VIDEO, index_beyond_the_file),
        f"{PREPARE} --index-only",
        "12 videos (",
        leaves=tuple(name for name in STORE if "frames" not in name),
    ),
    accepted(
        "a video of H.264, predicted",
        avi(VIDEO, "h264", "yuv420p"),
        PREDICT,
        CONTOURS,
        leaves=LEAVES,
    ),
    refused(
        "a truncated video of H.264, predicted",
        steps(avi(VIDEO, "h264", "yuv420p"), cut(VIDEO, 0.8)),
        PREDICT,
        f"Error: {VIDEO}: ",
        "damaged or truncated",
    ),
    refused(
        "a DICOM loop of more frames than its header says",
        dicom(VIDEO, NumberOfFrames=12),
        PREDICT,
        f"Error: {VIDEO}: its field NumberOfFrames is 12, but its pixels, ",
        "are 30 frames",
    ),
    accepted(
        "a DICOM loop that says no number of frames",
        dicom(VIDEO, NumberOfFrames=None),
        PREDICT,
        CONTOURS,
        leaves=LEAVES,
    ),
    accepted(
        "a DICOM loop without its preamble",
        steps(dicom(VIDEO), change(VIDEO, lambda content: content[132:])),
        PREDICT,
        CONTOURS,
        leaves=LEAVES,
    ),
    accepted(
        "files that are no clips in a folder",
        write("{source}/Videos/notes.txt", "x"),
        "echolm predict {cell} {source}/Videos --out {root}/new --tracings "
        "{source}/VolumeTracings.csv",
        "Videos/notes.txt: skipped: neither a video by its name (.txt) nor DICOM by its content",
        leaves=("new/*",),
    ),
]
