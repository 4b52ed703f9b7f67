"""The interactions of a table in words: a line for each row and pair of groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from echolm.text import counted, true_minus
from grid.definition.subgroups import AXIS
from grid.statistics.comparison import p_text
from grid.tables.render import wording
from grid.tables.table import ABSENT, RowInteraction, Table

GROUPS = "groups"
"""The heading of the column that names both groups."""


@dataclass(frozen=True)
class InteractionLines:
    """What stands below the rows of a table.

    Attributes:
        sentence: what the numbers are.
        label_columns: how many columns of labels stand before the numbers.
        header: the headings.
        lines: the cells of each line.
    """

    sentence: str
    label_columns: int
    header: list[str]
    lines: list[list[str]]


def interaction_lines(table: Table) -> InteractionLines | None:
    """Return the lines on the interactions of a table. None where it has none."""
    if not table.interactions:
        return None
    axes = [axis for axis in table.axes if axis != AXIS]
    lines = []
    for row in table.interactions:
        cells = []
        for column, one in zip(table.columns, row.values, strict=True):
            cells.append(_cell(one, column.digits))
        lines.append([*row.labels, row.groups, *cells])
    header = [*axes, GROUPS, *wording.headings(table)]
    return InteractionLines(_sentence(table), len(axes) + 1, header, lines)


def _cell(one: RowInteraction, digits: int) -> str:
    """Spell an interaction: ``+0.32 [-0.40, +1.10], p = 0.34``."""
    comparison = one.comparison
    if comparison is None:
        return ABSENT
    interval = f"[{comparison.low:+.{digits}f}, {comparison.high:+.{digits}f}]"
    text = f"{comparison.difference:+.{digits}f} {interval}"
    return true_minus(f"{text}, {p_text(one.adjusted)}")


def _sentence(table: Table) -> str:
    """Say what the interactions are, and what they do not say."""
    reference = ", ".join(f"{axis} {label}" for axis, label in table.interaction.items())
    found = [one for row in table.interactions for one in row.values]
    numbers = [one.comparison for one in found if one.comparison is not None]
    sentences = [
        f"Interactions: the difference from {reference} in one group minus that in the other, with "
        f"its 95 % interval; p is adjusted by Holm over {counted(len(numbers), 'interaction')}."
    ]
    if not all(comparison.crossed for comparison in numbers):
        sentences.append(
            "Patients only, under three seeds: that other trainings would show the same cannot be "
            "claimed."
        )
    reasons = Counter(one.reason for one in found if one.comparison is None)
    for reason, count in reasons.items():
        sentences.append(f"{counted(count, 'interaction')} without a number: {reason}.")
    return " ".join(sentences)
