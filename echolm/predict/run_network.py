"""The network of a complete run, whatever its task, and the clips that it reads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echolm.augmentation.none import NoAugmentation
from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.encoders.base import State, normalise
from echolm.errors import EchoLMError
from echolm.media.read import read_video
from echolm.media.video import square_crop
from echolm.predict.trained_on import describe_training
from echolm.record import FINGERPRINT_DIGITS, WEIGHTS, RunRecord
from echolm.stores.sampling import SAMPLING_RULES, frames_to_store
from echolm.tasks import Task
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
    """Frames of a file."""

    path: Path
    frames: np.ndarray
    """T x S x S uint8, cropped to the centred square."""
    numbers: np.ndarray
    """(T,) their numbers in the file, ascending."""
    fps: float | None
    """Frames a second. None where the file does not tell."""
    pixels: Tensor
    """T x size x size, as the run's encoder reads them."""

    def rows(self, numbers: Sequence[int] | np.ndarray) -> np.ndarray:
        """Find where the frames of these numbers are in ``frames``, in the shape of ``numbers``."""
        return np.searchsorted(self.numbers, numbers)


class LoadedRun:
    """The network of a complete run of any kind, in evaluation mode.

    Args:
        record: of the run.
        config: of the run.
        workspace: where its first weights are.
        device: what it runs on.

    Attributes:
        config: of the run.
        name: cell and fingerprint of the run.
        trained_on: its data and first weights.
        member: its network.

    Raises:
        EchoLMError: when the run is not complete, or its weights have changed.
    """

    config: FinetuneConfig | PretrainConfig

    def __init__(
        self,
        record: RunRecord,
        config: FinetuneConfig | PretrainConfig,
        workspace: Workspace,
        device: str,
    ) -> None:
        from safetensors.torch import load_file

        self.config = config
        self._device = torch.device(device)
        best = _undamaged(record, WEIGHTS)
        run = _prepare(record, config, workspace)
        self.name = f"{run.cell}/{run.keys['fingerprint'][:FINGERPRINT_DIGITS]}"
        self.trained_on = describe_training(record, config, workspace)
        network = first_network(run, self._device)
        self.member = Member(config, network, 0, self._device)
        self.member.load_tensors(load_file(best, device=device))

    def read(self, path: Path, frames: Sequence[int] | None = None) -> Cine:
        """Read a file as the encoder does.

        Args:
            path: a video, of any codec that FFmpeg decodes, or a DICOM file.
            frames: numbers of the frames to read. None: all.
        """
        numbers = None if frames is None else sorted(set(frames))
        video = read_video(path, numbers, any_codec=True)
        square = square_crop(video.frames)
        return Cine(path, square, video.numbers, video.fps, self._resized(square))

    def read_pictures(self, paths: Sequence[Path]) -> Cine:
        """Read several files as one clip, whose frames follow each other in this order.

        Args:
            paths: pictures or videos of one size.

        Raises:
            EchoLMError: a file cannot be read, or is of another size than the first.
        """
        parts = [self.read(path) for path in paths]
        first = parts[0]
        for part in parts:
            side, expected = part.frames.shape[1], first.frames.shape[1]
            if side != expected:
                raise EchoLMError(
                    f"{part.path}: its square is {side} pixels wide, and that of {first.path} is "
                    f"{expected}; valid: pictures of one size in an item"
                )
        frames = np.concatenate([part.frames for part in parts])
        pixels = torch.cat([part.pixels for part in parts])
        return Cine(first.path, frames, np.arange(len(frames)), None, pixels)

    def choose(self, cine: Cine, values: Mapping[str, int]) -> np.ndarray:
        """Choose the frames of each pass as the run's clip does, passes x T numbers in the file.

        They are chosen from those that the store of the run would hold of the file.

        Args:
            cine: all frames of the file.
            values: ED and ES by name, where the clip needs them.

        Raises:
            EchoLMError: the file does not hold one of them.
        """
        count = len(cine.numbers)
        for frame in values.values():
            if not 0 <= frame < count:
                raise EchoLMError(
                    f"{cine.path}: has no frame {frame}; it holds {count} frames (0 to {count - 1})"
                )
        held = cine.numbers
        if self.trained_on.clips is not None:
            rule = SAMPLING_RULES.parse(self.trained_on.clips)
            if not set(rule.needs) - set(values):
                held = frames_to_store(rule, values, count)
        clip, frames = self.config.clip, self.config.encoder.frames
        passes = clip.passes()
        windows = [None] if passes == 1 else list(range(passes))
        chosen = [clip.choose(held, values, frames, None, window) for window in windows]
        return np.stack(chosen)

    def state(self, cine: Cine, clips: np.ndarray) -> State:
        """Return clips as the encoder reads them.

        Args:
            cine: the frames.
            clips: N x T rows of ``cine``.
        """
        chosen = cine.pixels[torch.from_numpy(clips).to(self._device)]
        numbers = torch.from_numpy(cine.numbers[clips].astype(np.int64)).to(self._device)
        tensors = {"clip": normalise(chosen, self.config.encoder)}
        return State(tensors, context={"frames": numbers})

    def _resized(self, frames: np.ndarray) -> Tensor:
        """Resize T x S x S uint8 to T x size x size float32."""
        no_points = torch.zeros(1, 0, 2, device=self._device)
        parts = []
        for start in range(0, len(frames), RESIZED):
            part = torch.from_numpy(np.ascontiguousarray(frames[start : start + RESIZED]))
            clip = part[None].to(self._device)
            pixels, _ = NoAugmentation().apply(clip, no_points, self.config.encoder.size, None)
            parts.append(pixels[0])
        return torch.cat(parts)


