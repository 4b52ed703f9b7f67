"""``echolm search``: trials of one run's free fields, judged by validation alone."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any

import click
import yaml

from echolm.cli.how import refuse_elsewhere
from echolm.cli.launch import _devices
from echolm.cli.options import as_json, counted, print_json, print_table, typed
from echolm.cli.standings import tell
from echolm.cli.submit import Request, prepare
from echolm.errors import EchoLMError
from echolm.record import write_atomic
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from grid.search.definition import Search
    from grid.search.results import Found
    from grid.search.study import Study

SHOWN = 20
"""Trials in a table."""


@click.command()
@click.argument("space")
@click.option("--trials", type=click.IntRange(1), help="How many trials in all; those of earlier commands count.")
@click.option("--on", "where_to", type=click.Choice(["local", "slurm", "ray"]), default="local", show_default=True, help="Where trials run.")
@click.option("--workers", type=click.IntRange(1), help="Trials at once.  [default: one per GPU here, else the CPUs divided by --threads; slurm: the profile's jobs_at_once; a Ray cluster: as many as it has room for]")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of a worker.  [default: 1; slurm: the profile's cpus_per_task]")
@click.option("--profile", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ECHOLM_PROFILE", show_envvar=True,
              help="slurm: the site profile.")  # fmt: skip
@click.option("--ray-address", metavar="ADDRESS",
              help="ray: a cluster, as host:port or the file that ray-on-slurm wrote.  [default: RAY_ADDRESS, else one of this machine]")
@click.option("--gpus", type=click.IntRange(0, 1), default=0, show_default=True, help="slurm: GPUs of each worker.")
@click.option("--retry", is_flag=True, help="slurm: submit workers though those before them failed.")
@click.option("--show", is_flag=True, help="Run nothing: print what was found so far, also while the search runs.")
@click.option("--grid", "grid_file", type=click.Path(dir_okay=False, path_type=Path),
              help="Write a grid file that runs the best trial with several seeds.")  # fmt: skip
@as_json
@click.pass_obj
def search(
    workspace: Workspace, space: str, trials: int | None, where_to: str, workers: int | None, threads: int | None, profile: Path | None,
    ray_address: str | None, gpus: int, retry: bool, show: bool, grid_file: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Search the free fields of a run by its validation metric.

    SPACE is the path of a YAML file (its format: grid/search/definition.py), or the name of a space that comes with
    EchoLM: demo. Trials never read the test split. Ctrl-C stops with checkpoints; the same command continues to
    --trials in all, and a higher number adds trials. On SLURM the command submits workers and returns.

    \b
    Exit status: 0 all trials have ended and one is complete, 1 not so, 130 or 143 stopped by SIGINT or SIGTERM.
    """
    from grid.search.folder import find_search, read_search
    from grid.search.study import Study

    stopped = ""
    if grid_file and grid_file.suffix not in (".yaml", ".yml"):
        raise EchoLMError(f"--grid {grid_file}: a grid is a .yaml file")
    if show:
        folder = find_search(space, workspace)
    elif trials is None:
        raise click.UsageError("--trials says how many trials in all; or --show to print what was found so far")
    else:
        refuse_elsewhere(where_to, {"profile": ("slurm",), "gpus": ("slurm",), "retry": ("slurm",), "ray_address": ("ray",)})
        place = {"on": where_to, "count": workers, "threads": threads, "profile": profile, "gpus": gpus, "again": retry, "ray": ray_address}
        folder, stopped = _run(workspace, space, trials, place, quiet=as_json)
    study = Study(read_search(folder), folder)
    status = _print(space, study, folder, grid_file, stopped, as_json)
    if stopped:
        sys.exit(128 + Signals[stopped])
    sys.exit(0 if show else status)


