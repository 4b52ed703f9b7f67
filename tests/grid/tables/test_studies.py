"""``unit: study``: predictions and scores are averaged over a study before the error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from value_rows import value_rows

from grid.definition.tables import TableDefinition
from grid.tables.build import build

PATIENTS = ["p0"] * 3 + ["p1"] * 4 + ["p2", "p3"]
STUDIES = ["a", "a", "b", "c", "c", "c", "c", "d", "e"]


def shown(grid: Any, results: Any, make: Any, *columns: dict[str, Any]) -> list[Any]:
    for cell in grid.cells:
        results.run(cell.id, table=make(int(cell.coordinates["seed"])))
    definition = {"title": "T", "rows": ["encoder", "head"], "columns": columns}
    grid.tables["main"] = TableDefinition.model_validate(definition)
    return list(build(grid, "main", results.folder).rows[0].values)


def of_studies(values: np.ndarray) -> np.ndarray:
    studies = np.array(STUDIES)
    return np.array([values[studies == study].mean(0) for study in "abcde"])


def weights() -> np.ndarray:
    """Patient p0 has two studies."""
    return np.array([0.5, 0.5, 1, 1, 1])


def test_the_error_of_the_mean_prediction(grid: Any, results: Any) -> None:
    truth = of_studies(np.random.default_rng(0).normal(55, 9, 9))["abcde".index("a")]
    random = np.random.default_rng(1)
    truth = np.array([50.0, 50, 60, 40, 40, 40, 40, 30, 70])
    predictions = [truth + random.normal(0, 8, 9) for _ in range(3)]

    def make(seed: int) -> Any:
        return value_rows(truth, predictions[seed], patients=PATIENTS, studies=STUDIES)

    by_clip, by_study = shown(
        grid, results, make, {"statistic": "mae"}, {"statistic": "mae", "unit": "study"}
    )
    expected = []
    for one in predictions:
        error = np.abs(of_studies(one) - of_studies(truth))
        expected.append(np.average(error, weights=weights()))
    assert by_study.number.estimate == pytest.approx(np.mean(expected), rel=1e-12)
    assert by_study.number.estimate < by_clip.number.estimate
    assert by_study.number.patients == by_clip.number.patients == 4


def test_the_class_of_the_mean_score(grid: Any, results: Any) -> None:
    label = np.array([0.0, 0, 1, 1, 1, 1, 1, 0, 1])
    random = np.random.default_rng(2)
    scores = [random.uniform(0, 1, 9) for _ in range(3)]

    def make(seed: int) -> Any:
        guess = (scores[seed] > 0.5).astype(float)
        return value_rows(label, guess, scores[seed], patients=PATIENTS, studies=STUDIES)

    accuracy, auc = shown(
        grid,
        results,
        make,
        {"statistic": "accuracy", "unit": "study"},
        {"statistic": "auc", "unit": "study"},
    )
    truth = of_studies(label)
    right, areas = [], []
    for score in scores:
        mean = of_studies(score)
        right.append(np.average((mean > 0.5) == truth, weights=weights()))
        areas.append(metrics.roc_auc_score(truth, mean, sample_weight=weights()))
    assert accuracy.number.estimate == pytest.approx(np.mean(right), rel=1e-12)
    assert auc.number.estimate == pytest.approx(np.mean(areas), rel=1e-12)


def test_the_class_of_the_mean_of_several_scores(grid: Any, results: Any) -> None:
    label = np.array([0.0, 0, 1, 2, 2, 2, 2, 0, 1])
    scores = np.random.default_rng(3).dirichlet(np.ones(3), 9)

    def make(seed: int) -> Any:
        guess = scores.argmax(1).astype(float)
        return value_rows(label, guess, scores, patients=PATIENTS, studies=STUDIES)

    [accuracy] = shown(grid, results, make, {"statistic": "accuracy", "unit": "study"})
    right = of_studies(scores).argmax(1) == of_studies(label)
    assert accuracy.number.estimate == pytest.approx(np.average(right, weights=weights()))


@pytest.mark.parametrize(
    ("studies", "label", "words"),
    [
        ([*STUDIES[:-1], None], None, "the predictions do not say it"),
        (["a"] * 9, None, "study a has samples of different patients"),
        (STUDIES, np.arange(9.0) % 2, "study a has samples of different true classes"),
    ],
)
def test_what_cannot_be_averaged_is_told_in_place(
    grid: Any, results: Any, studies: Any, label: Any, words: str
) -> None:
    truth = np.zeros(9) if label is None else label

    def make(seed: int) -> Any:
        return value_rows(truth, truth, np.full(9, 0.3), patients=PATIENTS, studies=studies)

    [value] = shown(grid, results, make, {"statistic": "accuracy", "unit": "study"})
    assert value.number is None
    assert words in value.refused
