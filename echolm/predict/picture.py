"""Drawing contours on their frames."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing
from echolm.tasks.landmarks import PHASES

if TYPE_CHECKING:
    from echolm.predict.contours import ContourPrediction

PANEL = 448
"""Side of a drawn frame in pixels."""
GAP = 8
"""Pixels between two panels."""
LINE = (255, 196, 0)
DOT = 2.5
"""Radius of a point in pixels."""


def check_picture(path: Path, option: str = "--out") -> None:
    """Raise EchoLMError unless pictures can be written under the name that an option gives."""
    Image.init()
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise EchoLMError(
            f"{option} {path}: {path.suffix or 'no extension'} is no kind of picture; "
            "valid: .png, .jpg, .pdf, ..."
        )


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture of the kind that the name says, whole or not at all.

    Raises:
        StorageError: when it cannot be written.
    """
    buffer = io.BytesIO()
    with writing(path):
        picture.save(buffer, Image.registered_extensions()[path.suffix.lower()])
        path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def draw(prediction: ContourPrediction, note: str = "") -> Image.Image:
    """Draw ED and ES side by side with their contours.

    Args:
        prediction: what is drawn.
        note: what must be known wherever the picture goes. It is written below ED.
    """
    picture = Image.new("RGB", (2 * PANEL + GAP, PANEL), "black")
    for number, phase in enumerate(PHASES):
        title = f"{phase}  frame {prediction.numbers[number]}"
        if prediction.estimate and phase in prediction.estimate.estimated:
            title += " (estimated)"
        drawn = panel(prediction.frames[number], prediction.contours[number], title)
        picture.paste(drawn, (number * (PANEL + GAP), 0))
    result = f"EF {prediction.ejection_fraction:.0f} % (predicted contours)"
    write(picture, (PANEL + 18, PANEL - 30), result)
    write(picture, (10, PANEL - 30), note)
    return picture


def panel(frame: np.ndarray, contour: np.ndarray, title: str) -> Image.Image:
    """Draw one frame with its contour, enlarged to PANEL.

    Args:
        frame: S x S uint8.
        contour: 40 x 2, in pixels of the frame.
        title: written above.
    """
    gray = Image.fromarray(np.asarray(frame))
    picture = gray.convert("RGB").resize((PANEL, PANEL), Image.Resampling.BICUBIC)
    points = (contour + 0.5) * PANEL / frame.shape[0] - 0.5
    closed = [tuple(point) for point in np.vstack([points, points[:1]])]
    canvas = ImageDraw.Draw(picture)
    canvas.line(closed, fill=LINE, width=2, joint="curve")
    for x, y in points:
        canvas.ellipse([x - DOT, y - DOT, x + DOT, y + DOT], fill=LINE)
    write(picture, (10, 8), title)
    return picture


def write(picture: Image.Image, position: tuple[int, int], text: str) -> None:
    """Write a text whose upper left corner is at ``position`` (x, y)."""
    ImageDraw.Draw(picture).text(
        position,
        text,
        fill=LINE,
        font=ImageFont.load_default(size=16),
        stroke_width=2,
        stroke_fill="black",
    )
