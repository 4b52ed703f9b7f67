"""What a table lacks, in few lines: cells missing for one reason, and the command for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from echolm.commands import Command
from echolm.states import FailureClass, RunState
from grid.tables.table import ABSENT, LOCAL, Missing, Table, Value

Places = tuple[tuple[str, tuple[str, ...]], ...]
"""(axis, labels) pairs: the product of the labels."""


@dataclass(frozen=True)
class Gap:
    """The same seeds missing for the same reason at all ``places``.

    Attributes:
        places: where. Without any: at all places of the table.
        seeds: the seeds. Without any: all that the table has.
        reason: why they are missing.
        command: what brings them, for the cells at ``places``.
    """

    places: Places
    seeds: tuple[str, ...]
    reason: str
    command: Command | None = None

    def __str__(self) -> str:
        if not self.seeds:
            return f"everything: {self.reason}"
        where = ", ".join("/".join(labels) for _, labels in self.places)
        noun = "seeds" if len(self.seeds) > 1 else "seed"
        return f"{where or 'every row'}: {noun} {', '.join(self.seeds)}: {self.reason}"


def gaps(table: Table) -> list[Gap]:
    """Return all that is missing, merged over axes where that says the same in fewer lines.

    An axis of several labels, all of which are missing alike, is left out. A table without any run
    is one line.
    """
    all_coordinates = []
    all_gaps: dict[Gap, None] = {}
    for coordinates, value in table.located_values:
        if value.expected:
            all_coordinates.append(coordinates)
            all_gaps.update(dict.fromkeys(_gaps_of_value(coordinates, value)))
    why = {(gap.reason, gap.command) for gap in all_gaps}
    if len(why) == 1 and not any(value.seeds for value in table.values):
        [(reason, command)] = why
        return [_for_cells(table, Gap((), (), reason, command))]
    return [_for_cells(table, gap) for gap in merge(list(all_gaps), all_coordinates)]


def _for_cells(table: Table, gap: Gap) -> Gap:
    """Return the gap with its command for the cells at its places."""
    if gap.command is None:
        return gap
    where = conditions(table, dict(gap.places))
    return replace(gap, command=narrowed(gap.command, where))


def merge(gaps: list[Gap], all_coordinates: Sequence[Mapping[str, str]]) -> list[Gap]:
    """Merge gaps that say the same.

    Args:
        gaps: each at one label of each axis, with a command for the whole grid.
        all_coordinates: all places that could have a gap, axis -> label.
    """
    labels: dict[str, dict[str, None]] = {}  # a dictionary as a set that keeps its order
    for coordinates in all_coordinates:
        for axis, label in coordinates.items():
            labels.setdefault(axis, {})[label] = None
    for axis in reversed(labels):
        gaps = _merged_over(gaps, axis, list(labels[axis]))
    return [_without_whole_axes(gap, labels) for gap in gaps]


REASONS: dict[str, tuple[str, str]] = {
    RunState.INTERRUPTED: ("the run was interrupted", "launch"),
    RunState.RUNNING: ("the run is not complete yet", "status"),
    RunState.FAILED: ("the run failed", "retry"),
    FailureClass.DIVERGED: (
        "the training diverged, as it would again: change its configuration in the grid's file, "
        "such as to a lower learning rate",
        "status",
    ),
    RunState.PRUNED: ("the run was pruned", "retry"),
    RunState.CANCELLED: ("the run was cancelled", "retry"),
    RunState.COMPLETE: ("the run was not collected", "collect"),
}
"""State of a cell -> why a table lacks it, and the verb of the command for that.

