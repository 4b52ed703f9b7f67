"""``echolm logs``: what runs wrote, and how they and their jobs ended."""

from __future__ import annotations

from typing import Any

import click

from echolm.cli.options import as_json, print_json, typed, where
from echolm.cli.standings import labels, on_words, tell, where_run
from echolm.errors import EchoLMError
from echolm.record import RunRecord
from echolm.workspace import Workspace


@click.command()
@click.argument("what", metavar="CELL|GRID")
@where
@click.option("--attempt", type=click.IntRange(1), help="Which attempt.  [default: the newest]")
@as_json
@click.pass_obj
def logs(workspace: Workspace, what: str, where: tuple[str, ...], attempt: int | None, as_json: bool) -> None:
    """Print the log of a run, and how it ended.

    CELL is a cell's id or the start of one, as 'echolm status GRID' shows it; with --where, GRID is a grid, and the logs of
    its cells that have been run are printed. A failed run's log has its traceback; of a cell that never began, what
    became of its jobs is told.
    """
    from grid.plan import find_cell

    if where:
        return _print_many(workspace, what, where, attempt, as_json)
    try:
        id, _ = find_cell(what, workspace)
    except EchoLMError:
        _refuse_grid(what)
        raise
    found = _log(workspace, id, attempt)
    if as_json:
        return print_json(found)
    _print(found)


def _refuse_grid(what: str) -> None:
    """EchoLMError when that is a grid, of which somebody wants a log."""
    from grid.definition import load_grid

    try:
        axes = [*load_grid(what).cells[0].coordinates]
    except EchoLMError:
        return
    raise EchoLMError(f"{what} is a grid: choose among its cells with --where AXIS=LABEL (axes: {', '.join(axes)}), or name one that {typed('status', what)} shows")


def _print_many(workspace: Workspace, grid_name: str, where: tuple[str, ...], attempt: int | None, as_json: bool) -> None:
    from grid.definition import load_grid

    grid = load_grid(grid_name)
    found = []
    for cell in grid.where(where):
        try:
            found.append((cell, _log(workspace, cell.id, attempt)))
        except EchoLMError:
            continue  # it has not been run, or not so often
    if as_json:
        return print_json({"grid": grid.name, "logs": [log for _, log in found]})
    for cell, log in found:
        click.echo(f"== {cell.id[:8]}  {labels(cell)}")
        _print(log)
    if attempt and not found:
        raise EchoLMError(f"no cell of these has an attempt {attempt}; without --attempt, the newest of each is printed")
    tell([] if found else [f"no cell of these has been run; to run them: {typed('launch', grid_name, *on_words(where_run(workspace, grid.name)))}"])


def _log(workspace: Workspace, cell: str, attempt: int | None) -> dict[str, Any]:
    """A run's log as JSON shows it. EchoLMError: neither a run nor a job of the cell has left anything."""
    from echolm.record import find_records

    records, jobs = find_records(workspace.runs, cell), _jobs(workspace, cell)
    if jobs and not attempt and not (records and records[0].attempts()):
        return {"cell": cell, "attempt": None, "path": None, "log": "", "events": [], "jobs": jobs}
    number = _attempt(records, cell, attempt)
    path = records[0].attempt_path(number)
    log = path / "log.txt"
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    place = {"cell": cell, "attempt": number, "path": str(path), "log": text, "events": records[0].events(number)}
    return {**place, "jobs": jobs} if jobs else place


def _jobs(workspace: Workspace, cell: str) -> list[dict[str, Any]]:
    """Failures of jobs that were training a cell, or that ended before they trained anything of its batch."""
    from echolm.record import read_json, read_lines

    found = []
    for file in sorted(workspace.grids.glob("*/failures.jsonl")):
        for line in read_lines(file, "job"):
            if not line["batch"]:  # Ray's
                found += [{**line, "logs": str(file.parent / "workers")}] if cell in line["cells"] else []
                continue
            batch = file.parent / "jobs" / str(line["batch"]) / "batch.json"
            own = cell in line["cells"] or (not line["cells"] and batch.exists() and any(cell in unit for unit in read_json(batch)["units"]))
            found += [{**line, "logs": str(batch.with_name("logs"))}] if own else []
    return found


def _print(found: dict[str, Any]) -> None:
    if found["path"]:
        tell([f"{found['path']} (attempt {found['attempt']})"])
        click.echo(found["log"] or "(no line was logged)\n", nl=False)
    for event in found["events"]:
        if event["event"] not in ("epoch", "started"):
            click.echo(" ".join(f"{key}={value}" for key, value in event.items() if key not in ("traceback", "time")))
    for job in found.get("jobs", []):
        click.echo(f"job {job['job']}{' on ' + job['node'] if job['node'] else ''}: {job['kind']}; its logs: {job['logs']}")
        click.echo(str(job["evidence"]).strip())


def _attempt(records: list[RunRecord], cell: str, wanted: int | None) -> int:
    """The attempt to show; EchoLMError when it is not there."""
    numbers = records[0].attempts() if records else []
    if not numbers:
        raise EchoLMError(f"cell {cell} has not been run in this workspace; to run it: {typed('train', cell)}")
    if wanted and wanted not in numbers:
        raise EchoLMError(f"cell {cell} has no attempt {wanted}; valid: {', '.join(map(str, numbers))}")
    return wanted or numbers[-1]
