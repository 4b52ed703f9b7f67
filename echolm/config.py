"""What one run is: ``RunConfig``, a union by ``kind``.

Everything that changes the result is here, and nothing else is. Devices, micro-batch, workers,
folders and tracking are *not* part of a run and live elsewhere. Components (encoder, fusion, head,
augmentation, clip, optimiser, schedule, task, objective) are open unions, see ``echolm.registry``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializeAsAny,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from echolm.augmentation import AUGMENTATIONS, Augmentation
from echolm.clips import CLIPS, Clip
from echolm.conditions import Where
from echolm.encoders import ENCODERS, Encoder
from echolm.errors import EchoLMError
from echolm.fusion import FUSIONS, Fusion
from echolm.heads import HEADS, Head
from echolm.identity import Neutral
from echolm.objectives import OBJECTIVES, Objective
from echolm.optimisation import OPTIMIZERS, SCHEDULES, Optimizer, Schedule
from echolm.registry import Component, Frozen, Registry, validator
from echolm.tasks import TASKS, Goal, Task
from echolm.weights import Weights, check_written
from echolm.yaml_files import explain_validation, load_yaml

EncoderField = Annotated[SerializeAsAny[Encoder], BeforeValidator(validator(ENCODERS))]
FusionField = Annotated[SerializeAsAny[Fusion], BeforeValidator(validator(FUSIONS))]
HeadField = Annotated[SerializeAsAny[Head], BeforeValidator(validator(HEADS))]
AugmentationField = Annotated[
    SerializeAsAny[Augmentation], BeforeValidator(validator(AUGMENTATIONS))
]
ClipField = Annotated[SerializeAsAny[Clip], BeforeValidator(validator(CLIPS)), Neutral("ed-to-es")]
OptimizerField = Annotated[SerializeAsAny[Optimizer], BeforeValidator(validator(OPTIMIZERS))]
ScheduleField = Annotated[SerializeAsAny[Schedule], BeforeValidator(validator(SCHEDULES))]
TaskField = Annotated[SerializeAsAny[Task], BeforeValidator(validator(TASKS))]
ObjectiveField = Annotated[SerializeAsAny[Objective], BeforeValidator(validator(OBJECTIVES))]

COMPONENTS: dict[str, Registry[Any]] = {
    "encoder": ENCODERS,
    "fusion": FUSIONS,
    "head": HEADS,
    "augmentation": AUGMENTATIONS,
    "clip": CLIPS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "task": TASKS,
    "objective": OBJECTIVES,
}
"""Field of a run -> the registry of its components."""


class Data(Frozen):
    """Which samples: a clip store by name, and how much of its training and validation splits.

    ``where`` keeps the items of all splits that have these values. Of several names, all must be
    met. Of several values of a name, one must be met. Numbers may be given as ranges, as in
    subgroups: ``<60``, ``>=75``, ``60-75`` (60 and above, below 75). ``unknown`` are the items
    without the value.

    ``fraction`` keeps floor(fraction * n) samples, at least one, of train and of val (NLDL 2026
    §4.3: 0.5 % is 36/6 of 7,394/1,273). With ``of: train`` the validation split stays whole. With
    ``by: patient`` it keeps that many patients, with all their samples. Subsets of one
    ``subset_seed`` are nested. The test split is always whole.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    fraction: float = Field(default=1.0, gt=0, le=1)
    subset_seed: int = Field(default=0, ge=0)
    of: Annotated[Literal["train", "train+val"], Neutral("train+val")] = "train+val"
    by: Annotated[Literal["sample", "patient"], Neutral("sample")] = "sample"
    where: Annotated[Where, Neutral(())] = ()


class Trainable(Frozen):
    """What trains in the encoder: its last ``blocks`` blocks, its stem, its readout.

    Shorthands: ``k0`` nothing, ``kN`` the last N blocks alone, ``all`` everything.
    """

    blocks: Annotated[int, Field(ge=0)] | Literal["all"]
    stem: bool = False
    readout: bool = False

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, value: Any) -> Any:
        if value == "all":
            return {"blocks": "all", "stem": True, "readout": True}
        if not isinstance(value, str):
            return value
        if not re.fullmatch(r"k[0-9]{1,4}", value):
            raise ValueError(
                f"{value!r} is not a freezing regime; valid: k0, k1, k2, ... (last n blocks), all"
            )
        return {"blocks": int(value[1:])}

    @model_validator(mode="after")
    def _stem_needs_all(self) -> Trainable:
        if self.stem and self.blocks != "all":
            raise ValueError(
                "stem: true needs blocks: all "
                "(blocks between a trained stem and trained blocks would be frozen)"
            )
        return self

    def __str__(self) -> str:
        if self.blocks == "all" and self.stem and self.readout:
            return "all"
        text = f"k{self.blocks}"
        if self.stem:
            text += "+stem"
        if self.readout:
            text += "+readout"
        return text

    def count(self, blocks: int) -> int:
        """Return how many of an encoder's ``blocks`` blocks train."""
        return blocks if self.blocks == "all" else self.blocks

    def positions(self, blocks: int) -> set[int]:
        """Return the positions of the stages that train.

        0 is the stem, 1 to ``blocks`` are the blocks, ``blocks`` + 1 is the readout.
        """
        positions = set(range(1 + blocks - self.count(blocks), 1 + blocks))
        if self.stem:
            positions.add(0)
        if self.readout:
            positions.add(blocks + 1)
        return positions

    def cut(self, blocks: int) -> int:
        """Return the first position that trains, or ``blocks`` + 2 when nothing does."""
        return min(self.positions(blocks), default=blocks + 2)


