"""Further tables of a grid, from a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from table_commands import typed

from echolm.errors import EchoLMError
from grid.definition.extra_tables import with_current, with_tables
from grid.tables.build import build

FURTHER = """
tables:
  heads:
    title: Heads of one encoder
    rows: [head]
    cells: {encoder: [tiny-r3d], table: [main]}
    columns: [{metric: dice, slot: ED, statistic: median}]
  everything:
    title: All cells
    rows: [encoder, head]
    columns: [{metric: mke, slot: ES}]
"""


def test_a_new_table_is_a_file(grid: Any, results: Any, complete: Any, tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(FURTHER)
    further = with_tables(grid, tmp_path / "t.yaml")
    assert list(further.tables) == ["main", "heads", "everything"]
    heads, everything = (build(further, name, results.folder) for name in ("heads", "everything"))
    assert [row.labels for row in heads.rows] == [("mlp",), ("gcn",)]
    assert heads.columns[0].heading == "median dice ED"
    assert {cell for value in heads.values for cell in value.cells} == {
        cell.id for cell in grid.cells if "tiny-r3d" in cell.id
    }
    assert typed(heads, {"head": ["mlp"]}) == (
        "echolm launch small --on local --where encoder=tiny-r3d --where table=main --where "
        "head=mlp"
    )
    assert len(everything.rows) == 4
    assert typed(everything, {}) == "echolm launch small --on local"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("slot: EX", "column 'dice EX': no slot 'EX'; valid: ED, ES"),
        ("slot: ED, target: ef", "column 'dice ef ED': no target 'ef'; valid: landmarks"),
    ],
)
def test_a_slot_or_target_that_no_run_has_is_one_error(
    grid: Any, results: Any, complete: Any, tmp_path: Path, wanted: str, message: str
) -> None:
    """And not a table of values that cannot be averaged."""
    (tmp_path / "t.yaml").write_text(
        f"tables: {{a: {{title: x, rows: [encoder, head], columns: [{{metric: dice, {wanted}}}]}}}}"
    )
    with pytest.raises(EchoLMError) as error:
        build(with_tables(grid, tmp_path / "t.yaml"), "a", results.folder)
    assert message in str(error.value)


def test_a_slot_that_one_run_has_makes_no_number_of_the_others(
    grid: Any, results: Any, complete: Any, tmp_path: Path
) -> None:
    other = complete["tiny-r3d.mlp.0"]
    slots = pa.array(["EX" if slot == "ES" else slot for slot in other["slot"].to_pylist()])
    for seed in "012":
        results.run(
            f"tiny-r3d.mlp.{seed}",
            end=1,
            table=other.set_column(other.column_names.index("slot"), "slot", slots),
        )
    (tmp_path / "t.yaml").write_text(
        "tables: {a: {title: x, rows: [encoder, head], columns: [{metric: dice, slot: EX}]}}"
    )
    found = build(with_tables(grid, tmp_path / "t.yaml"), "a", results.folder)
    assert [value.number is not None for value in found.values] == [True, False, False, False]
    assert all("has no row" in value.refused for value in found.values[1:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("title: x", "t.yaml: has no section 'tables'"),
        (
            "tables: {a: {title: x, rows: [head], columns: [{metric: dice}], spred: x}}",
            "tables.a.*spred",
        ),
        (
            (
                "tables: {a: {title: x, rows: [head], columns: [{metric: dice}], cells: {head: "
                "[gnc]}}}"
            ),
            "no cell has head=gnc; did you mean 'gcn'",
        ),
    ],
)
def test_a_wrong_file_is_told(grid: Any, tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(EchoLMError, match=message):
        build(with_tables(grid, tmp_path / "t.yaml"), "a", None)


def test_a_launched_grid_gets_its_files_tables_as_far_as_they_fit(
    grid: Any, tmp_path: Path
) -> None:
    good = "{title: Now, rows: [encoder, head], columns: [{metric: mke, slot: ED}]}"
    (tmp_path / "t.yaml").write_text(f"tables: {{main: {good}, new: {good}}}")
    assert list(with_current(grid, tmp_path / "t.yaml").tables.items())[0][1].title == "Now"
    assert list(with_current(grid, tmp_path / "t.yaml").tables) == ["main"], (
        "no cell was launched for the new one"
    )
    (tmp_path / "t.yaml").write_text(
        "tables: {main: {title: Now, rows: [other], columns: [{metric: mke}]}}"
    )
    assert with_current(grid, tmp_path / "t.yaml").tables["main"].title == "Landmarks"
