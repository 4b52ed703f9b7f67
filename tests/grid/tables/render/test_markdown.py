"""What a reader sees: aligned Markdown, a caption that names the ±, marks for what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from echolm.errors import EchoLMError
from grid.tables.build import build
from grid.tables.render.data import plain
from grid.tables.render.html import html
from grid.tables.render.latex import latex
from grid.tables.render.markdown import markdown

OVER_PATIENTS = (
    "± is the standard deviation over 24 patients (ddof 1) within each seed, averaged over 3 seeds."
)


def body(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_markdown_is_aligned_as_plain_text(grid: Any, results: Any, complete: Any) -> None:
    lines = body(markdown(build(grid, "main", results.folder)))
    assert len(lines) == 6
    assert len({len(line) for line in lines}) == 1
    bars = [[at for at, sign in enumerate(line) if sign == "|"] for line in lines]
    assert all(line_bars == bars[0] for line_bars in bars)
    assert (
        lines[0].split() == "| encoder | head | Dice ED (%) | Dice ES (%) | MKE ED (px) |".split()
    )
    assert lines[2].count("±") == 3


def test_the_numbers_of_the_markdown_are_those_of_the_table(
    grid: Any, results: Any, complete: Any
) -> None:
    table = build(grid, "main", results.folder)
    shown = [part.strip(" *") for part in body(markdown(table))[2].strip("|").split("|")]
    value = table.rows[0].values[2].number
    assert value is not None
    assert (
        shown[:2] == ["tiny-r3d", "mlp"]
        and shown[4] == f"{value.estimate:.3f} ± {value.spread:.3f}"
    )


def test_caption_over_patients(grid: Any, results: Any, complete: Any) -> None:
    text = markdown(build(grid, "main", results.folder))
    assert OVER_PATIENTS in text
    assert "synthetic" not in text and "Missing" not in text and "Seeds" not in text


def test_caption_over_seeds(grid: Any, results: Any, complete: Any) -> None:
    text = markdown(build(grid, "main", results.folder, "std-over-seeds"))
    assert (
        "± is the standard deviation over 3 seeds (ddof 1) of the value over 24 patients." in text
    )


def test_one_seed_has_no_spread_over_seeds(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0")
    text = markdown(build(grid, "main", results.folder, "std-over-seeds"))
    assert "Over 24 patients; 1 seed has no ± over seeds." in text and "±" not in "".join(
        body(text)
    )
    assert "over 24 patients (ddof 1) of 1 seed." in markdown(build(grid, "main", results.folder))


def test_rows_with_one_seed_among_others_are_named(grid: Any, results: Any) -> None:
    for cell in ("tiny-r3d.mlp.0", "tiny-r3d.gcn.0", "tiny-r3d.gcn.1"):
        results.run(cell)
    text = markdown(build(grid, "main", results.folder, "std-over-seeds"))
    assert (
        "over 1-2 seeds (ddof 1) of the value over 24 patients. A value with 1 seed has no ±."
        in text
    )
    assert "±" not in body(text)[2] and body(text)[3].count("±") == 3


def test_synthetic_data_is_named(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0", synthetic=True)
    assert "All numbers are from synthetic data (phantom)." in markdown(
        build(grid, "main", results.folder)
    )
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
    assert lines[2].count("§") == 3 and "2 of 3" in lines[2] and "§ some seeds are missing." in text
    assert "§" not in lines[3] and "| 3 |" in lines[3].replace("     ", "")
    assert lines[4].count("missing") == 3 and "0 of 3" in lines[4]
    assert "averaged over 2-3 seeds" in text
    where = "`echolm launch small --on local --where encoder=tiny-r3d --where head=mlp`"
    assert f"- tiny-r3d, mlp: seed 1: no complete run was collected; type: {where}" in text
    where = "`echolm launch small --on local --where encoder=tiny-mvit`"
    assert f"- tiny-mvit: seeds 0, 1, 2: no complete run was collected; type: {where}" in text
    assert text.rstrip().endswith("`echolm collect small`")


def test_rows_with_other_numbers_of_patients_say_so(grid: Any, results: Any) -> None:
    for cell in grid.cells:
        results.run(cell.id, patients=20 if "gcn" in cell.id else 24)
    text = markdown(build(grid, "main", results.folder))
    assert "Patients" in body(text)[0] and "over 20-24 patients" in text
    assert [line.strip("| ").split()[-1] for line in body(text)[2:]] == ["24", "20", "24", "20"]


def test_nothing_collected_yet(grid: Any, results: Any) -> None:
    text = markdown(build(grid, "main", results.folder))
    assert (
        "No run was collected yet." in text
        and body(text)[2:]
        and "".join(body(text)).count("missing") == 12
        and "*" not in "".join(body(text))
    )
    assert (
        "- everything: no complete run was collected; type: `echolm launch small --on local`"
        in text
    )


def test_labels_cannot_break_the_table(grid: Any, results: Any, cell: Any) -> None:
    grid.cells = [
        cell("x", {"encoder": "a|b", "head": "it's", "seed": "0"}),
        cell("y", {"encoder": "a|b", "head": "c", "seed": "0"}),
    ]
    results.run("y")
    text = markdown(build(grid, "main", results.folder))
    assert "a\\|b" in text
    assert "--where 'encoder=a|b' --where 'head=it'\"'\"'s'" in text


class TestPublished:
    """The paper's numbers, on a line of their own below each row."""

    @pytest.fixture
    def beside(self, grid: Any) -> Any:
        """The grid with every cell at a place of the paper's Table 2.

        Tiny encoders stand in for larger ones.
        """
        labels = {"encoder": {"tiny-r3d": "r3d-18", "tiny-mvit": "mvit-v2-s"}}
        source = {"paper": "bhoodoo2026", "table": "2", "labels": labels}
        definition = grid.tables["main"]
        grid.tables["main"] = type(definition).model_validate(
            {**definition.model_dump(), "published": source}
        )
        for cell in grid.cells:
            cell.coordinates.update(trainable="all")
        return grid

    def test_a_line_below_each_row(self, beside: Any, results: Any, complete: Any) -> None:
        text = markdown(build(beside, "main", results.folder))
        lines = body(text)
        assert len(lines) == 2 + 4 * 2 and len({len(line) for line in lines}) == 1
        assert [line.split("|")[1].strip() for line in lines[2:]] == [
            "tiny-r3d",
            "paper: r3d-18",
            "tiny-r3d",
            "paper: r3d-18",
            "tiny-mvit",
            "paper: mvit-v2-s",
            "tiny-mvit",
            "paper: mvit-v2-s",
        ]
        assert [part.strip() for part in lines[3].split("|")[2:-1]] == [
            "",
            "91.55 ± 3.54",
            "88.75 ± 4.68",
            "2.630 ± 1.010",
        ]

    def test_the_caption_says_what_they_are_and_that_nothing_compares(
        self, beside: Any, results: Any, complete: Any
    ) -> None:
        text = markdown(build(beside, "main", results.folder))
        assert OVER_PATIENTS in text
        source = "bhoodoo2026, table 2; ± is the std over 1264 test videos."
        assert f"Lines that begin with 'paper': {source}" in text
        stand_ins = "r3d-18 (beside tiny-r3d) and mvit-v2-s (beside tiny-mvit)"
        assert f"The published numbers are of {stand_ins} on patients, so not comparable." in text

    def test_the_paper_stands_there_before_anything_ran(self, beside: Any) -> None:
        text = markdown(build(beside, "main", None))
        assert (
            text.count("missing") == 12
            and "92.75 ± 3.11" in text
            and "bhoodoo2026, table 2" in text
        )

    def test_synthetic_runs_are_not_comparable(self, beside: Any, results: Any) -> None:
        source = beside.tables["main"].published
        beside.tables["main"] = beside.tables["main"].model_copy(
            update={"published": source.model_copy(update={"labels": {}})}
        )
        for cell in beside.cells:
            cell.coordinates.update(
                encoder={"tiny-r3d": "r3d-18"}.get(cell.coordinates["encoder"], "mvit-v2-s")
            )
        results.run("tiny-r3d.mlp.0")
        text = markdown(build(beside, "main", results.folder))
        assert (
            "not comparable with" not in text
            and "not decidable" in body(text)[3]
            and "not comparable" not in body(text)[3]
        )
        results.runs.clear()
        results.run("tiny-r3d.mlp.0", synthetic=True)
        text = markdown(build(beside, "main", results.folder))
        assert "All numbers but the published ones are from synthetic data (phantom)." in text
        assert (
            "The published numbers are not comparable with synthetic data (phantom)." in text
            and "| paper " in text
        )

    def test_numbers_read_off_a_figure_say_so(
        self, beside: Any, results: Any, complete: Any
    ) -> None:
        definition = beside.tables["main"]
        source = {
            "paper": "bhoodoo2026",
            "table": "figure 2",
            "labels": definition.published.labels,
        }
        beside.tables["main"] = type(definition).model_validate(
            {**definition.model_dump(), "published": source}
        )
        for cell in beside.cells:
            cell.coordinates.update(fraction="10%")
        text = markdown(build(beside, "main", results.folder))
        assert "bhoodoo2026, figure 2; without ±; read off the figure's vector paths" in text
        assert [part.strip() for part in body(text)[4].split("|")[3:-1]] == ["90.56", "-", "-"]

    def test_where_the_paper_contradicts_itself_stands_once_with_its_places(
        self, beside: Any
    ) -> None:
        text = markdown(build(beside, "main", None))
        assert text.count("the caption calls it mean L1 keypoint error") == 1
        assert "- MKE ED (px): the caption calls it mean L1 keypoint error" in text
        assert "- the text counts 7,460 / 1,277 / 1,288 videos" in text, (
            "for all of them, so without a place"
        )

    def test_a_row_of_the_paper_alone_stands_above(
        self, beside: Any, results: Any, complete: Any
    ) -> None:
        """In Markdown, LaTeX, HTML and JSON. Without cells nothing of it is missing or judged."""
        definition = beside.tables["main"].model_dump()
        definition["published"]["alone"] = [{"encoder": "deeplabv3-resnet50"}]
        beside.tables["main"] = type(beside.tables["main"]).model_validate(definition)
        table = build(beside, "main", results.folder)
        text = markdown(table)
        assert [part.strip() for part in body(text)[2].split("|")[1:-1]] == [
            "paper: deeplabv3-resnet50",
            "segmentation",
            "92.78",
            "90.68",
            "-",
        ]
        assert (
            "- paper: deeplabv3-resnet50: quoted by the paper; segmentation model" in text
            and "92.7 and 90.3" in text
        )
        assert len({len(line) for line in body(text)}) == 1 and "Missing" not in text
        assert (
            r"\textit{paper: deeplabv3-resnet50} & \textit{segmentation} & \textit{92.78}"
            in latex(table)
        )
        assert '<tr class="paper"><th scope="row">paper: deeplabv3-resnet50</th>' in html(table)
        assert plain(table)["quoted"][0]["published"]["Dice ES (%)"]["value"] == 90.68
        definition["published"]["alone"] = [{"encoder": "deeplab"}]
        beside.tables["main"] = type(beside.tables["main"]).model_validate(definition)
        message = (
            "published.alone: table 2 of bhoodoo2026 has no number at encoder=deeplab;"
            " valid: deeplabv3-resnet50"
        )
        with pytest.raises(EchoLMError, match=message):
            build(beside, "main", results.folder)

    def test_a_row_without_a_published_number_has_no_such_line(
        self, beside: Any, results: Any, complete: Any
    ) -> None:
        for cell in beside.cells:
            if cell.coordinates["head"] == "mlp":
                cell.coordinates.update(trainable="k1")
        lines = body(markdown(build(beside, "main", results.folder)))
        assert [line.split("|")[1].strip() for line in lines[2:]] == [
            "tiny-r3d",
            "tiny-r3d",
            "paper: r3d-18",
            "tiny-mvit",
            "tiny-mvit",
            "paper: mvit-v2-s",
        ]


