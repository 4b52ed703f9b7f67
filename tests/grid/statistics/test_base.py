"""What every statistic keeps.

Weights are repeated rows, patients are drawn whole, and a NaN is shown.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statistics_support import ids, runs, with_columns

from echolm.errors import EchoLMError
from grid.statistics import STATISTICS, Rows, Runs, Statistic, align, statistic
from grid.statistics import base as base_module

LABELS = {"truth": "label", "prediction": "guess"}
GRADES = {"truth": "grade", "prediction": "graded"}
OPTIONS: dict[str, dict[str, Any]] = {
    "mean": {"column": "dice"},
    "std": {"column": "dice"},
    "median": {"column": "dice"},
    "accuracy": GRADES,
    "f1": LABELS,
    "macro f1": GRADES,
    "balanced accuracy": GRADES,
    "auc": {"truth": "label"},
    "macro auc": {"truth": "grade", "score": "scores"},
    "auprc": {"truth": "label"},
    "sensitivity": {"truth": "label", "at": -52},
    "specificity": {"truth": "label", "at": -52},
    "brier": {"truth": "label", "score": "chance"},
    "nll": {"truth": "grade", "score": "scores"},
    "ece": {**GRADES, "score": "scores"},
    "calibration slope": {"truth": "label", "score": "chance"},
    "calibration intercept": {"truth": "label", "score": "chance"},
    "weighted kappa": GRADES,
}
FURTHER = [
    statistic("weighted kappa", weights="linear", **GRADES),
    statistic("brier", truth="grade", score="scores"),
    statistic("ece", **LABELS, score="chance"),
    statistic("sensitivity", below=50),
    statistic("specificity", below=50, at=52),
    statistic("auc", below=50),
    statistic("auprc", below=50),
    statistic("rmse", scale=0.01),
    statistic("auc", truth="label", scale=100),
]
ALL = [statistic(label, **OPTIONS.get(label, {})) for label in STATISTICS] + FURTHER
EVERY = pytest.mark.parametrize("one", ALL, ids=[f"{one.name} {one.reads}" for one in ALL])


def repeated(values: Runs, times: np.ndarray) -> Runs:
    """The rows of each patient as often as ``times`` says, each time as another patient."""
    copies = [(place, copy) for place, count in enumerate(times) for copy in range(count)]
    chosen = [np.flatnonzero(values.owner == place) for place, _ in copies]
    patient = np.concatenate([np.full(len(own), number) for number, own in enumerate(chosen)])
    flat = np.concatenate(chosen)
    by_seed = {
        seed: Rows(
            ids(len(copies))[patient],
            {name: column[at, flat] for name, column in values.columns.items()},
            np.arange(len(flat)),
        )
        for at, seed in enumerate(values.seeds)
    }
    return align(by_seed)


@EVERY
@settings(max_examples=25)
@given(data=st.data())
def test_weights_of_patients_are_repeated_rows(one: Statistic, data: st.DataObject) -> None:
    """With several rows a patient, and ties.

    Also where the drawn patients lack a class or all variance.
    """
    key, ties = data.draw(st.integers(0, 2**32)), data.draw(st.booleans())
    values = runs(2, 8, 3, key, ties)
    times = np.array(data.draw(st.lists(st.integers(0, 4), min_size=8, max_size=8).filter(any)))
    found = one.evaluate(values, times[None].astype(float))[:, 0]
    physical = repeated(values, times)
    assert found == pytest.approx(one.full(physical), rel=1e-9, abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("label", ["lower limit", "upper limit"])
@pytest.mark.parametrize("key", range(20))
def test_limits_of_one_patient_drawn_again_and_again(label: str, key: int) -> None:
    """Its differences have no variance, and rounding must not give them one."""
    one, values, times = statistic(label), runs(2, 8, 3, key, False), np.array([0] * 7 + [3])
    found = one.evaluate(values, times[None].astype(float))[:, 0]
    expected = one.full(repeated(values, times))
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)


@EVERY
def test_many_weights_at_once_are_each_by_itself(
    one: Statistic, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = runs(3, 20, 2)
    weights = np.random.default_rng(1).multinomial(20, np.ones(20) / 20, size=7).astype(float)
    monkeypatch.setattr(base_module, "CHUNK", 3 * len(values.owner))
    single = np.stack([one.evaluate(values, row[None])[:, 0] for row in weights], 1)
    assert one.evaluate(values, weights) == pytest.approx(single, rel=1e-12, abs=1e-12)


@EVERY
def test_a_common_factor_of_all_weights_changes_nothing(one: Statistic) -> None:
    values = runs(1, 20, 2)
    weights = np.random.default_rng(1).integers(0, 4, (1, 20)).astype(float)
    # ddof is taken off the sum of the weights
    factor = 1 if one.name.startswith(("std", "lower limit", "upper limit")) else 7.3
    assert one.evaluate(values, factor * weights) == pytest.approx(
        one.evaluate(values, weights), rel=1e-9
    )


@EVERY
def test_a_nan_is_shown_not_left_out(one: Statistic) -> None:
    values = runs(2)
    for name in (
        "dice",
        "truth",
        "prediction",
        "label",
        "guess",
        "score",
        "chance",
        "grade",
        "graded",
        "scores",
        "intersection",
    ):
        column = values.column(name).copy()
        column[1, 4] = np.nan
        full = one.full(with_columns(values, **{name: column}))
        assert np.isfinite(full[0])
        assert np.isnan(full[1]) == (name in one.reads), name


def test_statistics_are_found_by_label() -> None:
    assert statistic("mean", column="dice").name == "mean dice"
    with pytest.raises(EchoLMError, match="no statistic is called 'aux'.*auc"):
        statistic("aux")
    with pytest.raises(EchoLMError, match="mean takes column; given: none"):
        statistic("mean")
    with pytest.raises(EchoLMError, match="r2 takes truth, prediction; given: column"):
        statistic("r2", column="dice")


def test_a_statistic_says_which_values_are_better() -> None:
    """One that is silent would never be bold, and nobody would notice."""
    with pytest.raises(TypeError, match="statistic largest: write better = 'higher', 'lower' or"):
        type("Largest", (Statistic,), {"label": "largest"})
    for statistic_class in STATISTICS.values():
        assert statistic_class.better in ("higher", "lower", None)
