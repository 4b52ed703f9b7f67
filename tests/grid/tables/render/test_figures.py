"""Figures that tables declare: what they draw is what the runs predict, and mistakes are told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score
from value_rows import value_rows

from echolm.errors import EchoLMError
from echolm.yaml_files import explain_validation
from grid.definition.tables import TableDefinition
from grid.statistics.subset_interval import SubsetTInterval
from grid.tables import output
from grid.tables.build import build
from grid.tables.render import html
from grid.tables.render.boxes_figure import TOO_FEW, box
from grid.tables.render.canvas import row_styles
from grid.tables.render.figures import figures_of
from grid.tables.table import Table

COUNT = 40
SHARES = ("50%", "85%")
COLUMNS = [
    {"statistic": "mae", "where": {"goal": "EF"}, "label": "EF MAE (%)"},
    {"statistic": "r2", "where": {"goal": "EF"}, "label": "EF R²"},
    {"statistic": "auc", "where": {"goal": "low EF"}, "label": "AUC"},
]
FIGURES = {
    "roc": {"kind": "roc", "columns": ["AUC"], "band": True},
    "boxes": {"kind": "boxes", "columns": ["EF MAE (%)"], "caption": "As printed."},
    "curves": {"kind": "lines", "x": "share", "columns": ["EF MAE (%)"]},
    "scatter": {"kind": "scatter", "columns": ["EF MAE (%)"]},
}
NAMES = [f"main-{name}" for name in FIGURES]
ROWS = [f"{encoder}, {share}" for encoder in ("tiny-r3d", "_tiny-mvit") for share in SHARES]


def definition(**change: Any) -> TableDefinition:
    fields = {
        "title": "T",
        "rows": ["encoder", "share"],
        "columns": COLUMNS,
        "figures": FIGURES,
        "spread": "subset-draws-95",
    }
    return TableDefinition.model_validate({**fields, **change})


def rows(goal: str, number: int, count: int = COUNT) -> Any:
    """Return the predictions of a run: EF in percent, or whether it is low."""
    truth = np.random.default_rng(0).normal(55, 12, count)
    predicted = truth + np.random.default_rng([1, number]).normal(-1, 6, count)
    if goal == "EF":
        return value_rows(truth, predicted)
    low = (truth < 55).astype(float)
    return value_rows(low, (predicted < 55).astype(float), 1 / (1 + np.exp(predicted - 55)))


@pytest.fixture
def declared(grid: Any, results: Any, cell: Any) -> Any:
    """Two encoders with two shares and two goals, of which one cell has no run."""
    grid.cells = []
    for encoder in ("tiny-r3d", "_tiny-mvit"):
        for share in SHARES:
            for goal in ("EF", "low EF"):
                for seed in "01":
                    place = {"encoder": encoder, "share": share, "goal": goal, "seed": seed}
                    grid.cells.append(cell(f"c{len(grid.cells):02d}", place))
    grid.tables["main"] = definition()
    for number, one in enumerate(grid.cells):
        if number != 1:
            table = rows(one.coordinates["goal"], number)
            results.run(one.id, table=table, synthetic=True)
    return grid


@pytest.fixture
def built(declared: Any, results: Any) -> Table:
    return build(declared, "main", results.folder)


def text_of(svg: str) -> list[str]:
    texts = [element for element in ElementTree.fromstring(svg).iter() if "text" in element.tag]
    return ["".join(element.itertext()) for element in texts]


def only(table: Table, name: str) -> Table:
    """The table with one of its figures."""
    return replace(table, figures={name: table.figures[name]})


def test_every_figure_has_its_rows(built: Table) -> None:
    figures = {figure.name: figure for figure in figures_of(built)}
    assert list(figures) == NAMES
    texts = {name: text_of(figure.svg()) for name, figure in figures.items()}
    for name, shown in texts.items():
        assert "synthetic data (phantom)" in shown, name
    areas = [text for text in texts["main-roc"] if "AUC 0." in text]
    assert [text.strip().split(": ")[0] for text in areas] == ROWS
    classes = built.rows[3].values[2].resampled
    assert classes is not None
    pairs = zip(classes.runs.column("truth"), classes.runs.column("score"), strict=True)
    area = np.mean([roc_auc_score(truth, score) for truth, score in pairs])
    assert f"AUC {area:.3f}" in areas[3]
    assert [text.strip() for text in texts["main-boxes"] if text.strip() in ROWS] == ROWS
    value = built.rows[3].values[0].resampled
    assert value is not None
    pairs = zip(value.runs.column("truth"), value.runs.column("prediction"), strict=True)
    scores = [(mean_absolute_error(*pair), r2_score(*pair)) for pair in pairs]
    mae, r2 = np.mean(scores, axis=0)
    corners = [text for text in texts["main-scatter"] if text.startswith(("MAE", "R²"))]
    assert len(corners) == 2 * len(ROWS)
    assert corners[-2:] == [f"MAE {mae:.3g}", f"R² {r2:.2f}"]
    assert {"tiny-r3d", "_tiny-mvit", *SHARES} <= {text.strip() for text in texts["main-curves"]}
    assert "§" in texts["main-curves"], "a point of which a seed is missing is marked"


def test_files_have_their_captions(built: Table, declared: Any, tmp_path: Path) -> None:
    written = list(output.draw(declared, [only(built, "boxes")], tmp_path))
    assert [path.name for path in written] == [
        f"main-boxes.{end}" for end in ("svg", "pdf", "json")
    ]
    svg = " ".join(text_of((tmp_path / "main-boxes.svg").read_text(encoding="utf-8")))
    assert "As printed. The spread is that of random subsets" in svg
    assert "§ some seeds are missing." in svg
    [stored] = json.loads((tmp_path / "main-boxes.json").read_text(encoding="utf-8"))["tables"]
    assert set(stored["rows"][0]["values"]) == {"EF MAE (%)"}
    with pytest.raises(EchoLMError, match=r"two figures would be main-roc\.svg; rename one"):
        list(output.draw(declared, [built, built], tmp_path))


def test_a_page_shows_figures_of_numbers(built: Table, declared: Any) -> None:
    page = html.html(only(built, "curves"))
    assert page.count("<svg") == page.count("<figcaption") == 1
    assert "Points as in the table" in page
    assert "<svg" not in html.html(built, drawn=False)
    empty = only(build(declared, "main", None), "roc")
    [figure] = figures_of(empty)
    assert "missing" in figure.svg()
    assert "<svg" not in html.html(empty)


def test_rows_are_told_apart(built: Table) -> None:
    """Up to seven by colour, more by dashes too: of one encoder where that is enough."""
    row = built.rows[0]

    def styles(*labels: tuple[str, ...]) -> list[tuple[str, Any]]:
        rows = tuple(replace(row, labels=one) for one in labels)
        return [(style.colour, style.dashes) for style in row_styles(replace(built, rows=rows))]

    assert len({colour for colour, _ in styles(*(("a", str(one)) for one in range(7)))}) == 7
    paired = styles(*((encoder, fusion) for encoder in "abcde" for fusion in ("none", "STF-Net")))
    assert len(set(paired)) == 10 and paired[0][0] == paired[1][0]
    assert len(set(styles(*(("a", str(one)) for one in range(28))))) == 28


def test_a_box_is_of_all_draws_of_all_seeds(built: Table) -> None:
    value = built.rows[2].values[0]
    assert value.resampled is not None and value.number is not None
    runs = value.resampled.runs
    draws = SubsetTInterval().draws_by_seed(runs, value.resampled.statistic)
    assert draws.shape == (2, 50)
    assert value.number.estimate == pytest.approx(draws.mean(), abs=1e-12)
    random = np.random.default_rng(5050)
    order = np.argsort(runs.samples)
    truth, predicted = runs.column("truth")[:, order], runs.column("prediction")[:, order]
    for draw in range(50):
        batches = random.choice(5, 3, replace=False)
        places = np.concatenate([np.arange(8 * batch, 8 * batch + 8) for batch in batches])
        for seed in range(2):
            error = mean_absolute_error(truth[seed, places], predicted[seed, places])
            assert draws[seed, draw] == pytest.approx(error, abs=1e-12)
    quantiles = np.quantile(draws.ravel(), (0.05, 0.25, 0.5, 0.75, 0.95))
    np.testing.assert_array_equal(box(value), quantiles)


def test_a_test_set_of_too_few_samples_has_no_box(grid: Any, results: Any) -> None:
    grid.cells = grid.cells[:1]
    results.run(grid.cells[0].id, table=rows("EF", 0, count=16))
    column = {"statistic": "mae", "label": "MAE"}
    figures = {"boxes": {"kind": "boxes", "columns": ["MAE"]}}
    change = {"rows": ["encoder"], "columns": [column], "figures": figures}
    grid.tables["main"] = definition(**change, spread="crossed-95")
    [figure] = figures_of(build(grid, "main", results.folder))
    assert TOO_FEW in figure.svg()


@pytest.mark.parametrize(
    ("figure", "sentence"),
    [
        (
            {"kind": "pie", "columns": ["AUC"]},
            "figures.a: kind 'pie' is not valid; valid: boxes, lines, roc, scatter",
        ),
        ({"columns": ["AUC"]}, "figures.a: kind is missing, and must be given"),
        ({"kind": "roc", "columns": ["AUK"]}, "figures: a: no column 'AUK'; did you mean 'AUC'?"),
        (
            {"kind": "roc", "columns": ["EF R²"]},
            "column 'EF R²' is of r2; valid for it: a column of auc, macro auc",
        ),
        (
            {"kind": "scatter", "columns": ["AUC"]},
            "column 'AUC' is of auc; valid for it: a column of bias, mae, ",
        ),
        (
            {"kind": "lines", "x": "shares", "columns": ["AUC"]},
            "x: 'shares' is not an axis of rows; did you mean 'share'?",
        ),
        ({"kind": "boxes", "columns": []}, "figures.a"),
    ],
)
def test_a_mistake_is_one_sentence(figure: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        definition(figures={"a": figure})
    told = explain_validation(caught.value, "grid.yaml")
    assert sentence in told, told
    assert len(caught.value.errors()) == 1


def test_labels_without_numbers_need_another_scale(declared: Any, results: Any) -> None:
    curves = {"kind": "lines", "x": "encoder", "columns": ["AUC"]}
    declared.tables["main"] = definition(figures={"a": curves})
    [figure] = figures_of(build(declared, "main", results.folder))
    with pytest.raises(EchoLMError, match="'tiny-r3d' of encoder begins with no number; or use"):
        figure.svg()
