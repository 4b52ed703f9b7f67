"""Landmarks on a clip from a complete run: rebuild the network, read the two frames' clip, draw the contours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from echolm.augmentation.none import NoAugmentation
from echolm.config import FinetuneConfig, parse_config
from echolm.data.clips import ed_to_es
from echolm.data.video import read_video, square_crop
from echolm.encoders.base import State, normalise
from echolm.errors import EchoLMError
from echolm.geometry import ejection_fraction, method_of_disks
from echolm.record import RunRecord
from echolm.tasks.landmarks import PHASES, Landmarks
from echolm.training.member import Member
from echolm.training.prepare import PreparedRun, weights_identity, weights_path
from echolm.training.trunk import first_network
from echolm.workspace import Workspace

PANEL = 448
"""Side of a drawn frame in pixels."""
LINE = (255, 196, 0)


@dataclass(frozen=True)
class Prediction:
    """Contours of one clip. ``contours``: 2 x 40 x 2 (ED, ES) in pixels of the square-cropped frame; ``frames``:
    2 x S x S uint8, those two frames; ``numbers``: their numbers in the file; ``ejection_fraction`` in percent, by
    the single-plane method of disks on the predicted contours."""

    contours: np.ndarray
    frames: np.ndarray
    numbers: tuple[int, int]
    ejection_fraction: float


class Predictor:
    """The network of a complete landmark run, in evaluation mode."""

    def __init__(self, record: RunRecord, workspace: Workspace, device: str = "cpu") -> None:
        from safetensors.torch import load_file

        identity = record.identity()
        config = parse_config(identity["config"], str(record.path / "config.json"))
        if not isinstance(config, FinetuneConfig) or not isinstance(config.task, Landmarks):
            raise EchoLMError(f"{record.path}: a run of task {config.task.name}; prediction draws landmarks only")
        best = _undamaged(record, "best.safetensors")
        source = weights_path(config.weights, config.encoder, workspace)
        if weights_identity(config.weights, source, workspace) != identity["weights"]:
            raise EchoLMError(f"{record.path}: its first weights, {config.weights}, have changed since it was trained; put them back")
        run = PreparedRun(config, identity["cell"], workspace.store(config.data.name), source, identity, record)
        self._device = torch.device(device)
        self._config = config
        self._member = Member(config, first_network(run, self._device), 0, self._device)
        self._member.load_tensors(load_file(best, device=device))

    def __call__(self, path: Path, ed: int, es: int) -> Prediction:
        """Contours at frames ``ed`` and ``es`` (0-based) of an AVI or DICOM file, cropped to its centred square."""
        encoder = self._config.encoder
        ends = square_crop(read_video(path, [ed, es]).frames)  # first: an error names a frame that was asked for
        clip = square_crop(read_video(path, ed_to_es(ed, es, encoder.frames).tolist()).frames)
        frames = torch.from_numpy(np.ascontiguousarray(clip))[None].to(self._device)
        pixels, _ = NoAugmentation().apply(frames, torch.zeros(1, 0, 2, device=self._device), encoder.size, None)
        with torch.inference_mode():
            outputs = self._member.model(State({"clip": normalise(pixels, encoder)}))
        contours = outputs[0].double().cpu().numpy() * clip.shape[1] - 0.5
        edv, esv = method_of_disks(contours)
        return Prediction(contours, ends, (ed, es), float(ejection_fraction(edv, esv)))


def _undamaged(record: RunRecord, name: str) -> Path:
    """A file of a complete run; EchoLMError unless its SHA-256 is the one of the summary."""
    path, summary = record.file(name), record.summary() or {}
    again = f"delete the folder {record.path} and train the cell again"
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}; {again}") from error
    if found != summary.get("files", {}).get(name):
        raise EchoLMError(f"{path}: damaged: its SHA-256 is not the one in summary.json; {again}")
    return path


def draw(prediction: Prediction) -> Image.Image:
    """ED and ES side by side with their contours."""
    panels = [
        _panel(frame, contour, f"{phase}  frame {number}")
        for frame, contour, phase, number in zip(
            prediction.frames, prediction.contours, PHASES, prediction.numbers, strict=True
        )
    ]
    picture = Image.new("RGB", (2 * PANEL + 8, PANEL), "black")
    picture.paste(panels[0], (0, 0))
    picture.paste(panels[1], (PANEL + 8, 0))
    _write(picture, (PANEL + 18, PANEL - 30), f"EF {prediction.ejection_fraction:.0f} % (predicted contours)")
    return picture


def _panel(frame: np.ndarray, contour: np.ndarray, title: str) -> Image.Image:
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
