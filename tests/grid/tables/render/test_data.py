"""Tables for programs: CSV and JSON with full precision, provenance and what is missing."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grid.statistics import KINDS
from grid.tables.build import build
from grid.tables.render.data import FIELDS, csv_text, parquet, plain, records


def test_csv_has_full_precision_and_provenance(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", synthetic=True)
    results.run("tiny-r3d.mlp.1", synthetic=True)
    table = build(grid, "main", results.folder)
    rows = list(csv.DictReader(io.StringIO(csv_text([table]))))
    assert len(rows) == 12
    value = table.rows[0].values[0].number
    assert value is not None
    assert float(rows[0]["mean"]) == value.estimate and float(rows[0]["spread"]) == value.spread
    assert rows[0]["kind"] == table.kind and rows[0]["column"] == "Dice ED (%)"
    assert (rows[0]["n_patients"], rows[0]["n_seeds"], rows[0]["missing_seeds"]) == ("24", "2", "2")
    assert (
        rows[0]["runs"] == "run-tiny-r3d.mlp.0-0;run-tiny-r3d.mlp.1-0"
        and rows[0]["synthetic"] == "true"
    )
    assert (rows[3]["mean"], rows[3]["n_seeds"], rows[3]["missing_seeds"]) == ("", "0", "0;1;2")


def test_plain_data_is_strict_json(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", patients=0)  # the one patient left has no spread
    data = json.loads(json.dumps(plain(build(grid, "main", results.folder)), allow_nan=False))
    first = data["rows"][0]
    assert first["labels"] == {"encoder": "tiny-r3d", "head": "mlp"}
    for value in first["values"].values():
        assert (
            value["spread"] is None
            and value["seeds"] == ["0"]
            and value["runs"] == ["run-tiny-r3d.mlp.0-0"]
        )
        assert [item["seed"] for item in value["missing"]] == ["1", "2"]
        assert (
            value["command"]
            == "echolm launch small --on local --where encoder=tiny-r3d --where head=mlp"
        )


def test_a_value_that_lacks_seeds_for_two_reasons_has_both_commands(
    grid: Any, results: Any
) -> None:
    states = {"tiny-r3d.mlp.1": "cancelled"}
    first = plain(
        build(grid, "main", results.folder, state=lambda cell: states.get(cell, "pending"))
    )["rows"][0]
    for value in first["values"].values():
        where = "--where encoder=tiny-r3d --where head=mlp"
        assert (
            value["command"]
            == f"echolm launch small --on local {where}; echolm retry small {where}"
        )
        assert [item["remedy"] for item in value["missing"]] == ["launch", "retry", "launch"]


@pytest.mark.parametrize("spread", KINDS)
def test_the_kind_is_the_same_everywhere(
    grid: Any, results: Any, complete: Any, spread: Any
) -> None:
    table = build(grid, "main", results.folder, spread)
    assert (
        {value.number.kind for value in table.values if value.number}
        == {table.kind}
        == {plain(table)["kind"]}
    )


def test_published_numbers_have_columns_of_their_own(grid: Any, results: Any) -> None:
    for cell in grid.cells:
        cell.coordinates.update(
            trainable="all",
            encoder={"tiny-r3d": "r3d-18"}.get(cell.coordinates["encoder"], "other"),
        )
    definition = grid.tables["main"]
    source = {"paper": "bhoodoo2026", "table": "2"}
    grid.tables["main"] = type(definition).model_validate(
        {**definition.model_dump(), "published": source}
    )
    table = build(grid, "main", None)
    rows = list(csv.DictReader(io.StringIO(csv_text([table]))))
    assert [rows[0][name] for name in ("published", "published_spread", "published_kind")] == [
        "91.55",
        "3.54",
        "std over 1264 test videos",
    ]
    assert [rows[-1][name] for name in ("published", "published_spread", "published_kind")] == [
        "",
        "",
        "",
    ]
    document = plain(table)
    assert document["published"] == {**source, "labels": {}, "alone": []}
    values = [row["values"]["MKE ED (px)"]["published"] for row in document["rows"]]
    contradictions = values[1].pop("contradictions")
    assert values[1] == {
        "value": 2.3,
        "spread": 0.96,
        "kind": "std over 1264 test videos",
        "note": "",
    }
    assert "swapped" in contradictions[0] and "L1" in contradictions[1] and len(contradictions) == 2
    assert values[2:] == [None, None]


def test_a_place_without_a_cell_is_null_and_no_line(grid: Any, results: Any, complete: Any) -> None:
    columns = [
        {"metric": "dice", "slot": "ED", "where": {"encoder": encoder}}
        for encoder in ("tiny-r3d", "tiny-mvit")
    ]
    grid.tables["main"] = type(grid.tables["main"]).model_validate(
        {"title": "T", "rows": ["head"], "columns": columns}
    )
    grid.cells = [cell for cell in grid.cells if not cell.id.startswith("tiny-mvit.gcn")]
    table = build(grid, "main", results.folder)
    assert plain(table)["rows"][1]["values"]["tiny-mvit dice ED"] is None
    assert [
        (row["head"], row["column"].split()[0])
        for row in csv.DictReader(io.StringIO(csv_text([table])))
    ] == [("mlp", "tiny-r3d"), ("mlp", "tiny-mvit"), ("gcn", "tiny-r3d")]


def test_parquet_holds_the_lines_with_types_also_of_empty_columns(
    grid: Any, results: Any, complete: Any
) -> None:
    table = build(grid, "main", results.folder)
    stored = pq.read_table(pa.BufferReader(parquet([table])))
    assert stored.to_pylist() == records(table) and stored.column_names == [
        "table",
        "encoder",
        "head",
        *FIELDS,
    ]
    assert (
        stored.schema.field("published").type == pa.float64()
        and stored["published"].null_count == 12
    )
    resampled = table.rows[0].values[0].resampled
    assert resampled is not None
    assert stored["values"].to_pylist()[0] == list(resampled.full)


def test_an_axis_that_is_called_like_a_column_of_a_line_is_told_apart(
    grid: Any, results: Any
) -> None:
    for cell in grid.cells:
        cell.coordinates["mean"] = cell.coordinates.pop("head")
    grid.tables["main"] = grid.tables["main"].model_copy(update={"rows": ("encoder", "mean")})
    line = records(build(grid, "main", None))[0]
    assert (line["axis.mean"], line["mean"], line["n_seeds"]) == ("mlp", None, 0)


def test_every_number_resolves_to_runs_commits_and_logs(
    grid: Any, results: Any, complete: Any
) -> None:
    table = build(
        grid,
        "main",
        results.folder,
        logs=lambda cell, fingerprint: [f"/runs/{cell}/{fingerprint[:16]}/log.txt"],
    )
    for row in plain(table)["rows"]:
        for value in row["values"].values():
            assert [source["run"] for source in value["sources"]] == value["runs"] and len(
                value["runs"]
            ) == 3
            assert {source["commit"] for source in value["sources"]} == {"c0ffee"}
            assert all(
                source["logs"] == [f"/runs/{source['cell']}/{source['fingerprint'][:16]}/log.txt"]
                for source in value["sources"]
            )
            assert value["mean"] == pytest.approx(
                sum(source["value"] for source in value["sources"]) / 3
            )
