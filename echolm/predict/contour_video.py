"""The contour video: every frame from ED to ES with a contour of its own.

A frame is drawn only with a contour from a forward pass in which it is one of the two ends of the
clip, the places where the network is supervised. Nothing is interpolated. Frames of the half nearer
to ED begin a clip that ends at ES and take its ED contour. The others end a clip that begins at ED
and take its ES contour. So the first and the last picture hold the contours of the prediction
itself, and between the halves the contour may jump: that is the network's.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing
from echolm.predict.picture import LINE, panel
from echolm.tasks.landmarks import PHASES

if TYPE_CHECKING:
    from echolm.predict.contours import ContourPredictor
    from echolm.predict.run_network import Cine

RATE = 10
"""Pictures per second, whatever the frame rate of the file.

The eye can follow a systole of 15 frames.
"""
KINDS = {
    ".mp4": ("mp4", "libx264", "yuv420p"),
    ".avi": ("avi", "mjpeg", "yuvj420p"),
    ".gif": ("gif", "", ""),
}
"""Extension -> container, codec, pixel format. Pillow writes GIF, which needs the name alone."""
QUALITY = {"libx264": {"crf": "18"}, "mjpeg": {"qmin": "2", "qmax": "2"}}
"""Codec -> options."""
GRAYS, COLOURS = 192, 64
"""Entries of a GIF's palette: grays, and the colour of the contour from dark to full."""


@dataclass(frozen=True, eq=False)
class TracedFrame:
    """One frame of the film."""

    number: int
    """Of the frame in the file."""
    clip: tuple[int, int]
    """First and last frame of the clip whose contour it is."""
    phase: str
    """The end of that clip at which the frame is: ED the first, ES the last."""
    frame: np.ndarray
    """S x S uint8."""
    contour: np.ndarray
    """40 x 2 in pixels of ``frame``."""

    def picture(self) -> Image.Image:
        """Draw the frame with its contour."""
        first, last = self.clip
        title = f"frame {self.number}   {self.phase} contour of clip {first} to {last}"
        return panel(self.frame, self.contour, title)


def check_film(path: Path) -> None:
    """Raise EchoLMError unless a film can be written under this name."""
    if path.suffix.lower() not in KINDS:
        raise EchoLMError(
            f"--video {path}: {path.suffix or 'no extension'} is no kind of video; "
            f"valid: {', '.join(KINDS)}"
        )


def film(predictor: ContourPredictor, cine: Cine, ed: int, es: int) -> list[TracedFrame]:
    """Trace the frames from ED to ES in the order of the file.

    Args:
        predictor: of the run.
        cine: frames that include all of these.
        ed: number of the frame.
        es: likewise.
    """
    numbers = range(min(ed, es), max(ed, es) + 1)
    ends = []
    clips = []
    for number in numbers:
        nearer_to_ed = abs(number - ed) < abs(number - es)
        ends.append(0 if nearer_to_ed else 1)
        clips.append((number, es) if nearer_to_ed else (ed, number))

    contours = predictor.contours(cine, clips)
    frames = cine.frames[cine.rows(numbers)]
    traced = []
    for row, number in enumerate(numbers):
        end = ends[row]
        traced.append(TracedFrame(number, clips[row], PHASES[end], frames[row], contours[row, end]))
    return traced


def save_film(traced: Sequence[TracedFrame], path: Path) -> None:
    """Write the video of the kind that the name says, whole or not at all.

    Raises:
        StorageError: when it cannot be written.
    """
    container, codec, pixels = KINDS[path.suffix.lower()]
    pictures = [frame.picture() for frame in traced]
    content = _encoded(pictures, container, codec, pixels) if codec else _gif(pictures)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def _encoded(pictures: Sequence[Image.Image], container: str, codec: str, pixels: str) -> bytes:
    import av

    buffer = io.BytesIO()
    # Equal pictures make equal files: no version of the library is written into them.
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream: Any = file.add_stream(codec, rate=RATE)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = pixels
        stream.codec_context.options = QUALITY[codec]
        for picture in pictures:
            frame = av.VideoFrame.from_image(picture).reformat(format=pixels)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))  # what the encoder still holds
    return buffer.getvalue()


def _gif(pictures: Sequence[Image.Image]) -> bytes:
    """Encode a GIF with one palette for all pictures."""
    entries = []
    for level in range(GRAYS):
        entries += 3 * [level * 255 // (GRAYS - 1)]
    for level in range(COLOURS):
        entries += [part * (level + 1) // COLOURS for part in LINE]
    palette = Image.new("P", (1, 1))
    palette.putpalette(entries)

    first, *others = [
        picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures
    ]
    buffer = io.BytesIO()
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=1000 // RATE, loop=0)
    return buffer.getvalue()
