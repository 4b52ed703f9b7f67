"""Print where the cells of a grid stand, and what to type next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from echolm.cli.options import program
from echolm.cli.terminal import say
from echolm.commands import Hint
from echolm.text import counted, duration

if TYPE_CHECKING:
    from cluster.failures import JobFailure
    from echolm.workspace import Workspace
    from grid.definition.tables import TableCell, TableGrid
    from grid.plan import CellStatus

COLUMNS = ("cell", "state", "epoch", "left", "labels", "what")
LONGEST = 100
"""Characters of ``what`` in a table."""


def labels(cell: TableCell) -> str:
    """Spell a cell's labels, and that its weights are random: ``axis=label axis=label``."""
    words = [f"{axis}={label}" for axis, label in cell.coordinates.items()]
    note = weights_note(cell)
    return " ".join([*words, f"({note})"] if note else words)


def weights_note(cell: TableCell) -> str:
    """Return "random weights" of a cell whose encoder has published ones and begins without."""
    from echolm.weights import random_weights

    config = getattr(cell, "config", None)
    if config is None:
        return ""
    return random_weights(config.encoder.name, str(config.weights))


def status_row(status: CellStatus, jobs: Mapping[str, str]) -> tuple[str, ...]:
    """Return the ``COLUMNS`` of a cell."""
    from cluster.status import cell_facts

    facts = cell_facts(status, jobs)
    epoch = left = ""
    parts = [facts["what"]]
    if facts["epoch"] is not None:
        epoch = f"{facts['epoch']}/{facts['epochs']}"
    if facts["phase"]:
        parts.append(f"{facts['phase']} {facts['step']}/{facts['steps']}")
    if facts["seconds_left"] is not None:
        left = duration(facts["seconds_left"])
    if facts["state"] == "running" and facts["seconds_an_epoch"]:
        parts.append(f"{plain_seconds(facts['seconds_an_epoch'])} s an epoch")
    parts.append(facts["job"])
    what = ", ".join(part for part in parts if part)
    if len(what) > LONGEST:
        what = what[: LONGEST - 1] + "…"
    return facts["cell"][:8], facts["state"], epoch, left, labels(status.cell), what


def plain_seconds(seconds: float) -> str:
    """Write seconds as a plain number, with as many digits as say something."""
    if seconds < 1:
        return f"{seconds:.2f}"
    if seconds < 10:
        return f"{seconds:.1f}"
    return f"{seconds:,.0f}"


def warn(lines: Sequence[str | Hint]) -> None:
    """Print lines for the person at the keyboard, on standard error."""
    for line in lines:
        text = line.spelled(program()) if isinstance(line, Hint) else line
        say(text, err=True)


def warn_of_changes(workspace: Workspace, grid: TableGrid, place: str) -> None:
    """Print how a grid differs from what was launched, and its plugins from those of its runs.

    Args:
        workspace: where it was launched.
        grid: the grid as it was opened.
        place: where it is run.
    """
    from cluster.status import on_words
    from grid.definition.files import launch_differences
    from grid.plugin_changes import plugin_changes

    warn(launch_differences(workspace, grid, on_words(place)))
    warn(plugin_changes(workspace, grid.name, grid.cells))


def warn_of_failures(failures: Sequence[JobFailure]) -> None:
    """Print a line for each job that failed: why, and what is done about its cells."""
    from cluster.failures import CLASSES

    for failure in failures:
        remedy = "it had no unit"
        if failure.cells:
            cells = counted(len(failure.cells), "cell")
            remedy = f"{cells} {CLASSES[failure.kind].remedy}"
        warn([f"job {job_on_node(failure.job, failure.node)}: {failure.kind}; {remedy}"])


def job_on_node(job: str, node: str) -> str:
    """Name a job, and its node where that is known: ``4711_0 on n1``."""
    return f"{job} on {node}" if node else job
