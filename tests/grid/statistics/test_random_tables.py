"""Each statistic equals an independent reference on 200 random tables.

The tables have ties, an absent class, constant predictions and weights. References are
scikit-learn, scipy and statsmodels. For ECE, limits of agreement and shares within a limit, which
these do not have, plain loops stand here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from statistics_support import ids

from grid.statistics import Rows, Runs, Statistic, align, statistic

TABLES = 200
CLASSES = 4
KINDS = ("plain", "ties", "absent class", "one class", "constant", "perfect")


@dataclass(frozen=True)
class Table:
    """Rows of one run, one a patient, with whole weights that repeat them."""

    number: int
    values: Runs
    weights: np.ndarray

    def column(self, name: str) -> np.ndarray:
        return self.values.column(name)[0]

    def repeated(self, name: str) -> np.ndarray:
        return np.repeat(self.column(name), self.weights.astype(int), axis=0)


def table(number: int) -> Table:
    random = np.random.default_rng(number)
    kind = KINDS[number % len(KINDS)]
    count = int(random.integers(8, 40))
    truth = random.normal(55, 12, count)
    prediction = truth + random.normal(-1, 8, count)
    label = (truth < 50).astype(float)
    chance = 1 / (1 + np.exp((prediction - 50) / 9))
    grade = random.integers(0, CLASSES, count).astype(float)
    scores = random.dirichlet(np.ones(CLASSES), count)
    scores += 0.5 * np.eye(CLASSES)[grade.astype(int)]
    scores /= scores.sum(1, keepdims=True)
    if kind == "ties":
        truth, prediction = np.round(truth, -1), np.round(prediction, -1)
        chance = np.round(chance, 1)
        scores = np.round(8 * scores) / 8
        scores[:, 0] += 1 - scores.sum(1)
        scores = np.clip(scores, 0, 1) / np.clip(scores, 0, 1).sum(1, keepdims=True)
    if kind == "absent class":
        grade[grade == 1] = 2
        scores[:, 1] = 0
        scores /= scores.sum(1, keepdims=True)
    if kind == "one class":
        label[:] = number % 2
        grade[:] = 2
    if kind == "constant":
        prediction[:] = 51.0
        chance[:] = 0.4
        scores[:] = [0.4, 0.1, 0.3, 0.2]
    if kind == "perfect":
        chance = np.where(label == 1, 0.9, 0.2)
        scores = 0.97 * np.eye(CLASSES)[grade.astype(int)] + 0.01
    columns = {
        "truth": truth,
        "prediction": prediction,
        "label": label,
        "chance": chance,
        "guess": (chance > 0.5).astype(float),
        "grade": grade,
        "graded": scores.argmax(1).astype(float),
        "scores": scores,
    }
    weights = random.integers(0, 4, count).astype(float)
    weights[:2] = 1
    return Table(number, align({"0": Rows(ids(count), columns)}), weights)


def kappa(one: Table, weights: str) -> float:
    return metrics.cohen_kappa_score(
        one.repeated("grade"), one.repeated("graded"), labels=range(CLASSES), weights=weights
    )


def auprc(one: Table) -> float:
    label = one.repeated("label")
    return metrics.average_precision_score(label, one.repeated("chance")) if label.any() else np.nan


def rate(one: Table, positive: np.ndarray, called: np.ndarray) -> float:
    return metrics.recall_score(positive, called, zero_division=np.nan)


def limit(one: Table, sign: int) -> float:
    error = one.repeated("prediction") - one.repeated("truth")
    return error.mean() + sign * 1.96 * error.std(ddof=1)


def ece(truth: np.ndarray, predicted: np.ndarray, confidence: np.ndarray) -> float:
    """The published definition, bin by bin."""
    edges = np.linspace(0, 1, 16)
    total = 0.0
    for low, high in zip(edges[:-1], edges[1:], strict=True):
        inside = (confidence > low) & (confidence <= high)
        if low == 0:
            inside |= confidence == 0
        if inside.any():
            gap = (truth == predicted)[inside].mean() - confidence[inside].mean()
            total += abs(gap) * inside.sum() / len(truth)
    return total


def ece_of_two(one: Table) -> float:
    chance, guess = one.repeated("chance"), one.repeated("guess")
    confidence = np.where(guess == 1, chance, 1 - chance)
    return ece(one.repeated("label"), guess, confidence)


def ece_of_many(one: Table) -> float:
    graded = one.repeated("graded").astype(int)
    confidence = one.repeated("scores")[np.arange(len(graded)), graded]
    return ece(one.repeated("grade"), graded, confidence)


def brier_of_many(one: Table) -> float:
    return metrics.brier_score_loss(
        one.repeated("grade"), one.repeated("scores"), labels=range(CLASSES)
    )


def nll_of_many(one: Table) -> float:
    return metrics.log_loss(one.repeated("grade"), one.repeated("scores"), labels=range(CLASSES))


CHANCE = {"truth": "label", "score": "chance"}
GRADES = {"truth": "grade", "prediction": "graded"}
CASES: dict[str, tuple[Statistic, Callable[[Table], float]]] = {
    "mse": (
        statistic("mse"),
        lambda one: metrics.mean_squared_error(one.repeated("truth"), one.repeated("prediction")),
    ),
    "scaled": (
        statistic("mae", scale=0.01),
        lambda one: (
            metrics.mean_absolute_error(one.repeated("truth"), one.repeated("prediction")) / 100
        ),
    ),
    "lower limit": (statistic("lower limit"), lambda one: limit(one, -1)),
    "upper limit": (statistic("upper limit"), lambda one: limit(one, 1)),
    "within 5": (
        statistic("share within"),
        lambda one: np.mean(abs(one.repeated("prediction") - one.repeated("truth")) <= 5),
    ),
    "within 10": (
        statistic("share within", within=10),
        lambda one: np.mean(abs(one.repeated("prediction") - one.repeated("truth")) <= 10),
    ),
    "sensitivity": (
        statistic("sensitivity", at=0.4, **CHANCE),
        lambda one: rate(one, one.repeated("label"), one.repeated("chance") >= 0.4),
    ),
    "specificity": (
        statistic("specificity", at=0.4, **CHANCE),
        lambda one: rate(one, one.repeated("label") == 0, one.repeated("chance") < 0.4),
    ),
    "sensitivity of a value": (
        statistic("sensitivity", below=50),
        lambda one: rate(one, one.repeated("truth") < 50, one.repeated("prediction") < 50),
    ),
    "specificity of a value": (
        statistic("specificity", below=50, at=45),
        lambda one: rate(one, one.repeated("truth") >= 50, one.repeated("prediction") >= 45),
    ),
    "auprc": (statistic("auprc", **CHANCE), auprc),
    "brier": (
        statistic("brier", **CHANCE),
        lambda one: metrics.brier_score_loss(one.repeated("label"), one.repeated("chance")),
    ),
    "brier of many": (statistic("brier", truth="grade", score="scores"), brier_of_many),
    "nll": (
        statistic("nll", **CHANCE),
        lambda one: metrics.log_loss(one.repeated("label"), one.repeated("chance"), labels=[0, 1]),
    ),
    "nll of many": (statistic("nll", truth="grade", score="scores"), nll_of_many),
    "ece": (statistic("ece", **CHANCE, prediction="guess"), ece_of_two),
    "ece of many": (statistic("ece", **GRADES, score="scores"), ece_of_many),
    "linear kappa": (
        statistic("weighted kappa", weights="linear", **GRADES),
        lambda one: kappa(one, "linear"),
    ),
    "quadratic kappa": (
        statistic("weighted kappa", **GRADES),
        lambda one: kappa(one, "quadratic"),
    ),
}


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    return [table(number) for number in range(TABLES)]


@pytest.mark.parametrize("case", CASES)
def test_it_equals_its_reference(case: str, tables: list[Table]) -> None:
    one, reference = CASES[case]
    defined = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn, where a class is absent
        for own in tables:
            found = one.evaluate(own.values, own.weights[None])[0, 0]
            expected = float(reference(own))
            defined += np.isfinite(expected)
            where = (case, own.number, KINDS[own.number % len(KINDS)])
            assert found == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True), where
    assert defined > TABLES / 2


def separated(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether a threshold parts the classes, so that no finite parameters are the most likely."""
    zeros, ones = x[y == 0], x[y == 1]
    return not len(zeros) or not len(ones) or max(zeros) <= min(ones) or max(ones) <= min(zeros)


