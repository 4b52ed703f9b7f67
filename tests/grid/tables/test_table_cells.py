"""Which cells stand behind a value.

Each cell somewhere, none twice, and no name that means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echolm.errors import EchoLMError
from grid.definition.table_cells import cells_of_table
from grid.definition.tables import TableDefinition

AXES = {"encoder": "abc", "head": "mg", "fraction": "12"}
LABELS = st.tuples(*(st.sampled_from(labels) for labels in AXES.values()), st.sampled_from("012"))
Define = Callable[..., Any]


@pytest.fixture
def define(grid: Any, cell: Any) -> Define:
    """The grid with one table.

    Cells by their labels on ``AXES`` and seed, axes of rows, labels of each column.
    """

    def made(
        cells: list[tuple[str, ...]], rows: list[str], where: list[dict[str, str]], **more: Any
    ) -> Any:
        columns = [
            {"metric": "dice", "slot": "ED", "where": labels, "label": str(labels)}
            for labels in where
        ]
        grid.tables["main"] = TableDefinition.model_validate(
            {"title": "T", "rows": rows, "columns": columns, **more}
        )
        grid.cells = [
            cell(".".join(labels), dict(zip([*AXES, "seed"], labels, strict=True)))
            for labels in cells
        ]
        return grid

    return made


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=st.sets(LABELS, min_size=1), columns=st.sampled_from(list(AXES)))
def test_each_cell_stands_in_one_value_at_its_labels(
    define: Define, chosen: set[tuple[str, ...]], columns: str
) -> None:
    place = list(AXES).index(columns)
    there = sorted({labels[place] for labels in chosen})
    rows = [axis for axis in AXES if axis != columns]
    found = {}
    for labels, values in cells_of_table(
        define(sorted(chosen), rows, [{columns: label} for label in there]), "main"
    ).items():
        for label, cells in zip(there, values, strict=True):
            for seed, cell in cells.items():
                assert cell.id not in found
                found[cell.id] = (*labels[:place], label, *labels[place:], seed)
    assert found == {".".join(labels): labels for labels in chosen}


def test_rows_stand_as_in_the_grid_or_by_order(define: Define) -> None:
    cells = [
        ("b", "m", "1", "0"),
        ("a", "g", "1", "0"),
        ("b", "g", "1", "0"),
        ("c", "m", "1", "0"),
        ("a", "m", "1", "0"),
    ]
    rows = ["encoder", "head"]
    assert list(cells_of_table(define(cells, rows, [{}]), "main")) == [(e, h) for e, h, *_ in cells]
    ordered = cells_of_table(define(cells, rows, [{}], order={"encoder": ["c", "a"]}), "main")
    assert list(ordered) == [("c", "m"), ("a", "m"), ("a", "g"), ("b", "m"), ("b", "g")]
    ordered = cells_of_table(define(cells, rows, [{}], order={"head": ["g", "m"]}), "main")
    assert list(ordered) == [("b", "g"), ("b", "m"), ("a", "g"), ("a", "m"), ("c", "m")]


CELLS = [("a", "m", "1", "0"), ("a", "g", "2", "0"), ("b", "m", "1", "0")]


@pytest.mark.parametrize(
    ("rows", "where", "more", "message"),
    [
        (
            ["encoder"],
            [{}],
            {},
            "cells a.m.1.0 and a.g.2.0 fall into the same row .* add to rows: fraction, head",
        ),
        (
            ["encoder"],
            [{"head": "m"}],
            {},
            r"no column takes cell a.g.2.0 \(encoder=a head=g fraction=2 seed=0\)",
        ),
        (["encoder"], [{"head": "n"}], {}, "column .*: where: no cell has head=n; valid: g, m"),
        (["encoder"], [{"haed": "m"}], {}, ".*no cell has haed=m; did you mean 'head'"),
        (["encodr"], [{}], {}, "rows: no cell has an axis 'encodr'; did you mean 'encoder'"),
        (
            ["encoder", "head"],
            [{}],
            {"order": {"head": ["g", "x"]}},
            "order: no cell has head=x; valid: g, m",
        ),
    ],
)
def test_a_definition_that_does_not_fit_the_cells_is_refused(
    define: Define, rows: list[str], where: list[dict[str, str]], more: Any, message: str
) -> None:
    with pytest.raises(EchoLMError, match=f"^table main of grid small: {message}"):
        cells_of_table(define(CELLS, rows, where, **more), "main")


def test_cells_of_one_row_and_several_columns_may_overlap(define: Define) -> None:
    """A column for some cells may stand beside one for all."""
    cells = [("a", "m", "1", "0"), ("b", "m", "1", "0")]
    values = cells_of_table(define(cells, ["encoder"], [{}, {"encoder": "b"}]), "main")
    assert [[len(value) for value in row] for row in values.values()] == [[1, 0], [1, 1]]
