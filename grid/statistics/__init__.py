"""Numbers with their ±, from rows of predictions. Pure numpy, with scipy only inside functions.

The way of a number::

    rows = {"0": Rows(patient, {"dice": dice}), "1": ...}
    runs = align(rows, name="r3d-18, mlp")              rows of one table value, checked
    KINDS["crossed-95"].number(runs, Mean("dice"))      Estimate: 91.2 [90.9, 91.5]
    a, b = resample([runs, others], Mean("dice"))       shared draws of patients
    compare(a, b, margin=0.5).sentence()
    seeds_needed(a, b).text
    verdict(published_result(...), our_result(a), True).text

========================  ==========================================================================
``rows``                  ``Rows`` of one run. ``align`` -> ``Runs`` (S seeds, same samples), or an
                          error
``base``                  what a statistic is: ``Additive`` (weighted column sums), ``General``
                          (weighted rows)
``quantity``              what is known of numbers: unit, better direction, possible values
``additive``              ``Mean Mae Bias Rmse R2 Pearson Std PooledDice``
``agreement``             ``Mse ShareWithin LowerLimit UpperLimit`` (Bland-Altman)
``classification``        ``Accuracy F1 MacroF1 BalancedAccuracy`` (counts), ``Auc MacroAuc`` (rows)
``thresholds``            ``Sensitivity Specificity`` (counts), ``Auprc`` (rows)
``probabilities``         ``Brier Nll Ece``
``calibration``           ``CalibrationSlope CalibrationIntercept``
``kappa``                 ``WeightedKappa``
``ranks``                 ``Median Spearman``
``scaled``                a statistic times a number
``resampling``            ``resample``: 10,000 shared draws of patients for a whole table column ->
                          ``Resampled``
``crossed_bootstrap``     the crossed bootstrap over patients and seeds, and why it is built
                          as it is
``spreads``,              the kinds of ± by name: ``KINDS``
``subset_interval``
``number``                ``Estimate``
``comparison``            ``compare``: two values, paired by patient: interval, p, Wilcoxon,
                          equivalence
``interaction``           whether a difference differs between two subgroups
``significance``          Holm over a table's comparisons, and ``significances``: what is bold
``seeds_needed``          ``seeds_needed``: how many more seeds would decide a difference
``published``             ``verdict`` on a published number by a printed ``RULE``
``roc``                   ROC curves: corner by corner, their mean, and a band
``divergence``            ``diverged``: runs whose value is not a finite number
``far_behind``            ``runs_far_behind``: runs far behind the best seed of their value
``bounds``                which values are possible, and intervals that are cut there
``baseline``              ``not_better`` than a constant prediction
========================  ==========================================================================

Every number can be made again from the predictions alone, draw by draw.
``tests/grid/tables/test_foreign.py`` does so. A value a patient is the mean of its test samples.
Generators are numpy's ``default_rng``, B = 10,000, and percentiles are ``np.quantile``'s::

    patients   P ids sorted as text: default_rng([307, P]).integers(0, P, (B, P)), a resample a row,
               the same for all values
    seeds      S of them in the grid's order: default_rng([307, S, 1])
               .multinomial(S, [1 / S] * S, B), how often each was drawn. For the second value of
               a comparison (first - second), 2 stands in the place of 1
    subsets    samples by id as text, in batches of 8: default_rng(5050), 50 times
               .choice(batches, min(16, batches - 2), replace=False). The statistic on each draw,
               averaged over seeds, is one of the 50 values

``bootstrap-90`` and ``-95`` are percentiles of the mean over seeds in the resamples of patients.
``crossed_bootstrap`` says what is made of both. ``published`` takes the std of the former as the
standard error of ours, and s of the values of seeds.

A module of ``ECHOLM_PLUGINS`` may add statistics and kinds of ±: it calls ``register_statistic``
and ``register_kind``, and tables name what it added as they name these.
"""

from __future__ import annotations

from typing import Any

from echolm.errors import EchoLMError
from echolm.registry import load_plugins
from echolm.text import suggest
from grid.statistics.additive import R2, Bias, Mae, Mean, Pearson, PooledDice, Rmse, Std
from grid.statistics.agreement import LowerLimit, Mse, ShareWithin, UpperLimit
from grid.statistics.base import Additive, General, Statistic
from grid.statistics.baseline import not_better
from grid.statistics.bounds import ANY, CORRELATION, PERCENT, POSITIVE, SHARE, Bounds
from grid.statistics.calibration import CalibrationIntercept, CalibrationSlope
from grid.statistics.classification import F1, Accuracy, Auc, BalancedAccuracy, MacroAuc, MacroF1
from grid.statistics.comparison import Comparison, compare
from grid.statistics.crossed_bootstrap import FEWEST_SEEDS, Uncertainty, crossed, crossed_difference
from grid.statistics.divergence import (
    DivergedRun,
    describe_diverged,
    diverged,
    undefined_seeds,
)
from grid.statistics.far_behind import FarBehindRun, describe_far_behind, runs_far_behind
from grid.statistics.interaction import GroupPair, interaction
from grid.statistics.kappa import WeightedKappa
from grid.statistics.number import Estimate
from grid.statistics.probabilities import Brier, Ece, Nll
from grid.statistics.published import (
    RULE,
    OurResult,
    PublishedResult,
    Verdict,
    our_result,
    published_result,
    verdict,
)
from grid.statistics.quantity import UNKNOWN, Better, Quantity
from grid.statistics.ranks import Median, Spearman
from grid.statistics.resampling import RESAMPLES, Resampled, resample
from grid.statistics.rows import Rows, Runs, align, same_test_set, why_not_paired
from grid.statistics.scaled import scaled
from grid.statistics.seeds_needed import SeedsNeeded, seeds_needed
from grid.statistics.significance import Significance, bold_caption, holm, significances
from grid.statistics.spreads import (
    PATIENTS_ONLY,
    CrossedBootstrap,
    PatientBootstrap,
    Spread,
    StdOverPatients,
    StdOverSeeds,
)
from grid.statistics.subset_interval import SubsetAndCrossed, SubsetTInterval
from grid.statistics.thresholds import Auprc, Sensitivity, Specificity