class _Run(Frozen):
    """What fine-tuning and pretraining share.

    Defaults are the recipe of NLDL 2026 §4.1: Adam 5e-4, batch 20, at most 100 epochs, plateau
    0.5/5 on the validation loss.
    """

    data: Data
    encoder: EncoderField
    weights: Weights = Weights(source="random")
    augmentation: AugmentationField = Field(default="none", validate_default=True)
    clip: ClipField = Field(default="ed-to-es", validate_default=True)
    optimizer: OptimizerField = Field(default="adam", validate_default=True)
    schedule: ScheduleField = Field(default="plateau", validate_default=True)
    batch_size: int = Field(default=20, ge=1)
    epochs: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    order_seed: Annotated[int | None, Neutral(None)] = Field(default=None, ge=0)
    view_seed: Annotated[int | None, Neutral(None)] = Field(default=None, ge=0)
    views: Literal["fresh"] | Annotated[int, Field(ge=1)] = "fresh"
    select: Annotated[Literal["best", "last"], Neutral("best")] = "best"
    """Which weights are kept: those of the best validation, or those after the last epoch."""

    @field_validator("data", mode="before")
    @classmethod
    def _data_by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("order_seed", "view_seed")
    @classmethod
    def _seeds_follow(cls, value: int | None, info: ValidationInfo) -> int | None:
        """Drop an order or view seed equal to ``seed``: the run is the same without it."""
        return None if value == info.data.get("seed") else value

    @model_validator(mode="after")
    def _weights_exist(self) -> Self:
        self.weights.check(self.encoder)
        return self

    @property
    def order(self) -> int:
        """The seed that shuffling draws from."""
        return self.seed if self.order_seed is None else self.order_seed

    @property
    def view(self) -> int:
        """The seed that augmentation draws from."""
        return self.seed if self.view_seed is None else self.view_seed


class FinetuneConfig(_Run):
    """Train a head on labelled clips, and as much of the encoder as ``trainable`` says."""

    misplaced: ClassVar[dict[str, str]] = {
        "objective": "objective: only a pretraining has one; fine-tuning has a task"
    }

    kind: Literal["finetune"] = "finetune"
    task: TaskField
    trainable: Trainable
    fusion: FusionField = Field(default="pooled", validate_default=True)
    head: HeadField

    @property
    def goal(self) -> Goal:
        """What is learned."""
        return self.task

    @property
    def head_width(self) -> int:
        """Width of what the head takes: the fusion's vectors, or the encoder's tokens or frames."""
        encoder = self.encoder
        if {"tokens", "frames"} & set(self.head.needs):
            return encoder.token_width or encoder.width
        return self.fusion.width(encoder)

    @model_validator(mode="after")
    def _fits(self) -> FinetuneConfig:
        """Refuse what cannot be built.

        Too many blocks, features that the encoder does not give, a head of the wrong shape.
        """
        encoder, blocks = self.encoder, self.trainable.blocks
        if isinstance(blocks, int) and blocks > encoder.blocks:
            raise ValueError(
                f"trainable.blocks: {blocks} of encoder {encoder.name}, "
                f"which has {encoder.blocks}; valid: k0 to k{encoder.blocks}, all"
            )
        for part in (self.fusion, self.head):
            missing = set(part.needs) - set(encoder.gives)
            if missing:
                raise ValueError(
                    f"{part.name} needs {', '.join(sorted(missing))}, "
                    f"which encoder {encoder.name} does not give; "
                    f"it gives {', '.join(encoder.gives)}"
                )
        self.fusion.check_encoder(encoder)
        self.task.check_head(self.head)
        self.task.check_clip(self.clip)
        if self.head.takes == "features":
            self.head.check_width(self.head_width)
        if self.head.closed_form and self.trainable.positions(encoder.blocks):
            raise ValueError(
                f"head {self.head.name} is fitted once to what a frozen encoder gives, "
                f"and trainable is {self.trainable}; valid: k0"
            )
        return self


