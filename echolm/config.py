"""What one run is: ``RunConfig``, a union by ``kind``. Everything that changes the result is here; nothing else is.

Devices, micro-batch, workers, folders and tracking are *not* part of a run and live elsewhere.
Components (encoder, fusion, head, augmentation, optimiser, schedule, task) are open unions, see ``echolm.registry``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
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
from echolm.encoders import ENCODERS, Encoder
from echolm.errors import EchoLMError
from echolm.fusion import FUSIONS, Fusion
from echolm.heads import HEADS, Head
from echolm.identity import Neutral
from echolm.optimisation import OPTIMIZERS, SCHEDULES, Optimizer, Schedule
from echolm.registry import Frozen, validator
from echolm.tasks import TASKS, Task
from echolm.weights import Weights

EncoderField = Annotated[SerializeAsAny[Encoder], BeforeValidator(validator(ENCODERS))]
FusionField = Annotated[SerializeAsAny[Fusion], BeforeValidator(validator(FUSIONS))]
HeadField = Annotated[SerializeAsAny[Head], BeforeValidator(validator(HEADS))]
AugmentationField = Annotated[SerializeAsAny[Augmentation], BeforeValidator(validator(AUGMENTATIONS))]
OptimizerField = Annotated[SerializeAsAny[Optimizer], BeforeValidator(validator(OPTIMIZERS))]
ScheduleField = Annotated[SerializeAsAny[Schedule], BeforeValidator(validator(SCHEDULES))]
TaskField = Annotated[SerializeAsAny[Task], BeforeValidator(validator(TASKS))]


class Data(Frozen):
    """Which samples: a clip store by name, and how much of its training and validation splits.

    ``fraction`` keeps floor(fraction * n) samples of train and of val (NLDL 2026 §4.3: 0.5 % is 36/6 of 7,394/1,273);
    subsets of one ``subset_seed`` are nested. The test split is always whole.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    fraction: float = Field(default=1.0, gt=0, le=1)
    subset_seed: int = Field(default=0, ge=0)


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
        if isinstance(value, str):
            if re.fullmatch(r"k[0-9]{1,4}", value):
                return {"blocks": int(value[1:])}
            raise ValueError(f"{value!r} is not a freezing regime; valid: k0, k1, k2, ... (last n blocks), all")
        return value

    @model_validator(mode="after")
    def _stem_needs_all(self) -> Trainable:
        if self.stem and self.blocks != "all":
            raise ValueError("stem: true needs blocks: all (blocks between a trained stem and trained blocks would be frozen)")
        return self

    def __str__(self) -> str:
        if self.blocks == "all" and self.stem and self.readout:
            return "all"
        return f"k{self.blocks}" + "+stem" * self.stem + "+readout" * self.readout

    def count(self, blocks: int) -> int:
        """How many of an encoder's ``blocks`` blocks train."""
        return blocks if self.blocks == "all" else self.blocks

    def positions(self, blocks: int) -> set[int]:
        """Positions of the stages that train: 0 the stem, 1..blocks the blocks, blocks + 1 the readout."""
        chosen = set(range(1 + blocks - self.count(blocks), 1 + blocks))
        return chosen | ({0} if self.stem else set()) | ({blocks + 1} if self.readout else set())

    def cut(self, blocks: int) -> int:
        """The first position that trains; blocks + 2 when nothing does."""
        return min(self.positions(blocks), default=blocks + 2)


