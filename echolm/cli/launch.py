"""``echolm launch``: run what is missing of a grid."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Sequence
from signal import Signals
from typing import TYPE_CHECKING, Any

import click

from echolm.cli import submit
from echolm.cli.how import How, choose, compute_options
from echolm.cli.options import as_json, counted, grid_argument, print_json, print_table, typed, where
from echolm.cli.standings import blocked, counts, hindrances, labels, remedies, states, tell
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.local import LocalExecutor
    from cluster.ray.executor import RayExecutor
    from grid.definition import Cell, Grid
    from grid.plan import Report, Standing, Unit


@click.command()
@grid_argument
@where
@compute_options
@click.option("--dry-run", is_flag=True, help="Say what would run; run and write nothing.")
@as_json
@click.pass_obj
def launch(workspace: Workspace, grid_name: str, where: tuple[str, ...], dry_run: bool, as_json: bool, **how: Any) -> None:
    """Run the cells of GRID that have no complete run.

    GRID is a name from 'echolm grid list' or the path of a YAML file. Launching twice runs nothing twice; Ctrl-C stops
    with checkpoints, and the next launch continues from them. Failed and cancelled cells wait for 'echolm retry GRID'.
    On SLURM the command submits and returns; run it again, or with --watch, to submit what was lost or did not fit.

    \b
    Exit status: 0 all these cells are complete (slurm without --watch: what can be submitted is), 1 some are not,
    130 or 143 stopped by SIGINT or SIGTERM.
    """
    from grid.definition import load_grid
    from grid.plan import survey

    chosen = choose(workspace, grid_name, **how)
    grid = load_grid(grid_name)
    cells = grid.where(where)
    if dry_run and chosen.on == "slurm":
        return submit.dry_run(workspace, grid_name, grid, cells, chosen.request(), as_json)
    if dry_run:
        return _print_plan(workspace, grid_name, grid, survey(cells, workspace), chosen.on, as_json)
    sys.exit(run_cells(workspace, grid_name, grid, cells, chosen, {} if as_json else None))


def run_cells(workspace: Workspace, grid_name: str, grid: Grid, cells: list[Cell], how: How, facts: dict[str, Any] | None) -> int:
    """Run what is missing of ``cells`` where ``how`` says; the exit status.

    ``facts``: the beginning of the JSON document to print, None for text.
    """
    if how.on == "slurm":
        return submit.submit_cells(workspace, grid_name, grid, cells, how.request(), facts)
    return _run_here(workspace, grid_name, grid, cells, how, facts)


def _run_here(workspace: Workspace, grid_name: str, grid: Grid, cells: list[Cell], how: How, facts: dict[str, Any] | None) -> int:
    """Run what is missing of ``cells`` under this process, collect and say how they stand; the exit status."""
    from grid.plan import save_cells, survey, to_run, units

    before = survey(cells, workspace)
    lost = _given_up(workspace, grid.name, before, how.on)
    todo = [s for s in before if to_run(s) and s.run and s.cell.id not in lost]
    save_cells(grid, workspace)
    tell(blocked(before))
    planned = units(todo)
    click.echo(f"{grid.name}: {counts(before)}; running {len(todo)} in {counted(len(planned), 'unit')}", err=facts is not None)
    stopped, halted = _execute(workspace, grid.name, planned, [s.cell for s in todo], how) if planned else ("", "")
    after = survey(cells, workspace)
    lost = _given_up(workspace, grid.name, after, how.on)
    collected = stopped or how.no_collect or _collect(grid.name, after, quiet=facts is not None)
    if facts is None:
        click.echo(f"{grid.name}: {counts(after)}")
    else:
        print_json({"grid": grid.name, **facts, "states": states(after), **_lost(lost, how.on), "stopped": stopped or halted or None})
    tell([f"stopped by {stopped}; checkpoints are written"] if stopped else [])
    why = hindrances(grid_name, "", lost, on=how.on)
    tell([*([halted] if halted else []), *why, *remedies(grid_name, after, launching=True, on=how.on, but=lost, retry_said=bool(why))])
    if stopped:
        return 128 + Signals[stopped]
    return 0 if collected and all(s.state.name == "complete" for s in after) else 1


def _given_up(workspace: Workspace, grid: str, standings: Sequence[Standing], on: str) -> dict[str, str]:
    """Cells that a launch on Ray does not start, since their processes were lost too often -> why."""
    from cluster.failures import failures, given_up
    from grid.plan import to_run

    waiting = {s.cell.id for s in standings if to_run(s)} if on == "ray" else set()
    return {cell: why for cell, why in given_up(failures(workspace, grid)).items() if cell in waiting} if waiting else {}


def _lost(given_up: dict[str, str], on: str) -> dict[str, dict[str, str]]:
    """The entry of JSON documents about a launch on Ray."""
    return {"given_up": given_up} if on == "ray" else {}


def _execute(workspace: Workspace, grid: str, planned: list[Unit], cells: list[Cell], how: How) -> tuple[str, str]:
    """Run units with a progress display. The name of the signal that stopped it, and why units were not started, or ''."""
    from grid.plan import Job, Limits, Resources

    threads = how.threads or 1
    ranks = how.gpus or how.ranks
    if how.on == "ray":
        from cluster.ray.executor import RayExecutor

        executor: LocalExecutor | RayExecutor = RayExecutor(how.ray_address)
        slots = how.slots or 0
    else:
        from cluster.local import LocalExecutor

        devices = _devices()
        executor = LocalExecutor(devices)
        slots = how.slots or (len(devices) if devices != ["cpu"] else max(1, len(os.sched_getaffinity(0)) // threads))
    gpus = how.gpus if how.on == "ray" else 0
    needs = Resources(gpus=gpus, ranks=ranks, threads=threads, memory_gb=how.memory_gb, micro_batch=how.micro_batch)
    with contextlib.closing(Progress(cells)) as progress:
        executor.launch(Job(workspace.root, grid, tuple(planned), needs), Limits(slots), progress)
    return executor.stopped, executor.halted


def _devices() -> list[str]:
    """The CUDA devices of this machine, else ``cpu``; torch (seconds to import) is asked only where there is a driver."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ["cpu"]
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]


