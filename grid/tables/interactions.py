"""Two values of a grid compared in subgroups of the test patients, with the interactions.

The first group is the reference: each other one is held against it. Patients of whom the value is
not known are a group of their own, which is shown and held against nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from echolm.errors import EchoLMError
from echolm.text import counted
from echolm.value_groups import UNKNOWN_GROUP, members
from echolm.workspace import Workspace
from grid.definition.subgroups import group_name, natural_groups
from grid.results.files import newest_runs
from grid.statistics import (
    Comparison,
    CrossedBootstrap,
    GroupPair,
    compare,
    holm,
    interaction,
)
from grid.statistics.comparison import p_text
from grid.tables.compare import Compared, Pair, pair
from grid.tables.comparison_text import comparison_facts
from grid.tables.origins import TodaysOrigins
from grid.tables.store_values import StoreValues
from grid.tables.table import LOCAL

HEADER = ("subgroup", "patients", "first", "second", "difference", "p")
"""Of ``SubgroupComparison.rows``."""
INTERACTION_HEADER = ("interaction", "difference of differences", "p (Holm)")
"""Of ``SubgroupComparison.interaction_rows``."""


@dataclass(frozen=True)
class GroupComparison:
    """Two values compared in one subgroup.

    Attributes:
        name: of the group.
        sides: both values.
        comparison: first - second.
    """

    name: str
    sides: tuple[Compared, Compared]
    comparison: Comparison


@dataclass(frozen=True)
class Interaction:
    """How the difference of two values changes between two groups.

    Attributes:
        group: one group.
        reference: the other, whose difference is subtracted.
        comparison: the difference of the differences.
        adjusted: its p by Holm, over all interactions shown.
    """

    group: str
    reference: str
    comparison: Comparison
    adjusted: float


@dataclass(frozen=True)
class SubgroupComparison:
    """Two values compared in the subgroups of a value of the store.

    Attributes:
        whole: both values, over all patients.
        name: of the value of the store.
        groups: a comparison in each group that has patients.
        interactions: each group against the first.
        notes: what a reader must know beside it.
    """

    whole: Pair
    name: str
    groups: tuple[GroupComparison, ...]
    interactions: tuple[Interaction, ...]
    notes: tuple[str, ...]

    def rows(self) -> list[list[str]]:
        """Return a line for each group: patients, both values, difference with its interval, p."""
        digits = self.whole.column.digits
        lines = []
        for group in self.groups:
            numbers = [CrossedBootstrap().of(side.resampled) for side in group.sides]
            lines.append(
                [
                    group.name,
                    f"{group.comparison.patients:,}",
                    *(number.text(digits) for number in numbers),
                    _difference(group.comparison, digits),
                    p_text(group.comparison.p),
                ]
            )
        return lines

    def interaction_rows(self) -> list[list[str]]:
        """Return a line for each interaction: the groups, the difference of differences, p."""
        digits = self.whole.column.digits
        lines = []
        for one in self.interactions:
            name = f"{one.group} - {one.reference}"
            lines.append([name, _difference(one.comparison, digits), p_text(one.adjusted)])
        return lines

    def facts(self) -> dict[str, Any]:
        """Return it as JSON data."""
        groups = []
        for group in self.groups:
            means = [side.resampled.estimate for side in group.sides]
            groups.append(
                {"group": group.name, "values": means, **comparison_facts(group.comparison)}
            )
        interactions = []
        for one in self.interactions:
            facts = comparison_facts(one.comparison)
            interactions.append(
                {
                    "group": one.group,
                    "reference": one.reference,
                    "adjusted_p": one.adjusted,
                    **{key: facts[key] for key in ("difference", "low", "high", "p", "crossed")},
                }
            )
        return {
            "grid": self.whole.grid.name,
            "column": self.whole.column.heading,
            "subgroup": self.name,
            "first": self.whole.sides[0].name,
            "second": self.whole.sides[1].name,
            "groups": groups,
            "interactions": interactions,
            "notes": list(self.notes),
        }


def _difference(comparison: Comparison, digits: int) -> str:
    interval = f"[{comparison.low:+.{digits}f}, {comparison.high:+.{digits}f}]"
    return f"{comparison.difference:+.{digits}f} {interval}"


def in_subgroups(
    workspace: Workspace, whole: Pair, text: str, place: str = LOCAL
) -> SubgroupComparison:
    """Compare two values in subgroups.

    Args:
        workspace: the workspace.
        whole: both values, over all patients.
        text: ``sex`` for all groups of a text, or groups by name, as ``age=<60|60-75|>=75``.
        place: where the grid is run.

    Raises:
        EchoLMError: what was collected does not tell the value, the groups are none, or fewer than
            two have patients.
    """
    name, labels = _parse(text)
    stores = StoreValues(whole.results)
    values = stores.test_values(_data(whole), name)
    if not labels:
        labels = natural_groups(values, name)
    today = TodaysOrigins(workspace, whole.grid.name, whole.grid.cells)
    groups = []
    empty = []
    for label in dict.fromkeys([*labels, UNKNOWN_GROUP]):
        group = {name: label}
        if not members(values, name, label).any():
            if label != UNKNOWN_GROUP:
                empty.append(group_name(group))
            continue
        column = whole.column.of_group(group)
        sides = pair(whole.grid, whole.results, *whole.selected, column, today.state, place, today)
        comparison = compare(sides[0].resampled, sides[1].resampled)
        groups.append(GroupComparison(group_name(group), sides, comparison))
    known = [group for group in groups if group.name != group_name({name: UNKNOWN_GROUP})]
    if len(known) < 2:
        raise EchoLMError(
            f"subgroup {name}: {counted(len(known), 'group')} with test patients; an interaction "
            "needs two"
        )
    return SubgroupComparison(
        whole=whole,
        name=name,
        groups=tuple(groups),
        interactions=tuple(_interactions(known)),
        notes=tuple(_notes(groups, known, empty)),
    )


def _parse(text: str) -> tuple[str, list[str]]:
    """Read ``sex`` or ``age=<60|60-75``. A comma would part groups of another value."""
    name, equals, labels = text.partition("=")
    groups = [label.strip() for label in labels.split("|") if label.strip()]
    if not name.strip() or (equals and not groups):
        raise EchoLMError(
            f"--subgroup {text!r}: write the name of a value, as sex, or its groups too, as "
            "'age=<60|60-75|>=75'"
        )
    return name.strip(), groups


def _data(whole: Pair) -> str:
    """Return the fingerprint of the store that the runs of both values are of."""
    if whole.results is None:
        return ""
    fingerprints = {source.fingerprint for side in whole.sides for source in side.sources}
    for runs in newest_runs(whole.results).values():
        for run in runs:
            if run["fingerprint"] in fingerprints:
                return run["data"] or ""
    return ""


def _interactions(groups: Sequence[GroupComparison]) -> list[Interaction]:
    """Hold each group against the first."""
    reference, *others = groups
    comparisons = []
    for group in others:
        statistic = group.sides[0].resampled.statistic
        comparisons.append(interaction(_group_pair(group), _group_pair(reference), statistic))
    adjusted = holm([comparison.p for comparison in comparisons])
    interactions = []
    for group, comparison, p in zip(others, comparisons, adjusted.tolist(), strict=True):
        interactions.append(Interaction(group.name, reference.name, comparison, p))
    return interactions


def _group_pair(group: GroupComparison) -> GroupPair:
    first, second = group.sides
    return GroupPair(group.name, first.resampled.runs, second.resampled.runs)


def _notes(
    groups: Sequence[GroupComparison], known: Sequence[GroupComparison], empty: Sequence[str]
) -> list[str]:
    notes = []
    if empty:
        notes.append(f"Without test patients: {', '.join(empty)}.")
    if len(known) < len(groups):
        notes.append("Patients of whom it is not known are in no interaction.")
    if not all(group.comparison.crossed for group in groups):
        notes.append(
            "Patients only, under three seeds: that other trainings would show the same cannot be "
            "claimed."
        )
    notes.append(
        "p of a difference is of it alone; that of an interaction is adjusted by Holm over "
        f"{counted(len(known) - 1, 'interaction')}."
    )
    return notes
