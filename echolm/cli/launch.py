"""``echolm launch``: run what is missing of a grid."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from echolm.cli.options import as_json, print_json, print_table, where
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.definition import Cell, Grid
    from grid.plan import Standing, Unit


@click.command()
@click.argument("grid_name", metavar="GRID")
@click.option("--on", "where_to", type=click.Choice(["local"]), default="local", show_default=True, help="Where jobs run.")
@where
@click.option("--slots", type=click.IntRange(1), help="Workers at once.  [default: one per GPU, else one per CPU]")
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True, help="CPU threads of a worker.")
@click.option("--micro-batch", type=click.IntRange(1), help="Samples pushed at once; the batch size stays.")
@click.option("--no-collect", is_flag=True, help="Do not export to MLflow at the end.")
@click.option("--dry-run", is_flag=True, help="Say what would run, and run nothing.")
@as_json
@click.pass_obj
def launch(
    workspace: Workspace, grid_name: str, where_to: str, where: tuple[str, ...], slots: int | None, threads: int,
    micro_batch: int | None, no_collect: bool, dry_run: bool, as_json: bool,
) -> None:  # fmt: skip
    """Run the cells of GRID that have no complete run. Launching twice runs nothing twice.

    Failed and cancelled cells wait for: echolm retry GRID
    """
    from grid.definition import load_grid
    from grid.plan import Resources, save_cells, survey, to_run, units

    grid = load_grid(grid_name)
    standings = survey(grid.where(where), workspace)
    todo = [s for s in standings if to_run(s) and (s.run or dry_run)]
    planned = units(todo)
    if dry_run:
        return _print_plan(grid, standings, planned, as_json)
    _print_blocked([s for s in standings if to_run(s) and not s.run])
    if todo and grid.cells:
        save_cells(grid, workspace)
    click.echo(f"{grid.name}: {_counts(standings)}; running {len(todo)} cells in {len(planned)} units", err=as_json)
    stopped = ""
    if planned:
        stopped = run_local(workspace, grid.name, planned, {s.cell.id: s.cell for s in todo}, slots, Resources(threads=threads, micro_batch=micro_batch))
    after = survey([s.cell for s in standings], workspace)
    if stopped:
        click.echo(f"stopped by {stopped}; checkpoints are written; continue: echolm launch {grid_name} --on local", err=True)
        sys.exit(130 if stopped == "SIGINT" else 143)
    if not no_collect and any(s.state.name == "complete" for s in after):
        from echolm.cli.collect import collect

        click.get_current_context().invoke(collect, grids=(grid.name,))
    if as_json:
        print_json({"grid": grid.name, "states": dict(Counter(s.state.name for s in after))})
    else:
        click.echo(f"{grid.name}: {_counts(after)}")
    sys.exit(0 if all(s.state.name == "complete" for s in after) else 1)


def run_local(workspace: Workspace, grid: str, planned: list[Unit], cells: dict[str, Cell], slots: int | None, resources: object) -> str:
    """Run units on this machine with a progress display; the name of the signal that stopped it, or ''."""
    from cluster.local import LocalExecutor
    from grid.plan import Job, Limits, Resources

    assert isinstance(resources, Resources)
    devices = _devices()
    count = slots or (len(devices) if devices != ["cpu"] else os.cpu_count() or 1)
    executor = LocalExecutor(devices)
    progress = Progress(cells)
    executor.launch(Job(workspace.root, grid, tuple(planned), resources), Limits(count), progress)
    progress.close()
    return executor.stopped


class Progress:
    """Reports as a progress bar over epochs on a terminal, else as one plain line a cell."""

    def __init__(self, cells: dict[str, Cell]) -> None:
        from tqdm import tqdm

        self._cells = cells
        self._began = time.monotonic()
        self._epochs = {id: 0 for id in cells}
        self._ended = 0
        total = sum(cell.config.epochs for cell in cells.values())
        self._bar = tqdm(total=total, unit="epoch", disable=not sys.stderr.isatty(), dynamic_ncols=True)

    def __call__(self, report: object) -> None:
        from grid.plan import Report

        assert isinstance(report, Report)
        if report.event == "epoch":
            self._advance(report.cell, report.facts["epoch"])
        elif report.event == "ended":
            self._ended += 1
            self._advance(report.cell, self._cells[report.cell].config.epochs)
            self._say(report.cell, report.facts["state"], str(report.facts["detail"]).splitlines()[:1])
        else:
            again = "its unit starts again" if report.facts["again"] else f"given up; see {report.facts['log']}"
            self._say(report.cell, "worker died", [f"exit status {report.facts['status']}; {again}"])

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()

    def _advance(self, cell: str, epoch: int) -> None:
        self._bar.update(max(0, epoch - self._epochs[cell]))
        self._epochs[cell] = max(epoch, self._epochs[cell])

    def _say(self, cell: str, state: str, detail: list[str]) -> None:
        from tqdm import tqdm

        labels = " ".join(f"{axis}={label}" for axis, label in self._cells[cell].coordinates.items())
        line = f"[{self._ended}/{len(self._cells)}] {time.monotonic() - self._began:5.0f} s  {cell[:8]}  {state:<11} {labels}"
        tqdm.write(line + (f"  ({detail[0]})" if detail else ""), file=sys.stderr)


def _devices() -> list[str]:
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]


def _counts(standings: list[Standing]) -> str:
    counts = Counter(s.state.name for s in standings)
    return f"{len(standings)} cells: " + ", ".join(f"{counts[name]} {name}" for name in sorted(counts))


def _print_blocked(blocked: list[Standing]) -> None:
    for problem, count in Counter(s.problem for s in blocked).items():
        click.echo(f"{count} cells cannot run: {problem}", err=True)


def _print_plan(grid: Grid, standings: list[Standing], planned: list[Unit], as_json: bool) -> None:
    """The plan of a dry run."""
    cells = {s.cell.id: s for s in standings}
    if as_json:
        states = dict(Counter(s.state.name for s in standings))
        return print_json({"grid": grid.name, "states": states, "units": [list(unit.cells) for unit in planned]})
    rows = []
    for number, unit in enumerate(planned):
        for id in unit.cells:
            labels = " ".join(f"{axis}={label}" for axis, label in cells[id].cell.coordinates.items())
            rows.append((number, id, cells[id].state.name, labels))
    print_table(["unit", "cell", "state", "labels"], rows)
    click.echo(f"{grid.name}: {_counts(standings)}; would run {len(rows)} cells in {len(planned)} units")
    _print_blocked([s for s in standings if s.problem])
