"""What a table lacks, in few lines: cells that are missing for one reason, and the command that fills them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from grid.tables.table import ABSENT, Missing, Table, Value

Places = tuple[tuple[str, tuple[str, ...]], ...]
"""(axis, labels) pairs: the product of the labels."""


@dataclass(frozen=True)
class Gap:
    """The same seeds missing for the same reason at all ``places``. Without any: all that the table has."""

    places: Places
    seeds: tuple[str, ...]
    reason: str

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
    if not any(value.seeds for value in table.values) and len({gap.reason for gap in found}) == 1:
        return [Gap((), (), found[0].reason)]
    labels: dict[str, dict[str, None]] = {}
    for place, _ in expected:
        for axis, label in place.items():
            labels.setdefault(axis, {})[label] = None
    for axis in reversed(labels):
        found = _merged(found, axis, list(labels[axis]))
    return [replace(gap, places=tuple(pair for pair in gap.places if not _covers(pair, labels))) for gap in found]


def command(table: Table, places: Mapping[str, Sequence[str]]) -> str:
    """The command that runs what is missing at ``places``, axis -> labels."""
    where = [] if table.whole_grid else [f"table={table.name}"]
    where += [f"{axis}={','.join(labels)}" for axis, labels in places.items() if tuple(labels) != (ABSENT,)]
    options = [word for text in where for word in ("--where", text)]
    return shlex.join(["echolm", "launch", table.grid, "--on", "local", *options])


def _gaps(place: Mapping[str, str], value: Value) -> list[Gap]:
    by_reason: dict[str, list[Missing]] = {}
    for item in value.missing:
        by_reason.setdefault(item.reason, []).append(item)
    places = tuple((axis, (label,)) for axis, label in place.items())
    return [Gap(places, tuple(item.seed for item in items), reason) for reason, items in by_reason.items()]


def _merged(found: list[Gap], axis: str, order: list[str]) -> list[Gap]:
    """Gaps that differ in their labels of ``axis`` alone become one; a cell without the axis stays by itself."""
    groups: dict[object, list[Gap]] = {}
    for gap in found:
        others = tuple(pair for pair in gap.places if pair[0] != axis)
        own = dict(gap.places).get(axis)
        groups.setdefault((others, gap.seeds, gap.reason, own if own in (None, (ABSENT,)) else axis), []).append(gap)
    return [_union(group, axis, order) for group in groups.values()]


def _union(group: list[Gap], axis: str, order: list[str]) -> Gap:
    labels = tuple(sorted({label for gap in group for label in dict(gap.places).get(axis, ())}, key=order.index))
    places = tuple((name, labels if name == axis else own) for name, own in group[0].places)
    return replace(group[0], places=places)


def _covers(pair: tuple[str, tuple[str, ...]], labels: Mapping[str, Mapping[str, None]]) -> bool:
    axis, own = pair
    return len(own) > 1 and set(own) == set(labels[axis])
