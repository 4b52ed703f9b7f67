"""What a pretrained masked autoencoder makes of a clip: original, masked and reconstructed.

The objective ``echofm`` is one too. Shown are the frames that it predicts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from echolm.config import PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.objectives.cubes import to_clips
from echolm.objectives.echofm import EchoFM
from echolm.objectives.echofm_network import EchoFMOutputs, EchoFMPretraining
from echolm.objectives.masked_autoencoder import MaskedAutoencoder
from echolm.objectives.masked_network import MaskedNetwork, Reconstruction
from echolm.predict.picture import GAP, write
from echolm.predict.run_network import LoadedRun
from echolm.randomness import sample_keys
from echolm.record import RunRecord
from echolm.workspace import Workspace

SHOWN = 8
"""Frames of a picture at most, spread over the clip."""
SIDE = 160
"""Side of a drawn frame in pixels."""
Network = MaskedNetwork | EchoFMPretraining
Outputs = Reconstruction | EchoFMOutputs
ROWS = ("original", "masked", "reconstructed")


@dataclass(frozen=True, eq=False)
class ReconstructedClip:
    """The predicted frames of a clip, T x size x size in [0, 1] each."""

    original: np.ndarray
    masked: np.ndarray
    """Masked cubes are 0."""
    reconstructed: np.ndarray
    """Masked cubes are predicted, the others original."""
    numbers: tuple[int, ...]
    """Numbers of the frames in the file, T of them."""
    loss: float
    """The mean squared error of what is predicted."""
    share: float
    """The share of cubes that is masked."""
    undone: bool
    """Whether predictions are of normalised cubes.

    Mean and deviation were then put back from the original, which the network does not predict.
    """


def is_pretraining(record: RunRecord) -> bool:
    """Tell whether a run is a pretraining."""
    return record.identity()["config"].get("kind") == "pretrain"


class Reconstructor:
    """The masked autoencoder of a complete pretraining run.

    Raises:
        EchoLMError: when the run has another objective, is not complete, or its weights have
            changed.
    """

    def __init__(self, record: RunRecord, workspace: Workspace, device: str = "cpu") -> None:
        config = parse_config(record.identity()["config"], str(record.path / "config.json"))
        goal = config.goal
        if not isinstance(config, PretrainConfig) or not isinstance(
            goal, MaskedAutoencoder | EchoFM
        ):
            raise EchoLMError(
                f"{record.path}: a run of {goal.name}; pictures of reconstructions are those of "
                "the objectives masked-autoencoder and echofm"
            )
        self._goal = goal
        self.network = LoadedRun(record, config, workspace, device)
        self.run = self.network.name
        self.trained_on = self.network.trained_on
        self.needs_phases = bool(config.clip.needs)

    def __call__(
        self, path: Path, ed: int | None = None, es: int | None = None
    ) -> ReconstructedClip:
        """Mask and reconstruct a clip of a file.

        The mask is drawn by the file's name: the same one each time.

        Args:
            path: a video, a DICOM file or a picture.
            ed: number of the frame of end-diastole, from 0, where ``needs_phases``.
            es: likewise of end-systole.

        Raises:
            EchoLMError: the file cannot be read, or a frame is needed and not given, or not there.
        """
        values = {}
        if self.needs_phases:
            if ed is None or es is None:
                raise EchoLMError(
                    f"{path}: ED and ES are needed, since run {self.run} was trained on clips from "
                    "ED to ES; type --ed and --es, or --tracings"
                )
            values = {"ed": ed, "es": es}
        cine = self.network.read(path)
        numbers = self.network.choose(cine, values)
        state = self.network.state(cine, cine.rows(numbers))
        with torch.inference_mode():
            outputs = self.network.member.predict(state, sample_keys([path.stem]))
        network = cast(Network, self.network.member.model.objective)
        return self._clip(network, state.tensors["clip"], outputs, numbers[0])

    def _clip(
        self, network: Network, clip: Tensor, outputs: Outputs, numbers: np.ndarray
    ) -> ReconstructedClip:
        """Put cubes together.

        Args:
            network: the masked autoencoder.
            clip: 1 x 3 x T x H x W, normalised.
            outputs: of the network.
            numbers: of the clip's frames in the file.
        """
        cubes = network.pixels(clip)
        masked = outputs.masked[0]
        predicted = outputs.predicted.reshape(len(masked), *cubes.shape[2:])
        is_undone = self._goal.target == "normalised"
        if is_undone:
            mean, deviation = network.statistics(cubes)
            predicted = predicted * deviation[0, masked] + mean[0, masked]
        hidden, filled = cubes.clone(), cubes.clone()
        hidden[0, masked] = 0
        filled[0, masked] = predicted
        error = outputs.predicted - outputs.target

        def gray(values: Tensor) -> np.ndarray:
            clips = to_clips(values, network.masks.grid, network.cube)
            return clips[0].mean(0).clamp(0, 1).cpu().numpy()

        return ReconstructedClip(
            original=gray(cubes),
            masked=gray(hidden),
            reconstructed=gray(filled),
            numbers=tuple(numbers[list(network.frames)].tolist()),
            loss=float(error.square().mean()),
            share=len(masked) / cubes.shape[1],
            undone=is_undone,
        )


def draw_reconstruction(clip: ReconstructedClip, note: str = "") -> Image.Image:
    """Draw original, masked and reconstructed frames below each other.

    Args:
        clip: what is drawn.
        note: what must be known wherever the picture goes. It is written at the bottom.
    """
    count = len(clip.numbers)
    places = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))
    step = SIDE + GAP
    picture = Image.new("RGB", (len(places) * step - GAP, len(ROWS) * step - GAP), "black")
    for row, name in enumerate(ROWS):
        frames = getattr(clip, name)
        for column, place in enumerate(places.tolist()):
            gray = Image.fromarray((frames[place] * 255).round().astype(np.uint8))
            drawn = gray.convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
            picture.paste(drawn, (column * step, row * step))
        write(picture, (6, row * step + 4), name)
    for column, place in enumerate(places.tolist()[1:], 1):
        write(picture, (column * step + 6, 4), str(clip.numbers[place]))
    write(picture, (6, picture.height - 26), note)
    return picture
