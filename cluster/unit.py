"""One unit in this process, or on this process's ranks: prepare, train together, report.

Every executor runs this. A cell that ran out of memory is tried again at once with half the
micro-batch: the effective batch, and so the result, stays what it is (to rounding). What was there
when the unit was planned and is away now is waited for.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from echolm.attempt import mark_retried
from echolm.errors import EchoLMError
from echolm.outages import OutageError, is_outage, lost_workspace
from echolm.record import RunStatus
from echolm.states import FailureClass, RunState, Standing
from echolm.training.cohorts import Compute, refusal
from echolm.training.distributed import Ranks
from echolm.training.live import LiveProgress
from echolm.training.loop import Verdict, fit
from echolm.training.patience import AfterWait, Patience
from echolm.training.prepare import Inputs, PreparedRun, prepare_run
from echolm.training.run_handle import Outcome
from echolm.training.signals import StopRequest
from echolm.workspace import Workspace
from grid.stored_configs import unit_config
from grid.units import TO_RUN, Report, Unit, is_held_out_of_sight

OUTAGE = "outage"
"""How the words of ``train_unit`` begin when something was away for too long."""


def train_unit(
    workspace: Workspace,
    grid: str,
    unit: Unit,
    compute: Compute,
    ranks: Ranks,
    report: Callable[[Report], None],
) -> str:
    """Train the cells of one unit that are still to run.

    ``report`` is called on rank 0, with ``step``, ``epoch``, ``smaller``, ``ended`` and ``outage``.

    Returns:
        '' when they have ended, else what interrupted them: the name of a signal, ``signal on
        another rank``, the loss of a rank in words, or words that begin with ``OUTAGE``: something
        was away for too long.
    """
    tell = report if ranks.first else _say_nothing
    runs, interruption = _prepare_on_all_ranks(workspace, grid, unit, compute, ranks, tell)
    while runs and not interruption:
        outcomes = fit(
            runs,
            compute,
            ranks,
            _epoch_reports(tell),
            on_live=_live_reports(tell),
            on_outage=_outage_reports(tell),
        )
        interruption = _interruption(outcomes)
        smaller = _halved(runs, compute, ranks)
        again: list[PreparedRun] = []
        if smaller and not interruption:
            cells = ranks.share(_out_of_memory(runs))
            again = [run for run in runs if run.cell in cells]
        _report_ends(outcomes, [run.cell for run in again], tell)
        if again and smaller:
            _release_memory(again, smaller.micro_batch or 1, ranks, tell)
            compute = smaller
        runs = again
    return interruption


def _say_nothing(report: Report) -> None:
    """Stand in for ``report`` on ranks other than the first."""


def _prepare_on_all_ranks(
    workspace: Workspace,
    grid: str,
    unit: Unit,
    compute: Compute,
    ranks: Ranks,
    tell: Callable[[Report], None],
) -> tuple[list[PreparedRun], str]:
    """Prepare the cells that wait. The first rank decides which do, since only it sees records.

    Data and weights were there when the unit was planned. Where they are not there now, they are
    waited for, and no cell is refused meanwhile.

    Returns:
        The runs, and the signal that ended the wait for what is away, or ''.
    """
    with StopRequest() as stop:
        patience = Patience(ranks, stop, _outage_reports(tell), compute.outage_s)
        verdict = AfterWait.AGAIN
        while verdict == AfterWait.AGAIN:
            prepared = Preparation()
            if ranks.first:
                prepared = _prepare_what_waits(workspace, grid, unit)
            if not ranks.share(prepared.missing):
                break
            look = partial(_still_missing, workspace, grid, unit, prepared.missing)
            verdict = patience.wait(look)
        if patience.stopped:
            return [], stop.received or "signal on another rank"
    for report in prepared.reports:
        tell(report)
    runs = prepared.runs
    cells = ranks.share([run.cell for run in runs])
    with ranks.together():
        if not ranks.first:
            inputs = Inputs(workspace, unit.config_of)
            for cell in cells:
                config = unit_config(unit, cell, workspace, grid)
                runs.append(prepare_run(config, workspace, inputs))
    return runs, ""


@dataclass
class Preparation:
    """A look at the cells of a unit.

    Attributes:
        runs: those that wait, prepared.
        reports: how the others have ended.
        missing: what is away that a cell needs, in words, or ''.
    """

    runs: list[PreparedRun] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    missing: str = ""


def _prepare_what_waits(workspace: Workspace, grid: str, unit: Unit) -> Preparation:
    """Prepare the cells of a unit that wait."""
    inputs = Inputs(workspace, unit.config_of)
    prepared = Preparation(missing=lost_workspace(workspace.root))
    if prepared.missing:
        for cell in unit.cells:
            prepared.reports.append(_unprepared(cell, OutageError(prepared.missing)))
        return prepared
    for cell in unit.cells:
        try:
            config = unit_config(unit, cell, workspace, grid)
            run = prepare_run(config, workspace, inputs, may_wait=True)
            status = run.record.state()
        except (EchoLMError, OSError) as error:
            prepared.reports.append(_unprepared(cell, error))
            if is_outage(error):
                prepared.missing = prepared.missing or str(error)
            continue
        # It may have ended, or been taken, since it was planned.
        if status.name in TO_RUN or is_held_out_of_sight(status):
            if run.waits_for:
                detail = f"cell {run.waits_for} has not been trained, whose weights it begins with"
                facts = {"state": Standing.WAITING, "detail": detail}
                prepared.reports.append(Report("ended", cell, facts))
            else:
                prepared.runs.append(run)
            continue
        state = "busy" if status.name == RunState.RUNNING else status.name
        facts = {"state": state, "detail": _why_not_run(status)}
        prepared.reports.append(Report("ended", cell, facts))
    return prepared


def _unprepared(cell: str, error: Exception) -> Report:
    """Report a cell that cannot be run."""
    facts = {"state": RunState.FAILED, "detail": str(error), "unprepared": True}
    if is_outage(error):
        facts["outage"] = True
    return Report("ended", cell, facts)


def _still_missing(workspace: Workspace, grid: str, unit: Unit, missing: str) -> str:
    """Say what is away that a cell of the unit needs, on the rank that has noticed, or ''."""
    return _prepare_what_waits(workspace, grid, unit).missing if missing else ""


def _why_not_run(status: RunStatus) -> str:
    """Say why a planned cell is not run."""
    if status.name == RunState.RUNNING:
        return "another launch runs it"
    evidence = status.evidence
    return str(evidence.get("error") or evidence.get("reason") or "it ended in another process")


def _epoch_reports(
    tell: Callable[[Report], None],
) -> Callable[[PreparedRun, int, dict[str, float]], Verdict]:
    """Return what tells each validated epoch, and lets every run go on."""

    def on_epoch(run: PreparedRun, epoch: int, metrics: dict[str, float]) -> Verdict:
        facts: dict[str, Any] = {
            "epoch": epoch + 1,
            "epochs": run.config.epochs,
            "loss": metrics["loss"],
        }
        tell(Report("epoch", run.cell, facts))
        return "continue"

    return on_epoch


def _live_reports(tell: Callable[[Report], None]) -> Callable[[PreparedRun, LiveProgress], None]:
    """Return what tells where a run stands."""

    def on_live(run: PreparedRun, live: LiveProgress) -> None:
        tell(Report("step", run.cell, live.plain()))

    return on_live


def _outage_reports(tell: Callable[[Report], None]) -> Callable[[str], None]:
    """Return what tells of something that is away, or back."""

    def on_outage(line: str) -> None:
        tell(Report("outage", "", {"line": line}))

    return on_outage


def _interruption(outcomes: Sequence[Outcome]) -> str:
    """Return what interrupted the runs, or ''."""
    for outcome in outcomes:
        if outcome.outage:
            return f"{OUTAGE}: {outcome.detail}"
        if outcome.state == RunState.INTERRUPTED:
            return outcome.detail or "interrupted"
    return ""


def is_outage_end(interruption: str) -> bool:
    """Tell whether what ``train_unit`` returned is an outage."""
    return interruption.startswith(OUTAGE)


def _report_ends(
    outcomes: Sequence[Outcome], again: Sequence[str], tell: Callable[[Report], None]
) -> None:
    """Report how cells have ended, but for those that are tried again."""
    for outcome in outcomes:
        if outcome.cell not in again:
            facts: dict[str, Any] = {"state": outcome.state, "detail": outcome.detail}
            if outcome.outage:
                facts["outage"] = True
            tell(Report("ended", outcome.cell, facts))


def _halved(runs: Sequence[PreparedRun], compute: Compute, ranks: Ranks) -> Compute | None:
    """Halve the micro-batch. None when it is one sample, or may not be split (BatchNorm)."""
    share = -(-runs[0].config.batch_size // ranks.world)  # rounded up
    size = min(compute.micro_batch or share, share)
    if size <= 1:
        return None
    smaller = replace(compute, micro_batch=size // 2)
    for run in runs:
        if refusal(run, smaller, ranks):
            return None
    return smaller


def _out_of_memory(runs: Sequence[PreparedRun]) -> list[str]:
    """Return the cells whose last failure that counts is of that class."""
    cells = []
    for run in runs:
        status = run.record.state()
        failure = status.evidence.get("class")
        if status.name == RunState.FAILED and failure == FailureClass.OUT_OF_MEMORY:
            cells.append(run.cell)
    return cells


def _release_memory(
    runs: Sequence[PreparedRun], size: int, ranks: Ranks, tell: Callable[[Report], None]
) -> None:
    """Mark the runs' failures as retried and give the memory back."""
    if ranks.first:
        for run in runs:
            mark_retried(run.record)
            tell(Report("smaller", run.cell, {"micro_batch": size}))
    gc.collect()
    if ranks.device.type == "cuda":
        import torch

        torch.cuda.empty_cache()
