"""``echolm search``: trials of one run's free fields, judged by validation alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import Signals
from typing import TYPE_CHECKING, Any

import click

from echolm.arithmetic import Arithmetic, Precision
from echolm.cli.complete import complete_search
from echolm.cli.hints import warn
from echolm.cli.launch_options import arithmetic_options, refuse_elsewhere
from echolm.cli.options import as_json, print_json, print_table
from echolm.cli.terminal import say
from echolm.commands import Command, Hint
from echolm.errors import EchoLMError
from echolm.files import write_atomic
from echolm.text import counted
from echolm.workspace import Workspace
from echolm.yaml_files import dump_yaml

if TYPE_CHECKING:
    from grid.search.progress import EndedTrial
    from grid.search.results import SearchReport, TrialSummary

SHOWN = 20
"""Trials in a table."""
SHOWN_FAILURES = 3
"""Failed trials whose reason is printed."""
ONLY_ON = {
    "profile": ("slurm",),
    "gpus": ("slurm",),
    "retry": ("slurm",),
    "ray_address": ("ray",),
}
"""The options that go with some places alone."""


@dataclass(frozen=True)
class WorkerOptions:
    """The options that say where trials run, as they are typed."""

    on: str
    workers: int | None
    threads: int | None
    profile: Path | None
    gpus: int
    retry: bool
    ray_address: str | None
    precision: Precision | None
    compile: bool | None

    @property
    def elsewhere(self) -> bool:
        """Whether the place says itself how many workers it has room for."""
        if self.on == "ray":
            return bool(self.ray_address or os.environ.get("RAY_ADDRESS"))
        return self.on == "slurm"


@click.command()
@click.argument("space", shell_complete=complete_search)
@click.option(
    "--trials",
    type=click.IntRange(1),
    help="How many trials in all; those of earlier commands count.",
)
@click.option(
    "--on",
    "where_to",
    type=click.Choice(["local", "slurm", "ray"]),
    default="local",
    show_default=True,
    help="Where trials run.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Trials at once.  [default: one per GPU here, else the CPUs divided by --threads; "
    "slurm: the profile's jobs_at_once; a Ray cluster: as many as it has room for]",
)
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="CPU threads of a worker.  [default: 1; slurm: the profile's cpus_per_task]",
)
@arithmetic_options("on SLURM the profile's")[0]
@arithmetic_options("on SLURM the profile's")[1]
@click.option(
    "--profile",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="ECHOLM_PROFILE",
    show_envvar=True,
    help="slurm: the site profile.",
)
@click.option(
    "--ray-address",
    metavar="ADDRESS",
    help="ray: a cluster, as host:port or the file that ray-on-slurm wrote.  "
    "[default: RAY_ADDRESS, else one of this machine]",
)
@click.option(
    "--gpus",
    type=click.IntRange(0, 1),
    default=0,
    show_default=True,
    help="slurm: GPUs of each worker.",
)
@click.option(
    "--retry", is_flag=True, help="slurm: submit workers though those before them failed."
)
@click.option(
    "--show",
    is_flag=True,
    help="Run nothing: print what was found so far, also while the search runs.",
)
@click.option(
    "--grid",
    "grid_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a grid file that runs the best trial with several seeds that no trial used.",
)
@as_json
@click.pass_obj
def search(
    workspace: Workspace,
    space: str,
    trials: int | None,
    where_to: str,
    workers: int | None,
    threads: int | None,
    precision: Precision | None,
    compile: bool | None,
    profile: Path | None,
    ray_address: str | None,
    gpus: int,
    retry: bool,
    show: bool,
    grid_file: Path | None,
    as_json: bool,
) -> None:
    """Search the free fields of a run by its validation metric.

    SPACE is the path of a YAML file (its format: grid/search/definition.py), or the name of a space
    that comes with EchoLM: demo. Trials never read the test split. Ctrl-C stops with checkpoints.
    The same command continues to --trials in all, and a higher number adds trials. On SLURM the
    command submits workers and returns.

    A search whose file was changed starts again under its name as long as no trial is complete.

    \b
    A search lies in WORKSPACE/searches/NAME: its study in study.journal, the records of its trials
    in runs. Its curves in a browser, also while it runs (pip install optuna-dashboard):
        optuna-dashboard WORKSPACE/searches/NAME/study.journal

    \b
    Exit status: 0 all trials have ended and one is complete, 1 not so,
    130 or 143 stopped by SIGINT or SIGTERM.
    """  # noqa: D301 - click reads the character \b
    from grid.definition.files import refuse_taken_name
    from grid.search.folder import find_search, read_search
    from grid.search.results import search_report
    from grid.search.study import Study

    if grid_file and grid_file.suffix not in (".yaml", ".yml"):
        raise EchoLMError(f"--grid {grid_file}: a grid is a .yaml file")
    if grid_file:
        refuse_taken_name(workspace, grid_file)
    stopped = ""
    if show:
        folder = find_search(space, workspace)
    elif trials is None:
        raise click.UsageError(
            "--trials says how many trials in all; or --show to print what was found so far"
        )
    else:
        refuse_elsewhere(where_to, ONLY_ON)
        options = WorkerOptions(
            on=where_to,
            workers=workers,
            threads=threads,
            profile=profile,
            gpus=gpus,
            retry=retry,
            ray_address=ray_address,
            precision=precision,
            compile=compile,
        )
        folder, stopped = _run(workspace, space, trials, options, quiet=as_json)
    report = search_report(Study(read_search(folder), folder), folder)
    if grid_file:
        _write_grid(report, space, grid_file)
    if as_json:
        print_json(_as_dict(report, stopped))
    else:
        _print_text(report, space, grid_file)
    if stopped:
        warn([f"stopped by {stopped}; the same command continues from the checkpoints"])
        sys.exit(128 + Signals[stopped])
    sys.exit(0 if show or report.succeeded else 1)


def _run(
    workspace: Workspace, space: str, trials: int, options: WorkerOptions, quiet: bool
) -> tuple[Path, str]:
    """Run the trials that are missing.

    Returns:
        The search's folder, and the name of the signal that stopped it or ''.
    """
    from cluster.launch import cuda_devices
    from cluster.place import LaunchOptions
    from cluster.search import Workers, start_workers
    from grid.search.definition import load_search
    from grid.search.progress import begin_search

    search = load_search(space)
    threads = options.threads or 1
    arithmetic = Arithmetic(options.precision or "fp32", bool(options.compile))
    if options.on == "slurm":
        from cluster.slurm.submit.launch import site_and_needs

        asked = LaunchOptions(
            on="slurm",
            profile=options.profile,
            gpus=options.gpus,
            threads=options.threads,
            precision=options.precision,
            compile=options.compile,
        )
        _, needs = site_and_needs(asked)
        threads = needs.threads
        arithmetic = needs.arithmetic

    def tell(ended: EndedTrial) -> None:
        warn([_ended_line(ended, trials)])

    progress = begin_search(search, workspace, trials, tell)
    warn(progress.notes)
    if not progress.left:
        return progress.folder, ""
    metric = search.metric
    say(
        f"{search.name}: {metric.direction} {metric.name} of validation; {progress.left}",
        err=quiet,
    )
    devices = cuda_devices() or ["cpu"]
    count = options.workers
    if count is None:
        count = 0 if options.elsewhere else _room_here(devices, threads)
    workers = Workers(
        folder=progress.folder,
        trials=trials,
        count=min(count, trials),
        threads=threads,
        devices=tuple(devices),
        look=progress,
        profile=options.profile,
        gpus=options.gpus,
        again=options.retry,
        ray_address=options.ray_address,
        arithmetic=arithmetic,
    )
    return progress.folder, start_workers(options.on, workers)


def _room_here(devices: Sequence[str], threads: int) -> int:
    """Return how many workers this machine has room for."""
    if devices != ["cpu"]:
        return len(devices)
    return max(1, len(os.sched_getaffinity(0)) // threads)


def _ended_line(ended: EndedTrial, trials: int) -> str:
    from grid.search.results import describe_trial

    what = describe_trial(ended.trial)
    number = ended.trial.trial
    return f"[{ended.ended}/{trials}] {ended.seconds:5.0f} s  trial {number:<3} {what}"


def _write_grid(report: SearchReport, space: str, path: Path) -> None:
    if report.grid is None:
        raise EchoLMError(
            f"--grid {path}: no trial is complete; type",
            Command("search", space, options=("--show",)),
        )
    write_atomic(path, dump_yaml(report.grid).encode())


def _as_dict(report: SearchReport, stopped: str) -> dict[str, Any]:
    return {
        "search": report.search.name,
        "metric": report.search.metric.model_dump(),
        "states": report.counts,
        "best": asdict(report.best) if report.best else None,
        "trials": [asdict(trial) for trial in report.trials],
        "grid": report.grid,
        "stopped": stopped or None,
    }


def _print_text(report: SearchReport, space: str, grid_file: Path | None) -> None:
    search = report.search
    names = list(search.dimensions)
    rows = [_row(trial, names) for trial in report.trials[:SHOWN]]
    print_table(["trial", "state", search.metric.name, "epochs", *names, "cell"], rows)
    hidden = len(report.trials) - SHOWN
    if hidden > 0:
        say(f"and {hidden} more: --json lists all")
    states = ", ".join(f"{number} {state}" for state, number in report.counts.items())
    say(f"{search.name}: {counted(len(report.trials), 'trial')}: {states}")
    failed = [trial for trial in report.trials if trial.state == "failed"]
    for trial in failed[:SHOWN_FAILURES]:
        line = f"trial {trial.trial} failed: {trial.reason.splitlines()[0]}"
        if trial.record:
            line += f"; its record: {trial.record}"
        warn([line])
    if report.best:
        _print_best(report, report.best, space, grid_file)
    elif report.all_ended:
        warn(
            ["no trial is complete: change the file, and the same command starts the search again"]
        )


def _print_best(
    report: SearchReport, best: TrialSummary, space: str, grid_file: Path | None
) -> None:
    from grid.search.results import SEEDS

    search = report.search
    say(
        f"best: trial {best.trial}, validation {search.metric.name} {best.value:.6g}, "
        f"cell {best.cell}"
    )
    for name, value in best.parameters.items():
        say(f"  {name}: {value}")
    path = str(grid_file or f"{search.name}-best.yaml")
    if grid_file and report.grid:
        warn([f"{path}: {report.grid['title']}"])
    else:
        write = Command("search", space, options=("--show", "--grid", path))
        warn([Hint(f"to write it as a grid with {SEEDS} seeds that no trial used", write)])
    warn([Hint("to run that grid, with test metrics", Command("launch", path))])


def _row(trial: TrialSummary, names: Sequence[str]) -> list[Any]:
    """Return a line of the table. Numbers are shortened. --json has them whole."""
    from grid.search.results import shortened

    value = "" if trial.value is None else shortened(trial.value)
    fields = [shortened(trial.parameters.get(name, "")) for name in names]
    return [trial.trial, trial.state, value, trial.epochs, *fields, trial.cell[:8]]
