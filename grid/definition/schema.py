"""What a grid file may say: its blocks, its axes and the labels of their values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from echolm.arithmetic import Precision
from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError
from echolm.kept_weights import Keep, KeepName
from echolm.registry import Frozen
from echolm.text import suggest
from echolm.yaml_files import explain_validation
from grid.definition.claims import ClaimDefinition
from grid.definition.labels import label_text
from grid.definition.stages import WEIGHTS, is_reference, reference_label
from grid.definition.tables import SEED, TableDefinition

FIELDS = tuple(dict.fromkeys([*FinetuneConfig.model_fields, *PretrainConfig.model_fields]))
"""The fields of a run, of whatever kind it is."""
RANGE = re.compile(r"(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,8})")
"""A range of integers, as ``0-4``."""
SEED_AXES = (SEED, "order_seed", "view_seed", "data.subset_seed")
"""Axes whose values may be ranges: ``0-4`` stands for 0, 1, 2, 3, 4."""
LONGEST_RANGE = 1000
TAGS = ("subgrid", "table")
"""Names in ``--where`` that are no axes, but say what a cell belongs to."""


class AxisValue(Frozen):
    """One value of an axis: its label in ``--where`` and tables, and the run's fields it sets."""

    label: str
    set: dict[str, Any]

    @field_validator("label")
    @classmethod
    def _can_be_typed(cls, label: str) -> str:
        if not label or "," in label or not label.isprintable():
            raise ValueError(
                f"{label!r} cannot be typed after --where: empty, or with a comma or a control"
                " character"
            )
        return label


def _has_values(value: Any) -> Any:
    if isinstance(value, list) and not value:
        raise ValueError("an axis needs at least one value")
    return value


class BlockResources(Frozen):
    """What a unit of a block asks for where the command line does not say it.

    Options of ``echolm launch`` by name. How a cell is computed is no part of it, so none of this
    changes a key.
    """

    gpus: Annotated[int, Field(ge=0)] | None = None
    ranks: Annotated[int, Field(ge=1)] | None = None
    threads: Annotated[int, Field(ge=1)] | None = None
    memory_gb: Annotated[float, Field(gt=0)] | None = None
    minutes: Annotated[int, Field(ge=1)] | None = None
    slots: Annotated[int, Field(ge=1)] | None = None
    """How many of the block's units run at once."""
    checkpoint_minutes: Annotated[float, Field(ge=0)] | None = None
    """The longest time without a checkpoint within an epoch."""
    keep: KeepName | None = None
    """What becomes of the weights of ended runs: all, half of the bits, or nothing."""
    precision: Precision | None = None
    """Of the arithmetic: fp32, tf32 or bf16."""
    compile: bool | None = None
    """Whether torch.compile fuses the networks' operations."""

    @model_validator(mode="after")
    def _a_rank_has_a_gpu(self) -> BlockResources:
        if self.gpus and self.ranks not in (None, self.gpus):
            raise ValueError(f"gpus: {self.gpus} are as many ranks, one each; leave ranks out")
        return self

    def over(self, others: BlockResources) -> BlockResources:
        """Return these, with those of others where these say nothing."""
        return BlockResources.model_validate({**others.stated, **self.stated})

    def joined(self, others: BlockResources) -> BlockResources:
        """Return those of a cell of two blocks. These count more, but for weights.

        A cell keeps as much of its weights as either block asks for.
        """
        joined = self.over(others)
        if joined.keep is None:
            return joined
        keep = Keep(self.keep or Keep.BEST).most(Keep(others.keep or Keep.BEST))
        return joined.model_copy(update={"keep": str(keep)})

    @property
    def stated(self) -> dict[str, Any]:
        """What they say, by name."""
        return self.model_dump(exclude_none=True)


