"""Drawing contours on their frames."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from echolm.errors import EchoLMError
from echolm.record import write_atomic, writing
from echolm.tasks.landmarks import PHASES

if TYPE_CHECKING:
    from echolm.predict.predictor import Prediction

PANEL = 448
"""Side of a drawn frame in pixels."""
LINE = (255, 196, 0)


def check_picture(path: Path) -> None:
    """EchoLMError unless pictures can be written under this name."""
    Image.init()
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise EchoLMError(f"--out {path}: {path.suffix or 'no extension'} is no kind of picture; valid: .png, .jpg, .pdf, ...")


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture of the kind that the name says: whole or not at all. Raises StorageError."""
    buffer = io.BytesIO()
    with writing(path):
        picture.save(buffer, Image.registered_extensions()[path.suffix.lower()])
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def draw(prediction: Prediction) -> Image.Image:
    """ED and ES side by side with their contours."""
    panels = [
        panel(frame, contour, f"{phase}  frame {number}{_how(prediction, phase)}")
        for frame, contour, phase, number in zip(
            prediction.frames, prediction.contours, PHASES, prediction.numbers, strict=True
        )
    ]
    picture = Image.new("RGB", (2 * PANEL + 8, PANEL), "black")
    picture.paste(panels[0], (0, 0))
    picture.paste(panels[1], (PANEL + 8, 0))
    _write(picture, (PANEL + 18, PANEL - 30), f"EF {prediction.ejection_fraction:.0f} % (predicted contours)")
    return picture


def _how(prediction: Prediction, phase: str) -> str:
    return " (estimated)" if prediction.estimate and phase in prediction.estimate.estimated else ""


def panel(frame: np.ndarray, contour: np.ndarray, title: str) -> Image.Image:
    """A frame (S x S uint8), enlarged to PANEL, with a contour (40 x 2, in pixels of the frame) and a title."""
    picture = Image.fromarray(np.asarray(frame)).convert("RGB").resize((PANEL, PANEL), Image.Resampling.BICUBIC)
    points = (contour + 0.5) * PANEL / frame.shape[0] - 0.5
    canvas = ImageDraw.Draw(picture)
    canvas.line([tuple(point) for point in np.vstack([points, points[:1]])], fill=LINE, width=2, joint="curve")
    for x, y in points:
        canvas.ellipse([x - 2.5, y - 2.5, x + 2.5, y + 2.5], fill=LINE)
    _write(picture, (10, 8), title)
    return picture


def _write(picture: Image.Image, at: tuple[int, int], text: str) -> None:
    ImageDraw.Draw(picture).text(at, text, fill=LINE, font=ImageFont.load_default(size=16), stroke_width=2, stroke_fill="black")
