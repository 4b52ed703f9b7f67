"""What a complete run of regression or classification says of a clip: a value, or a class."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from echolm.errors import EchoLMError
from echolm.predict.pictures import Joined, joined_by_default
from echolm.predict.plausibility import LARGEST_EF, NO_SECTOR, short_of_a_beat
from echolm.predict.run_network import Cine, RunNetwork, config_of
from echolm.predict.sector import shows_sector
from echolm.record import RunRecord
from echolm.tasks.classification import Classification
from echolm.tasks.regression import Regression
from echolm.tasks.value_rows import unit_of
from echolm.workspace import Workspace

TASKS_OF_VALUES = (Regression, Classification)


@dataclass(frozen=True)
class ValuePrediction:
    """What a run says of one clip."""

    target: str
    """The name of the value, as the store of the run has it."""
    value: float | None
    """In ``unit``. None: the run gives classes."""
    unit: str
    """'' where it is not known, and for classes."""
    probabilities: Mapping[str, float]
    """Class -> its probability, in the order of the classes. Empty: the run gives a value."""
    frames: tuple[tuple[int, ...], ...]
    """Numbers in the file of the frames that were seen, for each pass."""
    frames_held: int
    """Frames of the file."""
    fps: float | None
    """Frames a second. None where the file does not tell."""
    has_sector: bool
    """Whether the pictures look like ultrasound."""
    files: int = 1
    """Files that were seen as one clip, such as the still pictures of a study."""

    @property
    def most_likely(self) -> str:
        """The most probable class, the first of equal ones. '' where there are none."""
        if not self.probabilities:
            return ""
        return max(self.probabilities, key=lambda name: self.probabilities[name])

    @property
    def text(self) -> str:
        """The prediction in words: ``edv 123.4 ml``, or the classes with their probabilities."""
        if self.value is not None:
            return f"{self.target} {self.value:.1f} {self.unit}".rstrip()
        shares = [f"{name} {100 * share:.0f} %" for name, share in self.probabilities.items()]
        return f"{self.target}: {self.most_likely} ({', '.join(shares)})"

    @property
    def warning(self) -> str:
        """Why one should look at the prediction, '' without a cause."""
        reasons = []
        if self.value is not None:
            reasons.append(_odd_value(self.target, self.value, self.unit))
        if not self.has_sector:
            reasons.append(NO_SECTOR)
        is_moving = any(len(set(seen)) > 1 for seen in self.frames)
        if self.files == 1 and (is_moving or self.frames_held > 1):
            reasons += short_of_a_beat(self.frames_held, self.fps)
        return "; ".join(filter(None, reasons))


def _odd_value(target: str, value: float, unit: str) -> str:
    """Say what is implausible in a value, '' for nothing."""
    name = target.upper() if target in ("ef", "esv", "edv") else target
    if not math.isfinite(value):
        return f"{name} is not a finite number"
    if target == "ef" and not 0 <= value <= LARGEST_EF:
        return f"EF is {value:.1f} %"
    if unit == "ml" and value <= 0:
        return f"{name} is {value:.1f} ml"
    return ""


def predicts_values(record: RunRecord) -> bool:
    """Tell whether a run is of a task whose predictions are values or classes."""
    return isinstance(config_of(record).task, TASKS_OF_VALUES)


class ValuePredictor:
    """The network of a complete run of regression or classification.

    A file is seen as the run's clip says. Where that is the whole video, ED and ES are not needed.
    Where it takes several windows in the final evaluation, the outputs are their mean, as there.

    Raises:
        EchoLMError: when the run is of another task, is not complete, or its weights have changed.
    """

    def __init__(self, record: RunRecord, workspace: Workspace, device: str = "cpu") -> None:
        self.network = RunNetwork(record, workspace, device, task=TASKS_OF_VALUES)
        self.run = self.network.name
        self.trained_on = self.network.trained_on
        self.config = self.network.config

    @property
    def needs_phases(self) -> bool:
        """Whether the frames of ED and ES must be known."""
        return bool(self.config.clip.needs)

    @property
    def target(self) -> str:
        """The name of the value."""
        task = self.config.task
        assert isinstance(task, TASKS_OF_VALUES)
        return task.target

    @property
    def joined(self) -> Joined:
        """Which pictures the run saw as one item, as far as its store is known."""
        return joined_by_default(self.trained_on.dataset)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes. Empty: the run gives a value."""
        task = self.config.task
        return task.class_names if isinstance(task, Classification) else ()

    def report_progress(self, progress: Callable[[int], object]) -> None:
        """Call ``progress`` with the number of clips after each forward pass."""
        self.network.progress = progress

    def __call__(
        self,
        path: Path | Sequence[Path],
        ed: int | None = None,
        es: int | None = None,
    ) -> ValuePrediction:
        """Predict a file, or several as one clip.

        Args:
            path: a video, a DICOM file or a picture, or several such in order.
            ed: number of the frame of end-diastole, from 0, where ``needs_phases``.
            es: likewise of end-systole.

        Raises:
            EchoLMError: the file cannot be read, or a frame is needed and not given, or not there.
        """
        files = [path] if isinstance(path, Path) else list(path)
        values = self._phases(files[0], ed, es)
        if len(files) == 1:
            cine = self.network.read(files[0])
        else:
            cine = self.network.read_pictures(files)
        clips = self.network.choose(cine, values)
        outputs = self.network.outputs(cine, cine.rows(clips)).mean(axis=0, keepdims=True)
        return replace(self._prediction(cine, clips, outputs), files=len(files))

    def _phases(self, path: Path, ed: int | None, es: int | None) -> dict[str, int]:
        """Return ED and ES by name, nothing where the run's clip needs neither."""
        if not self.needs_phases:
            return {}
        if ed is None or es is None:
            raise EchoLMError(
                f"{path}: ED and ES are needed, since run {self.run} was trained on clips from ED "
                "to ES, and without contours they cannot be estimated; type --ed and --es, or "
                "--tracings"
            )
        return {"ed": ed, "es": es}

    def _prediction(self, cine: Cine, clips: np.ndarray, outputs: np.ndarray) -> ValuePrediction:
        """Put outputs 1 x *outputs into the units and classes of the task."""
        task = self.config.task
        value, unit, probabilities = None, "", {}
        if isinstance(task, Regression):
            value = float(task.values(outputs)[0])
            unit = unit_of(task.target)
        else:
            assert isinstance(task, Classification)
            shares = task.probabilities(outputs)[0].tolist()
            probabilities = dict(zip(task.class_names, shares, strict=True))
        return ValuePrediction(
            target=self.target,
            value=value,
            unit=unit,
            probabilities=probabilities,
            frames=tuple(tuple(numbers) for numbers in clips.tolist()),
            frames_held=len(cine.numbers),
            fps=cine.fps,
            has_sector=shows_sector(cine.frames),
        )