class PretrainConfig(_Run):
    """Train an encoder on clips by an objective.

    Its weights are the start of later runs (``weights: run:CELL``). It reads the training and the
    validation split, and its result is the validation loss. With ``predictions`` the test split is
    evaluated too, and the rows of both are written.
    """

    misplaced: ClassVar[dict[str, str]] = {
        "task": "task: only fine-tuning has one; a pretraining has an objective"
    }

    kind: Literal["pretrain"] = "pretrain"
    objective: ObjectiveField
    predictions: Annotated[bool, Neutral(False)] = False

    @property
    def goal(self) -> Goal:
        """What is learned."""
        return self.objective

    @model_validator(mode="after")
    def _clip_fits(self) -> PretrainConfig:
        """Refuse a clip that the objective is not learned from, or whose outputs are averaged."""
        self.objective.check_clip(self.clip)
        self.objective.check_encoder(self.encoder)
        passes = self.clip.passes()
        if passes > 1:
            raise ValueError(
                f"clip: {passes} windows: only the outputs of a fine-tuning are averaged over "
                "windows; a pretraining has one"
            )
        return self


def splits_read(config: FinetuneConfig | PretrainConfig) -> tuple[str, ...]:
    """Return the splits that a run reads: no test split in a pretraining without predictions."""
    if isinstance(config, PretrainConfig) and not config.predictions:
        return ("train", "val")
    return ("train", "val", "test")


def makes_rows(config: FinetuneConfig | PretrainConfig) -> bool:
    """Tell whether a run makes rows of predictions: to keep them, or for its selecting metric."""
    if not isinstance(config, PretrainConfig):
        return True
    return config.predictions or config.objective.select[0] != "loss"


def needs_whole_batch(config: FinetuneConfig | PretrainConfig) -> bool:
    """Tell whether the run trains on statistics over the whole batch.

    It needs one device and no micro-batch then.
    """
    return bool(whole_batch_reason(config))


def whole_batch_reason(config: FinetuneConfig | PretrainConfig) -> str:
    """Name the component that computes statistics over the batch, or return ''."""
    encoder = config.encoder
    if encoder.statistics_over_batch and _trains_encoder(config):
        if hasattr(encoder, "batch_norm"):
            return f"encoder {encoder.name} with batch_norm: batch"
        return f"encoder {encoder.name} with statistics over the batch"
    others: dict[str, Component]
    if isinstance(config, PretrainConfig):
        others = {"objective": config.objective}
    else:
        others = {"fusion": config.fusion, "head": config.head}
    for kind, component in others.items():
        if component.statistics_over_batch:
            return f"{kind} {component.name} with statistics over the batch"
    return ""


def _trains_encoder(config: FinetuneConfig | PretrainConfig) -> bool:
    """Tell whether a stage of the encoder trains: the others use stored statistics."""
    if isinstance(config, PretrainConfig):
        return True
    return bool(config.trainable.positions(config.encoder.blocks))


RunConfig = Annotated[FinetuneConfig | PretrainConfig, Field(discriminator="kind")]
_ADAPTER: TypeAdapter[FinetuneConfig | PretrainConfig] = TypeAdapter(RunConfig)


def parse_config(
    values: Any, where: str = "config", typed: bool = False
) -> FinetuneConfig | PretrainConfig:
    """Read a run's configuration from plain data.

    Args:
        values: a mapping, as a YAML file holds it.
        where: names the source in errors.
        typed: a person wrote it. Then the weights of an encoder that has published ones must be
            written, and no fusion may be that no head reads. Stored configurations may lack such
            weights, which were random, and have such a fusion, which did nothing.

    Raises:
        EchoLMError: a line for each mistake.
    """
    if not isinstance(values, dict):
        what = "empty" if values is None else f"not a mapping but {type(values).__name__}"
        raise EchoLMError(
            f"{where}: a run's configuration is {what}; "
            "valid: a mapping with data, task, encoder, trainable, head"
        )
    values = {"kind": "finetune", **values}
    try:
        config = _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, where)) from None
    if typed and "weights" not in values:
        _check_weights_written(config, where)
    if typed:
        _check_fusion_used(config, where)
    return config


def _check_weights_written(config: FinetuneConfig | PretrainConfig, where: str) -> None:
    try:
        check_written(config.encoder)
    except ValueError as error:
        raise EchoLMError(f"{where}: {error}") from None


def _check_fusion_used(config: FinetuneConfig | PretrainConfig, where: str) -> None:
    """Refuse a fusion behind which no head stands. Stored runs may have one, which did nothing."""
    if not isinstance(config, FinetuneConfig) or config.head.takes == "vector":
        return
    unused = FinetuneConfig.model_fields["fusion"].default
    if config.fusion.name != unused:
        raise EchoLMError(
            f"{where}: fusion {config.fusion.name}: head {config.head.name} reads "
            f"{', '.join(config.head.needs) or 'features'} of the encoder itself, so no fusion is "
            "used; leave fusion out"
        )


def load_config(path: Path) -> FinetuneConfig | PretrainConfig:
    """Read a run's configuration from a YAML or JSON file."""
    return parse_config(load_yaml(path), str(path), typed=True)
