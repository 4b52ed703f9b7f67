"""The contour video: every frame from ED to ES with a contour of its own.

A frame is drawn only with a contour from a forward pass in which it is one of the two ends of the clip, the places
where the network is supervised; nothing is interpolated. Frames of the half nearer to ED begin a clip that ends at ES
and take its ED contour; the others end a clip that begins at ED and take its ES contour. So the first and the last
picture hold the contours of the prediction itself, and between the halves the contour may jump: that is the network's.
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
from echolm.predict.picture import LINE, panel
from echolm.record import write_atomic, writing
from echolm.tasks.landmarks import PHASES

if TYPE_CHECKING:
    from echolm.predict.predictor import Cine, Predictor

RATE = 10
"""Pictures per second, whatever the frame rate of the file: a systole of 15 frames can be followed by eye."""
KINDS = {".mp4": ("mp4", "libx264", "yuv420p"), ".avi": ("avi", "mjpeg", "yuvj420p"), ".gif": ("gif", "", "")}
"""Extension -> container, codec, pixel format; of GIF, which Pillow writes, the name alone."""


@dataclass(frozen=True, eq=False)
class Traced:
    """One frame of the film: its number, and the clip whose contour at this end (``phase``: ED the first frame, ES the
    last) it is; ``frame`` S x S uint8, ``contour`` 40 x 2 in its pixels."""

    number: int
    clip: tuple[int, int]
    phase: str
    frame: np.ndarray
    contour: np.ndarray

    def picture(self) -> Image.Image:
        """Drawn."""
        return panel(self.frame, self.contour, f"frame {self.number}   {self.phase} contour of clip {self.clip[0]} to {self.clip[1]}")


def check_film(path: Path) -> None:
    """EchoLMError unless a film can be written under this name."""
    if path.suffix.lower() not in KINDS:
        raise EchoLMError(f"--video {path}: {path.suffix or 'no extension'} is no kind of video; valid: {', '.join(KINDS)}")


def film(predictor: Predictor, cine: Cine, ed: int, es: int) -> list[Traced]:
    """The frames from ED to ES in the order of the file; ``cine`` holds all of them."""
    numbers = list(range(min(ed, es), max(ed, es) + 1))
    ends = [0 if abs(t - ed) < abs(t - es) else 1 for t in numbers]
    clips = [(ed, t) if end else (t, es) for t, end in zip(numbers, ends, strict=True)]
    contours = predictor.contours(cine, clips)
    frames = cine.frames[cine.rows(numbers)]
    return [
        Traced(t, clip, PHASES[end], frame, contour[end])
        for t, clip, end, frame, contour in zip(numbers, clips, ends, frames, contours, strict=True)
    ]


def save_film(traced: Sequence[Traced], path: Path) -> None:
    """Write the video of the kind that the name says: whole or not at all. Raises StorageError."""
    container, codec, pixels = KINDS[path.suffix.lower()]
    pictures = [one.picture() for one in traced]
    content = _encoded(pictures, container, codec, pixels) if codec else _gif(pictures)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)


def _encoded(pictures: Sequence[Image.Image], container: str, codec: str, pixels: str) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream: Any = file.add_stream(codec, rate=RATE)
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = pixels
        stream.codec_context.options = {"crf": "18"} if codec == "libx264" else {"qmin": "2", "qmax": "2"}
        for picture in pictures:
            file.mux(stream.encode(av.VideoFrame.from_image(picture).reformat(format=pixels)))
        file.mux(stream.encode(None))
    return buffer.getvalue()


def _gif(pictures: Sequence[Image.Image]) -> bytes:
    """With one palette for all: grays, and the colour of the contour from dark to full."""
    palette = Image.new("P", (1, 1))
    palette.putpalette([gray for level in range(192) for gray in 3 * [level * 255 // 191]]
                       + [part * (level + 1) // 64 for level in range(64) for part in LINE])  # fmt: skip
    few = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    buffer = io.BytesIO()
    few[0].save(buffer, "GIF", save_all=True, append_images=few[1:], duration=1000 // RATE, loop=0)
    return buffer.getvalue()
