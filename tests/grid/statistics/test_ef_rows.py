"""An EF task's rows from end to end:

R² and AUC of several clips a patient, from generated truth and predictions.

The population's R² and AUC are known by construction, and every printed number is made again by
loops over patients.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from statistics_support import ids, with_columns

from grid.statistics import (
    KINDS,
    R2,
    Auc,
    Mae,
    Rows,
    Runs,
    Statistic,
    align,
    compare,
    crossed,
    resample,
)
from grid.statistics.resampling import patient_weights

EF_SPREAD, ERROR, REDUCED = 12.0, 5.0, 50.0
R2_TRUE = 1 - ERROR**2 / EF_SPREAD**2
AUC = Auc("reduced", "score")


def ef_runs(
    random: np.random.Generator,
    patients: int,
    seeds: int,
    clips: int = 1,
    error: float = ERROR,
    truth: np.ndarray | None = None,
    name: str = "ef",
) -> Runs:
    """``clips`` rows a patient with one truth.

    Predictions with independent errors of sd ``error``, in % EF.
    """
    ef = random.normal(55, EF_SPREAD, patients) if truth is None else truth
    patient, by_row = np.repeat(ids(patients), clips), np.repeat(ef, clips)
    by_seed = {}
    for seed in range(seeds):
        prediction = by_row + random.normal(0, error, len(by_row))
        columns = {
            "truth": by_row,
            "prediction": prediction,
            "reduced": (by_row < REDUCED) * 1.0,
            "score": -prediction,
        }
        by_seed[str(seed)] = Rows(patient, columns, np.arange(len(by_row)))
    return align(by_seed, name)


def of_rows(one: Statistic, truth: np.ndarray, prediction: np.ndarray) -> float:
    """scikit-learn's figure for rows as they lie there."""
    return float(
        metrics.r2_score(truth, prediction)
        if isinstance(one, R2)
        else metrics.roc_auc_score(truth < REDUCED, -prediction)
    )


@pytest.mark.parametrize("one", [R2(), AUC], ids=["r2", "auc"])
def test_every_number_is_made_again_from_rows_alone(one: Statistic) -> None:
    """Two clips a patient, three seeds: drawn patients bring both clips.

    Scikit-learn scores the drawn rows.
    """
    runs = ef_runs(np.random.default_rng(0), 30, 3, clips=2)
    found = resample([runs], one, 40)[0]
    truth, predictions = runs.column("truth")[0], runs.column("prediction")
    assert found.estimate == pytest.approx(
        np.mean([of_rows(one, truth, own) for own in predictions])
    )
    weights = np.concatenate([chunk for _, chunk in patient_weights(30, 40)]).astype(int)
    for number, times in enumerate(weights):
        drawn = np.concatenate(
            [np.flatnonzero(runs.owner == place) for place in np.repeat(np.arange(30), times)]
        )
        expected = [of_rows(one, truth[drawn], own[drawn]) for own in predictions]
        assert found.draws[:, number] == pytest.approx(expected)
    low, high = np.quantile(found.draws.mean(0), [0.05, 0.95])
    number = KINDS["bootstrap-90"]
    assert type(number)(0.9, 40).number(runs, one).low == pytest.approx(low)
    assert type(number)(0.9, 40).number(runs, one).high == pytest.approx(high)


def test_clips_of_one_patient_are_not_further_patients() -> None:
    """Each clip three times.

    The interval stays as wide. Rows drawn one by one would make it narrower by sqrt(3).
    """
    random = np.random.default_rng(1)
    one = ef_runs(random, 80, 1)
    three = align(
        {
            "0": Rows(
                np.repeat(one.patients, 3),
                {key: np.repeat(own[0], 3) for key, own in one.columns.items()},
                np.arange(240),
            )
        }
    )
    for statistic in (R2(), AUC, Mae()):
        first, second = (
            crossed(resample([runs], statistic, 2000)[0]).interval() for runs in (one, three)
        )
        assert first == pytest.approx(second)


@pytest.mark.parametrize(("one", "population"), [(R2(), R2_TRUE), (AUC, None)], ids=["r2", "auc"])
def test_intervals_cover_the_populations_value(one: Statistic, population: float | None) -> None:
    """200 simulated test sets of 200 patients.

    95 % nominal, Monte-Carlo standard error 1.5 %, bounds 90.5 and 98.5 %.
    """
    random = np.random.default_rng(2)
    truth = (
        population if population is not None else float(one.full(ef_runs(random, 400_000, 1))[0])
    )
    covered = []
    for _ in range(200):
        low, high = crossed(resample([ef_runs(random, 200, 3)], one, 300)[0]).interval()
        covered.append(low <= truth <= high)
    print(f"{one.name}: coverage {np.mean(covered):.3f}")
    assert 0.905 <= np.mean(covered) <= 0.985


def test_two_encoders_on_one_test_set() -> None:
    """The paired difference of R² finds what the two separate intervals do not."""
    random = np.random.default_rng(3)
    ef = random.normal(55, EF_SPREAD, 300)
    shared = random.normal(0, 4, 300)  # how hard a patient is, for both
    values = []
    for name, error in (("panecho", 2.0), ("r3d-18", 3.2)):
        base = ef_runs(random, 300, 3, error=error, truth=ef, name=name)
        values.append(with_columns(base, prediction=base.column("prediction") + shared))
    first, second = resample(values, R2())
    found = compare(first, second)
    apart = [crossed(own).interval() for own in (first, second)]
    assert found.low > 0
    assert found.p < 0.05
    assert apart[0][0] < apart[1][1]  # the intervals overlap
    assert "panecho - r3d-18, r2" in found.sentence(3)
    correlation = stats.pearsonr(first.draws.mean(0), second.draws.mean(0)).statistic
    assert correlation > 0.5
