"""Pictures of predicted values and classes: only where predictions hold them, and as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics

from echolm.text import true_minus
from grid.report.agreement import agreement
from grid.report.classifiers import classifier, confusion, reliability_bins
from grid.report.content import ReportContent, Run, Setting
from grid.report.page import encoded_page
from grid.report.predicted import Predicted, predicted
from grid.report.svg import Chart
from grid.statistics import statistic
from grid.statistics.roc import POINTS, roc_band, roc_curves

COUNT = 50
LISTS = pa.list_(pa.float64())


def rows(truth: Any, prediction: Any, score: Any = None) -> pa.Table:
    """Rows as tasks of one value write them. Each patient has two samples."""
    count = len(truth)
    shares = [None] * count if score is None else [np.atleast_1d(own).tolist() for own in score]
    return pa.table(
        {
            "sample": [f"s{number:03d}" for number in range(count)],
            "patient": [f"p{number // 2:03d}" for number in range(count)],
            "split": ["test"] * count,
            "target": ["ef"] * count,
            "slot": [""] * count,
            "truth": pa.array([[float(value)] for value in truth], LISTS),
            "prediction": pa.array([[float(value)] for value in prediction], LISTS),
            "score": pa.array(shares, LISTS),
        }
    )


def setting(folder: Path, tables: list[pa.Table]) -> Setting:
    runs = []
    for seed, table in enumerate(tables):
        path = folder / f"{seed}.parquet"
        pq.write_table(table, path)
        run = Run(f"c{seed}", str(seed), "complete", run_id=f"r{seed}", predictions=path)
        runs.append(run)
    return Setting("cell-c0", {"head": "<mlp> & more"}, tuple(runs))


@pytest.fixture
def values(tmp_path: Path) -> Setting:
    random = np.random.default_rng(0)
    truth = random.normal(55, 12, COUNT)
    return setting(tmp_path, [rows(truth, truth + random.normal(-2, 6, COUNT)) for _ in range(3)])


@pytest.fixture
def two_classes(tmp_path: Path) -> Setting:
    random = np.random.default_rng(1)
    label = (random.uniform(size=COUNT) < 0.4).astype(float)
    tables = []
    for _ in range(3):
        score = 1 / (1 + np.exp(-(2 * label - 1 + random.normal(0, 1.2, COUNT))))
        score = np.round(score, 1)
        tables.append(rows(label, score > 0.5, score))
    return setting(tmp_path, tables)


@pytest.fixture
def three_classes(tmp_path: Path) -> Setting:
    random = np.random.default_rng(2)
    label = random.integers(0, 3, COUNT)
    tables = []
    for _ in range(2):
        score = random.dirichlet(np.ones(3), COUNT) + 0.6 * np.eye(3)[label]
        score /= score.sum(1, keepdims=True)
        tables.append(rows(label, score.argmax(1), score))
    return setting(tmp_path, tables)


def drawn(one: Setting) -> tuple[Predicted, list[Chart]]:
    [found] = predicted(one)
    return found, classifier(one, found) if found.classes else agreement(one, found)


def checked(charts: list[Chart]) -> list[ElementTree.Element]:
    """Each drawing is whole XML, and all of it lies within its picture."""
    elements = []
    for chart in charts:
        parsed = ElementTree.fromstring(f"<svg>{chart.drawing}</svg>")
        elements.append(parsed)
        for path in parsed.iter("path"):
            numbers = [float(text) for text in re.findall(r"-?\d+\.?\d*", path.get("d", ""))]
            assert min(numbers) >= 0
            assert max(numbers) <= max(chart.axes.width, chart.axes.height)
        assert "nan" not in chart.drawing.lower()
    return elements


def test_values_have_a_scatter_plot_and_that_of_bland_and_altman(values: Setting) -> None:
    found, charts = drawn(values)
    assert found.classes == ()
    scatter, difference = checked(charts)
    truth = found.runs.column("truth")[0]
    prediction = found.runs.column("prediction")
    dots = max((path.get("d", "") for path in scatter.iter("path")), key=lambda d: d.count("M"))
    assert dots.count("M") == len({place.split("h")[0] for place in dots.split("M")[1:]})
    assert 0.9 * COUNT <= dots.count("M") <= COUNT
    mae = metrics.mean_absolute_error
    expected = np.mean([mae(truth, own) for own in prediction])
    assert f"MAE {expected:.3g}" in charts[0].remark
    error = prediction - truth
    bias = true_minus(f"bias {error.mean():+.3g}")
    assert charts[1].remark.startswith(f"{bias}, limits of agreement ")
    assert sum(path.get("stroke-dasharray") == "5 3" for path in difference.iter("path")) == 2


def test_two_classes_have_roc_reliability_and_confusion(two_classes: Setting) -> None:
    found, charts = drawn(two_classes)
    assert found.classes == ("class 0", "class 1")
    assert len(checked(charts)) == 3
    roc, reliability, matrix = charts
    truth, score = found.runs.column("truth"), found.runs.column("score")
    area = np.mean([metrics.roc_auc_score(truth[0], own) for own in score])
    assert f"AUC {area:.3f}" in roc.remark
    assert roc.remark.endswith("band: 95 % over patients and seeds")
    assert "15 bins" in reliability.remark
    expected = sum(
        metrics.confusion_matrix(truth[0], own) for own in found.runs.column("prediction")
    )
    assert confusion(found.runs, 2) == pytest.approx(expected / 3)
    assert matrix.remark.endswith("0 class 0, 1 class 1")


def test_the_curve_is_that_of_scikit_learn_and_lies_in_its_band(two_classes: Setting) -> None:
    [found] = predicted(two_classes)
    runs, score = found.runs, found.runs.column("score")
    curves = roc_curves(runs, score)
    for seed in range(3):
        truth = runs.column("truth")[seed]
        false, right, _ = metrics.roc_curve(truth, score[seed], drop_intermediate=False)
        assert curves[seed] == pytest.approx(np.interp(POINTS, false, right))
    low, high, over = roc_band(runs, score, curves)
    assert over == "patients and seeds"
    mean = curves.mean(0)
    assert (low <= mean + 1e-12).all()
    assert (mean <= high + 1e-12).all()
    assert 0 <= low.min() <= high.max() <= 1
    assert (high - low).max() > 0.1
    pair = two_classes.runs[:2]
    [fewer] = predicted(Setting("a", {}, pair))
    fewer_curves = roc_curves(fewer.runs, fewer.runs.column("score"))
    assert roc_band(fewer.runs, fewer.runs.column("score"), fewer_curves)[2] == "patients"


def test_bins_of_reliability_hold_all_rows_and_give_the_ece(three_classes: Setting) -> None:
    [found] = predicted(three_classes)
    runs, score = found.runs, found.runs.column("score")
    right = runs.column("truth") == runs.column("prediction")
    errors = []
    for seed in range(2):
        bins = reliability_bins(score[[seed]].max(-1), right[[seed]], runs.weights)
        assert sum(one.share for one in bins) == pytest.approx(1)
        errors.append(sum(one.share * abs(one.right - one.chance) for one in bins))
    assert errors == pytest.approx(statistic("ece").full(runs).tolist())


def test_three_classes_have_a_curve_and_a_band_each(three_classes: Setting) -> None:
    found, charts = drawn(three_classes)
    roc, _, matrix = checked(charts)
    assert len(found.classes) == 3
    assert len(list(roc.iter("path"))) == 1 + 3 + 3
    assert len(list(matrix.iter("rect"))) == 9
    assert "macro AUC" in charts[0].remark
    assert charts[0].remark.endswith("bands: 95 % over patients")


def test_the_band_of_a_class_is_that_of_the_class_against_the_others(
    tmp_path: Path, three_classes: Setting
) -> None:
    [found] = predicted(three_classes)
    score = found.runs.column("score")[..., 2]
    alone = []
    for truth, own in zip(found.runs.column("truth"), score, strict=True):
        alone.append(rows(truth == 2, own > 0.5, own))
    [binary] = predicted(setting(tmp_path, alone))
    of_three = roc_band(found.runs, score, roc_curves(found.runs, score, 2), 2)
    of_two = roc_band(binary.runs, score, roc_curves(binary.runs, score))
    assert np.array_equal(of_three[0], of_two[0]) and np.array_equal(of_three[1], of_two[1])


def test_what_predictions_do_not_hold_is_not_drawn(tmp_path: Path, values: Setting) -> None:
    contours = rows(np.zeros(4), np.zeros(4)).set_column(
        5, "truth", pa.array([[0.0] * 80] * 4, LISTS)
    )
    assert predicted(setting(tmp_path, [contours])) == []
    assert predicted(Setting("a", {}, (Run("c", "0", "pending"),))) == []
    other = rows(np.zeros(6), np.ones(6))
    assert predicted(setting(tmp_path, [rows(np.zeros(4), np.ones(4)), other])) == []
    lost = setting(tmp_path, [rows([np.nan] * 4, np.ones(4))])
    assert agreement(lost, predicted(lost)[0]) == []
    same = setting(tmp_path, [rows([5.0] * 4, [5.0] * 4)])
    checked(agreement(same, predicted(same)[0]))


def test_they_stand_in_the_page(values: Setting, tmp_path: Path) -> None:
    content = ReportContent("g", "G", (values,), None, records=False)
    page = encoded_page(content, [], tmp_path).decode()
    assert page.count('class="chart"') == 2
    assert "predicted by true" in page
    assert "&lt;mlp&gt; &amp; more" in page
