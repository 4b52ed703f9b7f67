"""What a table lacks, in few lines: cells that are missing for one reason, and the command that fills them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grid.tables.table import ABSENT, LOCAL, Missing, Table, Value

Places = tuple[tuple[str, tuple[str, ...]], ...]
"""(axis, labels) pairs: the product of the labels."""


@dataclass(frozen=True)
class Gap:
    """The same seeds missing for the same reason at all ``places``. Without any: all that the table has."""

    places: Places
    seeds: tuple[str, ...]
    reason: str
    remedy: str = "launch"

    def __str__(self) -> str:
        if not self.seeds:
            return f"everything: {self.reason}"
        where = ", ".join("/".join(labels) for _, labels in self.places)
        noun = "seed" if len(self.seeds) == 1 else "seeds"
        return f"{where or 'every row'}: {noun} {', '.join(self.seeds)}: {self.reason}"


def gaps(table: Table) -> list[Gap]:
    """All that is missing, merged over axes where that says the same in fewer lines.

    An axis of several labels, all of which are missing alike, is left out; a table without any run is one line.
    """
    expected = [(place, value) for place, value in table.places if value.expected]
    found = list(dict.fromkeys(gap for place, value in expected for gap in _gaps(place, value)))
    if not any(value.seeds for value in table.values) and len({(gap.reason, gap.remedy) for gap in found}) == 1:
        return [Gap((), (), found[0].reason, found[0].remedy)]
    return together(found, [place for place, _ in expected])


def together(found: list[Gap], places: Sequence[Mapping[str, str]]) -> list[Gap]:
    """Gaps that say the same, merged over the axes of all ``places`` that could have one."""
    labels: dict[str, dict[str, None]] = {}
    for place in places:
        for axis, label in place.items():
            labels.setdefault(axis, {})[label] = None
    for axis in reversed(labels):
        found = _merged(found, axis, list(labels[axis]))
    return [replace(gap, places=tuple(pair for pair in gap.places if not _covers(pair, labels))) for gap in found]


STANDINGS = {
    "interrupted": ("the run was interrupted", "launch"),
    "running": ("the run is not complete yet", "status"),
    "failed": ("the run failed", "retry"),
    "diverged": ("the training diverged, as it would again: change its configuration in the grid's file, such as to a lower learning rate", "status"),
    "pruned": ("the run was pruned", "retry"),
    "cancelled": ("the run was cancelled", "retry"),
    "complete": ("the run was not collected", "collect"),
}
"""State of a cell (``echolm.record.cell_standing``) -> why a table lacks it, and the command for that (see ``Missing``)."""


def missing(seed: str, cell: str, state: str, collected: bool, problem: str = "") -> Missing:
    """A seed whose cell is in ``state``; ``collected``: its run was collected, without its predictions, for ``problem``.

    What a problem says is all that can be typed: collecting again would find it again.
    """
    reason, remedy = STANDINGS.get(state, ("no complete run was collected", "launch"))
    if collected:
        reason = "the predictions were not collected" + (f": {problem}" if problem else "")
        remedy = "" if problem else remedy
    return Missing(seed, cell, reason, remedy, diverged=state == "diverged" and not collected)


def command(table: Table, places: Mapping[str, Sequence[str]], remedy: str = "launch") -> str:
    """The command ``remedy`` (see ``Missing``) for what is missing at ``places``, axis -> labels; "" without one."""
    if not remedy:
        return ""
    if remedy == "collect":
        return shlex.join([*table.program, "collect", table.typed or table.grid])
    return _in_grid(table, conditions(table, places), remedy)


def baseline_command(table: Table) -> str:
    """The command that runs the baselines which a table lacks; they need not be among its cells."""
    return _in_grid(table, _labelled(table.unheld), "launch")


def conditions(table: Table, places: Mapping[str, Sequence[str]]) -> list[str]:
    """What selects the table's cells at ``places`` (``--where``)."""
    return [*table.where, *_labelled(places)]


def _labelled(places: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"{axis}={','.join(labels)}" for axis, labels in places.items() if tuple(labels) != (ABSENT,)]


def _in_grid(table: Table, where: Sequence[str], remedy: str) -> str:
    options = [word for text in where for word in ("--where", text)]
    return shlex.join([*table.program, remedy, table.typed or table.grid, *place_words(remedy, table.on), *options])


def place_words(remedy: str, on: str) -> list[str]:
    """What the command ``remedy`` says of where cells are run. A retry is here unless told otherwise."""
    return ["--on", on] if remedy == "launch" or (remedy == "retry" and on != LOCAL) else []


def _gaps(place: Mapping[str, str], value: Value) -> list[Gap]:
    seeds: dict[tuple[str, str], list[str]] = {}
    for item in value.missing:
        seeds.setdefault((item.reason, item.remedy), []).append(item.seed)
    places = tuple((axis, (label,)) for axis, label in place.items())
    return [Gap(places, tuple(names), *why) for why, names in seeds.items()]


def _merged(found: list[Gap], axis: str, order: list[str]) -> list[Gap]:
    """Gaps that differ in their labels of ``axis`` alone become one; a cell without the axis stays by itself."""
    groups: dict[object, list[Gap]] = {}
    for gap in found:
        others = tuple(pair for pair in gap.places if pair[0] != axis)
        own = dict(gap.places).get(axis)
        groups.setdefault((others, gap.seeds, gap.reason, gap.remedy, own if own in (None, (ABSENT,)) else axis), []).append(gap)
    return [_union(group, axis, order) for group in groups.values()]


def _union(group: list[Gap], axis: str, order: list[str]) -> Gap:
    labels = tuple(sorted({label for gap in group for label in dict(gap.places).get(axis, ())}, key=order.index))
    places = tuple((name, labels if name == axis else own) for name, own in group[0].places)
    return replace(group[0], places=places)


def _covers(pair: tuple[str, tuple[str, ...]], labels: Mapping[str, Mapping[str, None]]) -> bool:
    axis, own = pair
    return len(own) > 1 and set(own) == set(labels[axis])
