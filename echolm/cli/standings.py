"""Where the cells of a grid stand, as text and JSON; and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import counted, typed

if TYPE_CHECKING:
    from grid.plan import Standing
    from grid.tables.definition import TableCell

COLUMNS = ("cell", "state", "epoch", "labels", "what")
LONGEST = 100
"""Characters of ``what`` in a table."""


def labels(cell: TableCell) -> str:
    """``axis=label axis=label``."""
    return " ".join(f"{axis}={label}" for axis, label in cell.coordinates.items())


def states(standings: Sequence[Standing]) -> dict[str, int]:
    """State -> number of cells, by name."""
    return dict(sorted(Counter(s.state.name for s in standings).items()))


def counts(standings: Sequence[Standing]) -> str:
    """``4 cells: 3 complete, 1 failed``."""
    found = ", ".join(f"{count} {name}" for name, count in states(standings).items())
    return counted(len(standings), "cell") + (f": {found}" if found else "")


def described(standing: Standing) -> dict[str, Any]:
    """A cell as ``status --json`` shows it. ``what``: the error, the reason it stopped, or the last validation loss."""
    state, record = standing.state, standing.record
    history = record.history() if record and state.name not in ("pending", "complete") else []
    loss = history[-1]["metrics"].get("val/loss") if history else None
    what = state.evidence.get("error") or state.evidence.get("reason") or (f"val loss {loss:.4g}" if isinstance(loss, float) else "")
    return {
        "cell": standing.cell.id,
        "coordinates": standing.cell.coordinates,
        "state": state.name,
        "attempt": state.attempt,
        "epoch": history[-1]["epoch"] + 1 if history else None,
        "epochs": standing.cell.config.epochs,
        "what": str(what).splitlines()[0] if what else "",
        "problem": standing.problem,
        "record": str(record.path) if record else None,
    }


def row(standing: Standing) -> tuple[str, ...]:
    """``COLUMNS`` of a cell."""
    found = described(standing)
    epoch = f"{found['epoch']}/{found['epochs']}" if found["epoch"] else ""
    what = found["what"] if len(found["what"]) <= LONGEST else found["what"][: LONGEST - 1] + "…"
    return found["cell"][:8], found["state"], epoch, labels(standing.cell), what


def blocked(standings: Sequence[Standing]) -> list[str]:
    """A line for each reason why cells cannot run: how many, which, and what is missing."""
    groups: dict[str, list[str]] = {}
    for standing in standings:
        if standing.problem and standing.state.name != "complete":
            groups.setdefault(standing.problem, []).append(standing.cell.id)
    return [f"{counted(len(ids), 'cell')} cannot run ({_some(ids)}): {problem}" for problem, ids in groups.items()]


def remedies(grid: str, standings: Sequence[Standing], *, launching: bool = False) -> list[str]:
    """Lines that say what to type about cells that are not complete; ``launching``: at the end of a launch."""
    ids: dict[str, list[str]] = {}
    for standing in standings:
        if not (standing.problem and standing.state.name == "pending"):
            ids.setdefault(standing.state.name, []).append(standing.cell.id)
    lines = []
    if launching and "running" in ids:
        lines.append(f"{counted(len(ids['running']), 'cell')} still running elsewhere ({_some(ids['running'])}); look: {typed('status', grid)}")
    if "failed" in ids:
        lines.append(f"why a cell failed: {typed('logs', ids['failed'][0][:8])}")
    again = [name for name in ("failed", "cancelled", "pruned") if name in ids]
    if again:
        lines.append(f"to run {' and '.join(again)} cells again: {typed('retry', grid)}")
    if "interrupted" in ids or "pending" in ids:
        lines.append(f"to run the rest: {typed('launch', grid)}")
    return lines


def tell(lines: Sequence[str]) -> None:
    """Lines for the person at the keyboard, on standard error."""
    for line in lines:
        click.echo(line, err=True)


def _some(ids: Sequence[str]) -> str:
    """The first ids, shortened."""
    return ", ".join(id[:8] for id in ids[:4]) + (", ..." if len(ids) > 4 else "")
