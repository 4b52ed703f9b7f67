"""Which units may start: those whose cells begin with weights that are there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from cluster.place import LaunchOptions
from echolm.errors import EchoLMError
from echolm.kept_weights import Keep
from echolm.states import RunState
from grid.definition.grid import Cell
from grid.definition.tables import coordinates_text
from grid.plan import CellStatus
from grid.units import Job, Unit


def following(statuses: Iterable[CellStatus], started: Collection[str]) -> list[CellStatus]:
    """Return the waiting cells that may begin when those that are started have ended, in order.

    Args:
        statuses: where cells stand.
        started: cells that are started, or that somebody trains.
    """
    waiting = [status for status in statuses if status.waits_for]
    known = set(started)
    found: dict[str, CellStatus] = {}
    size = -1
    while len(found) > size:
        size = len(found)
        for status in waiting:
            if status.waits_for in known:
                found[status.cell.id] = status
                known.add(status.cell.id)
    return list(found.values())


def running_cells(statuses: Iterable[CellStatus]) -> set[str]:
    """Return the cells that somebody trains, of these and of those that they wait for."""
    cells = set()
    for status in statuses:
        if status.state.name == RunState.RUNNING:
            cells.add(status.cell.id)
        elif status.waits_for and status.state.evidence.get("state") == RunState.RUNNING:
            cells.add(status.waits_for)
    return cells


def next_pool(jobs: Sequence[Job]) -> tuple[Job, list[Job]]:
    """Take the units that one pool can run now, of the first job that has some.

    They wait for no unit of another job. What waits for units of the same job comes with these.

    Returns:
        The job of these units, and the jobs of the others.
    """
    for job in jobs:
        elsewhere = {cell for other in jobs if other is not job for cell in cells_of(other.units)}
        chosen = _without_waiting_for(job.units, elsewhere)
        if not chosen:
            continue
        rest = [other for other in jobs if other is not job]
        others = tuple(unit for unit in job.units if unit not in chosen)
        if others:
            rest.append(replace(job, units=others))
        return replace(job, units=tuple(chosen)), rest
    return jobs[0], list(jobs[1:])  # cannot be: cells do not wait for each other in a circle


def refuse_unkept(
    cells: Iterable[Cell], statuses: Iterable[CellStatus], options: LaunchOptions
) -> None:
    """Refuse to train cells without keeping their weights when others begin with these.

    Args:
        cells: all cells of the grid.
        statuses: where the cells stand that are launched.
        options: of the launch.

    Raises:
        EchoLMError: it names one of each.
    """
    states = {status.cell.id: status.state.name for status in statuses}
    for cell in cells:
        upstream = cell.upstream
        if upstream is None or upstream.id not in states:
            continue
        if RunState.COMPLETE in (states[upstream.id], states.get(cell.id)):
            continue
        if options.of_block(upstream.resources).keep == Keep.NONE:
            raise EchoLMError(
                f"--keep none: cell {upstream.id} ({coordinates_text(upstream)}) would keep no "
                f"weights, and cell {cell.id} ({coordinates_text(cell)}) begins with them; leave "
                "--keep out and write resources: {keep: none} in blocks that no other begins from"
            )


def cells_of(units: Iterable[Unit]) -> list[str]:
    """Return the cells of units."""
    return [cell for unit in units for cell in unit.cells]


def _without_waiting_for(units: Sequence[Unit], cells: Collection[str]) -> list[Unit]:
    """Return the units that wait for none of these cells, nor for units that do."""
    behind = set(cells)
    left = list(units)
    size = len(left) + 1
    while len(left) < size:
        size = len(left)
        for unit in left:
            if not behind.isdisjoint(unit.after):
                behind.update(unit.cells)
        left = [unit for unit in left if behind.isdisjoint(unit.after)]
    return left
