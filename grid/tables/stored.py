"""The collected runs of a grid, by cell, and their rows for a place of a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echolm.errors import EchoLMError
from grid.statistics import Runs, align
from grid.tables.definition import ColumnDefinition, TableCell
from grid.tables.results import newest_runs, predictions_path
from grid.tables.select import Predictions


class Stored:
    """``results``: the folder that was collected (None: nothing was run yet)."""

    def __init__(self, results: Path | None) -> None:
        self._results = results or Path()
        self._runs = newest_runs(results) if results else {}

    def runs(self, cell: str) -> list[dict[str, Any]]:
        """The runs of a cell, newest first; they need not have predictions."""
        return self._runs.get(cell, [])

    def newest(self, cells: Mapping[str, TableCell]) -> dict[str, dict[str, Any]]:
        """Seed -> the newest run of its cell, where that has predictions."""
        stored = {seed: self.runs(cell.id) for seed, cell in cells.items()}
        return {seed: runs[0] for seed, runs in stored.items() if runs and self._path(runs[0]).exists()}

    def aligned(self, name: str, column: ColumnDefinition, found: Mapping[str, Mapping[str, Any]], predictions: Predictions) -> tuple[Runs | None, str]:
        """The runs of a place (seed -> run) with their rows, or why they make no number. ``predictions`` reads them."""
        rows = {seed: predictions.rows(self._path(run), column) for seed, run in found.items()}
        try:
            return (align(rows, name) if rows else None), ""
        except EchoLMError as error:
            return None, str(error)

    def _path(self, run: Mapping[str, Any]) -> Path:
        return predictions_path(self._results, run["fingerprint"])
