"""What results/ holds of the grids of foundation models is made again from the runs kept there.

Their training takes half an hour of two cores each and is no part of the suite.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from stored_tables import unpack

from grid.definition.grid import load_grid
from grid.tables.build import build
from grid.tables.render.latex import latex
from grid.tables.render.markdown import markdown

RESULTS = Path(__file__).parents[3] / "results"
LARGEST = 5_000_000
"""Bytes of what is kept of a grid."""
# The larger tables of natcomm2025-phantom are made in the same way, and would take ten seconds.
TABLES = [
    ("natcomm2025-phantom", "table-3"),
    ("natcomm2025-phantom", "table-4"),
    ("natcomm2025-phantom", "table-6"),
    ("foundation-models-phantom", "foundation-models-phantom"),
]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    for grid in dict(TABLES):
        unpack(RESULTS / grid / "collected", folder / grid)
    return folder


@pytest.mark.parametrize(("name", "table_name"), TABLES)
def test_tables_are_made_again(unpacked: Path, name: str, table_name: str) -> None:
    table = build(load_grid(name), table_name, unpacked / name)
    assert all(value.number for row in table.rows for value in row.values if value.expected)
    assert markdown(table).rstrip("\n") in (RESULTS / name / "tables.md").read_text("utf-8")
    assert latex(table).rstrip("\n") in (RESULTS / name / "tables.tex").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(dict(TABLES)))
def test_what_is_kept_is_small_and_says_that_it_is_synthetic(name: str) -> None:
    files = [path for path in (RESULTS / name).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < LARGEST
    page = (RESULTS / name / "report.html").read_text("utf-8")
    assert "synthetic data (phantom)" in page
