"""``echolm launch``: run what is missing of a grid."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any

import click

from echolm.cli import submit
from echolm.cli.options import as_json, counted, grid_argument, print_json, print_table, typed, where
from echolm.cli.standings import blocked, counts, labels, remedies, states, tell
from echolm.cli.submit import Request
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.local import LocalExecutor
    from cluster.ray.executor import RayExecutor
    from grid.definition import Cell, Grid
    from grid.plan import Report, Standing, Unit


@dataclass(frozen=True)
class How:
    """How cells are run; see the help of ``compute_options``."""

    on: str
    slots: int | None
    threads: int | None
    micro_batch: int | None
    no_collect: bool
    profile: Path | None
    gpus: int
    ranks: int
    memory_gb: float | None
    minutes: int | None
    watch: bool
    every: float
    budget_gpu_hours: float | None
    ray_address: str | None

    def request(self) -> Request:
        """The part that SLURM is asked for."""
        return Request(
            self.profile, self.gpus, self.ranks, self.threads or 0, self.memory_gb, self.minutes, self.micro_batch, self.slots,
            self.every if self.watch else None, self.budget_gpu_hours,
        )  # fmt: skip


def compute_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``How``."""
    for option in (
        click.option("--no-collect", is_flag=True, help="Do not export complete runs to MLflow at the end."),
        click.option("--every", type=click.FloatRange(1), default=30.0, show_default=True, help="Seconds between two looks of --watch."),
        click.option("--budget-gpu-hours", type=click.FloatRange(min=0), metavar="H", help="slurm: refuse to submit what is forecast to cost more."),
        click.option("--watch", is_flag=True, help="slurm: go on looking and submitting until every cell has ended."),
        click.option("--micro-batch", type=click.IntRange(1), help="Samples pushed at once; the batch size stays."),
        click.option("--minutes", type=click.IntRange(1), help="slurm: time limit of a job.  [default: the profile's]"),
        click.option("--memory-gb", type=click.FloatRange(min=0, min_open=True), help="slurm: memory of a node.  [default: the profile's]"),
        click.option("--threads", type=click.IntRange(1), help="CPU threads of a worker or rank.  [default: 1; slurm: the profile's]"),
        click.option("--ranks", type=click.IntRange(1), default=1, show_default=True, help="slurm, ray: processes that train one unit, without GPUs."),
        click.option("--gpus", type=click.IntRange(0), default=0, show_default=True, help="slurm, ray: GPUs for one unit, one rank each, over as many nodes as it takes."),
        click.option("--slots", type=click.IntRange(1), help="Workers or jobs at once.  [default: one per GPU, else the CPUs divided by --threads; slurm: the profile's]"),
        click.option("--ray-address", metavar="ADDRESS", help="ray: a cluster, as host:port or the file that ray-on-slurm wrote.  [default: RAY_ADDRESS, else one of this machine]"),
        click.option("--profile", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ECHOLM_PROFILE", show_envvar=True, help="slurm: the site profile."),
        click.option("--on", type=click.Choice(["local", "slurm", "ray"]), default="local", show_default=True, help="Where jobs run."),
    ):
        command = option(command)
    return command


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

    grid = load_grid(grid_name)
    cells = grid.where(where)
    if dry_run and how["on"] == "slurm":
        return submit.dry_run(workspace, grid, cells, How(**how).request(), as_json)
    if dry_run:
        return _print_plan(grid, survey(cells, workspace), as_json)
    sys.exit(run_cells(workspace, grid_name, grid, cells, How(**how), {} if as_json else None))


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
    todo = [s for s in before if to_run(s) and s.run]
    save_cells(grid, workspace)
    tell(blocked(before))
    planned = units(todo)
    click.echo(f"{grid.name}: {counts(before)}; running {len(todo)} in {counted(len(planned), 'unit')}", err=facts is not None)
    stopped, halted = _execute(workspace, grid.name, planned, [s.cell for s in todo], how) if planned else ("", "")
    after = survey(cells, workspace)
    collected = stopped or how.no_collect or _collect(grid.name, after, quiet=facts is not None)
    if facts is None:
        click.echo(f"{grid.name}: {counts(after)}")
    else:
        print_json({"grid": grid.name, **facts, "states": states(after), "stopped": stopped or halted or None})
    tell([f"stopped by {stopped}; checkpoints are written"] if stopped else [])
    tell([halted] if halted else [])
    tell(remedies(grid_name, after, launching=True))
    if stopped:
        return 128 + Signals[stopped]
    return 0 if collected and all(s.state.name == "complete" for s in after) else 1


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

        if ranks > 1:
            raise EchoLMError("--on local trains a unit in one process; for several: torchrun -m echolm.cli train CELL, or --on slurm, --on ray")
        devices = _devices()
        executor = LocalExecutor(devices)
        slots = how.slots or (len(devices) if devices != ["cpu"] else max(1, len(os.sched_getaffinity(0)) // threads))
    needs = Resources(gpus=how.gpus if how.on == "ray" else 0, ranks=ranks, threads=threads, micro_batch=how.micro_batch)
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


def _print_plan(grid: Grid, standings: list[Standing], as_json: bool) -> None:
    """The plan of a dry run: what would run if no data and weights were missing."""
    from grid.plan import to_run, units

    todo = [s for s in standings if to_run(s)]
    planned = units(todo)
    missing = blocked(todo)
    if as_json:
        return print_json({
            "grid": grid.name, "states": states(standings), "units": [list(unit.cells) for unit in planned], "blocked": missing,
        })  # fmt: skip
    by_id = {s.cell.id: s for s in todo}
    print_table(["unit", "cell", "state", "labels"], [
        (number, id, by_id[id].state.name, labels(by_id[id].cell)) for number, unit in enumerate(planned) for id in unit.cells
    ])  # fmt: skip
    click.echo(f"{grid.name}: {counts(standings)}; would run {len(todo)} in {counted(len(planned), 'unit')}")
    tell(missing)
