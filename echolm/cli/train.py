"""``echolm train``: one run in the foreground, alone or as a rank of torchrun."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echolm.cli.options import as_json, check_device, device, print_json, print_table
from echolm.workspace import Workspace

if TYPE_CHECKING:
    from echolm.training.held import Outcome


@click.command()
@click.argument("what", metavar="CELL|CONFIG.yaml")
@device("auto")
@click.option("--micro-batch", type=click.IntRange(1), help="Samples a rank pushes at once; the batch size stays.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of each rank.")
@click.option("--quiet", is_flag=True, help="No line per epoch.")
@as_json
@click.pass_obj
def train(workspace: Workspace, what: str, device: str, micro_batch: int | None, threads: int | None, quiet: bool, as_json: bool) -> None:
    """Train one run, in the foreground.

    It is a cell of a grid by its id (or the start of one), or a configuration file. It continues where it stopped.

    \b
    On several processes: torchrun --nproc-per-node 2 -m echolm.cli train CELL
    Exit status: 0 complete, 1 failed or not run, 3 interrupted by a signal.
    """
    import torch

    from echolm.config import load_config
    from echolm.training.distributed import ranks_from_environment
    from echolm.training.loop import Compute, fit
    from echolm.training.prepare import PreparedRun, prepare_run
    from grid.plan import find_cell

    if threads:
        torch.set_num_threads(threads)
    config = load_config(Path(what)) if what.endswith((".yaml", ".yml", ".json")) else find_cell(what, workspace)[1]
    run = prepare_run(config, workspace)

    def tell(run: PreparedRun, epoch: int, metrics: dict[str, float]) -> str:
        if not (quiet or as_json):
            click.echo(f"epoch {epoch + 1}/{run.config.epochs}  " + "  ".join(f"val {k} {v:.5g}" for k, v in metrics.items()))
        return "continue"

    with ranks_from_environment(check_device(device)) as ranks:
        if ranks.first and not as_json:
            click.echo(f"cell {run.cell} in {run.record.path}")
        [outcome] = fit([run], Compute(micro_batch=micro_batch), ranks, tell)  # type: ignore[arg-type]
        if ranks.first:
            _print(outcome, run.record.summary(), as_json)
    sys.exit({"complete": 0, "interrupted": 3}.get(outcome.state, 1))


def _print(outcome: Outcome, summary: dict[str, object] | None, as_json: bool) -> None:
    if as_json:
        print_json({"cell": outcome.cell, "state": outcome.state, "detail": outcome.detail, "summary": summary})
        return
    click.echo(f"{outcome.state}" + (f": {outcome.detail}" if outcome.detail else ""))
    if outcome.state == "interrupted":
        click.echo("the same command continues from the checkpoint")
    if summary and isinstance(summary["metrics"], dict):
        print_table(["metric", "value"], [(name, f"{value:.5g}") for name, value in sorted(summary["metrics"].items())])