class RunNetwork(LoadedRun):
    """Encoder, fusion and head of a complete run, in evaluation mode.

    Args:
        record: of the run.
        workspace: where its first weights are.
        device: what it runs on.
        task: what the run must be of, or several such. It is checked before any weights are read.

    Attributes:
        progress: called with the number of clips after each forward pass.

    Raises:
        EchoLMError: when the run is of another task, is not complete, or its weights have changed.
    """

    config: FinetuneConfig

    def __init__(
        self,
        record: RunRecord,
        workspace: Workspace,
        device: str = "cpu",
        task: type[Task] | tuple[type[Task], ...] = Task,
    ) -> None:
        super().__init__(record, config_of(record, task), workspace, device)
        self.progress: Callable[[int], object] = lambda clips: None

    def outputs(self, cine: Cine, clips: np.ndarray) -> np.ndarray:
        """Run the network on clips, one forward pass each.

        Args:
            cine: the frames.
            clips: N x T rows of ``cine``.

        Returns:
            N x *outputs of the task, float64.
        """
        batches = []
        for start in range(0, len(clips), BATCH):
            batch = clips[start : start + BATCH]
            batches.append(self._forward(cine, batch))
            self.progress(len(batch))
        return np.concatenate(batches)

    def _forward(self, cine: Cine, clips: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            state = self.state(cine, clips)
            outputs: np.ndarray = self.member.model(state).double().cpu().numpy()
        return outputs


def config_of(
    record: RunRecord, task: type[Task] | tuple[type[Task], ...] = Task
) -> FinetuneConfig:
    """Read the configuration of a run, which must be of ``task``, or of one of several.

    Raises:
        EchoLMError: the run is a pretraining, or of another task.
    """
    config = parse_config(record.identity()["config"], str(record.path / "config.json"))
    if not isinstance(config, FinetuneConfig):
        raise EchoLMError(f"{record.path}: a pretraining run; it predicts no labels of a clip")
    if not isinstance(config.task, task):
        tasks = task if isinstance(task, tuple) else (task,)
        valid = " or ".join(valid.model_fields["name"].default for valid in tasks)
        raise EchoLMError(
            f"{record.path}: a run of task {config.task.name}; valid: a run of task {valid}"
        )
    return config


def _prepare(
    record: RunRecord, config: FinetuneConfig | PretrainConfig, workspace: Workspace
) -> PreparedRun:
    """Find the first weights of a run, which must be those that it was trained from."""
    identity = record.identity()
    weights = weights_path(config.weights, config.encoder, workspace)
    if weights_identity(config.weights, weights, workspace) != identity["weights"]:
        raise EchoLMError(
            f"{record.path}: its first weights, {config.weights}, "
            "have changed since it was trained; put them back"
        )
    return PreparedRun(
        config=config,
        cell=identity["cell"],
        store=workspace.store(config.data.name),
        weights=weights,
        keys=identity,
        record=record,
    )


def _undamaged(record: RunRecord, name: str) -> Path:
    """Return a file of a complete run, whose SHA-256 must be the one of the summary."""
    path = record.file(name)
    summary = record.summary() or {}
    again = f"delete the folder {record.path} and train the cell again"
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}; {again}") from error
    if digest != summary.get("files", {}).get(name):
        raise EchoLMError(f"{path}: damaged: its SHA-256 is not the one in summary.json; {again}")
    return path
