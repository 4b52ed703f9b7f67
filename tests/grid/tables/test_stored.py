"""What results/ holds is what the code makes.

Every label, heading, published number, note, caption and bold of the committed tables, and their
numbers as far as they follow from others; and all of them from the collected files that are kept
beside.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_tables import is_close, keep, rebuilt

from grid.definition.grid import load_grid
from grid.statistics import KINDS, OurResult, holm, published_result, verdict
from grid.tables.build import build
from grid.tables.render.caption import caption
from grid.tables.render.data import csv_text, plain
from grid.tables.render.latex import latex
from grid.tables.render.markdown import markdown
from grid.tables.render.wording import notes
from grid.tables.table import Table

NAME = "nldl2026-phantom"
FOLDER = Path(__file__).parents[3] / "results" / NAME
STORED: list[dict[str, Any]] = json.loads((FOLDER / "tables.md.json").read_text(encoding="utf-8"))[
    "tables"
]
COLLECTED = FOLDER / "collected"
VALUES = [
    (table, row, heading, value)
    for table in STORED
    for row in table["rows"]
    for heading, value in row["values"].items()
    if value
]


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    grid = load_grid(NAME)
    return [rebuilt(grid, stored) for stored in STORED]


def test_all_tables_of_the_grid_are_there() -> None:
    grid = load_grid(NAME)
    assert [table["table"] for table in STORED] == list(grid.tables)
    assert len(VALUES) > 100
    assert all(
        value["mean"] is not None and len(value["seeds"]) == 3 and value["synthetic"]
        for *_, value in VALUES
    )


def test_numbers_that_follow_from_others() -> None:
    """The mean over seeds, Holm's adjustment over each table, what is bold, and the verdict."""
    for table, row, heading, value in VALUES:
        assert value["mean"] == pytest.approx(
            np.mean([source["value"] for source in value["sources"]]), rel=1e-12
        ), (table["table"], row["labels"], heading)
        if paper := value["published"]:
            number = published_result(paper["value"], paper["spread"], paper["kind"], paper["note"])
            assert (
                value["verdict"]["text"]
                == verdict(
                    number,
                    OurResult(
                        tuple(source["value"] for source in value["sources"]), synthetic=True
                    ),
                    False,
                ).text
            )
    for stored in STORED:
        own = [value for table, *_, value in VALUES if table is stored]
        compared = [value["against_the_best"] for value in own if value["against_the_best"]]
        assert [one["adjusted_p"] for one in compared] == pytest.approx(
            holm([one["p"] for one in compared]), rel=1e-12
        )
        assert all(
            value["bold"] == (value["against_the_best"]["adjusted_p"] > 0.05)
            for value in own
            if value["against_the_best"]
        )


def test_everything_but_the_numbers_is_made_again(tables: list[Table]) -> None:
    """Titles, labels, published numbers, contradictions, captions and commands, as the grid and the
    code have them now.
    """
    for table, stored in zip(tables, STORED, strict=True):
        assert is_close(json.loads(json.dumps(plain(table))), stored)
    for table in tables:
        if table.figure:
            path = FOLDER / "figures" / f"{table.name}.json"
            [stored] = json.loads(path.read_text(encoding="utf-8"))["tables"]
            assert is_close(json.loads(json.dumps(plain(table))), stored)


@pytest.mark.parametrize(("file", "render"), [("tables.md", markdown), ("tables.tex", latex)])
def test_every_line_is_what_the_code_writes(tables: list[Table], file: str, render: Any) -> None:
    assert (FOLDER / file).read_text(encoding="utf-8") == "\n".join(
        render(table) for table in tables
    ).rstrip("\n") + "\n"


def test_every_line_of_the_csv_too(tables: list[Table]) -> None:
    assert (FOLDER / "tables.csv").read_text(encoding="utf-8") == csv_text(tables)


def test_the_report_and_the_readme_show_the_same(tables: list[Table]) -> None:
    report, readme = (
        (FOLDER / name).read_text(encoding="utf-8") for name in ("report.html", "README.md")
    )
    assert (FOLDER / "tables.md").read_text(encoding="utf-8").strip() in readme
    for table in tables:
        assert escape(caption(table)) in report
        assert all(escape(note.text) in report for note in notes(table))


@pytest.mark.parametrize("stored", STORED, ids=[stored["table"] for stored in STORED])
def test_every_number_is_made_again_from_the_collected_files(stored: dict[str, Any]) -> None:
    logs = {
        (source["cell"], source["fingerprint"]): source["logs"]
        for *_, value in VALUES
        for source in value["sources"]
    }
    table = build(
        load_grid(NAME), stored["table"], COLLECTED, stored["kind"], logs=lambda *run: logs[run]
    )
    found, old = json.dumps(plain(table)), json.dumps(stored)
    assert found == old or is_close(json.loads(found), stored)


@pytest.mark.parametrize("kind", KINDS)
def test_the_json_beside_a_table_says_all_that_the_table_says(
    grid: Any, results: Any, kind: str
) -> None:
    """Also of values that are incomplete, refused, diverged, not better than the mean contour, or
    of a published verdict.
    """
    for cell in grid.cells:
        cell.coordinates.update(
            trainable="all",
            encoder={"tiny-r3d": "r3d-18"}.get(cell.coordinates["encoder"], "mvit-v2-s"),
        )
        if cell.id != "tiny-mvit.mlp.2":
            results.run(
                cell.id,
                patients=25 if cell.id == "tiny-mvit.gcn.1" else 24,
                problem="odd" if cell.id == "tiny-r3d.gcn.0" else None,
            )
    change = {
        "published": {"paper": "bhoodoo2026", "table": "2"},
        "baseline": {"encoder": "r3d-18", "head": "gcn"},
    }
    grid.tables["main"] = type(grid.tables["main"]).model_validate(
        {**grid.tables["main"].model_dump(), **change}
    )
    table = build(grid, "main", results.folder, kind, state=lambda cell: "diverged")
    again = rebuilt(grid, json.loads(json.dumps(plain(table))))
    assert (plain(again), csv_text([again])) == (plain(table), csv_text([table]))
    assert (markdown(again), latex(again)) == (markdown(table), latex(table))
    assert any(value.not_better for value in table.values)
    assert any(value.refused for value in table.values)


def test_tables_need_nothing_but_what_is_kept(
    grid: Any, results: Any, complete: Any, tmp_path: Path
) -> None:
    keep(results.folder, tmp_path / "kept")
    for kind in KINDS:
        assert plain(build(grid, "main", tmp_path / "kept", kind)) == plain(
            build(grid, "main", results.folder, kind)
        )
