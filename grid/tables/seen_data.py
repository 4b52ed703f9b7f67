"""Whether an encoder has seen the test data of a value in its pretraining."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from echolm.weights import seen_data

if TYPE_CHECKING:
    from grid.tables.runs import CollectedRuns

SEEN = "its encoder has seen"
"""What notes on it begin with."""
STAGES = 10
"""So many pretrainings of one another are followed."""


def seen_notes(
    runs: Mapping[str, Mapping[str, Any]], datasets: Mapping[str, str], collected: CollectedRuns
) -> list[str]:
    """Say which test data of a value its encoders have seen, and who says so.

    Phantoms have been seen by nobody. Pretrainings of EchoLM read no test split, so what counts is
    which published weights the first of them began with.

    Args:
        runs: seed -> the row of its run.
        datasets: seed -> the dataset of its test split.
        collected: the runs, among which pretrainings are looked for.
    """
    notes: dict[str, None] = {}
    for seed, run in runs.items():
        if run["synthetic"]:
            continue
        for dataset, what, source in _seen_by(run, collected):
            if dataset == datasets[seed]:
                notes[f"{SEEN} {dataset} in pretraining ({what}): {source}"] = None
    return list(notes)


def _seen_by(run: Mapping[str, Any], collected: CollectedRuns) -> tuple[tuple[str, str, str], ...]:
    """Return dataset, amount and source of what the first weights of a run have seen."""
    for _ in range(STAGES):
        weights = run["params.weights"] or ""
        if not weights.startswith("run:"):
            return _seen(run["params.encoder.name"] or "", weights)
        earlier = collected.runs(weights.removeprefix("run:"))
        if not earlier:
            return ()
        run = earlier[0]
    return ()


@cache
def _seen(encoder: str, weights: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((data.dataset, data.what, data.source) for data in seen_data(encoder, weights))
