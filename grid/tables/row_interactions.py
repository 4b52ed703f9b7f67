"""Interactions in a table: whether the difference of two rows differs between subgroups.

It is (row - reference row) in one group, minus (row - reference row) in the first group of the same
value of the store. All of a table are adjusted together.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from echolm.errors import EchoLMError
from echolm.text import suggest
from echolm.value_groups import UNKNOWN_GROUP
from grid.definition.subgroups import ALL, group_name
from grid.definition.tables import TableDefinition
from grid.statistics import GroupPair, Runs, Statistic, holm, interaction
from grid.tables.blocks import PendingValue
from grid.tables.table import InteractionRow, RowInteraction

OTHER_SAMPLES = "its rows are of other test samples or other true values"
UNDEFINED = "a value of it is not a finite number"
NO_VALUE = "a row has no value in one of the groups"

PendingRow = Sequence[PendingValue]
Labels = tuple[str, ...]


def row_interactions(
    definition: TableDefinition,
    labels: Sequence[Labels],
    pending: Sequence[PendingRow],
) -> tuple[InteractionRow, ...]:
    """Return the interactions that a table asks for.

    Args:
        definition: of the table.
        labels: of each row, the subgroup last.
        pending: for each row, a value a column.

    Raises:
        EchoLMError: the reference row is not in the table.
    """
    if not definition.interaction:
        return ()
    by_labels = dict(zip(labels, pending, strict=True))
    rows = []
    plain = dict.fromkeys(own[:-1] for own in labels if own[-1] == ALL)
    for own in plain:
        reference = _reference(definition, own)
        if reference not in plain:
            raise EchoLMError(_no_reference(definition, list(plain)))
        if own == reference:
            continue
        for group, first in _pairs_of_groups(definition):
            values = []
            sides_of_columns = _sides(by_labels, own, reference, (group, first))
            for column, sides in zip(definition.columns, sides_of_columns, strict=True):
                if column.cost:
                    values.append(RowInteraction(None, reason="a cost has no subgroups"))
                    continue
                values.append(_interaction(sides, column.made(), group, first))
            rows.append(InteractionRow(own, reference, group, first, tuple(values)))
    return tuple(_adjusted(rows))


def _pairs_of_groups(definition: TableDefinition) -> Iterator[tuple[str, str]]:
    """Yield the names of two groups: each of a value of the store, and the first of that value."""
    for name, labels in definition.subgroups.items():
        known = [group_name({name: label}) for label in labels if label != UNKNOWN_GROUP]
        for group in known[1:]:
            yield group, known[0]


def _reference(definition: TableDefinition, labels: Labels) -> Labels:
    """Return the labels of the row that a row is held against."""
    changed = []
    for axis, label in zip(definition.rows, labels, strict=True):
        changed.append(definition.interaction.get(axis, label))
    return tuple(changed)


def _no_reference(definition: TableDefinition, rows: Sequence[Labels]) -> str:
    """Say that no row is the one that others are to be held against."""
    for axis, label in definition.interaction.items():
        valid = {labels[definition.rows.index(axis)] for labels in rows}
        if label not in valid:
            return f"interaction: no row has {axis} {label!r}; {suggest(label, valid)}"
    named = ", ".join(f"{axis} {label}" for axis, label in definition.interaction.items())
    return f"interaction: a row has no counterpart with {named}; name fewer axes"


def _sides(
    by_labels: Mapping[Labels, PendingRow],
    labels: Labels,
    reference: Labels,
    groups: Sequence[str],
) -> Iterator[list[Runs | None]]:
    """Yield, a column each, the runs of a row and of its reference row, group after group."""
    rows = []
    for group in groups:
        rows.append(by_labels[(*labels, group)])
        rows.append(by_labels[(*reference, group)])
    for values in zip(*rows, strict=True):
        yield [value.runs for value in values]


def _interaction(
    runs: Sequence[Runs | None], statistic: Statistic, group: str, reference_group: str
) -> RowInteraction:
    """Return one interaction.

    Args:
        runs: of the row and of the reference row in the group, then both in the other group.
        statistic: of the column.
        group: names the group.
        reference_group: names the other.
    """
    there = [one for one in runs if one is not None]
    if len(there) < len(runs):
        return RowInteraction(None, reason=NO_VALUE)
    first, second, first_before, second_before = there
    for one, other in ((first, second), (first_before, second_before)):
        if one.truth != other.truth or not np.array_equal(one.samples, other.samples):
            return RowInteraction(None, reason=OTHER_SAMPLES)
    pairs = (
        GroupPair(group, first, second),
        GroupPair(reference_group, first_before, second_before),
    )
    try:
        comparison = interaction(*pairs, statistic)
    except EchoLMError as error:
        return RowInteraction(None, reason=str(error))
    if not np.isfinite(comparison.difference):
        return RowInteraction(None, reason=UNDEFINED)
    patients = np.union1d(first.patients, first_before.patients)
    return RowInteraction(comparison, patients=len(patients))


def _adjusted(rows: Sequence[InteractionRow]) -> list[InteractionRow]:
    """Adjust the p of all interactions of a table by Holm."""
    found = [one.comparison for row in rows for one in row.values if one.comparison is not None]
    adjusted = iter(holm([comparison.p for comparison in found]).tolist())
    finished = []
    for row in rows:
        values = []
        for one in row.values:
            values.append(one if one.comparison is None else replace(one, adjusted=next(adjusted)))
        finished.append(replace(row, values=tuple(values)))
    return finished
