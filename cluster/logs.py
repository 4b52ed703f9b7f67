"""The log of a run, how it ended, and what became of the jobs that had its cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.files import read_json, read_lines
from echolm.record import RunRecord, find_records
from echolm.workspace import Workspace


def cell_log(workspace: Workspace, cell: str, attempt: int | None = None) -> dict[str, Any]:
    """Read a run's log as JSON shows it: cell, attempt, path, log, events, and jobs if any.

    Args:
        workspace: where the cell was run.
        cell: its id.
        attempt: which attempt. None for the newest.

    Raises:
        EchoLMError: neither a run nor a job of the cell has left anything.
    """
    records = find_records(workspace.runs, cell)
    jobs = job_failures_of(workspace, cell)
    never_ran = not (records and records[0].attempts())
    if jobs and not attempt and never_ran:
        return {"cell": cell, "attempt": None, "path": None, "log": "", "events": [], "jobs": jobs}
    number = _choose_attempt(records, cell, attempt)
    folder = records[0].attempt_path(number)
    file = folder / "log.txt"
    text = ""
    if file.exists():
        text = file.read_text(encoding="utf-8", errors="replace")
    facts: dict[str, Any] = {
        "cell": cell,
        "attempt": number,
        "path": str(folder),
        "log": text,
        "events": records[0].events(number),
    }
    if jobs:
        facts["jobs"] = jobs
    return facts


def job_failures_of(workspace: Workspace, cell: str) -> list[dict[str, Any]]:
    """Read the failures of jobs that trained a cell, or ended before they trained its batch."""
    failures = []
    for file in sorted(workspace.grids.glob("*/failures.jsonl")):
        for line in read_lines(file, "job"):
            if not line["batch"]:  # Ray has no batches
                if cell in line["cells"]:
                    failures.append({**line, "logs": str(file.parent / "workers")})
                continue
            batch = file.parent / "jobs" / str(line["batch"]) / "batch.json"
            if cell in line["cells"] or (not line["cells"] and _has_cell(batch, cell)):
                failures.append({**line, "logs": str(batch.with_name("logs"))})
    return failures


def _has_cell(batch: Path, cell: str) -> bool:
    if not batch.exists():
        return False
    return any(cell in unit for unit in read_json(batch)["units"])


def _choose_attempt(records: list[RunRecord], cell: str, attempt: int | None) -> int:
    """Return the attempt to show, the newest unless one was asked for."""
    numbers = records[0].attempts() if records else []
    if not numbers:
        message = f"cell {cell} has not been run in this workspace; to run it"
        raise EchoLMError(message, Command("train", cell))
    if attempt is None:
        return numbers[-1]
    if attempt not in numbers:
        listed = ", ".join(map(str, numbers))
        raise EchoLMError(f"cell {cell} has no attempt {attempt}; valid: {listed}")
    return attempt
