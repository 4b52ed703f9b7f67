"""Tables from Parquet alone: right numbers, provenance, and nothing hidden."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from echolm.errors import EchoLMError
from grid.tables.build import build


def independent(tables: list[Any], metric: str, slot: str) -> tuple[float, float, float]:
    """Mean, std over patients and std over seeds of one cell, from the rows alone."""
    means, stds = [], []
    for table in tables:
        by_patient: dict[str, list[float]] = {}
        for row in table.to_pylist():
            if row["split"] == "test" and row["slot"] == slot:
                by_patient.setdefault(row["patient"], []).append(row[metric])
        values = [np.mean(own) for own in by_patient.values()]
        means.append(np.mean(values))
        stds.append(np.std(values, ddof=1))
    return float(np.mean(means)), float(np.mean(stds)), float(np.std(means, ddof=1))


def test_numbers_equal_an_independent_computation(grid: Any, results: Any, complete: Any) -> None:
    patients, seeds = (
        build(grid, "main", results.folder, kind)
        for kind in ("std-over-patients", "std-over-seeds")
    )
    assert [row.labels for row in patients.rows] == [
        ("tiny-r3d", "mlp"),
        ("tiny-r3d", "gcn"),
        ("tiny-mvit", "mlp"),
        ("tiny-mvit", "gcn"),
    ]
    for row, seeds_row in zip(patients.rows, seeds.rows, strict=True):
        tables = [complete[f"{row.labels[0]}.{row.labels[1]}.{seed}"] for seed in "012"]
        for index, (metric, slot) in enumerate([("dice", "ED"), ("dice", "ES"), ("mke", "ED")]):
            mean, over_patients, over_seeds = independent(tables, metric, slot)
            number, seeds_number = row.values[index].number, seeds_row.values[index].number
            assert number is not None
            assert seeds_number is not None
            assert number.estimate == seeds_number.estimate == pytest.approx(mean)
            assert (number.spread, seeds_number.spread) == (
                pytest.approx(over_patients),
                pytest.approx(over_seeds),
            )
            assert (number.patients, number.seeds) == (24, 3)


def test_provenance_names_runs_cells_and_seeds(grid: Any, results: Any, complete: Any) -> None:
    for value in build(grid, "main", results.folder).rows[1].values:
        assert value.seeds == ("0", "1", "2")
        assert value.cells == ("tiny-r3d.gcn.0", "tiny-r3d.gcn.1", "tiny-r3d.gcn.2")
        assert value.runs == tuple(f"run-{cell}-0" for cell in value.cells)
        assert value.missing == ()
        assert value.notes == ()
        assert value.expected == 3


def test_missing_seeds_and_rows_are_named(grid: Any, results: Any) -> None:
    for seed in "02":
        results.run(f"tiny-r3d.mlp.{seed}")
    results.run("tiny-r3d.gcn.1", predictions=False)
    table = build(grid, "main", results.folder)
    incomplete, unfetched, absent, _ = (row.values for row in table.rows)
    assert [(value.seeds, value.number.seeds) for value in incomplete if value.number] == [
        (("0", "2"), 2)
    ] * 3
    assert [[item.seed for item in value.missing] for value in incomplete] == [["1"]] * 3
    assert "predictions" in unfetched[0].missing[1].reason
    assert "no complete run" in unfetched[0].missing[0].reason
    assert [value.number for value in absent] == [None] * 3
    assert {len(value.missing) for value in absent} == {3}


def test_the_newest_of_several_runs_of_a_cell_counts_and_is_noted(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", end=20)
    results.run("tiny-r3d.mlp.0", end=10)
    value = build(grid, "main", results.folder).rows[0].values[0]
    assert value.runs == ("run-tiny-r3d.mlp.0-20",)
    assert "2 runs with different fingerprints" in value.notes[0]


def test_problems_are_noted_and_seeds_with_other_samples_are_not_averaged(
    grid: Any, results: Any
) -> None:
    results.run("tiny-r3d.mlp.0")
    results.run("tiny-r3d.mlp.1", patients=23, problem="its test samples differ")
    results.run("tiny-r3d.gcn.0", problem="odd")
    mlp, gcn = (row.values[0] for row in build(grid, "main", results.folder).rows[:2])
    assert mlp.number is None
    assert mlp.seeds == ("0", "1")
    assert mlp.notes == ("seed 1: its test samples differ",)
    assert "seed 0 has 1 samples that seed 1 lacks (clip23)" in mlp.refused
    assert gcn.number is not None
    assert gcn.notes == ("seed 0: odd",)


def test_cells_of_other_tables_stay_out(grid: Any, results: Any, complete: Any, cell: Any) -> None:
    grid.cells.append(
        cell("other.mlp.0", {"encoder": "other", "head": "mlp", "seed": "0"}, tables=())
    )
    assert len(build(grid, "main", results.folder).rows) == 4


def test_a_cell_without_an_axis_has_a_row_of_its_own(grid: Any, results: Any, cell: Any) -> None:
    grid.cells.append(cell("mean", {"head": "mean"}))
    results.run("mean")
    row = build(grid, "main", results.folder).rows[-1]
    assert row.labels == ("-", "mean")
    assert row.values[0].number.spread is not None  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"published": {"paper": "bhodoo2026", "table": "2"}},
            "table main of grid small: published.paper: .* did you mean 'bhoodoo2026'",
        ),
        ({"columns": [{"metric": "auc"}]}, "no column auc; it has .*dice, mke"),
        ({"columns": [{"metric": "dice"}]}, "name its slot; .* holds ED, ES"),
    ],
)
def test_wrong_definitions_are_errors(
    grid: Any, results: Any, definition: Any, change: Any, message: str
) -> None:
    results.run("tiny-r3d.mlp.0")
    grid.tables["main"] = type(definition).model_validate({**definition.model_dump(), **change})
    with pytest.raises(EchoLMError, match=message):
        build(grid, "main", results.folder)


def test_what_is_not_there_says_what_to_type(grid: Any, results: Any, tmp_path: Any) -> None:
    with pytest.raises(EchoLMError, match="type: echolm collect small"):
        build(grid, "main", tmp_path / "elsewhere")
    with pytest.raises(EchoLMError, match="no table 'mian'; did you mean 'main'"):
        build(grid, "mian", results.folder)


def test_before_anything_ran_all_is_missing(grid: Any) -> None:
    values = build(grid, "main", None).values
    assert len(values) == 12
    assert {
        (value.number, value.expected, len(value.missing), value.seeds) for value in values
    } == {(None, 3, 3, ())}


def test_columns_of_some_cells_have_their_own_seeds_runs_and_gaps(
    grid: Any, results: Any, definition: Any
) -> None:
    columns = [
        {"metric": "dice", "slot": "ED", "where": {"encoder": encoder}}
        for encoder in ("tiny-r3d", "tiny-mvit")
    ]
    grid.tables["main"] = type(definition).model_validate(
        {"title": "T", "rows": ["head"], "columns": columns}
    )
    grid.cells = [one for one in grid.cells if not one.id.startswith("tiny-mvit.gcn")]
    rows = {
        id: results.run(id)
        for id in (
            "tiny-r3d.mlp.0",
            "tiny-r3d.mlp.1",
            "tiny-r3d.mlp.2",
            "tiny-mvit.mlp.0",
            "tiny-mvit.mlp.2",
        )
    }
    mlp, gcn = build(grid, "main", results.folder).rows
    assert mlp.labels == ("mlp",)
    assert [value.seeds for value in mlp.values] == [
        ("0", "1", "2"),
        ("0", "2"),
    ]
    for value, ids in zip(mlp.values, (list(rows)[:3], list(rows)[3:]), strict=True):
        assert value.number is not None
        assert value.cells == tuple(ids)
        assert value.number.estimate == pytest.approx(
            independent([rows[id] for id in ids], "dice", "ED")[0]
        )
    assert [value.expected for value in gcn.values] == [3, 0]
    assert [item.cell for item in mlp.values[1].missing] == ["tiny-mvit.mlp.1"]


def test_damaged_predictions_are_named(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0")
    path = next((results.folder / "predictions").iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(
        EchoLMError, match=f"{path.name}: cannot be read .* delete it and type: echolm collect"
    ):
        build(grid, "main", results.folder)


def test_no_tracking_store_and_no_torch_is_imported() -> None:
    modules = (
        "grid.tables.build, grid.tables.output, grid.tables.compare, grid.tables.seeds_to_add, "
        "grid.definition.launched"
    )
    code = f"import sys, {modules}; print(sorted(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert not {"'mlflow'", "'torch'", "'sqlalchemy'"} & set(found.strip("[]\n").split(", "))
