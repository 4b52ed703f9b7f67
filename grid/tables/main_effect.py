"""The main effect of an axis: its labels compared, paired over all other axes.

A *setting* is a choice of labels on all other axes but the seed. A label's value is the mean over
the settings that have every label of the axis, and labels are compared by these means in the same
resamples of patients. Seed s of a label is the mean over settings of their seeds s: networks of
different settings are trained independently, so these means are S independent trainings of the
whole set of settings, and their variance is the right one. The settings are taken as they are:
nothing is claimed of settings that the grid does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from echolm.errors import EchoLMError
from echolm.text import counted, suggest
from echolm.workspace import Workspace
from grid.definition.extra_tables import GridWithTables, TaggedCell
from grid.definition.table_cells import telling_axes
from grid.definition.tables import (
    SEED,
    ColumnDefinition,
    TableCell,
    TableDefinition,
    TableGrid,
)
from grid.statistics import Comparison, CrossedBootstrap, Estimate, Resampled, compare, holm
from grid.statistics.comparison import EQUAL, UNDECIDED, p_text
from grid.statistics.rows import why_not_paired
from grid.tables.build import build
from grid.tables.compare import Selected, column_of
from grid.tables.comparison_text import comparison_facts
from grid.tables.origins import TodaysOrigins
from grid.tables.store_facts import keep_store_facts
from grid.tables.table import ABSENT, LOCAL, Value
from grid.tables.workspace_tables import open_results

TABLE, SETTING, LABEL = "effect", "effect setting", "effect label"
BEST = "best"
Setting = tuple[str, ...]
"""The labels of a setting, on the axes that tell settings apart."""


@dataclass(frozen=True)
class LabelEffect:
    """One label of the axis.

    Attributes:
        label: the label.
        number: its mean over settings and seeds, with its interval.
        comparison: best - own, over the same settings. None for the best itself.
        adjusted: Holm's p of that comparison, over all of the axis.
    """

    label: str
    number: Estimate
    comparison: Comparison | None = None
    adjusted: float | None = None

    def word(self, column: ColumnDefinition, alpha: float = 0.05) -> str:
        """Return the verdict in a word: ``best``, ``worse``, ``undecided``, ``equal ...``."""
        if self.comparison is None or self.adjusted is None:
            return BEST
        if self.comparison.equivalent:
            return EQUAL
        if not self.adjusted < alpha:
            return UNDECIDED
        return "worse" if column.direction else "different"


@dataclass(frozen=True)
class MainEffect:
    """The labels of an axis compared, the best first.

    Attributes:
        opened: the grid.
        axis: the axis.
        column: what is compared.
        settings: over which settings, each its labels.
        axes: the axes that tell settings apart.
        labels: of the axis.
        notes: what a reader must know beside it.
    """

    opened: TableGrid
    axis: str
    column: ColumnDefinition
    settings: tuple[Setting, ...]
    axes: tuple[str, ...]
    labels: tuple[LabelEffect, ...]
    notes: tuple[str, ...]

    @property
    def headline(self) -> str:
        """What was compared, in words."""
        first = self.labels[0].number
        over = f"mean over {counted(len(self.settings), 'setting')}"
        if self.axes:
            over += f" ({', '.join(self.axes)})"
        patients = counted(first.patients, "patient")
        seeds = counted(first.seeds, "seed")
        return f"{self.column.heading}: main effect of {self.axis}, {over}; {patients}, {seeds}"

    def rows(self) -> list[list[str]]:
        """Return a line for each label: verdict, label, mean, difference to the best, p."""
        digits = self.column.digits
        lines = []
        for effect in self.labels:
            difference = p = ""
            comparison = effect.comparison
            if comparison is not None and effect.adjusted is not None:
                interval = f"[{-comparison.high:+.{digits}f}, {-comparison.low:+.{digits}f}]"
                difference = f"{-comparison.difference:+.{digits}f} {interval}"
                p = p_text(effect.adjusted)
            word = effect.word(self.column)
            mean = effect.number.text(digits)
            lines.append([word, f"{self.axis}={effect.label}", mean, difference, p])
        return lines

    def facts(self) -> dict[str, Any]:
        """Return the effect as JSON data. A comparison is the best less the label."""
        labels = []
        for effect in self.labels:
            facts: dict[str, Any] = {
                "label": effect.label,
                "verdict": effect.word(self.column),
                "mean": effect.number.estimate,
                "low": effect.number.low,
                "high": effect.number.high,
                "adjusted_p": effect.adjusted,
                "against_the_best": None,
            }
            if effect.comparison is not None:
                facts["against_the_best"] = comparison_facts(effect.comparison)
                facts["equivalent"] = effect.comparison.equivalent
            labels.append(facts)
        settings = [dict(zip(self.axes, setting, strict=True)) for setting in self.settings]
        return {
            "grid": self.opened.name,
            "column": self.column.heading,
            "axis": self.axis,
            "settings": settings,
            "labels": labels,
            "notes": list(self.notes),
        }


HEADER = ("verdict", "label", "mean", "difference to the best", "p (Holm)")
"""Of ``MainEffect.rows``."""


def read_main_effect(
    workspace: Workspace,
    reference: str,
    axis: str,
    heading: str = "",
    margin: float | None = None,
    place: str = LOCAL,
) -> MainEffect:
    """Compare the labels of an axis in a workspace.

    Args:
        workspace: the workspace.
        reference: the grid, by its name or the path of its file.
        axis: the axis.
        heading: of the column to compare. Empty for the first of their tables.
        margin: how far apart equal labels may be.
        place: where the grid is run.

    Raises:
        EchoLMError: there is no such axis, it has one label, or no setting has all of its labels
            with runs.
    """
    grid, results = open_results(workspace, reference)
    today = TodaysOrigins(workspace, grid.name, grid.cells)
    if results is not None:
        keep_store_facts(workspace, grid.name, results)
    cells = _cells_with(grid, axis)
    column = column_of(grid, [Selected(axis, {}, tuple(cells))], heading)
    axes = tuple(name for name in telling_axes(cells) if name != axis)
    tagged = [_tagged(cell, axis, axes) for cell in cells]
    definition = TableDefinition(title=TABLE, rows=(SETTING, LABEL), columns=(column,))
    effects = GridWithTables(grid.name, grid.title, tagged, {TABLE: definition}, grid.typed)
    table = build(effects, TABLE, results, state=today.state, place=place, today=today, hold=True)
    settings = {_setting_text(cell, axes): _setting(cell, axes) for cell in cells}
    values: dict[Setting, dict[str, Value]] = {}
    for row in table.rows:
        setting, label = row.labels
        values.setdefault(settings[setting], {})[label] = row.values[0]
    all_labels = list(dict.fromkeys(cell.coordinates[axis] for cell in cells))
    labels = _labels_beside_others(values, all_labels)
    usable, notes = _usable(values, labels, axis)
    alone = [label for label in all_labels if label not in labels]
    if alone:
        notes.append(f"Left out, beside no other label in any setting: {', '.join(alone)}.")
    return main_effect(grid, axis, column, axes, usable, labels, margin, notes)


def main_effect(
    grid: TableGrid,
    axis: str,
    column: ColumnDefinition,
    axes: tuple[str, ...],
    values: Mapping[Setting, Mapping[str, Resampled]],
    labels: Sequence[str],
    margin: float | None = None,
    notes: Sequence[str] = (),
) -> MainEffect:
    """Compare labels by their means over settings.

    Args:
        grid: the grid.
        axis: the axis.
        column: what is compared.
        axes: the axes that tell settings apart.
        values: setting -> label -> its value, all in the same resamples, of all labels.
        labels: of the axis.
        margin: how far apart equal labels may be.
        notes: what is known already of what is left out.
    """
    means: dict[str, Resampled] = {}
    for label in labels:
        of_label = [by_label[label] for by_label in values.values()]
        means[label] = _mean_over_settings(f"{axis}={label}", of_label)
    sign = -1.0 if column.direction == "lower" else 1.0
    best = max(labels, key=lambda label: sign * means[label].estimate)
    others = sorted(
        (label for label in labels if label != best),
        key=lambda label: -sign * means[label].estimate,
    )
    comparisons = [compare(means[best], means[label], margin) for label in others]
    adjusted = holm([comparison.p for comparison in comparisons])
    spread = CrossedBootstrap()
    effects = [LabelEffect(best, spread.of(means[best]))]
    for label, comparison, p in zip(others, comparisons, adjusted, strict=True):
        effects.append(LabelEffect(label, spread.of(means[label]), comparison, float(p)))
    notes = list(notes)
    claims = dict.fromkeys(comparison.claim for comparison in comparisons if comparison.claim)
    if claims:
        notes.append(
            "Patients only, as some label has under three seeds that all settings share: it holds "
            "for these trained networks on other patients; that other trainings would show the "
            "same cannot be claimed."
        )
    notes.append(f"p is adjusted by Holm over the {counted(len(others), 'comparison')} shown.")
    return MainEffect(grid, axis, column, tuple(values), axes, tuple(effects), tuple(notes))


def _cells_with(grid: TableGrid, axis: str) -> list[TableCell]:
    """Return the cells of a grid that have the axis, and of which some table shows something."""
    axes: dict[str, None] = {}
    for cell in grid.cells:
        axes.update(dict.fromkeys(cell.coordinates))
    axes.pop(SEED, None)
    if axis not in axes:
        raise EchoLMError(
            f"{axis!r} is no axis of grid {grid.name} that tells values apart; "
            f"{suggest(axis, axes)}; or give two values, as in axis=label,axis=label"
        )
    cells = [cell for cell in grid.cells if axis in cell.coordinates]
    labels = {cell.coordinates[axis] for cell in cells}
    if len(labels) < 2:
        raise EchoLMError(f"axis {axis} of grid {grid.name} has one label alone: {labels.pop()}")
    return cells


def _setting(cell: TableCell, axes: Sequence[str]) -> Setting:
    return tuple(cell.coordinates.get(name, ABSENT) for name in axes)


def _setting_text(cell: TableCell, axes: Sequence[str]) -> str:
    return ", ".join(_setting(cell, axes)) or "the only setting"


def _tagged(cell: TableCell, axis: str, axes: Sequence[str]) -> TaggedCell:
    coordinates = {
        **cell.coordinates,
        SEED: cell.coordinates.get(SEED, ABSENT),
        SETTING: _setting_text(cell, axes),
        LABEL: cell.coordinates[axis],
    }
    return TaggedCell(cell.id, coordinates, (TABLE,))


def _labels_beside_others(
    values: Mapping[Setting, Mapping[str, Value]], labels: Sequence[str]
) -> list[str]:
    """Return the labels that some setting has beside another one. A baseline may have none.

    All labels are returned where fewer than two are beside another.
    """
    beside_others = []
    for label in labels:
        if any(label in by_label and len(by_label) > 1 for by_label in values.values()):
            beside_others.append(label)
    return beside_others if len(beside_others) > 1 else list(labels)


def _usable(
    values: Mapping[Setting, Mapping[str, Value]], labels: Sequence[str], axis: str
) -> tuple[dict[Setting, dict[str, Resampled]], list[str]]:
    """Return the settings in which every label has a sound value of the same test set, and notes.

    Raises:
        EchoLMError: there is none.
    """
    usable: dict[Setting, dict[str, Resampled]] = {}
    left_out: dict[str, list[str]] = {}
    notes: dict[str, None] = {}
    reference: Resampled | None = None
    for setting, by_label in values.items():
        text = ", ".join(setting)
        reason = _why_unusable(by_label, labels)
        resampled: dict[str, Resampled] = {}
        for label in labels:
            own = by_label[label].resampled if label in by_label else None
            if own is not None:
                resampled[label] = own
        if not reason:
            reference = reference or resampled[labels[0]]
            if any(why_not_paired(reference.runs, value.runs) for value in resampled.values()):
                reason = "of another test set than the first setting"
        if reason:
            left_out.setdefault(reason, []).append(text or "the only setting")
            continue
        usable[setting] = {label: resampled[label] for label in labels}
        for label, value in by_label.items():
            place = ", ".join(part for part in (text, f"{axis}={label}") if part)
            notes.update(dict.fromkeys(f"{place}: {note}." for note in value.notes))
    for reason, settings in left_out.items():
        notes[f"Left out, {reason}: {'; '.join(settings)}."] = None
    if not usable:
        reasons = "; ".join(f"{', '.join(texts)}: {why}" for why, texts in left_out.items())
        raise EchoLMError(
            f"no setting has a value of every label of {axis} ({', '.join(labels)}); {reasons}"
        )
    return usable, list(notes)


def _why_unusable(by_label: Mapping[str, Value], labels: Sequence[str]) -> str:
    """Return why a setting cannot be used, or ''."""
    missing = [label for label in labels if label not in by_label]
    if missing:
        return f"without a cell of {', '.join(missing)}"
    missing = [label for label in labels if by_label[label].resampled is None]
    if missing:
        return f"without a number of {', '.join(missing)}"
    lost = [label for label in labels if by_label[label].diverged]
    if lost:
        return f"with a run of {', '.join(lost)} that diverged"
    return ""


def _mean_over_settings(name: str, values: Sequence[Resampled]) -> Resampled:
    """Return the mean of values over settings, seed by seed, of the seeds that all have."""
    first = values[0]
    common = [
        seed for seed in first.runs.seeds if all(seed in value.runs.seeds for value in values)
    ]
    if not common:
        # No seed is in all settings: then their means over seeds are all that can be paired.
        full = np.mean([value.full.mean() for value in values])[None]
        draws = np.mean([value.draws.mean(0) for value in values], 0)[None]
        return _mean(name, first, ("all",), full, draws, None)
    full = np.zeros(len(common))
    draws = np.zeros((len(common), first.draws.shape[1]))
    per_patient: np.ndarray | None = np.zeros((len(common), first.patients))
    for value in values:
        rows = [value.runs.seeds.index(seed) for seed in common]
        full += value.full[rows] / len(values)
        draws += value.draws[rows] / len(values)
        if value.per_patient is None or per_patient is None:
            per_patient = None
        else:
            per_patient = per_patient + value.per_patient[rows] / len(values)
    return _mean(name, first, tuple(common), full, draws, per_patient)


def _mean(
    name: str,
    first: Resampled,
    seeds: tuple[str, ...],
    full: np.ndarray,
    draws: np.ndarray,
    per_patient: np.ndarray | None,
) -> Resampled:
    runs = replace(first.runs, name=name, seeds=seeds, columns={})
    return Resampled(runs, first.statistic, full, draws, per_patient, first.bounds)