def _collect(grid: str, after: Sequence[Standing], quiet: bool) -> bool:
    """Export what is complete to MLflow. An error of that is told; the runs are safe."""
    from echolm.cli.collect import collect_once

    if not any(s.state.name == "complete" for s in after):
        return True
    try:
        with contextlib.redirect_stdout(sys.stderr) if quiet else contextlib.nullcontext():
            workspace: Workspace = click.get_current_context().obj
            collect_once(workspace, (grid,), workspace.tracking_uri)
        return True
    except (EchoLMError, OSError) as error:
        tell([f"the runs are stored, but not collected: {error}", f"to collect them: {typed('collect', grid)}"])
        return False


class Progress:
    """Reports as a progress bar over epochs on a terminal, and one plain line a cell."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        from tqdm import tqdm

        self._cells = {cell.id: cell for cell in cells}
        self._epochs = dict.fromkeys(self._cells, 0)
        self._began = time.monotonic()
        self._ended: set[str] = set()
        total = sum(cell.config.epochs for cell in cells)
        self._bar = tqdm(total=total, unit="epoch", disable=not sys.stderr.isatty(), dynamic_ncols=True)

    def __call__(self, report: Report) -> None:
        """Show one report."""
        facts = report.facts
        if report.event == "epoch":
            self._advance(report.cell, facts["epoch"])
        elif report.event == "ended":
            self._ended.add(report.cell)
            self._advance(report.cell, self._cells[report.cell].config.epochs if facts["state"] != "interrupted" else 0)
            self._say(report.cell, facts["state"], facts["detail"])
        elif report.event == "smaller":
            self._say(report.cell, "smaller", f"out of memory; again with micro-batches of {facts['micro_batch']}")
        else:
            then = "it starts again" if facts["again"] else f"given up after {facts['deaths']} times; its log: {facts['log']}"
            self._say(report.cell, "worker died", f"{facts.get('how') or _how(facts['status'])}; {then}")

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def _advance(self, cell: str, epoch: int) -> None:
        self._bar.update(max(0, epoch - self._epochs[cell]))
        self._epochs[cell] = max(epoch, self._epochs[cell])

    def _say(self, cell: str, state: str, detail: str) -> None:
        from tqdm import tqdm

        seconds = time.monotonic() - self._began
        line = f"[{len(self._ended)}/{len(self._cells)}] {seconds:5.0f} s  {cell[:8]}  {state:<11} {labels(self._cells[cell])}"
        tqdm.write(line + (f"  ({detail.splitlines()[0]})" if detail else ""), file=sys.stderr)


def _how(status: int) -> str:
    """An exit status in words: ``killed by SIGKILL``."""
    if status >= 0:
        return f"exit status {status}" if status else "stopped by a signal"
    return f"killed by {Signals(-status).name}" if -status in set(Signals) else f"killed by signal {-status}"


def _print_plan(workspace: Workspace, grid_name: str, grid: Grid, standings: list[Standing], on: str, as_json: bool) -> None:
    """The plan of a dry run: what would run if no data and weights were missing."""
    from cluster.tracebacks import stops
    from grid.plan import to_run, units

    stop = stops(workspace, grid.name)
    lost = _given_up(workspace, grid.name, standings, on)
    todo = [] if stop else [s for s in standings if to_run(s) and s.cell.id not in lost]
    planned = units(todo)
    missing = blocked([s for s in standings if to_run(s)])
    if as_json:
        return print_json({
            "grid": grid.name, "states": states(standings), "units": [list(unit.cells) for unit in planned], "blocked": missing,
            **_lost(lost, on), "stopped": stop or None,
        })  # fmt: skip
    by_id = {s.cell.id: s for s in todo}
    print_table(["unit", "cell", "state", "labels"], [
        (number, id, by_id[id].state.name, labels(by_id[id].cell)) for number, unit in enumerate(planned) for id in unit.cells
    ])  # fmt: skip
    click.echo(f"{grid.name}: {counts(standings)}; would run {len(todo)} in {counted(len(planned), 'unit')}")
    tell([*missing, *hindrances(grid_name, stop, lost, on=on)])
