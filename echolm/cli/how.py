"""How cells are run: the options that ``launch`` and ``retry`` share, and which of them mean something where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from echolm.cli import submit
from echolm.cli.options import grid_name as name_of
from echolm.cli.standings import tell
from echolm.cli.submit import Request
from echolm.errors import EchoLMError
from echolm.workspace import Workspace

PLACES = {
    "profile": ("slurm",), "minutes": ("slurm",), "watch": ("slurm",), "every": ("slurm",), "budget_gpu_hours": ("slurm",),
    "gpus": ("slurm", "ray"), "memory_gb": ("slurm", "ray"), "ray_address": ("ray",),
}  # fmt: skip
"""Options that mean something in some places alone, and those places."""


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

    def check(self) -> None:
        """Refuse what this place cannot do, before anything is written: UsageError for options that mean nothing there,
        EchoLMError for what no node of the SLURM partition has."""
        if was_typed("every") and not self.watch:
            raise click.UsageError("--every goes with --watch")
        if self.gpus and was_typed("ranks") and self.ranks != self.gpus:
            raise click.UsageError(f"--gpus {self.gpus} are as many ranks, one each; leave --ranks out")
        if self.on == "local" and self.ranks > 1:
            raise EchoLMError("--on local trains a unit in one process; for several: torchrun -m echolm.cli train CELL, or --on slurm, --on ray")
        if self.on == "slurm":
            submit.prepare(self.request())


def choose(workspace: Workspace, grid_name: str, on: str, gpus: int | None, ranks: int | None, **others: Any) -> How:
    """How cells of a grid are run, by the options of ``compute_options``, checked. On SLURM, without --gpus and --ranks, with
    those of the grid's last submission, which is told: hints name commands without them."""
    refuse_elsewhere(on, PLACES)
    if on == "slurm" and gpus is None and ranks is None:
        gpus, ranks = _asked_last(workspace, name_of(grid_name))
    how = How(on=on, gpus=gpus or 0, ranks=ranks or 1, **others)
    how.check()
    return how


def _asked_last(workspace: Workspace, grid: str) -> tuple[int, int]:
    """GPUs and ranks of the grid's newest batch."""
    from cluster.batch import batches
    from grid.plan import Resources

    found = batches(workspace, grid)
    needs = found[-1].resources if found else Resources()
    if needs.ranks == 1 and not needs.gpus:
        return 0, 1
    asked, none = (f"--gpus {needs.gpus}", "--gpus 0") if needs.gpus else (f"--ranks {needs.ranks}", "--ranks 1")
    tell([f"as the last submission of {grid} asked: {asked} (for none: {none})"])
    return needs.gpus, needs.ranks


def was_typed(option: str) -> bool:
    """Whether an option stands in the command that was typed, not in the environment."""
    return click.get_current_context().get_parameter_source(option) == ParameterSource.COMMANDLINE


def refuse_elsewhere(on: str, places: Mapping[str, tuple[str, ...]]) -> None:
    """UsageError when options were typed that mean nothing in the place ``on``; it says where they do. ``places``: like ``PLACES``."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for option, where in places.items():
        if on not in where and was_typed(option):
            groups.setdefault(where, []).append("--" + option.replace("_", "-"))
    if groups:
        parts = [f"{', '.join(names)} {'goes' if len(names) == 1 else 'go'} with --on {' or '.join(where)}" for where, names in groups.items()]
        raise click.UsageError(f"{'; '.join(parts)}; not with --on {on}")


def compute_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of ``How``."""
    for option in (
        click.option("--no-collect", is_flag=True, help="local, ray: do not export complete runs to MLflow at the end."),
        click.option("--every", type=click.FloatRange(1), default=30.0, show_default=True, help="Seconds between two looks of --watch."),
        click.option("--budget-gpu-hours", type=click.FloatRange(min=0), metavar="H", help="slurm: refuse to submit what is forecast to cost more."),
        click.option("--watch", is_flag=True, help="slurm: go on looking and submitting until every cell has ended."),
        click.option("--micro-batch", type=click.IntRange(1), help="Samples pushed at once; the batch size stays."),
        click.option("--minutes", type=click.IntRange(1), help="slurm: time limit of a job.  [default: the profile's]"),
        click.option("--memory-gb", type=click.FloatRange(min=0, min_open=True), help="slurm: memory of a node; ray: of a unit.  [default: the profile's]"),
        click.option("--threads", type=click.IntRange(1), help="CPU threads of a worker or rank.  [default: 1; slurm: the profile's]"),
        click.option("--ranks", type=click.IntRange(1), help="slurm, ray: processes that train one unit, without GPUs.  [default: like --gpus, else 1]"),
        click.option("--gpus", type=click.IntRange(0), help="slurm, ray: GPUs for one unit, one rank each, over as many nodes as it takes.  [default: slurm: as the grid's last submission asked; else 0]"),
        click.option("--slots", type=click.IntRange(1), help="Workers or jobs at once.  [default: one per GPU, else the CPUs divided by --threads; slurm: the profile's]"),
        click.option("--ray-address", metavar="ADDRESS", help="ray: a cluster, as host:port or the file that ray-on-slurm wrote.  [default: RAY_ADDRESS, else one of this machine]"),
        click.option("--profile", type=click.Path(exists=True, dir_okay=False, path_type=Path), envvar="ECHOLM_PROFILE", show_envvar=True, help="slurm: the site profile."),
        click.option("--on", type=click.Choice(["local", "slurm", "ray"]), default="local", show_default=True, help="Where jobs run."),
    ):
        command = option(command)
    return command
