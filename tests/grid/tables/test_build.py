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
    patients, seeds = (build(grid, "main", results.folder, kind) for kind in ("patients", "seeds"))
    assert [row.labels for row in patients.rows] == [
        ("tiny-r3d", "mlp"), ("tiny-r3d", "gcn"), ("tiny-mvit", "mlp"), ("tiny-mvit", "gcn")
    ]  # fmt: skip
    for row, seeds_row in zip(patients.rows, seeds.rows, strict=True):
        tables = [complete[f"{row.labels[0]}.{row.labels[1]}.{seed}"] for seed in "012"]
        for index, (metric, slot) in enumerate([("dice", "ED"), ("dice", "ES"), ("mke", "ED")]):
            mean, over_patients, over_seeds = independent(tables, metric, slot)
            assert row.values[index].mean == pytest.approx(mean)  # type: ignore[union-attr]
            assert row.values[index].spread == pytest.approx(over_patients)  # type: ignore[union-attr]
            assert seeds_row.values[index].spread == pytest.approx(over_seeds)  # type: ignore[union-attr]
            assert (row.values[index].patients, row.values[index].seeds) == (24, 3)  # type: ignore[union-attr]


def test_provenance_names_runs_cells_and_seeds(grid: Any, results: Any, complete: Any) -> None:
    row = build(grid, "main", results.folder).rows[1]
    assert row.seeds == ("0", "1", "2")
    assert row.cells == ("tiny-r3d.gcn.0", "tiny-r3d.gcn.1", "tiny-r3d.gcn.2")
    assert row.runs == tuple(f"run-{cell}-0" for cell in row.cells)
    assert row.missing == () and row.notes == ()


def test_missing_seeds_and_rows_are_named_with_their_command(grid: Any, results: Any) -> None:
    for seed in "02":
        results.run(f"tiny-r3d.mlp.{seed}")
    results.run("tiny-r3d.gcn.1", predictions=False)
    table = build(grid, "main", results.folder)
    incomplete, unfetched, absent, _ = table.rows
    assert [value.seeds for value in incomplete.values if value] == [2, 2, 2]
    assert [item.seed for item in incomplete.missing] == ["1"]
    assert incomplete.command == "echolm launch small --on local --where encoder=tiny-r3d --where head=mlp"
    assert "predictions" in unfetched.missing[1].reason and "no complete run" in unfetched.missing[0].reason
    assert absent.values == (None, None, None) and len(absent.missing) == 3


def test_the_newest_of_several_runs_of_a_cell_counts_and_is_noted(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", end=20)
    results.run("tiny-r3d.mlp.0", end=10)
    row = build(grid, "main", results.folder).rows[0]
    assert row.runs == ("run-tiny-r3d.mlp.0-20",)
    assert "2 runs with different fingerprints" in row.notes[0]


def test_seeds_with_other_patients_and_problems_are_noted(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0")
    results.run("tiny-r3d.mlp.1", patients=23, problem="its test samples differ")
    row = build(grid, "main", results.folder).rows[0]
    assert row.notes == (
        "seed 1: its test samples differ",
        "seed 1 (23 patients) has other patients than seed 0 (24 patients)",
    )


def test_cells_of_other_tables_stay_out(grid: Any, results: Any, complete: Any, cell: Any) -> None:
    grid.cells.append(cell("other.mlp.0", {"encoder": "other", "head": "mlp", "seed": "0"}, tables=()))
    assert len(build(grid, "main", results.folder).rows) == 4


def test_rows_must_tell_cells_apart(grid: Any, results: Any, cell: Any) -> None:
    coordinates = {**grid.cells[0].coordinates, "augmentation": "strong"}
    grid.cells.append(cell("strong", coordinates))
    with pytest.raises(EchoLMError, match="add to rows: augmentation"):
        build(grid, "main", results.folder)


def test_a_cell_without_an_axis_has_a_row_of_its_own(grid: Any, results: Any, cell: Any) -> None:
    grid.cells.append(cell("mean", {"head": "mean"}))
    results.run("mean")
    row = build(grid, "main", results.folder).rows[-1]
    assert row.labels == ("-", "mean") and row.values[0].spread is not None  # type: ignore[union-attr]
    assert row.command == "echolm launch small --on local --where head=mean"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": ["encodr"]}, "no cell has an axis 'encodr'; did you mean 'encoder'"),
        ({"columns": [{"metric": "auc"}]}, "no column auc; it has .*dice, mke"),
        ({"columns": [{"metric": "dice"}]}, "name its slot; .* holds ED, ES"),
    ],
)
def test_wrong_definitions_are_errors(grid: Any, results: Any, definition: Any, change: Any, message: str) -> None:
    results.run("tiny-r3d.mlp.0")
    grid.tables["main"] = type(definition).model_validate({**definition.model_dump(), **change})
    with pytest.raises(EchoLMError, match=message):
        build(grid, "main", results.folder)


def test_what_is_not_there_says_what_to_type(grid: Any, results: Any, tmp_path: Any) -> None:
    with pytest.raises(EchoLMError, match="type: echolm collect small"):
        build(grid, "main", tmp_path / "elsewhere")
    with pytest.raises(EchoLMError, match="no table 'mian'; did you mean 'main'"):
        build(grid, "mian", results.folder)


def test_damaged_predictions_are_named(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0")
    path = next((results.folder / "predictions").iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EchoLMError, match=f"{path.name}: cannot be read .* delete it and type: echolm collect"):
        build(grid, "main", results.folder)


def test_no_tracking_store_and_no_torch_is_imported() -> None:
    code = "import sys, grid.tables.build, grid.tables.render, grid.tables.launched; print(sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"'mlflow'", "'torch'", "'sqlalchemy'"} & set(found.strip("[]\n").split(", "))