States are those of ``echolm.record.cell_state_or_diverged``.
"""


def missing(
    seed: str,
    cell: str,
    state: str,
    collected: bool,
    problem: str = "",
    reference: str = "",
    place: str = LOCAL,
    where: Sequence[str] = (),
    outdated: str = "",
    waits: str = "",
) -> Missing:
    """Return why a seed has no number.

    Args:
        seed: the seed.
        cell: the id of its cell.
        state: of the cell, or of the run that counts today where others do not.
        collected: whether its run was collected, without its predictions.
        problem: why it was collected without them. It says all that can be done: collecting again
            would meet it again.
        reference: how a command names the grid.
        place: where the grid is run.
        where: what selects the cell.
        outdated: why none of its collected runs counts any more. Empty where there is none.
        waits: of a cell that cannot begin yet, which cell it waits for and what brings both.
    """
    if waits:
        return Missing(seed, cell, f"it is {state}: {waits}")
    reason, verb = REASONS.get(state, ("no complete run was collected", "launch"))
    command = narrowed(grid_command(verb, reference, place), where)
    if outdated:
        if state in REASONS:
            outdated = f"{outdated}; of the one that does, {reason}"
        return Missing(seed, cell, outdated, command, diverged=state == FailureClass.DIVERGED)
    if not collected:
        return Missing(seed, cell, reason, command, diverged=state == FailureClass.DIVERGED)
    if problem:
        return Missing(seed, cell, f"the predictions were not collected: {problem}")
    return Missing(seed, cell, "the predictions were not collected", command)


def grid_command(verb: str, reference: str, place: str = LOCAL) -> Command:
    """Return a command about a whole grid. A retry is here unless told otherwise.

    Args:
        verb: ``launch``, ``retry``, ``collect`` or ``status``.
        reference: how a command names the grid.
        place: where the grid is run.
    """
    if verb == "launch" or (verb == "retry" and place != LOCAL):
        return Command(verb, reference, on=place)
    return Command(verb, reference)


def narrowed(command: Command, where: Sequence[str]) -> Command:
    """Return a command for the cells that meet all conditions. ``collect`` is for a whole grid."""
    if command.verb == "collect":
        return command
    return replace(command, where=tuple(where))


def baseline_command(table: Table) -> Command:
    """Return the command that runs the baselines which a table lacks.

    They need not be among its cells.
    """
    launch = grid_command("launch", table.reference, table.place)
    return narrowed(launch, axis_conditions(table.missing_baselines))


def conditions(table: Table, places: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what selects the table's cells at ``places`` (``--where``)."""
    return [*table.where, *axis_conditions(places)]


def axis_conditions(places: Mapping[str, Sequence[str]]) -> list[str]:
    """Return ``axis=label,label`` for each axis that the cells have."""
    texts = []
    for axis, labels in places.items():
        if tuple(labels) != (ABSENT,):
            texts.append(f"{axis}={','.join(labels)}")
    return texts


def whole_grid(command: Command | None) -> Command | None:
    """Return a command without the cells that it selects."""
    return replace(command, where=()) if command else None


def _gaps_of_value(coordinates: Mapping[str, str], value: Value) -> list[Gap]:
    """Return one gap for each reason, with commands for the whole grid."""
    seeds: dict[tuple[str, Command | None], list[str]] = {}
    for item in value.missing:
        why = item.reason, whole_grid(item.command)
        seeds.setdefault(why, []).append(item.seed)
    places = one_place(coordinates)
    return [Gap(places, tuple(names), *why) for why, names in seeds.items()]


def one_place(coordinates: Mapping[str, str]) -> Places:
    """Return coordinates as places of one label an axis."""
    return tuple((axis, (label,)) for axis, label in coordinates.items())


def _merged_over(gaps: Sequence[Gap], axis: str, order: Sequence[str]) -> list[Gap]:
    """Merge gaps that differ in their labels of ``axis`` alone.

    A cell without the axis stays by itself.

    Args:
        gaps: what to merge.
        axis: the axis.
        order: its labels, in the order of the table.
    """
    groups: dict[Gap, list[Gap]] = {}
    for gap in gaps:
        labels = dict(gap.places).get(axis)
        alike = gap
        if labels is not None and labels != (ABSENT,):
            alike = replace(gap, places=_with_labels(gap.places, axis, ()))
        groups.setdefault(alike, []).append(gap)
    merged = []
    for group in groups.values():
        labels_of_group: set[str] = set()
        for gap in group:
            labels_of_group.update(dict(gap.places).get(axis, ()))
        ordered = tuple(sorted(labels_of_group, key=order.index))
        merged.append(replace(group[0], places=_with_labels(group[0].places, axis, ordered)))
    return merged


def _with_labels(places: Places, axis: str, labels: tuple[str, ...]) -> Places:
    """Return places with other labels of one axis, which stays absent where it is."""
    changed = dict(places)
    if axis in changed:
        changed[axis] = labels
    return tuple(changed.items())


def _without_whole_axes(gap: Gap, labels: Mapping[str, Mapping[str, None]]) -> Gap:
    """Leave out the axes of several labels, all of which the gap has."""
    places = []
    for axis, labels_of_gap in gap.places:
        is_whole = len(labels_of_gap) > 1 and set(labels_of_gap) == set(labels[axis])
        if not is_whole:
            places.append((axis, labels_of_gap))
    return replace(gap, places=tuple(places))
