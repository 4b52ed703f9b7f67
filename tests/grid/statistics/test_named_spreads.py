"""Kinds of ±: each against its definition in a few lines of numpy, and each says what it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from statistics_support import model, runs, value, with_columns

from echolm.errors import EchoLMError
from grid.statistics import (
    DEFAULT_KIND,
    KINDS,
    R2,
    Auc,
    CrossedBootstrap,
    Estimate,
    Mean,
    PatientBootstrap,
    Uncertainty,
    kind,
    resample,
)

TABLE = model(np.random.default_rng(5), 1, 3, 40, 0.2, 4, 1)[0] + 90
DICE = Mean("dice")


def test_std_over_patients_is_within_each_seed() -> None:
    found = KINDS["std-over-patients"].number(value(TABLE), DICE)
    within = [np.std(own, ddof=1) for own in TABLE]
    assert found == Estimate(
        pytest.approx(TABLE.mean()), "std-over-patients", 40, 3, pytest.approx(np.mean(within))
    )  # type: ignore[arg-type]
    assert KINDS["std-over-patients"].number(value(TABLE[:, :1]), DICE).spread is None


def test_std_over_seeds_is_of_the_seeds_values_for_any_statistic() -> None:
    found = KINDS["std-over-seeds"].number(value(TABLE), DICE)
    assert (found.estimate, found.spread) == (
        pytest.approx(TABLE.mean()),
        pytest.approx(TABLE.mean(1).std(ddof=1)),
    )
    values = runs(4)
    assert KINDS["std-over-seeds"].number(values, R2()).spread == pytest.approx(
        R2().full(values).std(ddof=1)
    )
    assert KINDS["std-over-seeds"].number(value(TABLE[:1]), DICE).spread is None


def test_std_over_patients_needs_a_value_a_patient() -> None:
    with pytest.raises(
        EchoLMError,
        match="r2 has no value for each patient; valid for it: std-over-seeds, crossed-95",
    ):
        KINDS["std-over-patients"].number(runs(2), R2())


@pytest.mark.parametrize(
    ("name", "ends"), [("bootstrap-90", (5, 95)), ("bootstrap-95", (2.5, 97.5))]
)
@pytest.mark.parametrize("seeds", [1, 3])
def test_bootstrap_over_patients_equals_scipys_percentiles(
    name: str, ends: tuple[float, float], seeds: int
) -> None:
    own = TABLE[:seeds].mean(0)
    found = KINDS[name].number(value(TABLE[:seeds]), DICE)
    drawn = np.random.default_rng(1).integers(0, 40, (20_000, 40))
    assert (found.low, found.high) == pytest.approx(
        tuple(np.percentile(own[drawn].mean(1), ends)), abs=0.04 * stats.sem(own) * 2
    )
    assert found.label == ""
    assert found.spread is None


def test_the_default_counts_seeds_or_says_that_it_does_not() -> None:
    assert kind(DEFAULT_KIND) == CrossedBootstrap(0.95)
    three, two = (kind(DEFAULT_KIND).number(value(TABLE[:seeds]), DICE) for seeds in (3, 2))
    assert three.label == ""
    assert two.label == "patients only"
    assert three.low is not None
    assert three.high is not None
    assert two.low is not None
    assert two.high is not None
    narrow = PatientBootstrap(0.95).number(value(TABLE), DICE)
    assert narrow.low is not None
    assert three.low < narrow.low < three.estimate < three.high


def test_undefined_resamples_are_a_note() -> None:
    values = runs(1, 12)
    rare = with_columns(values, label=np.eye(12)[:1])
    found = PatientBootstrap().number(rare, Auc("label"))
    assert found.notes
    assert "auc is undefined in 3" in found.notes[0]
    assert "left out" in found.notes[0]
    assert KINDS["bootstrap-95"].number(value(TABLE[:, :1]), DICE).low is None


def test_resamples_of_what_is_undefined_itself_are_no_note() -> None:
    """And hardly any that is left is 100 %, not 1e+02 %."""
    lost = TABLE.copy()
    lost[1, 3] = np.nan
    assert all(
        not KINDS[name].number(value(lost), DICE).notes for name in ("bootstrap-95", "crossed-95")
    )
    nearly = PatientBootstrap()._number(
        resample([value(TABLE)], DICE, 100)[0],
        Uncertainty(90.0, np.zeros(1), 0, 0, 0, 0, False, 0.9996),
        0.95,
    )
    assert "undefined in 100 % of the resamples" in nearly.notes[0]


def test_every_kind_says_what_it_is() -> None:
    captions = {name: one.caption("40 patients", "3 seeds") for name, one in KINDS.items()}
    assert all(
        "40 patients" in text and "3 seeds" in text and text.endswith(".")
        for text in captions.values()
    )
    assert len(set(captions.values())) == len(KINDS) == 7
    assert all(name == one.name for name, one in KINDS.items())
    assert "patients only" not in captions["bootstrap-95"]
    assert "as trained" in captions["bootstrap-95"]
    assert "percentiles 5-95" in captions["bootstrap-90"]
    assert "ddof 1" in captions["std-over-patients"]
    one_seed = {name: one.caption("40 patients", "1 seed") for name, one in KINDS.items()}
    assert "no ± over seeds" in one_seed["std-over-seeds"]
    assert "of 40 patients only" in one_seed["crossed-95"]


def test_a_wrong_name_is_met_with_the_right_ones() -> None:
    with pytest.raises(EchoLMError, match="no kind of ± is called 'crossed'.*crossed-95"):
        kind("crossed")


def test_numbers_as_text() -> None:
    assert Estimate(91.234, "x", 5, 1, 3.1).text() == "91.23 ± 3.10"
    assert Estimate(91.234, "x", 5, 1, None, 90.0, 92.06).text(1) == "91.2 [90.0, 92.1]"
    assert Estimate(91.234, "x", 5, 1).text() == "91.23"
