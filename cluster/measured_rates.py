"""How long training takes: from complete runs of a similar shape, else from FLOPs and a rate.

The measure is *device-seconds a clip and epoch*: GPU-seconds (or, on CPUs, seconds of one rank) for
one training clip in one epoch, with the validation that belongs to it. What is not known is
estimated from these assumptions:

- a backward pass costs two forward passes, and the stages of an encoder cost the same (so freezing
  the first half of an encoder leaves 1 + 2 x 0.5 of 3 parts),
- twice the GPUs take half the time.

An encoder declares its FLOPs (``Encoder.forward_flops``), and ``cluster.device_rate`` says what a
device computes a second. Heads and fusions are not in it. Of a masked autoencoder the visible
tokens and the decoder are (``Objective.pass_flops``).
For an encoder that declares none (a plugin) the published hours are taken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from cluster.device_rate import ASSUMED_FACTOR, CLIP_S, UNSTATED, DeviceRate
from echolm.config import FinetuneConfig, PretrainConfig, Trainable
from echolm.encoders import ENCODERS
from echolm.errors import EchoLMError
from echolm.identity import canonical_json

PAPER_EPOCHS = 100
PAPER_HOURS = {7394: 13.0, 1848: 3.5, 739: 1.5, 147: 0.25}
"""Training clips -> hours of full fine-tuning on one A100.

Bhoodoo et al., NLDL 2026 §4.1: 100, 25, 10 and 2 % of EchoNet-Dynamic.
"""
PRIOR = (
    "the paper's hours on an A100 (assumed: 13 h for 7,394 clips x 100 epochs, all trained), for an"
    f" encoder that declares no FLOPs, within a factor of {ASSUMED_FACTOR:g}"
)
"""Where such a rate is from, in words."""
ALONE_FACTOR = 1.25
"""One finished run says nothing of the spread.

