"""Statistics of classifiers against scikit-learn with sample weights."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics
from statistics_support import CLASSES, runs, with_columns

from echolm.errors import EchoLMError
from grid.statistics import F1, Accuracy, Auc, BalancedAccuracy, MacroAuc, MacroF1, Runs, Statistic


def weighted(one: Statistic, values: Runs, weights: np.ndarray) -> float:
    return float(one.evaluate(values, weights[None])[0, 0])


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("key", range(3))
def test_equals_scikit_learn(key: int, ties: bool) -> None:
    values = runs(1, 40, key=key, ties=ties)
    weights = np.random.default_rng(key).uniform(0.1, 3, 40)
    label, guess, score, grade, graded = (
        values.column(name)[0] for name in ("label", "guess", "score", "grade", "graded")
    )
    expected = {
        Accuracy("grade", "graded"): metrics.accuracy_score(grade, graded, sample_weight=weights),
        F1(1, "label", "guess"): metrics.f1_score(label, guess, sample_weight=weights),
        F1(0, "label", "guess"): metrics.f1_score(label, guess, pos_label=0, sample_weight=weights),
        MacroF1("grade", "graded"): metrics.f1_score(
            grade, graded, average="macro", sample_weight=weights
        ),
        BalancedAccuracy("grade", "graded"): metrics.balanced_accuracy_score(
            grade, graded, sample_weight=weights
        ),
        Auc("label"): metrics.roc_auc_score(label, score, sample_weight=weights),
    }
    for one, number in expected.items():
        assert weighted(one, values, weights) == pytest.approx(number, rel=1e-12), one.name


@pytest.mark.parametrize("ties", [False, True])
def test_macro_auc_equals_scikit_learn(ties: bool) -> None:
    values = runs(1, 40, ties=ties)
    scores = values.column("scores") / values.column("scores").sum(
        -1, keepdims=True
    )  # scikit-learn wants sums of 1
    weights = np.random.default_rng(0).uniform(0.1, 3, 40)
    expected = metrics.roc_auc_score(
        values.column("grade")[0], scores[0], multi_class="ovr", sample_weight=weights
    )
    assert weighted(
        MacroAuc("grade", "p"), with_columns(values, p=scores), weights
    ) == pytest.approx(expected, rel=1e-12)


def test_a_class_that_is_not_drawn() -> None:
    """AUC is undefined.

    Macro F1 and balanced accuracy are over the classes that are there, as scikit-learn has it.
    """
    values = runs(1, 30)
    label, grade = values.column("label")[0], values.column("grade")[0]
    assert np.isnan(weighted(Auc("label"), values, label))
    assert np.isnan(weighted(Auc("label"), values, 1 - label))
    two = (grade != CLASSES - 1) & (values.column("graded")[0] != CLASSES - 1)
    assert np.isnan(weighted(MacroAuc("grade", "scores"), values, two.astype(float)))
    truth, prediction = grade[two], values.column("graded")[0][two]
    assert weighted(MacroF1("grade", "graded"), values, two.astype(float)) == pytest.approx(
        metrics.f1_score(truth, prediction, average="macro")
    )
    expected = metrics.balanced_accuracy_score(truth, prediction)
    assert weighted(
        BalancedAccuracy("grade", "graded"), values, two.astype(float)
    ) == pytest.approx(expected)
    nobody = F1(7, "label", "guess")
    assert nobody.full(values)[0] == 0


def test_scores_that_do_not_fit_are_refused() -> None:
    values = runs(1, 30, name="echoprime")
    for one, words in (
        (Auc("grade"), "echoprime: column 'grade' of auc has values other than 0 and 1"),
        (Auc("label", "scores"), "3 scores a row"),
        (MacroAuc("grade", "score"), "C scores a row"),
        (MacroAuc("truth", "scores"), "labels 0 to C - 1"),
    ):
        with pytest.raises(EchoLMError, match=words):
            one.full(values)


def test_infinite_scores_have_an_order_too() -> None:
    values = runs(1, 30)
    score = values.column("score").copy()
    score[0, :3] = -np.inf, -np.inf, np.inf
    found = Auc("label").full(with_columns(values, score=score))[0]
    assert found == pytest.approx(
        metrics.roc_auc_score(values.column("label")[0], np.clip(score[0], -1e6, 1e6))
    )
