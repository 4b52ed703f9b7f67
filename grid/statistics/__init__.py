"""Numbers with their ±, from rows of predictions: pure numpy; scipy only inside functions.

The way of a number::

    runs = align({"0": Rows(patient, {"dice": dice}), "1": ...}, name="r3d-18, mlp")     rows of one table value, checked
    KINDS["crossed-95"].number(runs, Mean("dice"))                                        Number: 91.2 [90.9, 91.5]
    a, b = resample([runs, others], Mean("dice"))                                         shared draws of patients
    compare(a, b, margin=0.5).sentence()    seeds_needed(a, b).text    verdict(theirs(...), ours(a), True).text

============================  =====================================================================================
``rows``                      ``Rows`` of one run; ``align`` -> ``Runs`` (S seeds, same samples), or an error
``base``                      what a statistic is: ``Additive`` (weighted column sums), ``General`` (weighted rows)
``additive``                  ``Mean Mae Bias Rmse R2 Pearson Std PooledDice``
``classification``            ``Accuracy F1 MacroF1 BalancedAccuracy`` (counts), ``Auc MacroAuc`` (rows)
``ranks``                     ``Median Spearman``
``resampling``                ``resample``: 10,000 shared draws of patients for a whole table column -> ``Resampled``
``crossing``                  the crossed bootstrap over patients and seeds, and why it is built as it is
``kinds``, ``subsets``        the kinds of ± by name: ``KINDS``; ``number``: ``Number``
``comparison``                ``compare``: two values, paired by patient: interval, p, Wilcoxon, equivalence
``standing``                  Holm over a table's comparisons; ``standings``: what is bold
``planning``                  ``seeds_needed``: how many more seeds would decide a difference
``published``                 ``verdict`` on a published number by a printed ``RULE``
``divergence``                ``diverged``: runs that failed to train; ``not_better`` than the mean contour
============================  =====================================================================================

Every number can be made again from the predictions alone, draw by draw; ``tests/grid/tables/test_foreign.py`` does. A value a
patient is the mean of its test samples. Generators are numpy's ``default_rng``; B = 10,000; percentiles are ``np.quantile``'s::

    patients   P ids sorted as text: default_rng([307, P]).integers(0, P, (B, P)), a resample a row, the same for all values
    seeds      S of them in the grid's order: default_rng([307, S, 1]).multinomial(S, [1 / S] * S, B), how often each was
               drawn; of the second value of a comparison (first - second) with 2 in the place of 1
    subsets    samples by id as text, in batches of 8: default_rng(5050), 50 times .choice(batches, min(16, batches - 2),
               replace=False); the statistic on each draw, averaged over seeds, is one of the 50 values

``bootstrap-90`` and ``-95`` are percentiles of the mean over seeds in the resamples of patients; ``crossing`` says what is made of
both; ``published`` takes the std of the former as the standard error of ours, and s of the values of seeds.
"""

from __future__ import annotations

from typing import Any

from echolm.errors import EchoLMError
from echolm.registry import suggest
from grid.statistics.additive import R2, Bias, Mae, Mean, Pearson, PooledDice, Rmse, Std
from grid.statistics.base import Additive, General, Statistic
from grid.statistics.classification import F1, Accuracy, Auc, BalancedAccuracy, MacroAuc, MacroF1
from grid.statistics.comparison import Comparison, compare
from grid.statistics.crossing import FEWEST_SEEDS, Uncertainty, crossed, crossed_difference
from grid.statistics.divergence import Diverged, diverged, not_better, told
from grid.statistics.kinds import PATIENTS_ONLY, CrossedBootstrap, Kind, PatientBootstrap, StdOverPatients, StdOverSeeds
from grid.statistics.number import Number
from grid.statistics.planning import SeedsNeeded, seeds_needed
from grid.statistics.published import RULE, Ours, Theirs, Verdict, ours, theirs, verdict
from grid.statistics.ranks import Median, Spearman
from grid.statistics.resampling import RESAMPLES, Resampled, resample
from grid.statistics.rows import Rows, Runs, align
from grid.statistics.standing import Standing, bold_caption, holm, standings
from grid.statistics.subsets import SubsetTInterval

DEFAULT_KIND = "crossed-95"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        CrossedBootstrap(), StdOverPatients(), StdOverSeeds(), PatientBootstrap(0.95), PatientBootstrap(0.90), SubsetTInterval()
    )
}  # fmt: skip
"""The kinds of ± by name."""

STATISTICS: dict[str, type[Statistic]] = {
    one.label: one
    for one in (
        Mean, Mae, Bias, Rmse, R2, Pearson, Std, PooledDice, Accuracy, F1, MacroF1, BalancedAccuracy, Auc, MacroAuc, Median, Spearman
    )
}  # fmt: skip
"""The statistics by label."""


def kind(name: str) -> Kind:
    """A kind of ± by name; EchoLMError for a name that is none."""
    if name not in KINDS:
        raise EchoLMError(f"no kind of ± is called {name!r}; {suggest(name, KINDS)}")
    return KINDS[name]


def statistic(label: str, **options: Any) -> Statistic:
    """A statistic by label, with its columns (``column``, or ``truth``, ``prediction``, ``score``) where they differ from
    their defaults; EchoLMError for a label or an option that is none."""
    if label not in STATISTICS:
        raise EchoLMError(f"no statistic is called {label!r}; {suggest(label, STATISTICS)}")
    try:
        return STATISTICS[label](**options)
    except TypeError:
        names = [name for name in getattr(STATISTICS[label], "__match_args__", ())]
        raise EchoLMError(f"statistic {label} takes {', '.join(names)}; given: {', '.join(options) or 'none'}") from None


__all__ = [
    "DEFAULT_KIND", "FEWEST_SEEDS", "KINDS", "PATIENTS_ONLY", "RESAMPLES", "RULE", "STATISTICS",
    "Accuracy", "Additive", "Auc", "BalancedAccuracy", "Bias", "Comparison", "CrossedBootstrap", "Diverged", "F1", "General",
    "Kind", "MacroAuc", "MacroF1", "Mae", "Mean", "Median", "Number", "Ours", "PatientBootstrap", "Pearson", "PooledDice",
    "R2", "Resampled", "Rmse", "Rows", "Runs", "SeedsNeeded", "Spearman", "Standing", "Statistic", "Std",
    "StdOverPatients", "StdOverSeeds", "SubsetTInterval", "Theirs", "Uncertainty", "Verdict", "align",
    "bold_caption", "compare", "crossed", "crossed_difference", "diverged", "holm", "kind", "not_better", "ours", "resample",
    "seeds_needed", "standings", "statistic", "theirs", "told", "verdict",
]  # fmt: skip