def _run(workspace: Workspace, space: str, trials: int, place: dict[str, Any], quiet: bool) -> tuple[Path, str]:
    """Run the trials that are missing: the search's folder, and the name of the signal that stopped it or ''."""
    from cluster.search import Workers, start_workers
    from grid.search.definition import load_search
    from grid.search.folder import start_search
    from grid.search.study import Study

    found = load_search(space)
    threads = place["threads"] or 1
    if place["on"] == "slurm":
        threads = prepare(Request(place["profile"], place["gpus"], 1, place["threads"] or 0))[1].threads
    _check(found, workspace)
    folder = start_search(found, workspace)
    progress = Progress(Study(found, folder, make=True), folder, trials)
    devices = _devices()
    elsewhere = place["on"] == "slurm" or (place["on"] == "ray" and (place["ray"] or os.environ.get("RAY_ADDRESS")))
    here = 0 if elsewhere else (len(devices) if devices != ["cpu"] else max(1, len(os.sched_getaffinity(0)) // threads))
    if progress.left:
        click.echo(f"{found.name}: {found.metric.direction} {found.metric.name} of validation; {progress.left}", err=quiet)
        asked = Workers(
            folder, trials, min(place["count"] or here, trials), threads, tuple(devices), progress, place["profile"], place["gpus"], place["again"],
            place["ray"],
        )  # fmt: skip
        stopped = start_workers(place["on"], asked)
        return folder, stopped
    return folder, ""


def _check(found: Search, workspace: Workspace) -> None:
    """EchoLMError when data or weights are missing that a trial may need."""
    from echolm.training.prepare import prepare_run

    for sample in found.samples():
        prepare_run(found.config(sample), workspace)


class Progress:
    """A line for each trial that ends."""

    def __init__(self, study: Study, folder: Path, trials: int) -> None:
        self._study, self._folder, self._trials = study, folder, trials
        self._told = {trial.number for trial in study.trials() if trial.state.is_finished()}
        self._began = time.monotonic()
        open_, known = len(study.running()), len(study.trials())
        new = max(0, trials - known)
        self.left = ", ".join(text for number, text in ((open_, f"{counted(open_, 'trial')} to continue"), (new, f"{counted(new, 'trial')} to run")) if number)
        """What there is to do, in words; '' for nothing."""

    def __call__(self) -> int:
        """Print what has ended since the last call; how many have."""
        from grid.search.results import trials

        if new := {t.number for t in self._study.trials() if t.state.is_finished()} - self._told:
            for found in sorted(trials(self._study, self._folder), key=lambda found: found.trial):
                if found.trial in new:
                    self._told.add(found.trial)
                    seconds = time.monotonic() - self._began
                    tell([f"[{len(self._told)}/{self._trials}] {seconds:5.0f} s  trial {found.trial:<3} {_line(found)}"])
        return len(self._told)


def _print(space: str, study: Study, folder: Path, grid_file: Path | None, stopped: str, as_json: bool) -> int:
    """Print what was found and write the grid if asked to; the exit status."""
    from grid.search.results import best, counts, seeds_grid, trials

    found = trials(study, folder)
    top = best(found)
    grid = seeds_grid(study.search, top) if top else None
    if grid_file:
        if grid is None:
            raise EchoLMError(f"--grid {grid_file}: no trial is complete; type: {typed('search', space, '--show')}")
        write_atomic(grid_file, yaml.safe_dump(grid, sort_keys=False).encode())
    if as_json:
        print_json({
            "search": study.search.name, "metric": study.search.metric.model_dump(), "states": counts(found), "best": top and asdict(top),
            "trials": [asdict(trial) for trial in found], "grid": grid, "stopped": stopped or None,
        })  # fmt: skip
    else:
        _print_text(space, study, found, top, grid_file)
    tell([f"stopped by {stopped}; the same command continues from the checkpoints"] if stopped else [])
    return 0 if top and set(counts(found)) <= {"complete", "pruned", "failed"} else 1


def _print_text(space: str, study: Study, found: Sequence[Found], top: Found | None, grid_file: Path | None) -> None:
    from grid.search.results import SEEDS, counts

    search = study.search
    names = list(search.dimensions)
    print_table(["trial", "state", search.metric.name, "epochs", *names, "cell"], [_row(trial, names) for trial in found[:SHOWN]])
    if len(found) > SHOWN:
        click.echo(f"and {len(found) - SHOWN} more: --json lists all")
    click.echo(f"{search.name}: {counted(len(found), 'trial')}: " + ", ".join(f"{n} {state}" for state, n in counts(found).items()))
    for trial in [trial for trial in found if trial.state == "failed"][:3]:
        tell([f"trial {trial.trial} failed: {trial.reason.splitlines()[0]}" + (f"; its record: {trial.record}" if trial.record else "")])
    if top:
        click.echo(f"best: trial {top.trial}, validation {search.metric.name} {top.value:.6g}, cell {top.cell}")
        for name, value in top.parameters.items():
            click.echo(f"  {name}: {value}")
        path = grid_file or Path(f"{search.name}-best.yaml")
        tell([] if grid_file else [f"to write it as a grid with {SEEDS} seeds: {typed('search', space, '--show', '--grid', str(path))}"])
        tell([f"to run that grid, with test metrics: {typed('launch', str(path))}"])


def _row(trial: Found, names: Sequence[str]) -> list[Any]:
    """A line of the table. Numbers are shortened; --json has them whole."""
    values = [_short(trial.parameters.get(name, "")) for name in names]
    return [trial.trial, trial.state, _short(trial.value) if trial.value is not None else "", trial.epochs, *values, trial.cell[:8]]


def _line(trial: Found) -> str:
    value = "" if trial.value is None else _short(trial.value)
    what = trial.reason.splitlines()[0] if trial.reason else " ".join(f"{name}={_short(v)}" for name, v in trial.parameters.items())
    return f"{trial.state:<9} {value:<10} {trial.epochs:>3} epochs  {what}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