def test_calibration_is_that_of_statsmodels(tables: list[Table]) -> None:
    """An iteration of both: 1e-9 of the parameters, where the classes overlap. Else NaN."""
    import statsmodels.api as sm  # it takes two seconds

    slope, intercept = (
        statistic(f"calibration {name}", **CHANCE) for name in ("slope", "intercept")
    )
    defined = 0
    for own in tables:
        found = [one.evaluate(own.values, own.weights[None])[0, 0] for one in (intercept, slope)]
        y, chance = own.repeated("label"), own.repeated("chance")
        x = np.log(chance / (1 - chance)) if (chance < 1).all() and (chance > 0).all() else None
        if x is None:
            x = np.log(np.clip(chance, 2.2e-16, 1) / np.clip(1 - chance, 2.2e-16, 1))
        if separated(x, y):
            assert np.isnan(found).all(), own.number
            continue
        defined += 1
        model = sm.GLM(y, sm.add_constant(x), family=sm.families.Binomial())
        expected = model.fit(tol=1e-15, maxiter=200, tol_criterion="params").params
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9), own.number
    assert defined > TABLES / 4


def test_calibrated_chances_have_slope_1_and_intercept_0() -> None:
    random = np.random.default_rng(0)
    chance = random.uniform(0.05, 0.95, 20_000)
    label = (random.uniform(size=len(chance)) < chance).astype(float)
    extreme = 1 / (1 + np.exp(-2 * np.log(chance / (1 - chance))))
    rows = Rows(ids(len(chance)), {"label": label, "chance": chance, "extreme": extreme})
    values = align({"0": rows})
    slope = statistic("calibration slope", **CHANCE).full(values)[0]
    intercept = statistic("calibration intercept", **CHANCE).full(values)[0]
    too_extreme = statistic("calibration slope", truth="label", score="extreme").full(values)[0]
    assert slope == pytest.approx(1, abs=0.05)
    assert intercept == pytest.approx(0, abs=0.05)
    assert too_extreme == pytest.approx(slope / 2, rel=1e-9)


def test_limits_of_agreement_hold_19_of_20_normal_errors() -> None:
    random = np.random.default_rng(1)
    truth = random.normal(55, 12, 20_000)
    error = random.normal(2, 5, len(truth))
    rows = Rows(ids(len(truth)), {"truth": truth, "prediction": truth + error})
    values = align({"0": rows})
    low, high = (statistic(f"{side} limit").full(values)[0] for side in ("lower", "upper"))
    assert np.mean((error > low) & (error < high)) == pytest.approx(
        stats.norm.cdf(1.96) * 2 - 1, abs=0.005
    )
    assert (low + high) / 2 == pytest.approx(statistic("bias").full(values)[0])
