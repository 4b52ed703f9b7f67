"""The interactions of a table as plain data: for JSON, and for lines of one value each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from grid.definition.subgroups import AXIS
from grid.definition.tables import ColumnDefinition
from grid.tables.table import InteractionRow, RowInteraction, Table, TableRow, Value

INTERACTION = "interaction"
"""Begins the ``kind`` of a line that is an interaction."""


def finite(number: float | None) -> float | str | None:
    """Return a number as JSON can hold it."""
    if number is None or math.isfinite(number):
        return number
    return str(number)


def interaction_fields(table: Table) -> Iterator[tuple[TableRow, ColumnDefinition, dict[str, Any]]]:
    """Yield the fields of a line for each interaction that is a number, with its row and column."""
    reference = ", ".join(f"{axis} {label}" for axis, label in table.interaction.items())
    for row in table.interactions:
        place = TableRow((*row.labels, row.groups), ())
        sources = _values_behind(table, row)
        for column, one in zip(table.columns, row.values, strict=True):
            comparison = one.comparison
            if comparison is None:
                continue
            fields = {
                "column": column.heading,
                "metric": column.metric,
                "statistic": f"interaction of {column.statistic}",
                "target": column.target,
                "slot": column.slot,
                "mean": comparison.difference,
                "low": comparison.low,
                "high": comparison.high,
                "kind": f"{INTERACTION}, difference from {reference}",
                "n_patients": one.patients,
                "n_seeds": min(comparison.seeds),
                "adjusted_p": one.adjusted,
                "synthetic": any(value.synthetic for value in sources),
                "random_weights": any(value.random_weights for value in sources),
            }
            yield place, column, fields


def _values_behind(table: Table, interaction: InteractionRow) -> list[Value]:
    """Return the values of both rows that an interaction is made of, in all groups."""
    both = (interaction.labels, interaction.reference)
    rows = [row for row in table.rows if row.labels[:-1] in both]
    return [value for row in rows for value in row.values]


def plain_interactions(table: Table) -> list[dict[str, Any]]:
    """Return the interactions as JSON data, one a row, pair of groups and column."""
    axes = [axis for axis in table.axes if axis != AXIS]
    plain_rows = []
    for row in table.interactions:
        labels = {
            "labels": dict(zip(axes, row.labels, strict=True)),
            "against": dict(zip(axes, row.reference, strict=True)),
            "group": row.group,
            "reference": row.reference_group,
        }
        for column, one in zip(table.columns, row.values, strict=True):
            plain_rows.append({**labels, "column": column.heading, **_plain_interaction(one)})
    return plain_rows


def _plain_interaction(one: RowInteraction) -> dict[str, Any]:
    """Return the numbers of an interaction, or why there are none."""
    comparison = one.comparison
    if comparison is None:
        return {"difference": None, "reason": one.reason}
    return {
        "difference": finite(comparison.difference),
        "low": finite(comparison.low),
        "high": finite(comparison.high),
        "p": finite(comparison.p),
        "adjusted_p": finite(one.adjusted),
        "patients": one.patients,
        "counts_seeds": comparison.crossed,
    }
