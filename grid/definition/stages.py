"""Stages: ``weights: {of: SUBGRID, where: {axis: label}}`` names a cell of another part of a grid.

Its weights are the first ones of the run that says so. A cell's id is a hash of its configuration,
so it is there before anything has run, and the reference becomes ``run:CELL`` when the grid is
read. Parts that begin from each other cannot be, and are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError
from echolm.registry import Frozen
from echolm.text import suggest
from echolm.yaml_files import explain_validation
from grid.definition.labels import label_text

if TYPE_CHECKING:
    from grid.definition.expand import Cell

WEIGHTS = "weights"
"""The field of a run that may refer to a stage."""
LISTED = 3
"""Cells that an error names."""


class StageReference(Frozen):
    """The part of the grid, and the labels of one of its cells."""

    of: str
    where: dict[str, Any] = {}


def is_reference(value: Any) -> bool:
    """Tell whether a value of the field ``weights`` refers to a stage."""
    return isinstance(value, dict) and "of" in value


def reference_label(value: Mapping[str, Any]) -> str:
    """Label a reference on an axis: the part's name, then the labels of ``where``."""
    where = value.get("where")
    labels = where.values() if isinstance(where, dict) else ()
    return " ".join(label_text(word) for word in (value["of"], *labels))


class StageWeights:
    """Turns references of one block into the weights of cells of other blocks.

    Args:
        cells_of: returns the cells of a block by its name.
        blocks: the names of all blocks.
        where: names the block in errors.
    """

    def __init__(
        self, cells_of: Callable[[str], Sequence[Cell]], blocks: Sequence[str], where: str
    ) -> None:
        self._cells_of = cells_of
        self._blocks = [name for name in blocks if name]
        self._where = where

    def resolved(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return fields of a run with ``run:CELL`` in the place of a reference.

        Raises:
            EchoLMError: it names no cell, or several.
        """
        if not is_reference(fields.get(WEIGHTS)):
            return dict(fields)
        return {**fields, WEIGHTS: f"run:{self._cell(fields[WEIGHTS]).id}"}

    def _cell(self, value: Mapping[str, Any]) -> Cell:
        where = f"{self._where}: weights"
        try:
            reference = StageReference.model_validate(value)
        except ValidationError as error:
            raise EchoLMError(explain_validation(error, where)) from None
        if reference.of not in self._blocks:
            if not self._blocks:
                raise EchoLMError(
                    f"{where}: of: {reference.of!r}: this grid has no subgrids, and only a cell of "
                    "a subgrid can be begun from; write both stages as subgrids"
                )
            raise EchoLMError(
                f"{where}: of: {reference.of!r} is not a subgrid; "
                f"{suggest(reference.of, self._blocks)}"
            )
        cells = self._cells_of(reference.of)
        chosen = list(cells)
        for axis, content in reference.where.items():
            chosen = _with_label(chosen, cells, axis, label_text(content), f"{where}: where")
        if len(chosen) == 1:
            return chosen[0]
        words = " ".join(f"{axis}={label_text(x)}" for axis, x in reference.where.items())
        named = f"{reference.of} {words}".strip()
        if not chosen:
            raise EchoLMError(f"{where}: no cell is {named}: each label is there, not together")
        raise EchoLMError(
            f"{where}: {named} are {len(chosen)} cells, and a run begins from one: "
            f"{_listed(chosen)}; say also which in where: {{axis: label}}"
        )


def _with_label(
    chosen: Sequence[Cell], cells: Sequence[Cell], axis: str, label: str, where: str
) -> list[Cell]:
    """Return the chosen cells with a label.

    Raises:
        EchoLMError: no cell of the block has the axis, or the label.
    """
    axes: set[str] = set()
    for cell in cells:
        axes.update(cell.places)
    if axis not in axes:
        raise EchoLMError(f"{where}: {axis!r} is not an axis there; {suggest(axis, axes)}")
    labels = {cell.places[axis] for cell in cells if axis in cell.places}
    if label not in labels:
        raise EchoLMError(
            f"{where}: axis {axis} has no value {label!r} there; {suggest(label, labels)}"
        )
    return [cell for cell in chosen if cell.places.get(axis) == label]


def _listed(cells: Sequence[Cell]) -> str:
    """List the first cells by their labels."""
    texts = []
    for cell in cells[:LISTED]:
        texts.append(" ".join(f"{axis}={label}" for axis, label in cell.coordinates.items()))
    return "; ".join(texts) + ("; ..." if len(cells) > LISTED else "")


def check_begins_from(
    config: FinetuneConfig | PretrainConfig, upstream: FinetuneConfig | PretrainConfig, where: str
) -> None:
    """Refuse a run whose first weights are of another encoder, or not all of an encoder's.

    Args:
        config: of the run.
        upstream: of the cell whose weights it begins with.
        where: names the run in errors.

    Raises:
        EchoLMError: the weights could not be loaded.
    """
    mine, others = config.encoder, upstream.encoder
    if mine.name != others.name:
        raise EchoLMError(
            f"{where}: weights {config.weights}: that cell trains encoder {others.name}, and this "
            f"run has {mine.name}; name a cell of {mine.name}"
        )
    if isinstance(upstream, FinetuneConfig):
        trained = upstream.trainable.positions(others.blocks)
        if len(trained) < others.blocks + 2:
            raise EchoLMError(
                f"{where}: weights {config.weights}: that cell trains {upstream.trainable} of its "
                "encoder, and its run holds what training changed; name one with trainable: all"
            )
