"""The options that ``launch`` and ``retry`` share, and where they mean something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from echolm.arithmetic import PRECISIONS, Precision
from echolm.cli.hints import warn
from echolm.cli.options import grid_name as name_of
from echolm.kept_weights import KEEP_NAMES
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from cluster.place import LaunchOptions
    from grid.definition.schema import BlockResources

PLACES = {
    "profile": ("slurm",),
    "minutes": ("slurm",),
    "watch": ("slurm",),
    "every": ("slurm",),
    "budget_gpu_hours": ("slurm",),
    "gpus": ("slurm", "ray"),
    "memory_gb": ("slurm", "ray"),
    "ray_address": ("ray",),
}
"""Options that mean something in some places alone, and those places."""


def read_launch_options(
    workspace: Workspace,
    grid_name: str,
    *,
    on: str,
    gpus: int | None,
    ranks: int | None,
    precision: Precision | None,
    compile: bool | None,
    watch: bool,
    every: float,
    **others: Any,
) -> LaunchOptions:
    """Read the options of ``compute_options``, and check them for their place.

    On SLURM, without --gpus and --ranks, those of the grid's last submission count, and without
    --precision and --compile its arithmetic. That is said: hints name commands without them.

    Raises:
        UsageError: an option that means nothing in that place.
        EchoLMError: no node of the SLURM partition has what is asked for.
    """
    from cluster.launch import choose_place
    from cluster.place import LaunchOptions
    from grid.definition.schema import BlockResources

    refuse_elsewhere(on, PLACES)
    last = BlockResources()
    if on == "slurm":
        name = name_of(grid_name)
        if gpus is None and ranks is None:
            last = _ranks_of_last_submission(workspace, name)
        if precision is None and compile is None:
            last = _arithmetic_of_last_submission(workspace, name).over(last)
    if was_typed("every") and not watch:
        raise click.UsageError("--every goes with --watch")
    if gpus and was_typed("ranks") and ranks != gpus:
        raise click.UsageError(f"--gpus {gpus} are as many ranks, one each; leave --ranks out")
    options = LaunchOptions(
        on=on,
        gpus=gpus,
        ranks=ranks,
        precision=precision,
        compile=compile,
        last=last,
        watch_every=every if watch else None,
        **others,
    )
    choose_place(workspace, options).check()
    return options


def _ranks_of_last_submission(workspace: Workspace, grid: str) -> BlockResources:
    """Return GPUs and ranks of the newest batch of cells whose block says nothing, and say so."""
    from cluster.slurm.submit.launch import newest_needs
    from grid.definition.schema import BlockResources

    needs = newest_needs(workspace, grid, "gpus", "ranks")
    if needs.ranks == 1 and not needs.gpus:
        return BlockResources()
    asked, none = f"--ranks {needs.ranks}", "--ranks 1"
    if needs.gpus:
        asked, none = f"--gpus {needs.gpus}", "--gpus 0"
    warn([f"as the last submission of {grid} asked: {asked} (for none: {none})"])
    return BlockResources(gpus=needs.gpus or None, ranks=needs.ranks)


def _arithmetic_of_last_submission(workspace: Workspace, grid: str) -> BlockResources:
    """Return how the newest batch of cells whose block says nothing computes, and say so.

    What is plain is left to the profile.
    """
    from cluster.slurm.submit.launch import newest_needs
    from grid.definition.schema import BlockResources

    facts = newest_needs(workspace, grid, "precision", "compile").arithmetic.facts
    if not facts:
        return BlockResources()
    asked = []
    if "precision" in facts:
        asked.append(f"--precision {facts['precision']} (for none: --precision fp32)")
    if "compile" in facts:
        asked.append("--compile (for none: --no-compile)")
    warn([f"as the last submission of {grid} asked: {', '.join(asked)}"])
    return BlockResources.model_validate(facts)


def was_typed(option: str) -> bool:
    """Say whether an option stands in the command that was typed, not in the environment."""
    return click.get_current_context().get_parameter_source(option) == ParameterSource.COMMANDLINE


def refuse_elsewhere(on: str, places: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse options that were typed and mean nothing in a place. The error says where they do.

    Args:
        on: the place.
        places: options and the places where they mean something, like ``PLACES``.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for option, where in places.items():
        if on not in where and was_typed(option):
            groups.setdefault(where, []).append("--" + option.replace("_", "-"))
    if not groups:
        return
    parts = []
    for where, names in groups.items():
        verb = "goes" if len(names) == 1 else "go"
        parts.append(f"{', '.join(names)} {verb} with --on {' or '.join(where)}")
    raise click.UsageError(f"{'; '.join(parts)}; not with --on {on}")


def arithmetic_options(default: str) -> list[Callable[..., Any]]:
    """Return the options that say how networks compute.

    Args:
        default: what counts where they are not typed, before ``fp32`` and no compiler.
    """
    comes_from = f"{default}, else " if default else ""
    return [
        click.option(
            "--precision",
            type=click.Choice(PRECISIONS),
            help="How networks compute: no part of the run, but recorded. tf32 is for GPUs; bf16"
            f" has weights and losses in fp32.  [default: {comes_from}fp32]",
        ),
        click.option(
            "--compile/--no-compile",
            default=None,
            help="Fuse the networks' operations with torch.compile. It pays on a GPU, in long runs."
            f"  [default: {comes_from}not]",
        ),
    ]


def compute_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say where and how cells are run."""
    options = (
        click.option(
            "--on",
            type=click.Choice(["local", "slurm", "ray"]),
            default="local",
            show_default=True,
            help="Where jobs run.",
        ),
        click.option(
            "--profile",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            envvar="ECHOLM_PROFILE",
            show_envvar=True,
            help="slurm: the site profile.",
        ),
        click.option(
            "--ray-address",
            metavar="ADDRESS",
            help="ray: a cluster, as host:port or the file that ray-on-slurm wrote."
            "  [default: RAY_ADDRESS, else one of this machine]",
        ),
        click.option(
            "--slots",
            type=click.IntRange(1),
            help="Workers or jobs at once.  [default: one per GPU, else the CPUs divided by"
            " --threads; slurm: the profile's]",
        ),
        click.option(
            "--gpus",
            type=click.IntRange(0),
            help="slurm, ray: GPUs for one unit, one rank each, over as many nodes as it takes."
            "  [default: slurm: as the grid's last submission asked; else 0]",
        ),
        click.option(
            "--ranks",
            type=click.IntRange(1),
            help="slurm, ray: processes that train one unit, without GPUs."
            "  [default: like --gpus, else 1]",
        ),
        click.option(
            "--threads",
            type=click.IntRange(1),
            help="CPU threads of a worker or rank.  [default: 1; slurm: the profile's]",
        ),
        click.option(
            "--memory-gb",
            type=click.FloatRange(min=0, min_open=True),
            help="slurm: memory of a node; ray: of a unit.  [default: the profile's]",
        ),
        click.option(
            "--minutes",
            type=click.IntRange(1),
            help="slurm: time limit of a job.  [default: the profile's]",
        ),
        click.option(
            "--micro-batch",
            type=click.IntRange(1),
            help="Samples pushed at once; the batch size stays.",
        ),
        *arithmetic_options("the grid's, on SLURM the last submission's or the profile's"),
        click.option(
            "--checkpoint-minutes",
            type=click.FloatRange(min=0),
            metavar="M",
            help="The longest time without a checkpoint within an epoch. Each epoch ends with one"
            " besides.  [default: 10]",
        ),
        click.option(
            "--keep",
            type=click.Choice(KEEP_NAMES),
            help="Weights of complete runs: none of them, the best, or these with half the bits."
            " Metrics and predictions always stay.  [default: best]",
        ),
        click.option(
            "--watch",
            is_flag=True,
            help="slurm: go on looking and submitting until every cell has ended.",
        ),
        click.option(
            "--budget-gpu-hours",
            type=click.FloatRange(min=0),
            metavar="H",
            help="slurm: refuse to submit what is forecast to cost more.",
        ),
        click.option(
            "--tflops",
            type=click.FloatRange(min=0, min_open=True),
            metavar="T",
            help="TFLOP/s that a GPU (slurm without GPUs: a rank) reaches in training, for"
            " forecasts before there are complete runs.  [default: the profile's; else 6.2 a GPU,"
            " 0.05 a CPU thread]",
        ),
        click.option(
            "--every",
            type=click.FloatRange(1),
            default=30.0,
            show_default=True,
            help="Seconds between two looks of --watch.",
        ),
        click.option(
            "--no-collect",
            is_flag=True,
            help="local, ray: do not export complete runs to MLflow at the end.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
