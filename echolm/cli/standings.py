"""Where the cells of a grid stand, as text and JSON; and what to type next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from echolm.cli.options import counted, typed

if TYPE_CHECKING:
    from echolm.workspace import Workspace
    from grid.plan import Standing
    from grid.tables.definition import TableCell

COLUMNS = ("cell", "state", "epoch", "left", "labels", "what")
Jobs = dict[str, str]
"""Cell -> the SLURM job that has it, in words."""
LONGEST = 100
"""Characters of ``what`` in a table."""
GIVEN_UP = 5
"""Cells that were given up and are told one by one."""


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


def described(standing: Standing, jobs: Jobs | None = None) -> dict[str, Any]:
    """A cell as ``status --json`` shows it. ``what``: the error, the reason it stopped, or the last validation loss.
    ``seconds_an_epoch`` and ``seconds_left`` by the epochs of this run so far."""
    state, record = standing.state, standing.record
    history = record.history() if record and state.name not in ("pending", "complete") else []
    loss = history[-1]["metrics"].get("val/loss") if history else None
    job = (jobs or {}).get(standing.cell.id, "")
    what = state.evidence.get("error") or state.evidence.get("reason") or (f"val loss {loss:.4g}" if isinstance(loss, float) else "")
    speed = sum(event["seconds"] for event in history) / len(history) if history else None
    left = speed * (standing.cell.config.epochs - history[-1]["epoch"] - 1) if speed is not None else None
    return {
        "cell": standing.cell.id,
        "coordinates": standing.cell.coordinates,
        "state": state.name,
        "attempt": state.attempt,
        "epoch": history[-1]["epoch"] + 1 if history else None,
        "epochs": standing.cell.config.epochs,
        "loss": loss,
        "seconds_an_epoch": None if speed is None else round(speed, 3),
        "seconds_left": None if left is None or state.name != "running" else round(left),
        "what": str(what).splitlines()[0] if what else "",
        "job": job,
        "problem": standing.problem,
        "record": str(record.path) if record else None,
    }


def row(standing: Standing, jobs: Jobs | None = None) -> tuple[str, ...]:
    """``COLUMNS`` of a cell."""
    found = described(standing, jobs)
    epoch = f"{found['epoch']}/{found['epochs']}" if found["epoch"] else ""
    speed = f"{found['seconds_an_epoch']:.2g} s an epoch" if found["state"] == "running" and found["seconds_an_epoch"] else ""
    what = ", ".join(part for part in (found["what"], speed, found["job"]) if part)
    what = what if len(what) <= LONGEST else what[: LONGEST - 1] + "…"
    left = "" if found["seconds_left"] is None else duration(found["seconds_left"])
    return found["cell"][:8], found["state"], epoch, left, labels(standing.cell), what


def duration(seconds: float) -> str:
    """``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def blocked(standings: Sequence[Standing]) -> list[str]:
    """A line for each reason why cells cannot run: how many, which, and what is missing."""
    groups: dict[str, list[str]] = {}
    for standing in standings:
        if standing.problem and standing.state.name != "complete":
            groups.setdefault(standing.problem, []).append(standing.cell.id)
    return [f"{counted(len(ids), 'cell')} cannot run ({_some(ids)}): {problem}" for problem, ids in groups.items()]


def remedies(
    grid: str, standings: Sequence[Standing], *, launching: bool = False, on: str = "local", but: Collection[str] = (), retry_said: bool = False,
) -> list[str]:  # fmt: skip
    """Lines that say what to type about cells that are not complete. ``launching``: at the end of a launch; ``on``:
    where the grid is run; ``but``: cells that a launch would not start, since jobs have them or they are given up;
    ``retry_said``: ``hindrances`` has said it."""
    ids: dict[str, list[str]] = {}
    for standing in standings:
        if not (standing.problem and standing.state.name == "pending"):
            ids.setdefault(standing.state.name, []).append(standing.cell.id)
    there = on_words(on)
    lines = []
    if launching and "running" in ids:
        lines.append(f"{counted(len(ids['running']), 'cell')} still running elsewhere ({_some(ids['running'])}); look: {typed('status', grid)}")
    if "failed" in ids:
        lines.append(f"why a cell failed: {typed('logs', ids['failed'][0][:8])}")
    again = [name for name in ("failed", "cancelled", "pruned") if name in ids]
    if again and not retry_said:
        lines.append(f"to run {' and '.join(again)} cells again: {typed('retry', grid, *there)}")
    if set(ids.get("interrupted", []) + ids.get("pending", [])) - set(but):
        lines.append(f"to run the rest: {typed('launch', grid, *there)}")
    return lines


def hindrances(grid: str, stop: str, given_up: Mapping[str, str], *, on: str = "local") -> list[str]:
    """Why cells are not started any more, and what to type when that is mended. ``stop``: the sentence that stops all of
    them, or ''; ``given_up``: cell -> why; ``on``: where the grid is run."""
    lines = [stop] if stop else []
    lines += [f"cell {cell[:8]} is given up: {reason}" for cell, reason in list(given_up.items())[:GIVEN_UP]]
    if len(given_up) > GIVEN_UP:
        lines.append(f"... and {counted(len(given_up) - GIVEN_UP, 'cell')} more; --json lists them")
    return [*lines, f"when the cause is mended: {typed('retry', grid, *on_words(on))}"] if lines else []


def tell(lines: Sequence[str]) -> None:
    """Lines for the person at the keyboard, on standard error."""
    for line in lines:
        click.echo(line, err=True)


def where_run(workspace: Workspace, grid: str) -> str:
    """Where a grid was run, as far as that is known: ``slurm``, ``ray``, else ``local``."""
    from cluster.failures import failures

    if (workspace.grids / grid / "jobs").is_dir():
        return "slurm"
    return "ray" if any(failure.job.startswith("ray-") for failure in failures(workspace, grid)) else "local"


def on_words(on: str) -> tuple[str, ...]:
    """What a command that runs cells there has to say of that: here is the default."""
    return () if on == "local" else ("--on", on)


def _some(ids: Sequence[str]) -> str:
    """The first ids, shortened."""
    return ", ".join(id[:8] for id in ids[:4]) + (", ..." if len(ids) > 4 else "")
