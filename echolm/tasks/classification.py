"""One class of each clip: by a threshold on a number, or by labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import (
    BeforeValidator,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from echolm.heads import Head
from echolm.registry import Frozen
from echolm.tasks import TASKS, Batch, Sample, Task
from echolm.tasks.class_metrics import auc, balanced_accuracy, f1, macro_auc, macro_f1
from echolm.tasks.value_rows import numbers_of, unit_of, value_rows, why_missing, why_no_numbers
from echolm.text import counted

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from echolm.stores.items import Item

SHOWN_LABELS = 8
"""Labels that an error names."""


class LabelledClass(Frozen):
    """A class, and the labels of the store that belong to it."""

    name: Annotated[str, Field(min_length=1)]
    labels: Annotated[tuple[StrictStr | StrictInt | StrictFloat, ...], Field(min_length=1)]


def _from_mapping(value: Any) -> Any:
    """Read ``{name: [label, ...]}``. A tuple of classes keeps their order where keys are hashed."""
    if not isinstance(value, Mapping):
        return value
    classes = []
    for name, labels in value.items():
        if not isinstance(name, str):
            raise ValueError(f"class {name!r} is not named by a text; put its name in quotes")
        if not isinstance(labels, list | tuple):
            labels = [labels]
        for label in labels:
            if isinstance(label, bool):
                raise ValueError(
                    f"label {label} of class {name} is neither text nor a number; "
                    "in YAML yes, no, on and off without quotes are not text"
                )
        classes.append({"name": name, "labels": labels})
    return classes


_SCHEMA = {
    "type": "object",
    "minProperties": 2,
    "additionalProperties": {
        "anyOf": [
            {"type": ["string", "number"]},
            {"type": "array", "minItems": 1, "items": {"type": ["string", "number"]}},
        ]
    },
    "description": "Class name -> labels of the store",
}
Classes = Annotated[
    tuple[LabelledClass, ...],
    BeforeValidator(_from_mapping),
    WithJsonSchema(_SCHEMA, mode="validation"),
]


@TASKS.register
class Classification(Task):
    """A class of each item, from a value that the store holds of it.

    ``below: 50`` makes two classes of a number. Class 1, the positive one, is the numbers below it.
    ``classes`` makes a class of each of its names, in the order in which they are written.

    Two classes have one output, the logit of class 1, and the binary cross-entropy. More classes
    have an output each, and the cross-entropy. Trained heads start from the shares of the classes
    among the training items, with one item more in each class, so that no logit is infinite.
    """

    reads_values: ClassVar[bool] = True

    name: Literal["classification"] = "classification"
    target: Annotated[str, Field(min_length=1)]
    """The name of the value: ``ef`` with ``below``, ``diagnosis`` with ``classes``."""
    below: float | None = None
    """The threshold."""
    classes: Classes = ()
    """Class name -> the labels of the store that belong to it."""
    others: Literal["refuse", "leave-out"] = "refuse"
    """What is done where labels stand in no class: nothing is trained, or their items are not used.
    """

    @model_validator(mode="after")
    def _well_defined(self) -> Self:
        if (self.below is None) == (not self.classes):
            raise ValueError(
                "a classification has one of below and classes: "
                "below: 50, or classes: {name: [label, ...], name: [...]}"
            )
        if self.below is not None and self.others != "refuse":
            raise ValueError("others: every number is below the threshold or not; leave it out")
        if len(self.classes) == 1:
            raise ValueError("classes: one class; valid: two or more")
        names = Counter(part.name for part in self.classes)
        labels = Counter(label for part in self.classes for label in part.labels)
        for kind, counts in (("class", names), ("label", labels)):
            for name, count in counts.items():
                if count > 1:
                    raise ValueError(f"classes: {kind} {name!r} is there {count} times; valid: 1")
        return self

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        if self.below is None:
            return tuple(part.name for part in self.classes)
        threshold = f"{self.below:g} {unit_of(self.target)}".rstrip()
        return f"{self.target} >= {threshold}", f"{self.target} < {threshold}"

    @property
    def is_binary(self) -> bool:
        """Whether there are two classes, and so one output."""
        return len(self.class_names) == 2

    @property
    def leaves_out(self) -> str:
        """Items whose label stands in no class, where they are left out."""
        return "of no class" if self.others == "leave-out" else ""

    def class_of(self, value: Any) -> int | None:
        """Return the index of a value's class, None where it stands in none."""
        if self.below is not None:
            return int(value < self.below)
        for index, part in enumerate(self.classes):
            if value in part.labels:
                return index
        return None

    def outputs(self) -> tuple[int, ...]:
        """Return (1,) for two classes, else (number of classes,)."""
        return (1,) if self.is_binary else (len(self.class_names),)

    def check_head(self, head: Head) -> None:
        """Raise ValueError for a head of landmarks, and for one that is fitted to numbers."""
        super().check_head(head)
        if head.closed_form:
            raise ValueError(
                f"head {head.name} is fitted to numbers by least squares; "
                f"task {self.name} gives classes"
            )

    def needed_values(self) -> tuple[str, ...]:
        """Return the name of the value."""
        return (self.target,)

    def takes(self, values: Mapping[str, Any]) -> bool:
        """Tell whether an item with these values has a class."""
        return self.class_of(values[self.target]) is not None

    def why_unusable(self, values: Mapping[str, Sequence[Any]], known: Sequence[str]) -> str:
        """Say why no run can learn the classes.

        No item has the value, it is no number (``below``), labels stand in no class, or a class has
        no item.
        """
        column = values[self.target]
        if self.below is not None:
            reason = why_no_numbers(self.target, column, known)
        else:
            reason = why_missing(self.target, column, known) or self._why_no_class(column)
        return reason or self._why_empty_class(column)

    def _why_no_class(self, column: Sequence[Any]) -> str:
        """Say which labels stand in no class, where they are refused."""
        if self.others == "leave-out":
            return ""
        unknown: Counter[Any] = Counter()
        for value in column:
            if value is not None and self.class_of(value) is None:
                unknown[value] += 1
        if not unknown:
            return ""
        shown = [f"{label!r} ({count})" for label, count in unknown.most_common(SHOWN_LABELS)]
        if len(unknown) > SHOWN_LABELS:
            shown.append("...")
        return (
            f"{counted(unknown.total(), 'item')} of {len(column)} have a value {self.target!r} "
            f"that stands in no class: {', '.join(shown)}; add them to classes, or write others: "
            "leave-out"
        )

    def _why_empty_class(self, column: Sequence[Any]) -> str:
        """Say which class has no item."""
        counts = self._counts(column)
        if counts.all():
            return ""
        name = self.class_names[counts.argmin()]
        texts = sorted({str(value) for value in column if value is not None})
        shown = ", ".join(texts[:SHOWN_LABELS])
        if len(texts) > SHOWN_LABELS:
            shown += ", ..."
        return (
            f"no item is of class {name!r} of value {self.target!r}, so it cannot be learned; "
            f"values of the store: {shown}"
        )

    def _counts(self, column: Sequence[Any]) -> np.ndarray:
        """Return how many values are of each class."""
        counts = np.zeros(len(self.class_names), np.int64)
        for value in column:
            index = None if value is None else self.class_of(value)
            if index is not None:
                counts[index] += 1
        return counts

    def start(self, items: Sequence[Item]) -> Tensor:
        """Return the logits of the shares of the classes among items, smoothed to be finite."""
        import torch

        counts = self._counts([item.values[self.target] for item in items]) + 1.0
        logits = np.log(counts / counts.sum())
        if self.is_binary:
            logits = logits[1:] - logits[:1]
        return torch.tensor(logits)

    def prepare(self, item: Item, frames: int) -> Sample:
        """Return the index of an item's class."""
        return Sample(targets={"class": np.array(self.class_of(item.values[self.target]))})

    def truth(self, batch: Batch) -> Tensor:
        """Return 1 for the class of each sample and 0 for others, B x *outputs."""
        from torch.nn import functional

        labels = batch.targets["class"]
        if self.is_binary:
            return labels.float()[:, None]
        return functional.one_hot(labels, len(self.class_names)).float()

    def loss(self, outputs: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Compute the (binary) cross-entropy of a sample."""
        from torch.nn import functional

        labels = batch.targets["class"]
        if not self.is_binary:
            return {"loss": functional.cross_entropy(outputs, labels, reduction="none")}
        logits = outputs.squeeze(1)
        return {
            "loss": functional.binary_cross_entropy_with_logits(
                logits, labels.to(logits.dtype), reduction="none"
            )
        }

    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """Return the probability of each class, B x classes, from outputs B x *outputs."""
        logits = np.asarray(outputs, np.float64)
        if self.is_binary:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def rows(self, outputs: Tensor, batch: Batch) -> pa.Table:
        """Return one row a sample: truth and prediction are indices of classes.

        ``score`` is the probability of class 1 of two, else those of all classes.
        """
        probabilities = self.probabilities(outputs.detach().double().cpu().numpy())
        truth = np.array([self.class_of(item.values[self.target]) for item in batch.items], float)
        prediction = probabilities.argmax(axis=1).astype(float)
        score = probabilities[:, 1:] if self.is_binary else probabilities
        return value_rows(batch.items, self.target, truth, prediction, score)

    def metrics(self, rows: pa.Table) -> dict[str, float]:
        """Compute metrics of classifiers, each in 0 to 1.

        Returns:
            ``accuracy``, ``balanced accuracy``, and ``f1`` and ``auc`` of class 1 of two, else
            ``macro f1`` and ``macro auc``. An AUC is left out where a class has no row.
        """
        truth = numbers_of(rows, "truth")[:, 0]
        prediction = numbers_of(rows, "prediction")[:, 0]
        score = numbers_of(rows, "score")
        metrics = {
            "accuracy": float((truth == prediction).mean()),
            "balanced accuracy": balanced_accuracy(truth, prediction),
        }
        if self.is_binary:
            metrics["f1"] = f1(truth, prediction)
            name, area = "auc", auc(truth == 1, score[:, 0])
        else:
            metrics["macro f1"] = macro_f1(truth, prediction)
            name, area = "macro auc", macro_auc(truth, score)
        if area is not None:
            metrics[name] = area
        return metrics

    def describe(self) -> dict[str, Any]:
        """Return units, directions and ranges of the metrics."""
        names = ["accuracy", "balanced accuracy"]
        names += ["auc", "f1"] if self.is_binary else ["macro auc", "macro f1"]
        return {name: {"unit": "", "better": "higher", "range": (0, 1)} for name in names}
