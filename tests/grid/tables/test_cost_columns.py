"""Columns of what runs cost: parameters, operations, seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from value_rows import value_rows

from grid.definition.tables import ColumnDefinition, TableDefinition
from grid.tables.build import WITHOUT_COST, build
from grid.tables.render.data import records
from grid.tables.render.html import html
from grid.tables.render.latex import latex
from grid.tables.render.markdown import markdown
from grid.tables.table import Table

START = datetime(2026, 1, 1, tzinfo=UTC)
COLUMNS = [
    {"statistic": "mae", "label": "MAE", "target": "ef"},
    {"cost": "parameters", "options": {"scale": 1e-6}, "label": "parameters (M)", "digits": 1},
    {"cost": "seconds", "digits": 0},
]


def table(grid: Any, results: Any, costs: dict[str, list[Any]] | None) -> Table:
    """A table of runs that predict EF, with what each cost, in the order of the cells."""
    random = np.random.default_rng(0)
    truth = random.normal(55, 12, 30)
    for index, cell in enumerate(grid.cells):
        further: dict[str, Any] = {"params.task.name": "regression"}
        for name, values in (costs or {}).items():
            further[name] = values[index]
        rows = value_rows(truth, truth + random.normal(0, 3, 30))
        results.run(cell.id, table=rows, further=further)
    definition = {"title": "T", "rows": ["encoder", "head"], "columns": COLUMNS}
    grid.tables["main"] = TableDefinition.model_validate(definition)
    return build(grid, "main", results.folder)


def test_a_cost_is_the_mean_over_seeds_without_a_spread(grid: Any, results: Any) -> None:
    count = len(grid.cells)
    seconds = [60.0 + index for index in range(count)]
    costs: dict[str, list[Any]] = {"parameters": [86_227_200] * count, "seconds": seconds}
    built = table(grid, results, costs)
    by_cell = dict(zip([cell.id for cell in grid.cells], seconds, strict=True))
    for row in built.rows:
        _, parameters, taken = row.values
        assert parameters.number is not None and taken.number is not None
        assert parameters.number.text(1) == "86.2"
        own = [by_cell[cell] for cell in taken.cells]
        assert taken.number.estimate == pytest.approx(np.mean(own))
        assert taken.number.spread is None and not taken.bold and not taken.not_better
    text = markdown(built)
    assert "parameters (M)" in text and " 86.2 " in text and " 0 patients" not in text
    for spell in (latex, html):
        assert "86.2" in spell(built)
    stored = [row for row in records(built) if row["metric"] == "seconds"]
    assert stored and all(row["mean"] is not None for row in stored)


def test_seconds_that_runs_shared_are_divided(grid: Any, results: Any) -> None:
    count = len(grid.cells)
    ends = [START + timedelta(seconds=index) for index in range(count)]
    costs: dict[str, list[Any]] = {
        "seconds": [90.0] * count,
        "host": ["node"] * count,
        "device": ["cpu"] * count,
        "end": ends,
    }
    built = table(grid, results, costs)
    for row in built.rows:
        assert row.values[2].number is not None
        assert row.values[2].number.estimate == pytest.approx(90 / count)


def test_what_was_collected_without_costs_says_so(grid: Any, results: Any) -> None:
    built = table(grid, results, None)
    for row in built.rows:
        assert row.values[0].number is not None
        assert [value.refused for value in row.values[1:]] == [WITHOUT_COST] * 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric": "dice"}, "cost: seconds has no metric; leave it out"),
        ({"statistic": "mae"}, "cost: seconds has no statistic"),
        ({"subgroup": {"sex": "F"}}, "cost: seconds has no subgroup"),
        ({"options": {"positive": 1.0}}, "takes scale, a number, and nothing else"),
        ({"options": {"scale": "k"}}, "takes scale, a number, and nothing else"),
        ({"cost": "joules"}, "Input should be"),
    ],
)
def test_mistakes(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ColumnDefinition.model_validate({"cost": "seconds", **change})
