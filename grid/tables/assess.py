"""From rows to judged numbers: ±, what is bold, diverged or far behind, verdicts on the published.

All values of a table are resampled in the same way, so that any two of them are paired by patient.

What the resamples are needed for is taken from them block by block, so that memory does not grow
with the table: first which runs diverged, then ±, comparison with the best and verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from grid.definition.tables import ColumnDefinition, TableDefinition
from grid.statistics import (
    DivergedRun,
    Estimate,
    FarBehindRun,
    Resampled,
    Significance,
    Spread,
    Verdict,
    describe_diverged,
    describe_far_behind,
    diverged,
    not_better,
    our_result,
    published_result,
    runs_far_behind,
    undefined_seeds,
    verdict,
)
from grid.statistics.comparison import wilcoxons
from grid.statistics.significance import Best, adjust, best_of, compare_with_best
from grid.statistics.spreads import Interval
from grid.tables.blocks import (
    NO_DRAWS,
    BestOfColumn,
    DrawBlock,
    PendingValue,
    TablePlace,
    groups_of,
)
from grid.tables.table import Value

LOST = "its training ended with a loss that is not finite"
NOT_BETTER = "not better than"
"""Begins the note on a value that is not. What it is not better than follows."""


def assess(
    definition: TableDefinition,
    labels: Sequence[tuple[str, ...]],
    pending: Sequence[Sequence[PendingValue]],
    spread: Spread,
    elsewhere: Mapping[str, str],
    hold: bool = False,
) -> list[tuple[Value, ...]]:
    """Judge the values of all rows.

    Args:
        definition: of the table.
        labels: of each row.
        pending: for each row, a value a column.
        spread: the kind of ±.
        elsewhere: cell -> where in other tables its run diverged, and why.
        hold: whether values keep their draws also where these are more than ``HELD_DRAWS``.

    Raises:
        EchoLMError: the kind of ± does not exist for a statistic.
    """
    # Both are found by asking every task, which takes a while.
    facts = [(column, column.direction, column.bounds) for column in definition.columns]
    rows = []
    for row_labels, row in zip(labels, pending, strict=True):
        places = []
        for (column, better, bounds), value in zip(facts, row, strict=True):
            stand_in = _stand_in(definition, row_labels, column)
            places.append(TablePlace(column, better, bounds, value, stand_in))
        rows.append(places)
    places = [place for row in rows for place in row]
    groups = groups_of(places, hold)
    for group in groups:
        for block in group.blocks():
            for place, resampled in block.first_look():
                _look_at_runs(place, resampled)
    _share_diverged(places, elsewhere)
    bests = _best_of_columns(rows)
    for group in groups:
        group.resample_best(bests)
        for block in group.blocks():
            _judge_block(block, bests, spread)
    for place in places:
        if place.resampled is None:
            place.value = _value_without_number(place)
    _adjust(rows)
    return [tuple(_finished(place) for place in row) for row in rows]


def diverged_cells(cells: Mapping[str, str], value: Resampled) -> dict[str, str]:
    """Return cell -> why its run diverged, by one value.

    Args:
        cells: seed -> cell.
        value: the value.
    """
    return {cells[run.seed]: run.reason for run in diverged(value)}


def _stand_in(definition: TableDefinition, labels: Sequence[str], column: ColumnDefinition) -> str:
    """Return ``tiny-r3d stands in for r3d-18``, where a published number is of something else."""
    source = definition.published
    if source is None:
        return ""
    # A table of subgroups has their axis after those of its rows.
    coordinates = {**dict(zip(definition.rows, labels, strict=False)), **column.where}
    texts = []
    for axis, label in coordinates.items():
        label_of_paper = source.label(axis, label)
        if label_of_paper != label:
            texts.append(f"{label} stands in for {label_of_paper}")
    return ", ".join(texts)


def _look_at_runs(place: TablePlace, value: Resampled) -> None:
    """Find the runs that diverged or are far behind by the value of a place itself.

    One that is far behind its best seed is so in that column alone.
    """
    place.diverged = tuple(diverged(value))
    if place.better:
        place.far_behind = tuple(runs_far_behind(value, place.better))


def _share_diverged(places: Sequence[TablePlace], elsewhere: Mapping[str, str]) -> None:
    """Add the runs of every place that diverged in another place, or have no number.

    A run that diverged in one column, or in another table, is diverged wherever the table has it.

    Args:
        places: all of the table.
        elsewhere: cell -> where in other tables its run diverged, and why.
    """
    in_this_table: dict[str, str] = {}
    for place in places:
        if not place.diverged:
            continue
        cells = {source.seed: source.cell for source in place.pending.sources}
        for run in place.diverged:
            reason = f"in {place.column.heading}: {run.reason}"
            in_this_table.setdefault(cells[run.seed], reason)
    reasons = {**elsewhere, **in_this_table}
    for place in places:
        if place.resampled is not None:
            place.diverged += _diverged_by_cell(place, place.resampled, reasons)
        place.diverged += _lost(place.pending)


def _diverged_by_cell(
    place: TablePlace, value: Resampled, reasons: Mapping[str, str]
) -> tuple[DivergedRun, ...]:
    """Return the runs of a place that diverged in other places.

    Args:
        place: the place, with the runs that diverged in it.
        value: its rows.
        reasons: cell -> where its run diverged, and why.
    """
    known = {run.seed for run in place.diverged}
    runs = []
    for source, estimate in zip(place.pending.sources, value.full.tolist(), strict=True):
        if source.cell in reasons and source.seed not in known:
            runs.append(DivergedRun(source.seed, estimate, reasons[source.cell]))
    return tuple(runs)


def _lost(pending: PendingValue) -> tuple[DivergedRun, ...]:
    """Return trainings that ended with a loss that is not finite: there is nothing to count."""
    lost = [item for item in pending.missing if item.diverged]
    return tuple(DivergedRun(item.seed, float("nan"), LOST) for item in lost)


def _best_of_columns(
    rows: Sequence[Sequence[TablePlace]],
) -> dict[tuple[str, str], BestOfColumn]:
    """Find the best value of each column whose better direction is known, for each test set.

    A value with a run that diverged or is far behind is not compared: one such seed widens its
    interval so far that it would be bold beside anything.

    Returns:
        Heading of the column and test set -> its best. One without any is left out.
    """
    places: dict[tuple[str, str], list[TablePlace]] = {}
    for row in rows:
        for place in row:
            if place.better and place.resampled is not None and place.is_sound:
                places.setdefault(place.compared_with, []).append(place)
    bests = {}
    for key, of_test_set in places.items():
        by_value = {id(place.resampled): place for place in of_test_set}
        values = [place.resampled for place in of_test_set if place.resampled is not None]
        better = of_test_set[0].better
        assert better
        best = best_of(values, better)
        if best.value is not None:
            bests[key] = BestOfColumn(by_value[id(best.value)], best.value, best.compared)
    return bests


def _judge_block(
    block: DrawBlock, bests: Mapping[tuple[str, str], BestOfColumn], spread: Spread
) -> None:
    """Take from the draws of some places what is needed of them.

    Args:
        block: the places.
        bests: heading of a column and test set -> its best.
        spread: the kind of ±.
    """
    compared: dict[tuple[str, str], list[tuple[TablePlace, Resampled]]] = {}
    for place, value in block.resampled():
        _judge(place, value, bests, spread, keep=block.held)
        if place.standing is not None and place.standing.comparison is not None:
            compared.setdefault(place.compared_with, []).append((place, value))
    for key, pairs in compared.items():
        ranks = wilcoxons(bests[key].value, [value for _, value in pairs])
        for (place, _), p in zip(pairs, ranks, strict=True):
            if place.standing is not None and place.standing.comparison is not None:
                comparison = replace(place.standing.comparison, wilcoxon=p)
                place.standing = replace(place.standing, comparison=comparison)


def _judge(
    place: TablePlace,
    value: Resampled,
    bests: Mapping[tuple[str, str], BestOfColumn],
    spread: Spread,
    keep: bool,
) -> None:
    """Take from the draws of a place what is needed of them, but for ranks.

    Args:
        place: the place.
        value: its rows, with draws.
        bests: heading of a column and test set -> its best.
        spread: the kind of ±.
        keep: whether the finished value has its draws.
    """
    place.value = _value(place, value, spread)
    if not keep:
        place.value = replace(place.value, resampled=None)
    if not place.better:
        return
    if not place.is_sound:
        place.standing = compare_with_best(None, Best(None, 0))
        return
    best = bests.get(place.compared_with)
    if best is None:
        place.standing = compare_with_best(value, Best(None, 0))
        return
    if place is best.place:
        value = best.value
    place.standing = compare_with_best(value, Best(best.value, best.compared), ranked=False)
    comparison = place.standing.comparison
    if comparison is not None and not keep:
        # Its draws would be most of what a large table holds.
        uncertainty = replace(comparison.uncertainty, draws=NO_DRAWS)
        comparison = replace(comparison, uncertainty=uncertainty)
        place.standing = replace(place.standing, comparison=comparison)


def _adjust(rows: Sequence[Sequence[TablePlace]]) -> None:
    """Adjust all comparisons of the table, and decide what is bold."""
    compared = []
    for column in zip(*rows, strict=True):
        compared.append([place for place in column if place.standing is not None])
    columns = []
    for places in compared:
        columns.append([place.standing for place in places if place.standing is not None])
    for places, standings in zip(compared, adjust(columns), strict=True):
        for place, standing in zip(places, standings, strict=True):
            place.standing = standing


def _finished(place: TablePlace) -> Value:
    """Return the finished value of a place, with its standing."""
    assert place.value is not None
    if place.resampled is None:
        return place.value
    standing = place.standing
    if not place.is_sound:
        standing = Significance(False)
    return replace(place.value, standing=standing)


def _value_without_number(place: TablePlace) -> Value:
    """Return the value of a place without rows. Of a cost it is the mean over seeds."""
    pending = place.pending
    notes = [*pending.notes, *_diverged_notes(None, place.diverged)]
    number = None
    if pending.cost is not None:
        number = Estimate(pending.cost, kind="", patients=0, seeds=len(pending.sources))
    return Value(
        number=number,
        sources=pending.sources,
        missing=pending.missing,
        synthetic=pending.synthetic,
        random_weights=pending.random_weights,
        seen=pending.seen,
        notes=tuple(notes),
        published=pending.published,
        diverged=place.diverged,
        far_behind=place.far_behind,
        refused=pending.refused,
        constant=pending.constant,
        test_set=pending.test_set,
    )


def _value(place: TablePlace, value: Resampled, spread: Spread) -> Value:
    """Return the value of a place with rows, but for its standing."""
    pending = place.pending
    column = place.column
    notes = [*pending.notes, *_diverged_notes(value, place.diverged)]
    notes += _far_behind_notes(value, place.far_behind, column.digits)
    is_not_better = False
    if place.better and pending.baseline is not None:
        is_not_better = not_better(value, place.better, pending.baseline)
    if is_not_better:
        baseline = f"({pending.baseline:.{column.digits}f})"
        notes.append(f"{NOT_BETTER} {pending.constant} {baseline}")
    undefined = undefined_seeds(value)
    notes += _undefined_notes(value, undefined)
    sources = []
    for source, estimate in zip(pending.sources, value.full, strict=True):
        sources.append(replace(source, value=float(estimate)))
    # Notes of the value are stored beside it, those of its number are not.
    number = _number(value, spread)
    notes += number.notes
    return replace(
        _value_without_number(place),
        notes=tuple(notes),
        baseline=pending.baseline,
        not_better=is_not_better,
        undefined=tuple(undefined),
        number=replace(number, notes=()),
        sources=tuple(sources),
        verdict=_verdict(place, value),
        resampled=value,
    )


def _number(value: Resampled, spread: Spread) -> Estimate:
    if isinstance(spread, Interval):
        return spread.of(value)  # it takes the resamples that are there
    return replace(spread.number(value.runs, value.statistic), bounds=value.bounds)


def _undefined_notes(value: Resampled, seeds: Sequence[str]) -> list[str]:
    """Return a note on runs for whose predictions the statistic does not exist."""
    if not seeds:
        return []
    name = value.statistic.name
    if len(seeds) == value.seeds:
        return [f"{name} is undefined for these patients, though all predictions are numbers"]
    noun = "seed" if len(seeds) == 1 else "seeds"
    return [f"{noun} {', '.join(seeds)}: {name} is undefined, though all predictions are numbers"]


def _diverged_notes(value: Resampled | None, diverged_runs: Sequence[DivergedRun]) -> list[str]:
    """Return notes on diverged runs: which of them the number counts."""
    if value is None:
        return [describe_diverged(diverged_runs)] if diverged_runs else []
    counted = [run for run in diverged_runs if run.seed in value.runs.seeds]
    lost = [run for run in diverged_runs if run not in counted]
    notes = []
    if lost:
        notes.append(f"{describe_diverged(lost)}; not in the number")
    if counted:
        notes.append(f"{describe_diverged(counted)}; counted in the number")
    return notes


def _far_behind_notes(
    value: Resampled | None, runs: Sequence[FarBehindRun], digits: int
) -> list[str]:
    """Return a note on runs far behind: that the number counts them, and what it is without."""
    if value is None or not runs:
        return []
    names = {run.seed for run in runs}
    estimates = []
    for seed, estimate in zip(value.runs.seeds, value.full.tolist(), strict=True):
        if seed not in names:
            estimates.append(estimate)
    # The best seed is not behind itself, so some are left.
    without = f"{np.mean(estimates):.{digits}f} from {len(estimates)} of {value.seeds} seeds"
    return [f"{describe_far_behind(runs, digits)}; counted in the number; without: {without}"]


def _verdict(place: TablePlace, value: Resampled) -> Verdict | None:
    pending = place.pending
    published = pending.published
    if published is None:
        return None
    if place.stand_in and not pending.synthetic:
        return Verdict("not comparable", f"not comparable: {place.stand_in}")
    patients = value.runs.patients.tolist()
    is_same, test_set = published.same_test_set(pending.data, patients)
    theirs = published_result(published.value, published.spread, published.kind, published.note)
    ours = our_result(value, place.diverged, pending.synthetic, place.far_behind)
    return verdict(theirs, ours, is_same, test_set, place.column.digits)
