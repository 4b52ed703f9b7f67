"""List what failed: attempts of runs, and jobs, also what was run again since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from grid.report.content import ReportContent, ReportedFailure


@dataclass(frozen=True)
class FailureItem:
    """A failure as the page shows it.

    Args:
        failure: the failure.
        cells: its cells.
        now: the states of its cells by now.
        when: its time. Empty where it is not known.
    """

    failure: ReportedFailure
    cells: list[FailedCell]
    now: str
    when: str


@dataclass(frozen=True)
class FailedCell:
    """The cell of a failure, and where the page shows it. A cell of another grid has no anchor."""

    id: str
    anchor: str


def failure_items(content: ReportContent) -> list[FailureItem]:
    """List the failures, each with its cells and whether these are complete by now."""
    states = {run.cell: run.state for run in content.runs}
    anchors = content.anchors
    items = []
    for failure in content.failures:
        known_states = [states[cell] for cell in failure.cells if states.get(cell)]
        item = FailureItem(
            failure=failure,
            cells=[FailedCell(cell, anchors.get(cell, "")) for cell in failure.cells],
            now=", ".join(f"now {state}" for state in dict.fromkeys(known_states)),
            when=_spell_time(failure.time) if failure.time else "",
        )
        items.append(item)
    return items


def _spell_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
