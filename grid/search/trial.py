"""One trial as a run record: how it stands, and running it to its end.

The record answers for the trial: whether somebody runs it, where to continue, and how it ended. A
configuration that has been run, by another trial or (complete) by a grid of the workspace, is not
run again.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.record import ENDINGS, RunRecord
from echolm.states import RunState
from echolm.text import suggest
from echolm.training.prepare import PreparedRun, prepare_run
from grid.search.definition import Metric
from grid.search.folder import workspace_of
from grid.search.study import Study, TrialResult

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from echolm.training.distributed import Ranks
    from echolm.training.loop import Compute

Prunes = Callable[[int, float], bool]
"""Whether a trial ends, given an epoch (from 0) and the metric after it."""
TRIAL_SPLITS = ("train", "val")
"""What a trial reads: no test result is made of it."""
DEATHS = 3
"""A trial whose process died so often, one time after another without a new epoch, has failed."""


def prepare_trial(trial: FrozenTrial, folder: Path) -> PreparedRun:
    """Prepare the run of a trial.

    Its record lies in the search's folder, unless a grid has a complete one.

    Raises:
        EchoLMError: data or weights are not there.
    """
    config = parse_config(trial.user_attrs["config"], f"{folder}: trial {trial.number}")
    run = prepare_run(config, workspace_of(folder), splits=TRIAL_SPLITS)
    if run.record.summary() is not None:
        return run
    record = RunRecord.at(folder / "runs", run.cell, run.identity["fingerprint"])
    return replace(run, record=record)


def trial_result(record: RunRecord, metric: Metric) -> TrialResult | None:
    """Return how a trial ended, by its record. None when it has not."""
    status = record.state()
    reason = str(status.evidence.get("error") or status.evidence.get("reason") or "")
    if status.name == RunState.COMPLETE:
        return _complete_result(record, metric)
    if status.name == RunState.PRUNED:
        return TrialResult(RunState.PRUNED, reason=reason, attempt=status.attempt)
    if status.name == RunState.FAILED:
        return _failed(reason, status.attempt)
    if status.name == RunState.CANCELLED:
        return _failed(f"{RunState.CANCELLED}: {reason}", status.attempt)
    if status.name == RunState.INTERRUPTED and deaths(record) >= DEATHS:
        return _failed(
            f"its process died {DEATHS} times without a new epoch between", status.attempt
        )
    return None


def deaths(record: RunRecord) -> int:
    """Count how many of the newest attempts, one after another, died.

    They have neither an ending nor a new epoch.
    """
    count = 0
    for attempt in reversed(record.attempts()):
        events = {event["event"] for event in record.events(attempt)}
        if not events.isdisjoint((*ENDINGS, "epoch")):
            break
        count += 1
    return count


def curve(record: RunRecord, metric: Metric) -> dict[int, float]:
    """Return the metric by epoch (from 0), as far as the record goes."""
    name = f"val/{metric.name}"
    values = {}
    for event in record.history():
        if name in event["metrics"]:
            values[event["epoch"]] = float(event["metrics"][name])
    return values


def run_trial(
    study: Study,
    trial: FrozenTrial,
    run: PreparedRun,
    ranks: Ranks,
    compute: Compute,
    prunes: Prunes | None = None,
) -> str:
    """Run a trial to its end or as far as it goes, and tell it when it has ended.

    Args:
        study: the trials of the search.
        trial: the trial.
        run: its run.
        ranks: the processes that train.
        compute: how to compute.
        prunes: decides after each epoch but the last. Without it, the study's pruner does.

    Returns:
        The state of the run's outcome.

    Raises:
        EchoLMError: record or journal cannot be written. The trial waits for a worker that can.
    """
    from echolm.training.loop import fit

    metric = study.search.metric

    def ends_after(epoch: int, value: float) -> bool:
        if not study.report(trial, {epoch: value}):
            return True  # told by now, so that nobody waits for its result
        if epoch + 1 >= run.config.epochs:
            return False
        return prunes(epoch, value) if prunes else study.prunes(trial)

    def on_epoch(
        run: PreparedRun, epoch: int, metrics: dict[str, float]
    ) -> Literal["continue", "pruned"]:
        value = _value(metrics, metric)
        try:
            return "pruned" if ends_after(epoch, value) else "continue"
        except (EchoLMError, OSError) as error:
            # The record has the epoch, and `finish` reports what the journal lacks. So a journal
            # that cannot be written for a while is no reason to lose the trial.
            print(f"trial {trial.number} goes on: {error}", file=sys.stderr, flush=True)
            return "continue"

    study.report(trial, curve(run.record, metric))
    [outcome] = fit([run], compute, ranks, on_epoch, test=False)
    result = trial_result(run.record, metric)
    if outcome.state == "refused":
        result = _failed(outcome.detail)
    if result:
        finish(study, trial, run, result)
    elif outcome.state == RunState.FAILED:
        raise EchoLMError(f"trial {trial.number} cannot be recorded: {outcome.detail}")
    return outcome.state


def finish(study: Study, trial: FrozenTrial, run: PreparedRun, result: TrialResult) -> None:
    """Tell a trial with all its epochs."""
    study.report(trial, curve(run.record, study.search.metric))
    study.tell(trial, result)


def _failed(reason: str, attempt: int = 0) -> TrialResult:
    return TrialResult(RunState.FAILED, reason=reason, attempt=attempt)


def _complete_result(record: RunRecord, metric: Metric) -> TrialResult:
    summary = record.summary()
    assert summary is not None
    attempt = summary["attempt"]
    value = summary["metrics"].get(f"val/{metric.name}")
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return _failed(f"val/{metric.name} is {value}", attempt)
    return TrialResult(RunState.COMPLETE, float(value), attempt=attempt)


def _value(metrics: dict[str, Any], metric: Metric) -> float:
    if metric.name not in metrics:
        raise EchoLMError(
            f"a search by {metric.name!r}: the run has no such metric; "
            f"{suggest(metric.name, metrics)}"
        )
    return metrics[metric.name]
