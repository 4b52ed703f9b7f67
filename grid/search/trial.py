"""One trial as a run record: how it stands, and running it to its end.

The record answers for the trial: whether somebody runs it, where to continue, and how it ended. A configuration that
has been run, by another trial or (complete) by a grid of the workspace, is not run again.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.record import ENDINGS, RunRecord
from echolm.registry import suggest
from echolm.training.prepare import PreparedRun, prepare_run
from grid.search.definition import Metric
from grid.search.folder import workspace_of
from grid.search.study import Study, Verdict

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from echolm.training.distributed import Ranks
    from echolm.training.loop import Compute

Prunes = Callable[[int, float], bool]
"""Whether a trial ends, given an epoch (from 0) and the metric after it."""
DEATHS = 3
"""A trial whose process died that often, one time after another without a new epoch, has failed."""


def prepare_trial(trial: FrozenTrial, folder: Path) -> PreparedRun:
    """The run of a trial, with its record in the search's folder, or the complete one of a grid.

    EchoLMError when data or weights are not there.
    """
    config = parse_config(trial.user_attrs["config"], f"{folder}: trial {trial.number}")
    run = prepare_run(config, workspace_of(folder))
    if run.record.summary() is not None:
        return run
    return replace(run, record=RunRecord.at(folder / "runs", run.cell, run.identity["fingerprint"]))


def judge(record: RunRecord, metric: Metric) -> Verdict | None:
    """How a trial ended, by its record; None when it has not."""
    state = record.state()
    reason = str(state.evidence.get("error") or state.evidence.get("reason") or "")
    if state.name == "complete":
        return _judge_complete(record, metric)
    if state.name == "pruned":
        return Verdict("pruned", None, reason, state.attempt)
    if state.name in ("failed", "cancelled"):
        return Verdict("failed", None, f"{state.name}: {reason}" if state.name == "cancelled" else reason, state.attempt)
    if state.name == "interrupted" and deaths(record) >= DEATHS:
        return Verdict("failed", None, f"its process died {DEATHS} times without a new epoch between", state.attempt)
    return None


def deaths(record: RunRecord) -> int:
    """How many of the newest attempts, one after another, have neither an ending nor a new epoch."""
    count = 0
    for attempt in reversed(record.attempts()):
        if any(event["event"] in (*ENDINGS, "epoch") for event in record.events(attempt)):
            break
        count += 1
    return count


def curve(record: RunRecord, metric: Metric) -> dict[int, float]:
    """The metric by epoch (from 0), as far as the record goes."""
    name = f"val/{metric.name}"
    return {event["epoch"]: float(event["metrics"][name]) for event in record.history() if name in event["metrics"]}


def run_trial(
    study: Study, trial: FrozenTrial, run: PreparedRun, ranks: Ranks, compute: Compute, prunes: Prunes | None = None
) -> str:
    """Run a trial to its end or as far as it goes, and tell it when it has ended; the state of its Outcome.

    ``prunes`` decides after each epoch but the last; without it, the study's pruner does. EchoLMError when nothing could
    be written: the trial waits for a worker that can.
    """
    from echolm.training.loop import fit

    metric = study.search.metric

    def on_epoch(run: PreparedRun, epoch: int, metrics: dict[str, float]) -> Literal["continue", "pruned"]:
        value = _value(metrics, metric)
        if not study.report(trial, {epoch: value}):
            return "pruned"  # told by now, so that nobody waits for its result
        if epoch + 1 >= run.config.epochs:
            return "continue"
        return "pruned" if (prunes(epoch, value) if prunes else study.prunes(trial)) else "continue"

    study.report(trial, curve(run.record, metric))
    [outcome] = fit([run], compute, ranks, on_epoch, test=False)
    verdict = judge(run.record, metric)
    if outcome.state == "refused":
        verdict = Verdict("failed", None, outcome.detail)
    if verdict:
        finish(study, trial, run, verdict)
    elif outcome.state == "failed":
        raise EchoLMError(f"trial {trial.number} cannot be recorded: {outcome.detail}")
    return outcome.state


def finish(study: Study, trial: FrozenTrial, run: PreparedRun, verdict: Verdict) -> None:
    """Tell a trial with all its epochs."""
    study.report(trial, curve(run.record, study.search.metric))
    study.tell(trial, verdict)


def _judge_complete(record: RunRecord, metric: Metric) -> Verdict:
    summary = record.summary()
    assert summary is not None
    value, attempt = summary["metrics"].get(f"val/{metric.name}"), summary["attempt"]
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return Verdict("failed", None, f"val/{metric.name} is {value}", attempt)
    return Verdict("complete", float(value), "", attempt)


def _value(metrics: dict[str, Any], metric: Metric) -> float:
    if metric.name not in metrics:
        raise EchoLMError(f"a search by {metric.name!r}: the run has no such metric; {suggest(metric.name, metrics)}")
    return metrics[metric.name]