class _Run(Frozen):
    """What fine-tuning and pretraining share. Defaults are the recipe of NLDL 2026 §4.1 (Adam 5e-4, batch 20,
    at most 100 epochs, plateau 0.5/5 on the validation loss)."""

    data: Data
    task: TaskField
    encoder: EncoderField
    weights: Weights = Weights(source="random")
    augmentation: AugmentationField = Field(default="none", validate_default=True)
    optimizer: OptimizerField = Field(default="adam", validate_default=True)
    schedule: ScheduleField = Field(default="plateau", validate_default=True)
    batch_size: int = Field(default=20, ge=1)
    epochs: int = Field(default=100, ge=1)
    seed: int = Field(default=0, ge=0)
    order_seed: Annotated[int | None, Neutral(None)] = Field(default=None, ge=0)
    view_seed: Annotated[int | None, Neutral(None)] = Field(default=None, ge=0)
    views: Literal["fresh"] | Annotated[int, Field(ge=1)] = "fresh"

    @field_validator("data", mode="before")
    @classmethod
    def _data_by_name(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @field_validator("order_seed", "view_seed")
    @classmethod
    def _seeds_follow(cls, value: int | None, info: ValidationInfo) -> int | None:
        """An order or view seed equal to ``seed`` is the same run as one that is not set."""
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
    """Train a head, and as much of a pretrained encoder as ``trainable`` says, on labelled clips."""

    kind: Literal["finetune"] = "finetune"
    trainable: Trainable
    fusion: FusionField = Field(default="pooled", validate_default=True)
    head: HeadField

    @model_validator(mode="after")
    def _fits(self) -> FinetuneConfig:
        """Refuse what cannot be built: too many blocks, features an encoder does not have, a head of the wrong shape."""
        encoder, blocks = self.encoder, self.trainable.blocks
        if isinstance(blocks, int) and blocks > encoder.blocks:
            raise ValueError(f"trainable.blocks: {blocks} of encoder {encoder.name}, which has {encoder.blocks}; valid: k0 to k{encoder.blocks}, all")
        for part in (self.fusion, self.head):
            missing = set(part.needs) - set(encoder.gives)
            if missing:
                raise ValueError(f"{part.name} needs {', '.join(sorted(missing))}, which encoder {encoder.name} does not give; it gives {', '.join(encoder.gives)}")
        self.task.check_head(self.head)
        return self


class PretrainConfig(_Run):
    """Train an encoder on clips by the objective ``task``; its weights feed ``run:CELL`` of later runs."""

    kind: Literal["pretrain"] = "pretrain"


def needs_whole_batch(config: FinetuneConfig | PretrainConfig) -> bool:
    """Whether the run trains BatchNorm statistics, which are over the whole batch: one device, no micro-batch."""
    if getattr(config.encoder, "batch_norm", "frozen") != "batch":
        return False
    return isinstance(config, PretrainConfig) or config.trainable.cut(config.encoder.blocks) <= config.encoder.blocks + 1


RunConfig = Annotated[FinetuneConfig | PretrainConfig, Field(discriminator="kind")]
MOST_VALUES = 1_000_000
"""Values in a YAML file, each counted as often as aliases repeat it."""
_ADAPTER: TypeAdapter[FinetuneConfig | PretrainConfig] = TypeAdapter(RunConfig)


def parse_config(values: Any, where: str = "config") -> FinetuneConfig | PretrainConfig:
    """A run's configuration from plain data; ``where`` names its source in errors."""
    if not isinstance(values, dict):
        given = "empty" if values is None else f"not a mapping but {type(values).__name__}"
        raise EchoLMError(f"{where}: a run's configuration is {given}; valid: a mapping with data, task, encoder, trainable, head")
    values = {"kind": "finetune", **values}
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise EchoLMError(explain_validation(error, where)) from None


def load_config(path: Path) -> FinetuneConfig | PretrainConfig:
    """A run's configuration from a YAML or JSON file."""
    return parse_config(load_yaml(path), str(path))


def load_yaml(path: Path) -> Any:
    """The content of a YAML file, or an error that names the file and line."""
    try:
        return _limited(path, yaml.load(Path(path).read_text(encoding="utf-8-sig"), _UniqueKeys))
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EchoLMError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise EchoLMError(f"{path}: not valid YAML: nested too deeply") from error


def _limited(path: Path, content: Any) -> Any:
    """The content, unless it is endless: an alias (``*name``) may stand for what holds it, or double it again and again."""
    left, count = [content], 0
    while left:
        value = left.pop()
        count += 1
        if count > MOST_VALUES:
            raise EchoLMError(f"{path}: holds over {MOST_VALUES:,} values; does an alias (*name) stand for what holds it?")
        left += value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
    return content


class _UniqueKeys(yaml.SafeLoader):
    """YAML that refuses a key given twice in one mapping, where PyYAML keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping, or a ConstructorError that names the key and its line."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def explain_validation(error: ValidationError, where: str) -> str:
    """pydantic's findings as one line a field: ``where: field: what is wrong (given ...)``."""
    lines = []
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"] if part not in ("finetune", "pretrain")]
        field = ".".join(path)
        message = item["msg"].removeprefix("Value error, ")
        given = item.get("input")
        shown = f" (given {given!r})" if isinstance(given, (str, int, float, bool)) and repr(given) not in message else ""
        if item["type"] == "extra_forbidden":
            message, shown = "unknown field", ""
        lines.append(f"{where}: {field + ': ' if field else ''}{message}{shown}")
    return "\n".join(lines)
