"""The collected runs of a grid, by cell, and their rows for a place of a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from echolm.errors import EchoLMError
from grid.definition.tables import ColumnDefinition, TableCell
from grid.results.files import TASK_PREFIX, newest_runs, predictions_path
from grid.results.shared_seconds import Part, TimedRun, share_seconds
from grid.statistics import Runs, align
from grid.tables.origins import UNKNOWN, Origin, TodaysOrigins, disagreement, why_not_counted
from grid.tables.predictions import GroupError, Predictions
from grid.tables.store_values import StoreValues
from grid.tables.test_sets import TestSets


def target_words(run: Mapping[str, Any]) -> str:
    """Return which value a run predicts, ``ef`` or ``ef < 50``. Empty where its task says none.

    Runs of other values have other true values for the same samples.
    """
    target = run.get(f"{TASK_PREFIX}target") or ""
    threshold = run.get(f"{TASK_PREFIX}below")
    if not target or threshold in (None, "null"):
        return target
    return f"{target} < {threshold}"


def _timed(run: Mapping[str, Any]) -> TimedRun:
    host, device = run["host"] or "", run["device"] or ""
    return TimedRun(run["cell"], host, device, run["seconds"], run["end"])


class CollectedRuns:
    """The collected runs of a grid.

    Args:
        results: the folder that was collected. None: nothing was run yet.
        today: what cells are made from today. Runs of anything else do not count. None: not known.
    """

    def __init__(self, results: Path | None, today: TodaysOrigins | None = None) -> None:
        self._results = results or Path()
        self.stores = StoreValues(results)
        """What is known of the stores of its runs."""
        self._today = today
        self._runs = newest_runs(results) if results else {}
        self._paths: dict[str, Path] = {}
        """Fingerprint -> where its predictions lie. Each column of a table asks."""
        self._has_predictions: dict[str, bool] = {}
        """Fingerprint -> whether they are there, likewise."""
        self._counting: dict[str, list[dict[str, Any]]] = {}
        self._shared: dict[str, Part] | None = None
        self._test_sets = TestSets(run for runs in self._runs.values() for run in runs)

    def runs(self, cell: str) -> list[dict[str, Any]]:
        """Return the runs of a cell that count, newest first. They need not have predictions."""
        if cell not in self._counting:
            collected = self._runs.get(cell, [])
            today = self._origin(cell)
            counting = [run for run in collected if not why_not_counted(run, today)]
            self._counting[cell] = counting
        return self._counting[cell]

    def count(self, cell: str) -> int:
        """Return how many runs of a cell were collected, whether they count or not."""
        return len(self._runs.get(cell, []))

    def why_none_counts(self, cell: str) -> str:
        """Return why no run of a cell counts any more, by its newest.

        Returns:
            '' where one counts, or none was collected.
        """
        runs = self._runs.get(cell, [])
        if not runs or self.runs(cell):
            return ""
        return why_not_counted(runs[0], self._origin(cell))

    def why_waiting(self, cell: str) -> str:
        """Say for which cell a cell waits, or by which it is blocked, as far as that is known."""
        return self._today.why_waiting(cell) if self._today else ""

    def newest(self, cells: Mapping[str, TableCell]) -> dict[str, dict[str, Any]]:
        """Return seed -> the newest run of its cell that counts, if its predictions are sound."""
        newest = {}
        for seed, cell in cells.items():
            runs = self.runs(cell.id)
            if runs and self.sound_predictions(runs[0]):
                newest[seed] = runs[0]
        return newest

    def sound_predictions(self, run: Mapping[str, Any]) -> Path | None:
        """Return the predictions of a run, or None where they are not there or not sound."""
        if not run["sound"]:
            return None
        fingerprint = run["fingerprint"]
        if fingerprint not in self._has_predictions:
            self._has_predictions[fingerprint] = self._path(run).exists()
        return self._path(run) if self._has_predictions[fingerprint] else None

    def aligned(
        self,
        name: str,
        column: ColumnDefinition,
        runs: Mapping[str, Mapping[str, Any]],
        predictions: Predictions,
    ) -> tuple[Runs | None, str]:
        """Return the runs of a place with their rows, or why they make no number.

        Args:
            name: of the place, for messages.
            column: its column.
            runs: seed -> run.
            predictions: what reads them.
        """
        rows = {}
        for seed, run in runs.items():
            try:
                rows[seed] = predictions.rows(self._path(run), column, run["data"] or "")
            except GroupError as error:
                return None, str(error)
        if not rows:
            return None, ""
        reason = disagreement(runs)
        if reason:
            return None, reason
        try:
            aligned = align(rows, name)
        except EchoLMError as error:
            return None, str(error)
        first = next(iter(runs.values()))
        truth = self._test_sets.name(first, self._path(first), column)
        parts = (truth, target_words(first))
        return replace(aligned, truth=", ".join(part for part in parts if part)), ""

    def cost(self, run: Mapping[str, Any], name: str) -> float | None:
        """Return what a run cost, None where it was collected without it.

        Args:
            run: the run.
            name: of the cost. Of ``seconds`` it is the run's part where several shared them.
        """
        if name != "seconds":
            cost: float | None = run[name]
            return cost
        if self._shared is None:
            self._shared = share_seconds(_timed(runs[0]) for runs in self._runs.values())
        part = self._shared.get(run["cell"])
        return part.seconds if part else None

    def _origin(self, cell: str) -> Origin:
        return self._today.of(cell) if self._today else UNKNOWN

    def _path(self, run: Mapping[str, Any]) -> Path:
        fingerprint = run["fingerprint"]
        if fingerprint not in self._paths:
            self._paths[fingerprint] = predictions_path(self._results, fingerprint)
        return self._paths[fingerprint]
