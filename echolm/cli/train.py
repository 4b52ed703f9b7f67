"""``echolm train``: one run in the foreground, alone or as a rank of torchrun."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echolm.arithmetic import NO_TF32, Arithmetic, Precision
from echolm.cli.complete import complete_cell_or_file
from echolm.cli.hints import warn
from echolm.cli.launch_options import arithmetic_options
from echolm.cli.options import as_json, check_device, device, print_json, print_table
from echolm.cli.terminal import say
from echolm.kept_weights import KEEP_NAMES
from echolm.states import RunState
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from echolm.training.run_handle import Outcome

_EXIT_STATUS = {RunState.COMPLETE: 0, RunState.INTERRUPTED: 3}


@click.command()
@click.argument("what", metavar="CELL|CONFIG.yaml", shell_complete=complete_cell_or_file)
@click.argument("settings", metavar="[FIELD=VALUE]...", nargs=-1)
@device("auto")
@click.option(
    "--micro-batch",
    type=click.IntRange(1),
    help="Samples a rank pushes at once; the batch size stays.",
)
@click.option(
    "--checkpoint-minutes",
    type=click.FloatRange(min=0),
    metavar="M",
    help="The longest time without a checkpoint within an epoch. Each epoch ends with one besides."
    "  [default: 10]",
)
@click.option(
    "--keep",
    type=click.Choice(KEEP_NAMES),
    default="best",
    show_default=True,
    help="The weights of the complete run: none of them, the best, or these with half the bits.",
)
@arithmetic_options("")[0]
@arithmetic_options("")[1]
@click.option("--threads", type=click.IntRange(1), help="CPU threads of each rank.")
@click.option("--quiet", is_flag=True, help="No progress, and no line per epoch.")
@as_json
@click.pass_obj
def train(
    workspace: Workspace,
    what: str,
    settings: tuple[str, ...],
    device: str,
    micro_batch: int | None,
    checkpoint_minutes: float | None,
    keep: str,
    precision: Precision | None,
    compile: bool | None,
    threads: int | None,
    quiet: bool,
    as_json: bool,
) -> None:
    r"""Train one run, in the foreground.

    It is a cell of a grid by its id (or the start of one), or a configuration file. FIELD=VALUE
    gives a field another value, as in epochs=5 optimizer.lr=1.0e-3: that is another run. It
    continues where it stopped. What goes away meanwhile (the store, the workspace, room on the
    disk) is waited for, ECHOLM_OUTAGE_S seconds at most (900).

    \b
    On several processes: torchrun --nproc-per-node 2 -m echolm.cli train CELL
    Exit status: 0 complete, 1 failed or not run, 3 interrupted by a signal.
    """
    import torch

    from echolm.cli.train_progress import TrainProgress
    from echolm.outages import mark_workspace
    from echolm.training.distributed import ranks_from_environment
    from echolm.training.loop import Compute, fit
    from echolm.training.prepare import prepare_run
    from echolm.training.signals import StopRequest
    from grid.definition.settings import changed_run, load_changed_run, read_settings
    from grid.find import find_cell, inputs_of
    from grid.tracking.store import check_before_training

    check_before_training(workspace)
    if threads:
        torch.set_num_threads(threads)
    changes = read_settings(settings)
    if what.endswith((".yaml", ".yml", ".json")):
        config = load_changed_run(Path(what), changes)
    else:
        cell, config = find_cell(what, workspace)
        if changes:
            config = changed_run(config, changes, f"cell {cell}")
    run = prepare_run(config, workspace, inputs_of(config, workspace))

    with ranks_from_environment(check_device(device)) as ranks:
        if ranks.first:
            mark_workspace(workspace.root)
            if not as_json:
                say(f"cell {run.cell} in {run.record.path}")
        arithmetic = Arithmetic(precision or "fp32", bool(compile))
        compute = Compute(
            micro_batch=micro_batch,
            checkpoint_minutes=checkpoint_minutes,
            keep=keep,
            arithmetic=arithmetic,
        )
        if ranks.first and arithmetic.on(ranks.device).precision != arithmetic.precision:
            warn([NO_TF32])
        shown = TrainProgress(run.config.epochs, hidden=quiet or as_json or not ranks.first)
        with shown.bar, StopRequest(_tell_stopping if ranks.first else None):
            [outcome] = fit(
                [run],
                compute,
                ranks,
                shown.epoch,
                on_live=shown.step,
                on_outage=shown.bar.say,
            )
        if ranks.first:
            _print(outcome, run.record.summary(), as_json)
    sys.exit(1 if outcome.outage else _EXIT_STATUS.get(outcome.state, 1))  # type: ignore[call-overload]


def _tell_stopping(name: str) -> None:
    """Say at once that a signal came. In a signal handler, so past Python's buffers."""
    line = f"stopping ({name}): the run saves a checkpoint first; a second Ctrl-C does not wait\n"
    os.write(2, line.encode())


def _print(outcome: Outcome, summary: dict[str, object] | None, as_json: bool) -> None:
    """Print how the run ended, and its results if it is complete."""
    if as_json:
        content = {
            "cell": outcome.cell,
            "state": outcome.state,
            "detail": outcome.detail,
            "summary": summary,
        }
        print_json(content)
        return
    if outcome.detail:
        say(f"{outcome.state}: {outcome.detail}")
    else:
        say(outcome.state)
    if outcome.state == RunState.INTERRUPTED:
        say("the same command continues from the checkpoint")
    if summary and isinstance(summary["metrics"], dict):
        metrics = sorted(summary["metrics"].items())
        rows = [(name, f"{value:.5g}") for name, value in metrics]
        print_table(["metric", "value"], rows)
