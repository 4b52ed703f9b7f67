"""ROC curves are scikit-learn's, and the area below a mean curve is the mean of areas."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from grid.statistics import Auc, MacroAuc, Rows, Runs, align
from grid.statistics.roc import mean_curve, mean_roc_curve, roc_curve

COUNT = 60
PATIENTS = np.array([f"p{number // 2}" for number in range(COUNT)])
SAMPLES = np.array([f"s{number:02d}" for number in range(COUNT)])


def of_two(ties: bool) -> Runs:
    """Three runs of two classes, two samples a patient."""
    truth = np.random.default_rng(0).integers(0, 2, COUNT).astype(float)
    runs = {}
    for seed in range(3):
        score = np.random.default_rng([1, seed]).normal(truth, 1.2)
        if ties:
            score = score.round()
        runs[str(seed)] = Rows(PATIENTS, {"truth": truth, "score": score}, SAMPLES)
    return align(runs)


@pytest.mark.parametrize("ties", [False, True])
def test_a_curve_has_the_points_of_scikit_learn(ties: bool) -> None:
    runs = of_two(ties)
    random = np.random.default_rng(2)
    weights = random.integers(1, 4, COUNT).astype(float)
    for truth, score in zip(runs.column("truth"), runs.column("score"), strict=True):
        curve = roc_curve(truth == 1, score, weights)
        false_share, sensitivity, _ = metrics.roc_curve(
            truth, score, sample_weight=weights, drop_intermediate=False
        )
        np.testing.assert_allclose(curve.false_share, false_share, atol=1e-12)
        np.testing.assert_allclose(curve.sensitivity, sensitivity, atol=1e-12)
        area = metrics.roc_auc_score(truth, score, sample_weight=weights)
        assert curve.area == pytest.approx(area, abs=1e-12)
        alone = mean_curve([curve])
        assert alone.area == pytest.approx(area, abs=1e-12)
        between = np.linspace(0.003, 0.997, 50)
        found = np.interp(between, alone.false_share, alone.sensitivity)
        np.testing.assert_allclose(found, np.interp(between, false_share, sensitivity), atol=1e-12)


@pytest.mark.parametrize("ties", [False, True])
def test_the_mean_over_seeds_is_vertical(ties: bool) -> None:
    runs = of_two(ties)
    curve = mean_roc_curve(runs, Auc())
    assert curve is not None
    areas = Auc().full(runs)
    assert curve.area == pytest.approx(areas.mean(), abs=1e-12)
    assert (curve.false_share[0], curve.sensitivity[0]) == (0, 0)
    assert (curve.false_share[-1], curve.sensitivity[-1]) == (1, 1)
    assert (np.diff(curve.sensitivity) >= -1e-12).all()
    between = np.linspace(0.003, 0.997, 50)  # no share of negative rows lies there
    heights = []
    for truth, score in zip(runs.column("truth"), runs.column("score"), strict=True):
        xs, ys, _ = metrics.roc_curve(truth, score)
        heights.append(np.interp(between, xs, ys))
    found = np.interp(between, curve.false_share, curve.sensitivity)
    np.testing.assert_allclose(found, np.mean(heights, axis=0), atol=1e-12)


def test_of_several_classes_it_is_the_mean_of_each_against_the_others() -> None:
    random = np.random.default_rng(3)
    truth = np.arange(COUNT) % 3.0
    score = random.dirichlet(np.ones(3), COUNT) + 0.3 * np.eye(3)[truth.astype(int)]
    score /= score.sum(1, keepdims=True)
    runs = align({"0": Rows(SAMPLES, {"truth": truth, "score": score})})
    curve = mean_roc_curve(runs, MacroAuc())
    assert curve is not None
    expected = metrics.roc_auc_score(truth, score, multi_class="ovr")
    assert curve.area == pytest.approx(expected, abs=1e-12)


def test_values_below_a_threshold_are_positive_and_a_missing_score_has_no_curve() -> None:
    runs = of_two(ties=False)
    values = {"truth": 60 - 20 * runs.column("truth"), "prediction": -runs.column("score")}
    below = Runs(**{**vars(runs), "columns": values})
    curve = mean_roc_curve(below, Auc(below=50))
    assert curve is not None
    assert curve.area == pytest.approx(float(Auc().full(runs).mean()), abs=1e-12)
    missing = runs.column("score").copy()
    missing[1, 4] = np.nan
    columns = {**runs.columns, "score": missing}
    assert mean_roc_curve(Runs(**{**vars(runs), "columns": columns}), Auc()) is None
    one_class = {**runs.columns, "truth": np.ones_like(missing)}
    assert mean_roc_curve(Runs(**{**vars(runs), "columns": one_class}), Auc()) is None