DEFAULT_KIND = "crossed-95"

KINDS: dict[str, Spread] = {
    kind.name: kind
    for kind in (
        CrossedBootstrap(),
        StdOverPatients(),
        StdOverSeeds(),
        PatientBootstrap(0.95),
        PatientBootstrap(0.90),
        SubsetTInterval(),
        SubsetAndCrossed(),
    )
}
"""The kinds of ± by name."""

STATISTICS: dict[str, type[Statistic]] = {
    one.label: one
    for one in (
        Mean,
        Mae,
        Bias,
        Rmse,
        R2,
        Pearson,
        Std,
        PooledDice,
        Accuracy,
        F1,
        MacroF1,
        BalancedAccuracy,
        Auc,
        MacroAuc,
        Median,
        Spearman,
        Mse,
        ShareWithin,
        LowerLimit,
        UpperLimit,
        Sensitivity,
        Specificity,
        Auprc,
        Brier,
        Nll,
        Ece,
        CalibrationSlope,
        CalibrationIntercept,
        WeightedKappa,
    )
}
"""The statistics by label."""


def kind(name: str) -> Spread:
    """Return a kind of ± by name.

    Raises:
        EchoLMError: none has this name.
    """
    if name not in KINDS:
        load_plugins()
    if name not in KINDS:
        raise EchoLMError(f"no kind of ± is called {name!r}; {suggest(name, KINDS)}")
    return KINDS[name]


def statistic(label: str, **options: Any) -> Statistic:
    """Return a statistic by label.

    Args:
        label: a key of ``STATISTICS``.
        options: its columns (``column``, or ``truth``, ``prediction``, ``score``) where they differ
            from their defaults, and what else it takes. ``scale`` is a number that the values of
            any statistic are multiplied by.

    Raises:
        EchoLMError: none has this label, or it takes no such option, or not such a value.
    """
    if label not in STATISTICS:
        load_plugins()
    if label not in STATISTICS:
        raise EchoLMError(f"no statistic is called {label!r}; {suggest(label, STATISTICS)}")
    factor = options.pop("scale", None)
    if factor is not None and not isinstance(factor, (int, float)):
        raise EchoLMError(f"scale {factor!r}: must be a number above 0")
    try:
        made = STATISTICS[label](**options)
    except TypeError:
        names = ", ".join(getattr(STATISTICS[label], "__match_args__", ()))
        options_text = ", ".join(options) or "none"
        raise EchoLMError(f"statistic {label} takes {names}; given: {options_text}") from None
    return made if factor is None else scaled(made, factor)


def register_kind(kind: Spread) -> None:
    """Add a kind of ±, such as one of a plugin.

    Raises:
        EchoLMError: another kind has its name.
    """
    if KINDS.setdefault(kind.name, kind) != kind:
        raise EchoLMError(f"a kind of ± called {kind.name!r} is there already; choose another name")


def register_statistic(cls: type[Statistic]) -> type[Statistic]:
    """Add a statistic, such as one of a plugin. It is used as a class decorator.

    Raises:
        EchoLMError: another statistic has its label.
    """
    if STATISTICS.setdefault(cls.label, cls) is not cls:
        raise EchoLMError(
            f"a statistic called {cls.label!r} is there already; choose another label"
        )
    return cls


__all__ = [
    "DEFAULT_KIND",
    "FEWEST_SEEDS",
    "KINDS",
    "PATIENTS_ONLY",
    "RESAMPLES",
    "RULE",
    "STATISTICS",
    "Accuracy",
    "Additive",
    "Auc",
    "Auprc",
    "Brier",
    "CalibrationIntercept",
    "CalibrationSlope",
    "Ece",
    "GroupPair",
    "interaction",
    "LowerLimit",
    "Mse",
    "Nll",
    "Quantity",
    "Sensitivity",
    "ShareWithin",
    "Specificity",
    "UNKNOWN",
    "UpperLimit",
    "WeightedKappa",
    "scaled",
    "BalancedAccuracy",
    "Better",
    "Bounds",
    "ANY",
    "CORRELATION",
    "PERCENT",
    "POSITIVE",
    "SHARE",
    "Bias",
    "Comparison",
    "CrossedBootstrap",
    "DivergedRun",
    "F1",
    "FarBehindRun",
    "General",
    "Spread",
    "MacroAuc",
    "MacroF1",
    "Mae",
    "Mean",
    "Median",
    "Estimate",
    "OurResult",
    "PatientBootstrap",
    "Pearson",
    "PooledDice",
    "R2",
    "Resampled",
    "Rmse",
    "Rows",
    "Runs",
    "SeedsNeeded",
    "Spearman",
    "Significance",
    "Statistic",
    "Std",
    "StdOverPatients",
    "StdOverSeeds",
    "SubsetTInterval",
    "PublishedResult",
    "Uncertainty",
    "Verdict",
    "align",
    "bold_caption",
    "compare",
    "crossed",
    "crossed_difference",
    "diverged",
    "holm",
    "kind",
    "not_better",
    "our_result",
    "resample",
    "same_test_set",
    "seeds_needed",
    "significances",
    "statistic",
    "published_result",
    "register_kind",
    "register_statistic",
    "describe_diverged",
    "describe_far_behind",
    "runs_far_behind",
    "undefined_seeds",
    "verdict",
    "why_not_paired",
]
