"""What a reader sees: aligned Markdown, a caption that names the ±, marks for what is missing, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from grid.tables.build import build
from grid.tables.render import csv_text, markdown, plain


def body(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_markdown_is_aligned_as_plain_text(grid: Any, results: Any, complete: Any) -> None:
    lines = body(markdown(build(grid, "main", results.folder)))
    assert len(lines) == 6
    assert len({len(line) for line in lines}) == 1
    bars = [[at for at, sign in enumerate(line) if sign == "|"] for line in lines]
    assert all(found == bars[0] for found in bars)
    assert lines[0].split() == "| encoder | head | Dice ED (%) | Dice ES (%) | MKE ED (px) |".split()
    assert lines[2].count("±") == 3


def test_the_numbers_of_the_markdown_are_those_of_the_table(grid: Any, results: Any, complete: Any) -> None:
    table = build(grid, "main", results.folder)
    shown = [part.strip() for part in body(markdown(table))[2].strip("|").split("|")]
    value = table.rows[0].values[2]
    assert value is not None
    assert shown[:2] == ["tiny-r3d", "mlp"] and shown[4] == f"{value.mean:.3f} ± {value.spread:.3f}"


def test_caption_over_patients(grid: Any, results: Any, complete: Any) -> None:
    text = markdown(build(grid, "main", results.folder))
    assert "± is the standard deviation over 24 patients (ddof 1) within each seed, averaged over 3 seeds." in text
    assert "synthetic" not in text and "Missing" not in text and "Seeds" not in text


def test_caption_over_seeds(grid: Any, results: Any, complete: Any) -> None:
    text = markdown(build(grid, "main", results.folder, "seeds"))
    assert "± is the standard deviation over 3 seeds (ddof 1) of the mean over 24 patients." in text


def test_one_seed_has_no_spread_over_seeds(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0")
    text = markdown(build(grid, "main", results.folder, "seeds"))
    assert "Mean over 24 patients; 1 seed has no ± over seeds." in text and "±" not in "".join(body(text))
    assert "over 24 patients (ddof 1), 1 seed." in markdown(build(grid, "main", results.folder))


def test_rows_with_one_seed_among_others_are_named(grid: Any, results: Any) -> None:
    for cell in ("tiny-r3d.mlp.0", "tiny-r3d.gcn.0", "tiny-r3d.gcn.1"):
        results.run(cell)
    text = markdown(build(grid, "main", results.folder, "seeds"))
    assert "over 2 seeds (ddof 1) of the mean over 24 patients; a row with 1 seed has no ±." in text
    assert "±" not in body(text)[2] and body(text)[3].count("±") == 3


def test_synthetic_data_is_named(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", synthetic=True)
    assert "All numbers are from synthetic data (phantom)." in markdown(build(grid, "main", results.folder))
    results.run("tiny-r3d.gcn.0")
    text = markdown(build(grid, "main", results.folder))
    assert "1 of 2 rows are from synthetic data (phantom)" in text
    assert "- tiny-r3d, mlp: synthetic data (phantom)" in text


def test_incomplete_rows_are_marked_and_listed(grid: Any, results: Any) -> None:
    for cell in ("tiny-r3d.mlp.0", "tiny-r3d.mlp.2", *(f"tiny-r3d.gcn.{seed}" for seed in "012")):
        results.run(cell)
    text = markdown(build(grid, "main", results.folder))
    lines = body(text)
    assert len({len(line) for line in lines}) == 1
    assert lines[0].rstrip(" |").endswith("Seeds")
    assert lines[2].count("*") == 3 and "2 of 3" in lines[2]
    assert "*" not in lines[3] and "| 3 |" in lines[3].replace("     ", "")
    assert lines[4].count("missing") == 3 and "0 of 3" in lines[4]
    assert "averaged over 2-3 seeds" in text
    where = "`echolm launch small --on local --where encoder=tiny-r3d --where head=mlp`"
    assert f"- tiny-r3d, mlp: seed 1: no complete run was collected; type: {where}" in text
    assert "- tiny-mvit, gcn: seeds 0, 1, 2:" in text
    assert text.rstrip().endswith("`echolm collect small`")


def test_rows_with_other_numbers_of_patients_say_so(grid: Any, results: Any) -> None:
    for cell in grid.cells:
        results.run(cell.id, patients=20 if "gcn" in cell.id else 24)
    text = markdown(build(grid, "main", results.folder))
    assert "Patients" in body(text)[0] and "over 20-24 patients" in text
    assert [line.strip("| ").split()[-1] for line in body(text)[2:]] == ["24", "20", "24", "20"]


def test_nothing_collected_yet(grid: Any, results: Any) -> None:
    text = markdown(build(grid, "main", results.folder))
    assert "No run was collected yet." in text and text.count("missing") == 12 and "*" not in "".join(body(text))


def test_labels_cannot_break_the_table(grid: Any, results: Any, cell: Any) -> None:
    grid.cells = [cell("x", {"encoder": "a|b", "head": "it's", "seed": "0"})]
    text = markdown(build(grid, "main", results.folder))
    assert "a\\|b" in text
    assert "--where 'encoder=a|b' --where 'head=it'\"'\"'s'" in text


def test_csv_has_full_precision_and_provenance(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", synthetic=True)
    results.run("tiny-r3d.mlp.1", synthetic=True)
    table = build(grid, "main", results.folder)
    rows = list(csv.DictReader(io.StringIO(csv_text(table))))
    assert len(rows) == 12
    value = table.rows[0].values[0]
    assert value is not None
    assert float(rows[0]["mean"]) == value.mean and float(rows[0]["spread"]) == value.spread
    assert rows[0]["kind"] == table.kind and rows[0]["column"] == "Dice ED (%)"
    assert (rows[0]["n_patients"], rows[0]["n_seeds"], rows[0]["missing_seeds"]) == ("24", "2", "2")
    assert rows[0]["runs"] == "run-tiny-r3d.mlp.0-0;run-tiny-r3d.mlp.1-0" and rows[0]["synthetic"] == "true"
    assert (rows[3]["mean"], rows[3]["n_seeds"], rows[3]["missing_seeds"]) == ("", "0", "0;1;2")


def test_plain_data_is_strict_json(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", patients=0)  # the one patient left has no spread
    data = json.loads(json.dumps(plain(build(grid, "main", results.folder)), allow_nan=False))
    first = data["rows"][0]
    assert first["labels"] == {"encoder": "tiny-r3d", "head": "mlp"}
    assert first["values"]["Dice ED (%)"]["spread"] is None
    assert [item["seed"] for item in first["missing"]] == ["1", "2"]
    assert first["command"].startswith("echolm launch small")


@pytest.mark.parametrize("spread", ["patients", "seeds"])
def test_the_kind_is_the_same_everywhere(grid: Any, results: Any, complete: Any, spread: Any) -> None:
    table = build(grid, "main", results.folder, spread)
    assert {value.kind for row in table.rows for value in row.values if value} == {table.kind} == {plain(table)["kind"]}
