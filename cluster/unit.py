"""One unit in this process, or on this process's ranks: prepare its cells, train them together, report.

Every executor runs this. A cell that ran out of memory is tried again at once with half the micro-batch: the effective
batch, and so the result, stays what it is (to rounding).
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from echolm.attempt import mark_retried
from echolm.errors import EchoLMError
from echolm.record import RunState
from echolm.training.cohorts import Compute, refusal
from echolm.training.distributed import Ranks
from echolm.training.loop import Verdict, fit
from echolm.training.prepare import PreparedRun, prepare_run
from echolm.workspace import Workspace
from grid.plan import TO_RUN, Report, launched_config


def train_unit(
    workspace: Workspace, grid: str, cells: Sequence[str], compute: Compute, ranks: Ranks, report: Callable[[Report], None]
) -> str:
    """Train the cells of one unit that are still to run. Returns '' when they have ended, else what interrupted them: the
    name of a signal, ``signal on another rank``, or the loss of a rank in words.

    ``report`` is called on rank 0: ``epoch``, ``smaller`` (a micro-batch after out-of-memory), ``ended`` (a cell's outcome).
    """
    tell = report if ranks.first else _silent
    left = [cell for cell in cells if ranks.share(_waits(workspace, grid, cell, tell) if ranks.first else None)]
    stopped = ""
    while left and not stopped:
        with ranks.together():
            runs = [prepare_run(launched_config(workspace, grid, cell), workspace) for cell in left]
        outcomes = fit(runs, compute, ranks, _epochs(tell))
        stopped = next((outcome.detail or "interrupted" for outcome in outcomes if outcome.state == "interrupted"), "")
        smaller = _halved(runs, compute, ranks)
        again = ranks.share(_out_of_memory(runs)) if smaller and not stopped else []
        for outcome in outcomes:
            if outcome.cell not in again:
                tell(Report("ended", outcome.cell, {"state": outcome.state, "detail": outcome.detail}))
        if again and smaller:
            _release(runs, again, smaller.micro_batch or 1, ranks, tell)
            compute = smaller
        left = again
    return stopped


def _silent(report: Report) -> None:
    """The reports of ranks other than the first."""


def _waits(workspace: Workspace, grid: str, cell: str, tell: Callable[[Report], None]) -> bool:
    """Whether a cell is to be run: it can be prepared, and has not ended or been taken since it was planned."""
    try:
        state = prepare_run(launched_config(workspace, grid, cell), workspace).record.state()
    except EchoLMError as error:
        tell(Report("ended", cell, {"state": "failed", "detail": str(error), "unprepared": True}))
        return False
    if state.name in TO_RUN or "unseen" in state.evidence:
        return True
    tell(Report("ended", cell, {"state": "busy" if state.name == "running" else state.name, "detail": _since(state)}))
    return False


def _since(state: RunState) -> str:
    """Why a planned cell is not run, in words."""
    if state.name == "running":
        return "another launch runs it"
    return str(state.evidence.get("error") or state.evidence.get("reason") or "it ended in another process")


def _epochs(tell: Callable[[Report], None]) -> Callable[[PreparedRun, int, dict[str, float]], Verdict]:
    def on_epoch(run: PreparedRun, epoch: int, metrics: dict[str, float]) -> Verdict:
        facts: dict[str, Any] = {"epoch": epoch + 1, "epochs": run.config.epochs, "loss": metrics["loss"]}
        tell(Report("epoch", run.cell, facts))
        return "continue"

    return on_epoch


def _halved(runs: Sequence[PreparedRun], compute: Compute, ranks: Ranks) -> Compute | None:
    """Half the micro-batch; None when it is one sample already, or when it may not be split (BatchNorm)."""
    share = -(-runs[0].config.batch_size // ranks.world)
    size = min(compute.micro_batch or share, share)
    smaller = replace(compute, micro_batch=max(1, size // 2))
    return None if size <= 1 or any(refusal(run, smaller, ranks) for run in runs) else smaller


def _out_of_memory(runs: Sequence[PreparedRun]) -> list[str]:
    """The cells whose last failure that counts is of that class."""
    found = []
    for run in runs:
        state = run.record.state()
        if state.name == "failed" and state.evidence.get("class") == "out-of-memory":
            found.append(run.cell)
    return found


def _release(runs: Sequence[PreparedRun], cells: Sequence[str], size: int, ranks: Ranks, tell: Callable[[Report], None]) -> None:
    """Mark the failures as retried and give the memory back."""
    for run in runs:
        if ranks.first and run.cell in cells:
            mark_retried(run.record)
            tell(Report("smaller", run.cell, {"micro_batch": size}))
    gc.collect()
    if ranks.device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