class TestColumnsOfSomeCells:
    """A table whose columns are labels of an axis."""

    @pytest.fixture
    def wide(self, grid: Any) -> Any:
        columns = [
            {"metric": "dice", "slot": "ED", "where": {"encoder": encoder}}
            for encoder in ("tiny-r3d", "tiny-mvit")
        ]
        grid.tables["main"] = type(grid.tables["main"]).model_validate(
            {"title": "T", "rows": ["head"], "columns": columns}
        )
        grid.cells = [cell for cell in grid.cells if not cell.id.startswith("tiny-mvit.gcn")]
        return grid

    def test_headings_marks_and_absent_places(self, wide: Any, results: Any) -> None:
        for cell in ("tiny-r3d.mlp.0", "tiny-r3d.mlp.1", "tiny-r3d.mlp.2", "tiny-mvit.mlp.1"):
            results.run(cell)
        text = markdown(build(wide, "main", results.folder))
        header, _, mlp, gcn = (
            [part.strip() for part in line.split("|")[1:-1]] for line in body(text)
        )
        assert header == ["head", "tiny-r3d dice ED", "tiny-mvit dice ED", "Seeds"]
        assert "§" not in mlp[1] and mlp[2].endswith("§‡") and mlp[3] == "1-3 of 3"
        assert gcn[1:] == ["missing", "-", "0 of 3"]
        assert "- mlp, tiny-mvit: seeds 0, 2: no complete run was collected" in text
        assert "`echolm launch small --on local --where head=gcn --where encoder=tiny-r3d`" in text

    def test_notes_name_the_column(self, wide: Any, results: Any) -> None:
        for cell in wide.cells:
            results.run(cell.id, problem="odd" if cell.id == "tiny-mvit.mlp.2" else None)
        assert "Notes:\n- mlp, tiny-mvit dice ED: seed 2: odd\n" in markdown(
            build(wide, "main", results.folder)
        )
