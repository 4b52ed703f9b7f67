"""A reader finds what numbers are, marks once, notes in few lines, and columns that fit."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from dice_rows import dice_at_ed

from grid.definition.grid import load_grid
from grid.definition.tables import TableDefinition
from grid.statistics import KINDS
from grid.tables.build import build
from grid.tables.render import html, latex
from grid.tables.render.caption import LONGEST, caption, table_text
from grid.tables.render.markdown import markdown
from grid.tables.render.notes import MOST, missing_lines, table_notes


@pytest.fixture
def behind(grid: Any, results: Any, cell: Any) -> Any:
    """Eight rows of three seeds. In each, seed 1 is far behind, and a run has a problem."""
    grid.cells = []
    for head in "abcdefgh":
        for seed in "012":
            grid.cells.append(cell(f"{head}.{seed}", {"head": head, "seed": seed}))
    columns = [{"metric": "dice", "label": "Dice"}, {"metric": "mke", "label": "MKE"}]
    grid.tables["main"] = TableDefinition.model_validate(
        {"title": "T", "rows": ["head"], "columns": columns}
    )
    for index, one in enumerate(grid.cells):
        random = np.random.default_rng(index)
        dice = np.linspace(80, 99, 40) + random.normal(0, 0.5, 40)
        if one.coordinates["seed"] == "1":
            dice -= 60
        mke = np.linspace(1, 2, 40) + random.normal(0, 0.01, 40)
        results.run(one.id, table=dice_at_ed(dice, mke=mke), problem=f"line {index} is odd")
    return build(grid, "main", results.folder)


def test_notes_that_are_alike_are_one_line_with_cells_and_seeds(behind: Any) -> None:
    text = markdown(behind)
    line = "- far behind its best seed (‖): 8 cells, seed 1; --notes full lists them"
    assert line in text.splitlines()
    assert text.count("is far behind its best seed") == 1, "the mark alone is explained"
    full = markdown(behind, "full")
    assert full.count("counted in the number; without:") == 8
    assert line not in full
    for shown in (latex.latex(behind), html.html(behind)):
        assert "8 cells, seed 1" in shown
    assert latex.latex(behind, "full").count("; without:") == 8


def test_few_notes_are_told_as_they_are(table: Any) -> None:
    built = table({"tiny-r3d.mlp": (0, -60, 0.1), "tiny-r3d.gcn": (0, 0.1, -0.1)})
    assert markdown(built) == markdown(built, "full")
    assert "without:" in markdown(built)


def test_notes_of_many_values_without_a_common_mark_are_grouped_by_their_words(
    grid: Any, results: Any
) -> None:
    for index, cell in enumerate(grid.cells):
        results.run(cell.id, problem=f"metrics differ ({index})")
    text = markdown(build(grid, "main", results.folder))
    assert "- metrics differ: 12 cells, seeds 0, 1, 2; --notes full lists them" in text


def test_marks_are_explained_once_below_the_caption(behind: Any) -> None:
    for text in (markdown(behind), latex.latex(behind), html.html(behind)):
        assert len(re.findall(r"a seed is far behind", text)) == 1
    assert "\nMarks: ‖ a seed is far behind its best seed" in markdown(behind)


@pytest.mark.parametrize("kind", KINDS)
def test_captions_have_three_lines_and_the_rest_is_in_the_notes(
    results: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = load_grid("nldl2026-phantom")
    for index, cell in enumerate(grid.cells):
        if index % 5:
            results.run(cell.id, synthetic=True)
    for name in grid.tables:
        table = build(grid, name, results.folder, kind)
        text = table_text(table)
        assert len(table.title) + len(text.caption) <= LONGEST + 60
        assert caption(table) == text.caption
        assert "±" in text.caption or "In brackets" in text.caption
        assert "synthetic data (phantom)" in text.caption
        shown = markdown(table)
        for sentence in text.notes:
            assert f"- {sentence}" in shown


def test_long_captions_lose_whole_sentences_never_words(behind: Any) -> None:
    long = replace(behind, title="T" * 300)
    text = table_text(long)
    both = " ".join([text.caption, *text.notes])
    for sentence in table_text(behind).caption.removesuffix(".").split(". "):
        assert sentence.removesuffix(".") in both
    assert text.caption.endswith(".")


def test_negative_numbers_have_a_true_minus_where_people_read(table: Any) -> None:
    built = table({"tiny-r3d.mlp": (-200, -201, -199)})
    number = built.rows[0].values[0].number
    shown = number.text(2).replace("-", "\u2212")
    assert "\u2212" in shown
    assert shown in markdown(built)
    assert shown in html.html(built)
    assert shown.replace("\u2212", "$-$") in latex.latex(built)
    assert not re.search(r"(?<![\w-])-\d", markdown(built))


def test_columns_that_do_not_fit_beside_each_other_follow_below_each_other(
    grid: Any, results: Any, complete: Any
) -> None:
    table = build(grid, "main", results.folder)
    whole = markdown(table)
    for width in (40, 60, 80, 120, 1000):
        text = markdown(table, width=width)
        lines = [line for line in text.splitlines() if line.startswith("|")]
        labels = len("| tiny-mvit | head |")
        widest = max(len(line) for line in lines)
        assert widest <= max(width, labels + 30)
        parts = len(lines) // 6
        assert len(lines) == 6 * parts
        for row in table.rows:
            for column, value in zip(table.columns, row.values, strict=True):
                assert value.number.text(column.digits) in text
        if width == 1000:
            assert text == whole
    assert markdown(table, width=60).count("| tiny-mvit |") > whole.count("| tiny-mvit |")


def test_many_gaps_are_the_first_of_them_and_one_command_for_all(
    grid: Any, results: Any, cell: Any
) -> None:
    grid.cells = []
    for row in range(40):
        for seed in "012":
            grid.cells.append(
                cell(f"{row}.{seed}", {"encoder": f"e{row}", "head": "h", "seed": seed})
            )
    for row in range(40):
        for seed in range(3):
            if seed != row % 3:
                results.run(f"{row}.{seed}")
    # Each row lacks another seed, so that rows do not merge to one line.
    states = iter(["failed", "interrupted", "cancelled", "running"] * 1000)
    table = build(grid, "main", results.folder, state=lambda one: next(states))
    assert len(missing_lines(table, "full")) > MOST + 1
    short = missing_lines(table)
    assert short[:MOST] == missing_lines(table, "full")[:MOST]
    assert all("more such lines" in line.text for line in short[MOST:])
    commands = {line.command for line in short[MOST:]}
    assert "echolm launch small --on local" in commands
    assert "echolm retry small" in commands


def test_notes_of_latex_lie_within_the_float(behind: Any) -> None:
    text = latex.latex(behind)
    inside = text[: text.index(r"\end{table}")]
    assert r"\begin{minipage}{\linewidth}" in inside
    assert "8 cells, seed 1" in inside
    assert text.rstrip().endswith(r"\end{table}")
    many = replace(behind.rows[0].values[0], notes=tuple(f"{n} is odd" * 30 for n in range(40)))
    rows = (replace(behind.rows[0], values=(many, many)), *behind.rows[1:])
    long = latex.latex(replace(behind, rows=rows), "full")
    assert long.index(r"\end{table}") < long.index(r"\begin{flushleft}")


def test_rows_of_random_weights_say_so(grid: Any, results: Any) -> None:
    for cell in grid.cells:
        results.run(cell.id)
    path = results.folder / "runs.parquet"
    runs = pq.read_table(path)
    for weights, caption_text, note in (
        (["random"] * 12, "All rows are of random weights", None),
        (
            ["published:kinetics400"] * 6 + ["random"] * 6,
            "2 of 4 rows are of random weights, not of published ones; see the notes.",
            "- tiny-mvit, mlp; tiny-mvit, gcn: random weights",
        ),
        (["published:kinetics400"] * 12, "", None),
    ):
        columns = runs.append_column("params.encoder.name", [["r3d-18"] * 12])
        pq.write_table(columns.append_column("params.weights", [weights]), path)
        text = markdown(build(grid, "main", results.folder))
        assert caption_text in text
        assert (note is None) or note in text
        assert ("random weights" in text) == bool(caption_text)


def test_rows_whose_runs_were_computed_differently_say_so(grid: Any, results: Any) -> None:
    """A file that is older than the column tells of nothing, and so does one of a single way."""
    for cell in grid.cells:
        ways = {"arithmetic": "bf16"} if cell.coordinates["seed"] == "0" else {}
        results.run(cell.id, further=ways)
    text = markdown(build(grid, "main", results.folder), "full")
    assert "4 of 4 rows mix runs computed in bf16 and fp32." in text
    assert "computed differently: seed 0 in bf16; seeds 1, 2 in fp32" in text
    for run in results.runs:
        run["arithmetic"] = "bf16"
    results.save()
    assert "bf16" not in markdown(build(grid, "main", results.folder), "full")


def test_a_tables_notes_have_both_styles(behind: Any) -> None:
    short, full = table_notes(behind, "short"), table_notes(behind, "full")
    assert len(short.notes) < len(full.notes)
    assert [note.text for note in short.notes if not note.place][-1] == full.notes[-1].text
