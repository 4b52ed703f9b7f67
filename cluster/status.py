"""How the cells of a grid stand: their records, their jobs, and why some are not started."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.failures import failures, given_up, never_began
from cluster.tracebacks import stop_reason
from echolm.commands import Command, Hint
from echolm.errors import EchoLMError
from echolm.states import RunState, Standing
from echolm.text import counted
from echolm.training.half_weights import begins_with_half
from echolm.training.live import read_live
from echolm.training.prepare import left_out_line
from echolm.workspace import Workspace
from grid.definition.grid import Cell
from grid.plan import CellStatus, cell_statuses, needs_run
from grid.units import TO_RUN

GOING = (RunState.PENDING, RunState.RUNNING, RunState.INTERRUPTED, Standing.WAITING)
"""How a cell stands that has not ended."""
LISTED_GIVEN_UP = 5
"""Cells that were given up and are told one by one."""
LISTED_IDS = 4
"""Cells that a line names."""

PHASES = {"training": "step"}
"""Words of a table for phases of a run, where they differ."""


@dataclass(frozen=True)
class GridStatus:
    """Where the cells of a grid stand at the moment of looking.

    Attributes:
        cells: one status a cell, in the grid's order.
        on: where the grid was run, as far as that is known.
        jobs: cell -> the SLURM job that has it, in words.
        covered: cells that jobs will train.
        given_up: cell -> why a launch does not start it any more.
        stop_reason: why nothing more of the grid is started, or ''.
        unasked: why SLURM could not be asked, or ''. Records speak alone then.
    """

    cells: list[CellStatus]
    on: str
    jobs: dict[str, str]
    covered: frozenset[str]
    given_up: dict[str, str]
    stop_reason: str
    unasked: str = ""

    @property
    def over(self) -> bool:
        """Whether every cell has ended."""
        return not any(status.state.name in GOING for status in self.cells)

    @property
    def not_started(self) -> set[str]:
        """Cells that a launch would not start now: jobs have them, or they are given up."""
        if self.stop_reason:
            return {status.cell.id for status in self.cells}
        return {*self.covered, *self.given_up}


def look_at_grid(workspace: Workspace, grid: str, cells: Sequence[Cell]) -> GridStatus:
    """Look at the cells of a grid, at their jobs, and at what launches wrote down."""
    on = where_run(workspace, grid)
    jobs: dict[str, str] = {}
    covered: frozenset[str] = frozenset()
    newest_begun, unasked = "", ""
    if on == "slurm":
        from cluster.slurm.submit.ledger import job_of_each_cell, query_jobs

        try:
            views = query_jobs(workspace, grid, remembered=False)
            begun = [view.batch.name for view in views if view.batch.begun]
            newest_begun = max(begun, default="")
            job_by_cell = job_of_each_cell(views)
            covered = frozenset(cell for view in views for cell in view.covered())
            jobs = job_by_cell
        except EchoLMError as error:
            unasked = f"SLURM is not asked: {error}"
    statuses = cell_statuses(cells, workspace)
    known_failures = failures(workspace, grid)
    waiting = {status.cell.id for status in statuses if needs_run(status)} - covered
    lost = {cell: why for cell, why in given_up(known_failures).items() if cell in waiting}
    stop = ""
    if any(status.state.name != RunState.COMPLETE for status in statuses):
        stop = stop_reason(workspace, grid) or never_began(known_failures, newest_begun)
    return GridStatus(statuses, on, jobs, covered, lost, stop, unasked)


def where_run(workspace: Workspace, grid: str) -> str:
    """Say where a grid was run, as far as that is known: ``slurm``, ``ray``, else ``local``."""
    if (workspace.grids / grid / "jobs").is_dir():
        return "slurm"
    if any(failure.job.startswith("ray-") for failure in failures(workspace, grid)):
        return "ray"
    return "local"


def retry_command(grid: str, on: str) -> Command:
    """Make the command that runs stopped cells again. A retry is here unless it says otherwise."""
    return Command("retry", grid, on=on_words(on))


def launch_command(grid: str, on: str) -> Command:
    """Make the command that runs the rest of a grid, where it was run before."""
    return Command("launch", grid, on=on_words(on))


def on_words(on: str) -> str:
    """Return what a command says of the place: nothing when it is this machine, the default."""
    return "" if on == "local" else on


def count_states(statuses: Sequence[CellStatus]) -> dict[str, int]:
    """Count cells by state, sorted by the state's name."""
    counts = Counter(str(status.state.name) for status in statuses)
    return dict(sorted(counts.items()))


