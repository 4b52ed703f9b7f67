"""What a complete landmark run predicts of a clip: its contours at ED and ES."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from echolm.errors import EchoLMError
from echolm.geometry import area, ejection_fraction, method_of_disks
from echolm.media.read import read_video
from echolm.predict.find_ed_es import Pair, PhaseEstimate, estimate
from echolm.predict.run_network import Cine, RunNetwork
from echolm.predict.sector import shows_sector
from echolm.record import RunRecord
from echolm.stores.sampling import ed_to_es
from echolm.tasks.landmarks import Landmarks
from echolm.workspace import Workspace


@dataclass(frozen=True)
class ContourPrediction:
    """Contours of one clip."""

    contours: np.ndarray
    """2 x 40 x 2 (ED, ES) in pixels of the square-cropped frame."""
    frames: np.ndarray
    """2 x S x S uint8: those two frames."""
    numbers: tuple[int, int]
    """Their numbers in the file."""
    ejection_fraction: float
    """In percent, by the single-plane method of disks on the predicted contours."""
    estimate: PhaseEstimate | None = None
    """How the frames were found. None where both were given."""
    frames_held: int | None = None
    """Frames of the file. None where both were given: then no others are looked at."""
    fps: float | None = None
    """Frames per second of the file. None where it does not tell."""
    has_sector: bool | None = None
    """Whether the pictures look like ultrasound. None: they were not looked at."""

    @property
    def areas(self) -> tuple[float, float]:
        """Areas of both contours, in pixels squared."""
        ed, es = area(self.contours).tolist()
        return ed, es


class ContourPredictor:
    """The network of a complete landmark run, and what is derived from its contours.

    Raises:
        EchoLMError: when the run is of another task, is not complete, or its weights have changed.
    """

    def __init__(self, record: RunRecord, workspace: Workspace, device: str = "cpu") -> None:
        self.network = RunNetwork(record, workspace, device, task=Landmarks)
        self.run = self.network.name
        self.trained_on = self.network.trained_on
        self._length = self.network.config.encoder.frames

    def report_progress(self, progress: Callable[[int], object]) -> None:
        """Call ``progress`` with the number of clips after each forward pass."""
        self.network.progress = progress

    def __call__(
        self, path: Path, ed: int | None = None, es: int | None = None
    ) -> ContourPrediction:
        """Predict the contours of a video or DICOM file.

        Args:
            path: the file.
            ed: number of the frame, from 0. None: it is estimated (``echolm.predict.find_ed_es``).
            es: likewise.

        Raises:
            EchoLMError: the file or a frame cannot be read, or phases cannot be estimated.
        """
        if ed is None or es is None:
            return self.predict_estimated(self.read(path), ed, es)
        read_video(
            path, [ed, es], any_codec=True
        )  # first: an error names a frame that was asked for
        clip = self.clip(ed, es)
        return self.predict_at(self.read(path, [ed, es, *clip.tolist()]), ed, es)

    def read(self, path: Path, frames: Sequence[int] | None = None) -> Cine:
        """Read the frames of a file, or those with these numbers, as the encoder does."""
        return self.network.read(path, frames)

    def clip(self, ed: int, es: int) -> np.ndarray:
        """Return the numbers of the frames of the clip from ``ed`` to ``es``, (T,)."""
        return ed_to_es(ed, es, self._length)

    def predict_at(
        self, cine: Cine, ed: int, es: int, estimate: PhaseEstimate | None = None
    ) -> ContourPrediction:
        """Predict the clip from ``ed`` to ``es``.

        Args:
            cine: frames that include those of the clip.
            ed: number of the frame.
            es: likewise.
            estimate: how they were found.
        """
        contours = self.contours(cine, [(ed, es)])[0]
        edv, esv = method_of_disks(contours)
        return ContourPrediction(
            contours=contours,
            frames=cine.frames[cine.rows([ed, es])],
            numbers=(ed, es),
            ejection_fraction=float(ejection_fraction(edv, esv)),
            estimate=estimate,
            frames_held=len(cine.frames) if estimate else None,
            fps=cine.fps,
            has_sector=shows_sector(cine.frames),
        )

    def predict_estimated(
        self, cine: Cine, ed: int | None = None, es: int | None = None
    ) -> ContourPrediction:
        """Predict a whole file at phases of which one or both are estimated."""

        def areas(pairs: Sequence[Pair]) -> np.ndarray:
            return area(self.contours(cine, pairs))

        try:
            phases = estimate(areas, len(cine.frames), cine.fps, ed, es)
        except EchoLMError as error:
            raise EchoLMError(f"{cine.path}: {error}") from error
        return self.predict_at(cine, phases.ed, phases.es, phases)

    def contours(self, cine: Cine, pairs: Sequence[Pair]) -> np.ndarray:
        """Predict N clips, one forward pass each.

        Args:
            cine: frames that include those of the clips.
            pairs: numbers of the first and the last frame of each clip.

        Returns:
            N x 2 x 40 x 2: the contours at the first frame (as ED) and at the last (as ES), in
            pixels of the square-cropped frame.
        """
        clips = np.stack([self.clip(first, last) for first, last in pairs])
        outputs = self.network.outputs(cine, cine.rows(clips))
        side = cine.frames.shape[1]
        return outputs * side - 0.5
