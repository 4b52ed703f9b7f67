"""Runs that diverged are marked wherever their cell is shown; runs far behind where they are so.

Neither is bold.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dice_rows import dice_at_ed

from grid.definition.tables import TableDefinition
from grid.tables.build import build
from grid.tables.render.data import plain, records
from grid.tables.render.latex import latex
from grid.tables.render.markdown import markdown


def test_a_seed_far_behind_is_marked_counted_and_told_with_the_number_without_it(
    table: Any,
) -> None:
    built = table({"tiny-r3d.mlp": (0, -30, 0.1), "tiny-r3d.gcn": (0, 0.1, -0.1)})
    value = built.rows[0].values[0]
    assert [run.seed for run in value.far_behind] == ["1"]
    assert not value.diverged
    assert not built.rows[1].values[0].far_behind
    estimates = {source.seed: source.value for source in value.sources}
    assert value.number.estimate == pytest.approx(np.mean(list(estimates.values())))
    others = np.mean([estimates["0"], estimates["2"]])
    assert f"counted in the number; without: {others:.2f} from 2 of 3 seeds" in value.notes[0]
    text = markdown(built)
    assert "‖" in text.splitlines()[4]
    assert "it counts in the number, which is never bold; see the notes." in text
    assert "diverged" not in text
    assert r"$\|$" in latex(built)
    [stored] = plain(built)["rows"][0]["values"]["Dice"]["far_behind"]
    assert stored == {"seed": "1", "value": estimates["1"], "best": max(estimates.values())}
    assert records(built)[0]["far_behind_seeds"] == ["1"]
    assert records(built)[0]["diverged_seeds"] == []


def test_far_behind_is_of_one_column_and_diverged_of_all(grid: Any, results: Any) -> None:
    """Also where a statistic has no better direction. What is undefined for all tells nothing."""
    columns = [
        {"metric": "dice", "label": "Dice"},
        {"metric": "dice", "statistic": "std", "label": "Std"},
        {"metric": "mke", "label": "MKE"},
        {"statistic": "auc", "label": "AUC", "options": {"truth": "mke", "score": "dice"}},
    ]
    grid.tables["main"] = TableDefinition.model_validate(
        {"title": "T", "rows": ["encoder", "head"], "columns": columns}
    )
    for cell in grid.cells:
        seed = int(cell.coordinates["seed"])
        dice = np.linspace(80, 99, 40) + np.random.default_rng(seed).normal(0, 0.1, 40)
        dice -= 50 * (cell.id == "tiny-r3d.mlp.1")
        if cell.id == "tiny-r3d.gcn.2":
            dice[7] = np.nan
        results.run(cell.id, table=dice_at_ed(dice, mke=np.ones(40)))
    behind, lost, *sound = build(grid, "main", results.folder).rows
    flagged = [[run.seed for run in value.far_behind] for value in behind.values]
    assert flagged == [["1"], [], [], []]
    assert [len(value.diverged) for value in behind.values] == [0, 0, 0, 0]
    assert behind.values[3].undefined == ("0", "1", "2")
    assert behind.values[3].notes == (
        "auc is undefined for these patients, though all predictions are numbers",
    )
    dice, std, mke, auc = lost.values
    assert [[run.seed for run in value.diverged] for value in (dice, std, mke)] == [["2"]] * 3
    assert mke.diverged[0].reason == "in Dice: mean dice is nan"
    assert np.isnan(dice.number.estimate)
    assert mke.number.estimate == 1
    assert mke.notes == ("seed 2 diverged (in Dice: mean dice is nan); counted in the number",)
    assert not any(value.bold for value in (dice, std, mke, auc))
    assert np.isnan(auc.number.estimate)
    assert [run.seed for run in auc.diverged] == ["2"]
    assert auc.undefined == ("0", "1")
    assert [[len(value.diverged) for value in row.values] for row in sound] == [[0, 0, 0, 0]] * 2
    assert sound[0].values[0].bold


def test_a_run_that_diverged_in_one_table_is_diverged_in_all_that_have_its_cell(
    grid: Any, results: Any
) -> None:
    """At ES a value is no number, at ED all are; a table of ED alone tells of it too.

    Tables that cannot be built, or have other cells, tell nothing. Nor does a seed far behind.
    """
    ids = [f"p{at}" for at in range(100)]
    same = {
        "sample": ids * 2,
        "patient": ids * 2,
        "split": ["test"] * 200,
        "target": ["landmarks"] * 200,
        "slot": ["ED"] * 100 + ["ES"] * 100,
    }
    for cell in grid.cells:
        noise = np.random.default_rng(int(cell.coordinates["seed"])).normal(0, 0.02, 100)
        spread = np.linspace(-1, 1, 100) + noise
        es = 84.3 + 9 * spread
        if cell.id == "tiny-r3d.mlp.2":
            es[3] = np.nan
        if cell.id == "tiny-r3d.gcn.2":
            es -= 40
        dice = np.concatenate([87.8 + 9 * spread, es])
        results.run(cell.id, table=pa.table({**same, "dice": dice}))
    ed, es = {"metric": "dice", "slot": "ED"}, {"metric": "dice", "slot": "ES"}
    rows = {"title": "T", "rows": ["encoder", "head"]}
    broken = {
        "wrong axis": {"title": "T", "rows": ["encodre"], "columns": [es]},
        "wrong column": {**rows, "columns": [{"metric": "dcie", "slot": "ES"}]},
    }
    other = {"other cells": {**rows, "columns": [es], "cells": {"encoder": ["tiny-mvit"]}}}
    apart = {
        "title": "T",
        "rows": ["encoder"],
        "columns": [{**es, "where": {"head": head}} for head in ("mlp", "gcn")],
    }
    for tables, told in (
        ({"both": {**rows, "columns": [ed, es]}}, "in dice ES of table both: "),
        ({"apart": apart}, "in mlp dice ES of table apart: "),
    ):
        named = {**broken, **other, **tables, "main": {**rows, "columns": [ed]}}
        grid.tables = {name: TableDefinition.model_validate(table) for name, table in named.items()}
        for cell in grid.cells:
            cell.tables = tuple(named)
        built = build(grid, "main", results.folder)
        failed, *sound = (row.values[0] for row in built.rows)
        assert [run.seed for run in failed.diverged] == ["2"]
        assert not any(value.diverged or value.far_behind for value in sound)
        assert failed.diverged[0].reason.startswith(told)
        assert failed.diverged[0].reason.endswith("mean dice is nan")
        assert not failed.bold
        assert any(value.bold for value in sound)
        assert markdown(built).splitlines()[4].count("†") == 1
    grid.tables = {name: table for name, table in grid.tables.items() if name != "apart"}
    assert not build(grid, "main", results.folder).rows[0].values[0].diverged


def test_a_value_with_a_seed_far_behind_is_never_bold(table: Any) -> None:
    """That seed widens its interval so far that nothing is significantly better."""
    shifts = {
        "tiny-r3d.mlp": (0, -30, 0.1),
        "tiny-r3d.gcn": (0, 0.1, -0.1),
        "tiny-mvit.mlp": (0.05, 0.0, -0.05),
    }
    built = table(shifts)
    assert [row.values[0].bold for row in built.rows] == [False, True, True, False]
    assert built.rows[0].values[0].standing.comparison is None
    lines = markdown(built).splitlines()
    assert "**" not in lines[4]
    assert "‖" in lines[4]
    assert not any("missing" in line for line in lines if line.startswith("- tiny-r3d, mlp"))
