"""Reading table definitions and what was launched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from echolm.errors import EchoLMError
from grid.definition.grid import load_grid, shipped_grids
from grid.definition.launched import launched_grids, read_launched
from grid.definition.tables import ColumnDefinition, TableDefinition

TABLE = {"title": "T", "rows": ["encoder"], "columns": [{"metric": "dice", "slot": "ED"}]}


def launch(folder: Path, name: str, **content: Any) -> None:
    cells = {
        "c2": {"coordinates": {"encoder": "b"}, "tables": ["t"]},
        "c1": {"coordinates": {"encoder": "a"}},
    }
    path = folder / name / "cells.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        json.dumps({"grid": name, "title": "x", "cells": cells, "tables": {"t": TABLE}, **content})
    )


def test_what_was_launched_keeps_the_order_of_cells(tmp_path: Path) -> None:
    launch(tmp_path, "smoke")
    grid = read_launched(tmp_path, "smoke")
    assert (grid.name, grid.title, [cell.id for cell in grid.cells]) == ("smoke", "x", ["c2", "c1"])
    assert grid.tables["t"] == TableDefinition.model_validate(TABLE)


def test_a_table_is_stored_as_it_was_defined(tmp_path: Path) -> None:
    column = {"metric": "dice", "slot": "ED", "where": {"encoder": "b"}, "label": "b", "digits": 1}
    source = {"paper": "bhoodoo2026", "table": "2", "labels": {"encoder": {"b": "r3d-18"}}}
    table = {
        "title": "T",
        "rows": ["head"],
        "columns": [column],
        "order": {"head": ["y", "x"]},
        "published": source,
    }
    definition = TableDefinition.model_validate(table)
    launch(tmp_path, "smoke", tables={"t": definition.model_dump(mode="json")})
    assert read_launched(tmp_path, "smoke").tables["t"] == definition


@pytest.mark.parametrize("name", sorted(shipped_grids()))
def test_the_tables_of_every_shipped_grid_are_read_again(tmp_path: Path, name: str) -> None:
    """They are kept with all fields, also those that nobody stated, as of a column of costs."""
    tables = load_grid(name).tables
    stored = {key: table.model_dump(mode="json") for key, table in tables.items()}
    launch(tmp_path, "smoke", tables=stored)
    assert read_launched(tmp_path, "smoke").tables == tables


def test_more_facts_of_a_cell_do_no_harm(tmp_path: Path) -> None:
    cells = {
        "c": {
            "coordinates": {"encoder": "b"},
            "tables": ["t"],
            "config": {"seed": 0},
            "subgrids": [],
        }
    }
    launch(tmp_path, "smoke", cells=cells, path="x.yaml")
    assert read_launched(tmp_path, "smoke").cells[0].id == "c"


def test_a_grid_is_typed_by_the_path_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(tmp_path, "old")
    launch(tmp_path, "new", path=str(tmp_path / "my grids" / "new.yaml"))
    assert read_launched(tmp_path, "old").typed == "old"
    assert read_launched(tmp_path, "new").typed == str(tmp_path / "my grids" / "new.yaml")
    monkeypatch.chdir(tmp_path)
    assert read_launched(tmp_path, "new").typed == "my grids/new.yaml"


def test_a_grid_that_was_never_launched(tmp_path: Path) -> None:
    with pytest.raises(
        EchoLMError,
        match="'smoke' was never launched, nor did it come with EchoLM; "
        "valid: demo, .*nldl2026, .*; or give the path",
    ) as caught:
        read_launched(tmp_path / "grids", "smoke")
    assert "echolm launch" not in str(caught.value), "of a grid that is nowhere"
    with pytest.raises(
        EchoLMError, match="'demo' was never launched in .*; type: echolm launch demo --on local"
    ):
        read_launched(tmp_path / "grids", "demo")
    launch(tmp_path, "smoke")
    launch(tmp_path, "other")
    assert launched_grids(tmp_path) == ["other", "smoke"]
    with pytest.raises(
        EchoLMError,
        match="'smok' was never launched, .* did you mean 'smoke'. valid: demo, .*other, .*smoke",
    ):
        read_launched(tmp_path, "smok")
    with pytest.raises(EchoLMError, match="never launched"):
        read_launched(tmp_path, "../grids/smoke")


def test_damage_is_named(tmp_path: Path) -> None:
    launch(tmp_path, "smoke", cells={"c": {"tables": []}})
    with pytest.raises(EchoLMError, match=r"cells.json: .*coordinates: is missing"):
        read_launched(tmp_path, "smoke")
    (tmp_path / "smoke" / "cells.json").write_text("{")
    with pytest.raises(EchoLMError, match="cells.json: damaged"):
        read_launched(tmp_path, "smoke")


@pytest.mark.parametrize(
    "change",
    [
        {"rows": []},
        {"rows": ["encoder", "seed"]},
        {"rows": ["encoder", "encoder"]},
        {"columns": []},
        {"columns": [{"metric": "dice", "slot": "ED"}] * 2},
        {"columns": [{"metric": "dice", "digits": 11}]},
        {"colums": []},
        {"columns": [{"metric": "dice", "where": {"seed": "0"}}]},
        {"order": {"head": ["gcn"]}},
        {"published": {"paper": "bhoodoo2026"}},
    ],
)
def test_definitions_that_cannot_be_meant_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TableDefinition.model_validate({**TABLE, **change})


def test_headings() -> None:
    assert ColumnDefinition(metric="dice", slot="ED").heading == "dice ED"
    assert (
        ColumnDefinition(metric="dice", slot="ED", where={"fraction": "10%"}).heading
        == "10% dice ED"
    )
    assert ColumnDefinition(metric="mae", target="EF", label="MAE EF (%)").heading == "MAE EF (%)"