Nodes, data reading and neighbours make this much (assumed).
"""


@dataclass(frozen=True)
class CellShape:
    """What decides how long a cell takes.

    ``task``, ``encoder``, ``trainable`` and ``augmentation`` are texts that are equal for equal
    parts of a configuration. ``devices`` are GPUs, or ranks on CPUs. ``cut`` of the encoder's
    ``stages`` are frozen before the first one that trains. ``flops`` are those of one clip in one
    pass forward, None where the encoder declares none.
    """

    task: str
    encoder: str
    trainable: str
    augmentation: str
    data: str
    fraction: float
    batch_size: int
    epochs: int
    on_gpu: bool
    devices: int
    cut: int
    stages: int
    flops: int | None = None

    @property
    def passes(self) -> float:
        """Forward passes through the encoder that a training clip costs.

        1 when all is frozen, 3 when all trains.
        """
        return 1 + 2 * (1 - self.cut / self.stages)


@dataclass(frozen=True)
class Finished:
    """A complete run: device-seconds a clip and epoch, as if it had been trained alone."""

    shape: CellShape
    rate: float


@dataclass(frozen=True)
class Rate:
    """Device-seconds a clip and epoch, and where they are from in words."""

    low: float
    mid: float
    high: float
    source: str


def cell_shape(
    config: FinetuneConfig | PretrainConfig | Mapping[str, Any], on_gpu: bool, devices: int
) -> CellShape:
    """Return the shape of a configuration, or of its plain form in a record.

    Raises:
        EchoLMError: an encoder that is not known here.
    """
    values = config if isinstance(config, Mapping) else config.model_dump(mode="json")
    encoder = canonical_json(values["encoder"])
    regime = canonical_json(values.get("trainable", "all"))
    trainable, cut, stages, flops = _frozen(encoder, regime)
    if isinstance(config, PretrainConfig):
        flops = config.objective.pass_flops(config.encoder)
    return CellShape(
        task=canonical_json(values.get("task") or values["objective"]),
        encoder=encoder,
        trainable=trainable,
        augmentation=canonical_json(values["augmentation"]),
        data=values["data"]["name"],
        fraction=values["data"]["fraction"],
        batch_size=values["batch_size"],
        epochs=values["epochs"],
        on_gpu=on_gpu,
        devices=devices,
        cut=cut,
        stages=stages,
        flops=flops,
    )


@lru_cache(maxsize=1024)
def _frozen(encoder: str, trainable: str) -> tuple[str, int, int, int | None]:
    """Return a freezing regime in words, its cut, the encoder's stages, and its FLOPs.

    The stages are stem, blocks and readout.
    """
    parsed = ENCODERS.parse(json.loads(encoder))
    regime = Trainable.model_validate(json.loads(trainable))
    return str(regime), regime.cut(parsed.blocks), parsed.blocks + 2, parsed.forward_flops


def shared_part(shape: CellShape, cut: int) -> float:
    """Return the part of a cell's cost that cells with one trunk pay only once (0 to 0.95).

    It is the forward pass of the trunk, cut at ``cut``. The head, the metrics and the writing, at
    least a twentieth (assumed), are the cell's own.
    """
    return min(0.95, cut / shape.stages / shape.passes)


def finished_runs(runs: Path) -> Iterator[Finished]:
    """Read every complete run under the folder of records.

    A record that cannot be read, or measures nothing, is left out.
    """
    for path in sorted(runs.glob("*/*/summary.json")):
        try:
            summary = json.loads(path.read_text(encoding="utf-8"))
            identity = json.loads(path.with_name("config.json").read_text(encoding="utf-8"))
            run = finished(identity["config"], summary)
        except (OSError, ValueError, KeyError, TypeError, EchoLMError, ValidationError):
            continue
        if run.rate > 0:
            yield run


def finished(config: Mapping[str, Any], summary: Mapping[str, Any]) -> Finished:
    """Return a complete run by its configuration and summary.

    Cells that were trained together each counted the whole time.
    """
    ranks = int(summary.get("ranks", 1))
    together = int(summary.get("together", 1))
    on_gpu = not str(summary["provenance"]["device"]).startswith("cpu")
    shape = cell_shape(config, on_gpu, ranks)
    shared = shared_part(shape, shape.cut)
    alone_s = float(summary["seconds"]) / (shared + together * (1 - shared))
    clips = summary["counts"]["train"] * summary["epochs"]
    return Finished(shape, ranks * alone_s / clips)


@dataclass(frozen=True)
class _Likeness:
    """How near a known run is to a cell.

    Attributes:
        fields: the fields of ``CellShape`` that agree, beside those that must.
        factor: how much wider than its spread the range then is (assumed).
        words: how that is said.
    """

    fields: tuple[str, ...]
    factor: float
    words: str


_SAME = ("task", "encoder", "on_gpu")
_BATCHES = ("trainable", "augmentation", "batch_size", "devices")
_LIKENESSES = (
    _Likeness((*_BATCHES, "data", "fraction", "epochs"), 1.0, "the same shape"),
    _Likeness(_BATCHES, 1.25, "the same shape but for data or epochs, scaled by clips and epochs"),
    _Likeness(
        ("trainable", "augmentation"),
        1.5,
        "the same encoder, freezing and augmentation;"
        " device-seconds taken as equal for any batch size and GPUs",
    ),
    _Likeness(("trainable",), 1.5, "the same encoder and freezing, with another augmentation"),
    _Likeness(
        (),
        2.0,
        "the same encoder with another freezing (a backward pass taken as two forward passes)",
    ),
)
"""The nearest first."""


class Rates:
    """What complete runs say about cells, or else FLOPs and the rate of a device."""

    def __init__(self, known: Iterable[Finished], device: DeviceRate = UNSTATED) -> None:
        self._device = device
        self._by_key: dict[tuple[Any, ...], list[Finished]] = {}
        for run in known:
            for likeness in _LIKENESSES:
                self._by_key.setdefault(_key(run.shape, likeness), []).append(run)

    def __call__(self, shape: CellShape) -> Rate | None:
        """Return the rate of a shape, by the nearest runs that are known, else by its FLOPs.

        None on CPUs where the encoder declares no FLOPs: no figure is published for them.
        """
        for likeness in _LIKENESSES:
            runs = self._by_key.get(_key(shape, likeness))
            if runs:
                return _rate(shape, runs, likeness)
        if shape.flops is not None:
            return by_flops(shape, shape.flops, self._device)
        return prior(shape) if shape.on_gpu else None


def _rate(shape: CellShape, runs: list[Finished], likeness: _Likeness) -> Rate:
    """Return the rate of a shape by runs that are so near to it."""
    rates = [run.rate * shape.passes / run.shape.passes for run in runs]
    factor, counted = likeness.factor, f"{len(rates)} complete runs"
    if len(rates) == 1:
        factor, counted = max(factor, ALONE_FACTOR), "1 complete run"
    return Rate(
        low=min(rates) / factor,
        mid=median(rates),
        high=max(rates) * factor,
        source=f"{counted} of {likeness.words}",
    )


def by_flops(shape: CellShape, flops: int, device: DeviceRate) -> Rate:
    """Return the rate of a shape by the FLOPs of its encoder and what a device computes."""
    mid = max(CLIP_S, flops * shape.passes / device.flops(shape.on_gpu))
    factor = device.factor
    return Rate(mid / factor, mid, mid * factor, device.words(shape.on_gpu))


def prior(shape: CellShape) -> Rate:
    """Return the published figure for full fine-tuning, times the passes of this freezing."""
    rates = [3600 * hours / (clips * PAPER_EPOCHS) for clips, hours in PAPER_HOURS.items()]
    mid = math.prod(rates) ** (1 / len(rates)) * shape.passes / 3
    return Rate(mid / ASSUMED_FACTOR, mid, mid * ASSUMED_FACTOR, PRIOR)


def _key(shape: CellShape, likeness: _Likeness) -> tuple[Any, ...]:
    """Return what is equal for shapes that are so near to each other."""
    values = [getattr(shape, name) for name in (*_SAME, *likeness.fields)]
    return (likeness.fields, *values)
