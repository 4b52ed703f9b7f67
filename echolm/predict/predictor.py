"""A complete run's network, and what it predicts of a clip."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echolm.augmentation.none import NoAugmentation
from echolm.config import FinetuneConfig, parse_config
from echolm.data.clips import ed_to_es
from echolm.data.video import read_video, square_crop
from echolm.encoders.base import State, normalise
from echolm.errors import EchoLMError
from echolm.geometry import area, ejection_fraction, method_of_disks
from echolm.predict.phases import Estimate, Pair, estimate
from echolm.record import FINGERPRINT_DIGITS, RunRecord
from echolm.tasks.landmarks import Landmarks
from echolm.training.member import Member
from echolm.training.prepare import PreparedRun, weights_identity, weights_path
from echolm.training.trunk import first_network
from echolm.workspace import Workspace

BATCH = 4
"""Clips pushed through the network at once."""
RESIZED = 64
"""Frames resized at once."""


@dataclass(frozen=True, eq=False)
class Cine:
    """Frames of a file. ``frames``: T x S x S uint8, cropped to the centred square; ``numbers``: (T,) their numbers in
    the file, ascending; ``fps`` or None; ``pixels``: T x size x size, as the run's encoder reads them."""

    path: Path
    frames: np.ndarray
    numbers: np.ndarray
    fps: float | None
    pixels: Tensor

    def rows(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Where frames of these numbers are in ``frames``; same shape."""
        return np.searchsorted(self.numbers, numbers)


@dataclass(frozen=True)
class Prediction:
    """Contours of one clip. ``contours``: 2 x 40 x 2 (ED, ES) in pixels of the square-cropped frame; ``frames``:
    2 x S x S uint8, those two frames; ``numbers``: their numbers in the file; ``ejection_fraction`` in percent, by
    the single-plane method of disks on the predicted contours; ``estimate``: how the frames were found, None where
    both were given."""

    contours: np.ndarray
    frames: np.ndarray
    numbers: tuple[int, int]
    ejection_fraction: float
    estimate: Estimate | None = None

    @property
    def areas(self) -> tuple[float, float]:
        """Of both contours, in pixels squared."""
        ed, es = area(self.contours).tolist()
        return ed, es


class Predictor:
    """The network of a complete landmark run, in evaluation mode. ``run``: cell and fingerprint; ``progress`` is called
    with the number of clips after each forward pass."""

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
        self.run = f"{identity['cell']}/{identity['fingerprint'][:FINGERPRINT_DIGITS]}"
        self.progress: Callable[[int], object] = lambda count: None
        self._device = torch.device(device)
        self._encoder = config.encoder
        self._member = Member(config, first_network(run, self._device), 0, self._device)
        self._member.load_tensors(load_file(best, device=device))

    def __call__(self, path: Path, ed: int | None = None, es: int | None = None) -> Prediction:
        """Contours at frames ``ed`` and ``es`` (0-based) of an AVI or DICOM file; a phase that is None is estimated
        (``echolm.predict.phases``). EchoLMError: the file or a frame cannot be read, or phases cannot be estimated."""
        if ed is None or es is None:
            return self.estimated(self.read(path), ed, es)
        read_video(path, [ed, es])  # first: an error names a frame that was asked for
        return self.at(self.read(path, [ed, es, *ed_to_es(ed, es, self._encoder.frames).tolist()]), ed, es)

    def read(self, path: Path, frames: Sequence[int] | None = None) -> Cine:
        """The frames of a file, or those of them with these numbers, as the encoder reads them."""
        video = read_video(path, None if frames is None else sorted(set(frames)))
        square = square_crop(video.frames)
        return Cine(path, square, video.numbers, video.fps, self._resized(square))

    def at(self, cine: Cine, ed: int, es: int, estimate: Estimate | None = None) -> Prediction:
        """The prediction of the clip from ``ed`` to ``es``."""
        contours = self.contours(cine, [(ed, es)])[0]
        edv, esv = method_of_disks(contours)
        return Prediction(contours, cine.frames[cine.rows([ed, es])], (ed, es), float(ejection_fraction(edv, esv)), estimate)

    def estimated(self, cine: Cine, ed: int | None = None, es: int | None = None) -> Prediction:
        """The prediction of a whole file, at phases of which one or both are estimated."""
        try:
            found = estimate(lambda pairs: area(self.contours(cine, pairs)), len(cine.frames), cine.fps, ed, es)
        except EchoLMError as error:
            raise EchoLMError(f"{cine.path}: {error}") from error
        return self.at(cine, found.ed, found.es, found)

    def contours(self, cine: Cine, pairs: Sequence[Pair]) -> np.ndarray:
        """Of the N clips from the first to the second frame of each pair, one forward pass each: N x 2 x 40 x 2, the
        contours at their first and last frame (as ED and as ES) in pixels of the square-cropped frame."""
        clips = cine.rows(np.stack([ed_to_es(first, last, self._encoder.frames) for first, last in pairs]))
        found = [self._outputs(cine.pixels, clips[start : start + BATCH]) for start in range(0, len(clips), BATCH)]
        return np.concatenate(found) * cine.frames.shape[1] - 0.5

    def _outputs(self, pixels: Tensor, clips: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            chosen = pixels[torch.from_numpy(clips).to(self._device)]
            outputs: np.ndarray = self._member.model(State({"clip": normalise(chosen, self._encoder)})).double().cpu().numpy()
        self.progress(len(clips))
        return outputs

    def _resized(self, frames: np.ndarray) -> Tensor:
        """T x S x S uint8 -> T x size x size float32."""
        parts = []
        for start in range(0, len(frames), RESIZED):
            part = torch.from_numpy(np.ascontiguousarray(frames[start : start + RESIZED]))[None].to(self._device)
            pixels, _ = NoAugmentation().apply(part, torch.zeros(1, 0, 2, device=self._device), self._encoder.size, None)
            parts.append(pixels[0])
        return torch.cat(parts)


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