class GridBlock(Frozen):
    """Axes with what is shared, left out and added."""

    base: dict[str, Any] = {}
    axes: dict[str, Annotated[list[Any], BeforeValidator(_has_values)]] = {}
    exclude: list[dict[str, Any]] = []
    include: list[dict[str, Any]] = []
    tables: list[str] = []
    resources: BlockResources = BlockResources()

    @field_validator("axes", mode="before")
    @classmethod
    def _ranges_of_seeds(cls, axes: Any) -> Any:
        if not isinstance(axes, dict):
            return axes
        return {axis: with_ranges(axis, values) for axis, values in axes.items()}


def with_ranges(axis: str, values: Any) -> Any:
    """Return the values of an axis with each range of seeds spelled out.

    Args:
        axis: the axis's name. Other axes than those of seeds have no ranges.
        values: what the file says: a list, or one range or seed alone.

    Raises:
        ValueError: a range that goes backwards, or is very long.
    """
    if axis not in SEED_AXES:
        return values
    if isinstance(values, (str, int)) and not isinstance(values, bool):
        values = [values]
    if not isinstance(values, list):
        return values
    numbers: list[Any] = []
    for value in values:
        match = RANGE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            numbers.append(value)
            continue
        first, last = int(match[1]), int(match[2])
        if not 0 <= last - first < LONGEST_RANGE:
            raise ValueError(
                f"{axis}: {value!r} is not a range: write the smaller number first, "
                f"and at most {LONGEST_RANGE:,} numbers, such as 0-4"
            )
        numbers += range(first, last + 1)
    return numbers


class GridDefinition(GridBlock):
    """The content of a grid file.

    Without ``subgrids`` the grid itself is the only block, and feeds all tables.
    """

    title: str = ""
    subgrids: dict[str, GridBlock] = {}
    tables: dict[str, TableDefinition] = Field(default={})  # type: ignore[assignment]
    claims: dict[str, ClaimDefinition] = {}


def axis_values(axis: str, values: Sequence[Any], where: str) -> list[AxisValue]:
    """Read the values of an axis, each with its own label.

    Args:
        axis: the axis's name.
        values: what the file says.
        where: names the axis in errors.

    Raises:
        EchoLMError: a field that no run has, or a label that is given twice.
    """
    if axis in TAGS:
        raise EchoLMError(
            f"{where}: --where {axis}=... chooses by {axis}; give the axis another name"
        )
    parsed = [axis_value(axis, value, where) for value in values]
    times = Counter(value.label for value in parsed)
    for label, count in times.items():
        if count > 1:
            raise EchoLMError(
                f"{where}: two values are labelled {label!r}; give each its own: "
                f"{{label: ..., set: {{{axis}: ...}}}}"
            )
    return parsed


def axis_value(axis: str, value: Any, where: str) -> AxisValue:
    """Read one value of an axis: ``{label: ..., set: {...}}``, or a value of the field ``axis``."""
    if isinstance(value, dict) and set(value) == {"label", "set"}:
        try:
            parsed = AxisValue.model_validate(value)
        except ValidationError as error:
            raise EchoLMError(explain_validation(error, where)) from None
        for field in parsed.set:
            check_field(field, f"{where}: set.{field}")
        return parsed
    check_field(axis, where)
    label = value
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        label = value["name"]  # a component is labelled by its name
    if axis == WEIGHTS and is_reference(value):
        label = reference_label(value)
    try:
        return AxisValue(label=label_text(label), set={axis: value})
    except ValidationError as error:
        raise EchoLMError(
            f"{explain_validation(error, where)}; give it a label: "
            f"{{label: ..., set: {{{axis}: ...}}}}"
        ) from None


def check_field(field: str, where: str) -> None:
    """Check that a dotted name begins with a field of a run.

    Raises:
        EchoLMError: it does not.
    """
    if field.split(".")[0] not in FIELDS:
        raise EchoLMError(
            f"{where}: a run has no field {field!r}; {suggest(field, FIELDS)}, "
            "or values of the form {label: ..., set: {...}}"
        )