def counts_line(statuses: Sequence[CellStatus]) -> str:
    """Count cells by state in words: ``4 cells: 3 complete, 1 failed``."""
    parts = [f"{count:,} {name}" for name, count in count_states(statuses).items()]
    cells = counted(len(statuses), "cell")
    return f"{cells}: {', '.join(parts)}" if parts else cells


def cell_facts(status: CellStatus, jobs: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Describe a cell as ``status --json`` shows it.

    ``what`` is the error, the reason it stopped, or the last validation loss. ``seconds_an_epoch``
    and ``seconds_left`` come from the epochs of this run so far. Of a run in training, ``phase``,
    ``step`` and ``steps`` say where it stands within its epoch, if that was written down.
    """
    state, record = status.state, status.record
    epochs = status.cell.config.epochs
    history = []
    if record and state.name not in (RunState.PENDING, RunState.COMPLETE):
        history = record.history()
    epoch = loss = speed = left = None
    if history:
        last = history[-1]
        epoch = last["epoch"] + 1
        loss = last["metrics"].get("val/loss")
        speed = sum(event["seconds"] for event in history) / len(history)
        if state.name == RunState.RUNNING:
            left = round(speed * (epochs - epoch))
        speed = round(speed, 3)
    live = None
    if record and state.name == RunState.RUNNING:
        live = read_live(record, state.attempt)
    if live:
        epoch = epoch or 0
        if live.seconds_left is not None:
            left = round(live.seconds_left)
    what = state.evidence.get("error") or state.evidence.get("reason") or ""
    if not what and isinstance(loss, float):
        what = f"val loss {loss:.4g}"
    lines = str(what).splitlines()
    return {
        "cell": status.cell.id,
        "coordinates": status.cell.coordinates,
        "state": state.name,
        "attempt": state.attempt,
        "epoch": epoch,
        "epochs": epochs,
        "phase": PHASES.get(live.phase, live.phase) if live else "",
        "step": live.step if live else None,
        "steps": live.steps if live else None,
        "loss": loss,
        "seconds_an_epoch": speed,
        "seconds_left": left,
        "what": lines[0] if lines else "",
        "job": (jobs or {}).get(status.cell.id, ""),
        "problem": status.problem,
        "waits_for": status.waits_for or None,
        "record": str(record.path) if record else None,
    }


def seconds_left(statuses: Sequence[CellStatus]) -> float | None:
    """Estimate the seconds until all cells have ended, by those that run now.

    As many as run now are taken to run until the end, and a cell that waits to take as long an
    epoch as they do.

    Returns:
        None while none runs of which something is known.
    """
    of_running, speeds = [], []
    for status in statuses:
        if status.state.name == RunState.RUNNING:
            facts = cell_facts(status)
            if facts["seconds_left"] is not None:
                of_running.append(float(facts["seconds_left"]))
            if facts["seconds_an_epoch"]:
                speeds.append(facts["seconds_an_epoch"])
    if not of_running:
        return None
    waiting_epochs = 0
    for status in statuses:
        to_come = (*TO_RUN, Standing.WAITING)
        if status.state.name in to_come and not status.problem:
            waiting_epochs += status.cell.config.epochs
    if waiting_epochs and not speeds:
        return None
    work = sum(of_running)
    if waiting_epochs:
        work += waiting_epochs * sum(speeds) / len(speeds)
    return max(*of_running, work / len(of_running))


def blocked_cells(statuses: Sequence[CellStatus]) -> list[str]:
    """Say why cells cannot run, a line for each reason: how many, which, and what is missing."""
    groups: dict[str, list[str]] = {}
    for status in statuses:
        if status.problem and status.state.name != RunState.COMPLETE:
            groups.setdefault(status.problem, []).append(status.cell.id)
    lines = []
    for problem, ids in groups.items():
        lines.append(f"{counted(len(ids), 'cell')} cannot run ({list_ids(ids)}): {problem}")
    return lines


def waiting_cells(statuses: Sequence[CellStatus]) -> list[str]:
    """Say for which cells others wait, and by which they are blocked, a line for each."""
    groups: dict[tuple[str, str], list[str]] = {}
    for status in statuses:
        state = status.state
        if state.name in (Standing.WAITING, Standing.BLOCKED):
            key = str(state.name), str(state.evidence["reason"])
            groups.setdefault(key, []).append(status.cell.id)
    lines = []
    for (standing, reason), ids in groups.items():
        lines.append(f"{counted(len(ids), 'cell')} {standing} ({list_ids(ids)}): {reason}")
    return lines


def left_out_items(statuses: Sequence[CellStatus]) -> list[str]:
    """Say how many items of each store cells leave out, and why, a line for each reason."""
    lines = [left_out_line(status.run) for status in statuses if status.run is not None]
    return [line for line in dict.fromkeys(lines) if line]


def half_weights(statuses: Sequence[CellStatus]) -> list[str]:
    """Say how many cells to run begin with weights of which a run kept half of the bits."""
    answers: dict[Path, bool] = {}
    ids = []
    for status in statuses:
        run = status.run
        if run is None or run.weights is None or status.state.name == RunState.COMPLETE:
            continue
        if run.weights not in answers:
            answers[run.weights] = begins_with_half(run)
        if answers[run.weights]:
            ids.append(status.cell.id)
    if not ids:
        return []
    return [
        f"{counted(len(ids), 'cell')} ({list_ids(ids)}) begin with weights that were kept with 16 "
        "bits a number (keep: half), and their records say so"
    ]


def next_commands(
    grid: str,
    statuses: Sequence[CellStatus],
    *,
    launching: bool = False,
    on: str = "local",
    not_started: Collection[str] = (),
    retry_said: bool = False,
) -> list[Hint]:
    """Say what to type about cells that are not complete.

    Args:
        grid: the grid as the user names it.
        statuses: where its cells stand.
        launching: whether this ends a launch, to which running cells are somebody else's.
        on: where the grid is run.
        not_started: cells that a launch would not start, since jobs have them or they are given up.
        retry_said: whether ``blocking_reasons`` has named the retry already.
    """
    ids: dict[str, list[str]] = {}
    for status in statuses:
        if not (status.problem and status.state.name == RunState.PENDING):
            ids.setdefault(status.state.name, []).append(status.cell.id)
    hints = []
    if launching and RunState.RUNNING in ids:
        running = ids[RunState.RUNNING]
        count = counted(len(running), "cell")
        text = f"{count} still running elsewhere ({list_ids(running)}); look"
        hints.append(Hint(text, Command("status", grid)))
    if RunState.FAILED in ids:
        first = ids[RunState.FAILED][0][:8]
        hints.append(Hint("why a cell failed", Command("logs", first)))
    stopped = [
        name for name in (RunState.FAILED, RunState.CANCELLED, RunState.PRUNED) if name in ids
    ]
    if stopped and not retry_said:
        text = f"to run {' and '.join(stopped)} cells again"
        hints.append(Hint(text, retry_command(grid, on)))
    waiting = {*ids.get(RunState.INTERRUPTED, ()), *ids.get(RunState.PENDING, ())}
    if waiting - set(not_started):
        hints.append(Hint("to run the rest", launch_command(grid, on)))
    return hints + _hints_of_stages(grid, statuses, on)


def _hints_of_stages(grid: str, statuses: Sequence[CellStatus], on: str) -> list[Hint]:
    """Say what to type about cells that begin from cells which are not among them."""
    cells = {status.cell.id for status in statuses}
    away = set()
    for status in statuses:
        if status.upstream not in cells:
            away.add(status.state.name)
    hints = []
    if Standing.WAITING in away:
        hints.append(Hint("to train first what cells wait for", launch_command(grid, on)))
    if Standing.BLOCKED in away:
        hints.append(Hint("to run again what blocks cells", retry_command(grid, on)))
    return hints


def blocking_reasons(
    grid: str, stop_reason: str, given_up: Mapping[str, str], *, on: str = "local"
) -> list[Hint]:
    """Say why cells are not started any more, and what to type when that is mended.

    Args:
        grid: the grid as the user names it.
        stop_reason: the sentence that stops all of its cells, or ''.
        given_up: cell -> why it was given up.
        on: where the grid is run.
    """
    hints = []
    if stop_reason:
        hints.append(Hint(stop_reason))
    for cell, reason in list(given_up.items())[:LISTED_GIVEN_UP]:
        hints.append(Hint(f"cell {cell[:8]} is given up: {reason}"))
    if len(given_up) > LISTED_GIVEN_UP:
        more = counted(len(given_up) - LISTED_GIVEN_UP, "cell")
        hints.append(Hint(f"... and {more} more; --json lists them"))
    if hints:
        hints.append(Hint("when the cause is mended", retry_command(grid, on)))
    return hints


def list_ids(ids: Sequence[str]) -> str:
    """List the first cells by their shortened ids."""
    names = ", ".join(id[:8] for id in ids[:LISTED_IDS])
    return f"{names}, ..." if len(ids) > LISTED_IDS else names
