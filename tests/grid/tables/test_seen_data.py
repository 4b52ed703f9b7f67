"""A value whose test data its encoder has seen in pretraining is marked, with what and who says."""

from __future__ import annotations

from typing import Any

import pytest

from grid.tables.build import build
from grid.tables.render import latex
from grid.tables.render.data import csv_text, plain
from grid.tables.render.markdown import markdown

NOTE = (
    "its encoder has seen mimic-iv-echo in pretraining (all 525,328 videos of 4,579 patients, so"
    " every split of it): Zhang et al. 2025, Methods; the released code begins with VideoMAE"
)


def add(results: Any, cell: str, encoder: str, weights: str, **options: Any) -> None:
    """Add a run of an encoder on MIMIC-IV-ECHO, or other data."""
    further = {"params.encoder.name": encoder, "params.weights": weights}
    results.run(cell, **{"data": "mimic-iv-echo", "further": further, **options})


def seen(grid: Any, results: Any) -> list[bool]:
    """Whether each row is marked."""
    table = build(grid, "main", results.folder)
    for row in table.rows:
        assert len({value.seen for value in row.values}) == 1
    return [row.values[0].seen for row in table.rows]


@pytest.mark.parametrize(
    ("encoder", "weights", "options", "expected"),
    [
        ("echo-vision-fm", "published:echo-vision-fm", {}, True),
        ("echo-vision-fm", "file:/lab/echo-vision-fm/pytorch_model.bin", {}, True),
        ("echo-vision-fm", "file:/lab/videomae-base/pytorch_model.bin", {}, False),
        ("echo-vision-fm", "published:echo-vision-fm", {"data": "echonet-dynamic"}, False),
        ("echo-vision-fm", "published:echo-vision-fm", {"synthetic": True}, False),
        ("echo-vision-fm", "published:videomae", {}, False),
        ("echo-vision-fm", "random", {}, False),
        ("echofm-l", "published:echofm", {}, False),
        ("of-a-plugin", "published:x", {}, False),
    ],
)
def test_values_of_seen_test_data_are_marked(
    grid: Any, results: Any, encoder: str, weights: str, options: dict[str, Any], expected: bool
) -> None:
    for cell in grid.cells:
        first = cell.coordinates["encoder"] == "tiny-r3d"
        chosen = (encoder, weights) if first else ("tiny-mvit", "random")
        add(results, cell.id, *chosen, **options)
    marked = seen(grid, results)
    assert any(marked) == expected and (all(marked[:2]) or not expected) and not any(marked[2:])


def test_what_was_pretrained_from_seen_data_has_seen_it_too(grid: Any, results: Any) -> None:
    """Over two pretrainings whose runs were collected. Of one that was not, nothing is known."""
    add(results, "0" * 16, "echo-vision-fm", "published:echo-vision-fm")
    add(results, "1" * 16, "echo-vision-fm", f"run:{'0' * 16}")
    sources = {"mlp": f"run:{'1' * 16}", "gcn": f"run:{'2' * 16}"}
    for cell in grid.cells:
        add(results, cell.id, "echo-vision-fm", sources[cell.coordinates["head"]])
    assert seen(grid, results) == [True, False, True, False]


def test_the_mark_is_explained_and_the_note_names_dataset_and_source(
    grid: Any, results: Any
) -> None:
    for cell in grid.cells:
        first = cell.coordinates["encoder"] == "tiny-r3d"
        weights = "published:echo-vision-fm" if first else "published:videomae"
        add(results, cell.id, "echo-vision-fm", weights)
    table = build(grid, "main", results.folder)
    text = markdown(table)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert [line.count("◇") for line in lines[2:]] == [3, 3, 0, 0]
    assert "◇ an encoder has seen the test data in pretraining; see the notes." in text
    assert f"- tiny-r3d, mlp; tiny-r3d, gcn: {NOTE}" in text
    assert r"$\diamond$" in latex.latex(table) and "◇" not in latex.latex(table)
    rows = plain(table)["rows"]
    assert [row["values"]["Dice ED (%)"]["seen"] for row in rows] == [True, True, False, False]
    assert NOTE in csv_text([table])
