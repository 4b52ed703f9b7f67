"""Published numbers without a verdict: each reason once, and commands that lead to one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grid.definition.tables import TableDefinition
from grid.tables.build import build
from grid.tables.render.latex import latex
from grid.tables.render.markdown import markdown

HEAD = "whether the published number was reproduced is not decidable"


@pytest.fixture
def beside(grid: Any) -> Any:
    """The grid with every cell at a place of the paper's Table 2."""
    definition = grid.tables["main"]
    source = {"paper": "bhoodoo2026", "table": "2"}
    grid.tables["main"] = type(definition).model_validate(
        {**definition.model_dump(), "published": source}
    )
    for cell in grid.cells:
        cell.coordinates.update(
            trainable="all",
            encoder={"tiny-r3d": "r3d-18"}.get(cell.coordinates["encoder"], "mvit-v2-s"),
        )
    return grid


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if HEAD in line]


def test_seeds_that_the_grid_has_are_launched(beside: Any, results: Any) -> None:
    for cell in beside.cells:
        if not cell.id.endswith("2") and (cell.id.startswith("tiny-r3d") or cell.id.endswith("0")):
            results.run(cell.id)
    table = build(beside, "main", results.folder)
    at = "`echolm launch small --on local --where encoder="
    assert lines(markdown(table)) == [
        f"- r3d-18: {HEAD}: run 1 more seed; type: {at}r3d-18`",
        f"- mvit-v2-s: {HEAD}: run 2 more seeds; type: {at}mvit-v2-s`",
    ]
    assert f"{HEAD}: run 2 more seeds" in latex(table)


def test_seeds_that_lack_a_run_for_different_reasons_need_different_commands(
    beside: Any, results: Any
) -> None:
    for cell in beside.cells:
        if not cell.id.startswith("tiny-r3d") or cell.id.endswith("0"):
            results.run(cell.id)
    table = build(
        beside,
        "main",
        results.folder,
        state=lambda cell: "failed" if cell.endswith("1") else "pending",
    )
    commands = (
        "`echolm retry small --where encoder=r3d-18`; `echolm launch small --on local "
        "--where "
        "encoder=r3d-18`"
    )
    assert lines(markdown(table)) == [f"- r3d-18: {HEAD}: run 2 more seeds; type: {commands}"]


MIXED = """
base: {data: tiny, task: landmarks, weights: random, encoder: none, trainable: all, epochs: 1}
subgrids:
  seeded: {axes: {encoder: [r3d-18], head: [gcn], augmentation: [none], seed: [0, 1]}}
  fixed: {axes: {encoder: [r3d-18], head: [mlp], augmentation: [none], seed: [0]}}
"""


def test_a_block_of_one_seed_gets_no_more_by_a_copy(
    beside: Any, results: Any, tmp_path: Path
) -> None:
    """So no command is told for it; the others are copied."""
    beside.typed = str(tmp_path / "small.yaml")
    Path(beside.typed).write_text(MIXED)
    beside.cells = [
        cell
        for cell in beside.cells
        if cell.id in ("tiny-r3d.mlp.0", "tiny-r3d.gcn.0", "tiny-r3d.gcn.1")
    ]
    for cell in beside.cells:
        results.run(cell.id)
    fixed, more = lines(markdown(build(beside, "main", results.folder)))
    assert fixed == (
        f"- r3d-18, mlp: {HEAD}: run 2 more seeds, but by the grid's definition it has 1 "
        "seed, which a copy with more seeds keeps"
    )
    assert more.startswith(f"- r3d-18, gcn: {HEAD}: run 1 more seed; type: `echolm grid copy ")
    assert more.endswith("small-seeds-0-2.yaml --on local --where encoder=r3d-18 --where head=gcn`")


def test_a_grid_with_too_few_seeds_is_copied_with_more(beside: Any, results: Any) -> None:
    beside.cells = [cell for cell in beside.cells if cell.id.endswith("0")]
    for cell in beside.cells:
        results.run(cell.id)
    table = build(beside, "main", results.folder)
    commands = (
        "`echolm grid copy small small-seeds-0-2.yaml --seeds 0-2`; `echolm launch "
        "small-seeds-0-2.yaml --on local`"
    )
    assert lines(markdown(table)) == [f"- {HEAD}: run 2 more seeds; type: {commands}"]


def test_other_reasons_keep_their_words(beside: Any, results: Any) -> None:
    """No spread over patients in the paper, where it is needed; and a run that diverged."""
    source = {"paper": "bhoodoo2026", "table": "figure 2"}
    beside.tables["main"] = type(beside.tables["main"]).model_validate(
        {**beside.tables["main"].model_dump(), "published": source}
    )
    for cell in beside.cells:
        cell.coordinates.update(fraction="10%", augmentation="bhoodoo2026")
        results.run(cell.id)
    found = lines(markdown(build(beside, "main", results.folder)))
    assert found == [
        (
            f"- gcn, Dice ED (%): {HEAD}: another test set (1,264 patients, ours 24), and the "
            "paper gives no spread over patients"
        )
    ]
    state = {"tiny-mvit.gcn.0": "diverged"}
    results.runs = [run for run in results.runs if run["cell"] not in state]
    results.save()
    found = lines(
        markdown(build(beside, "main", results.folder, state=lambda cell: state.get(cell, "")))
    )
    assert [line.rpartition(HEAD)[2] for line in found] == [
        ": another test set (1,264 patients, ours 24), and the paper gives no spread over patients",
        ": a run diverged",
    ]


def test_a_diverged_run_decides_no_column_of_its_row(beside: Any, results: Any) -> None:
    """It is one network: what is NaN at ED is not sound at ES."""
    for cell in beside.cells:
        table = results.run(cell.id)
        if cell.id == "tiny-r3d.mlp.1":
            rows = [
                {**row, "dice": float("nan") if row["slot"] == "ED" else row["dice"]}
                for row in table.to_pylist()
            ]
            pq.write_table(
                pa.Table.from_pylist(rows),
                results.folder / "predictions" / "tiny-r3d.mlp.1-0.parquet",
            )
    assert lines(markdown(build(beside, "main", results.folder))) == [
        f"- r3d-18, mlp: {HEAD}: a run diverged"
    ]


def test_a_seed_far_behind_decides_nothing_in_its_column_alone(beside: Any, results: Any) -> None:
    for cell in beside.cells:
        rows = results.run(cell.id).to_pylist()
        if cell.id == "tiny-r3d.mlp.1":
            for row in rows:
                row["dice"] -= 60 if row["slot"] == "ED" else 0
            path = results.folder / "predictions" / "tiny-r3d.mlp.1-0.parquet"
            pq.write_table(pa.Table.from_pylist(rows), path)
    assert lines(markdown(build(beside, "main", results.folder))) == [
        f"- r3d-18, mlp, Dice ED (%): {HEAD}: a seed is far behind its best seed"
    ]


def test_a_reason_of_some_columns_names_them(beside: Any, results: Any) -> None:
    """Where columns are labels of an axis, by that label and by what is shown."""
    columns = [
        {
            "metric": "dice",
            "slot": slot,
            "where": {"encoder": encoder},
            "label": f"{encoder}, {slot}",
        }
        for encoder in ("r3d-18", "mvit-v2-s")
        for slot in ("ED", "ES")
    ]
    source = {"paper": "bhoodoo2026", "table": "figure 2"}
    beside.tables["main"] = TableDefinition.model_validate(
        {"title": "T", "rows": ["head"], "columns": columns, "published": source}
    )
    for cell in beside.cells:
        cell.coordinates.update(fraction="10%", augmentation="bhoodoo2026")
        results.run(cell.id, patients=20 if cell.coordinates["encoder"] == "r3d-18" else 24)
    found = [
        line.partition(f": {HEAD}")[0]
        for line in lines(markdown(build(beside, "main", results.folder)))
    ]
    assert found == ["- gcn, r3d-18, dice ED", "- gcn, mvit-v2-s, dice ED"]


def test_a_table_that_is_decided_or_not_comparable_says_nothing_of_it(
    beside: Any, results: Any
) -> None:
    for cell in beside.cells:
        results.run(cell.id, synthetic=True)
    assert not lines(markdown(build(beside, "main", results.folder)))
    results.runs.clear()
    for cell in beside.cells:
        results.run(cell.id)
    assert not lines(markdown(build(beside, "main", results.folder)))
