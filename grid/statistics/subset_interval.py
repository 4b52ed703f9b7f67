"""The ± of Echo-Vision-FM's tables: a t-interval over 50 random subsets of the test set.

It says how well 50 draws determine the mean over subsets of about 128 samples: it shrinks with the
number of draws, not with the number of patients, and is *not* an interval for the population, nor
for another training. It is here so that a number can be printed the way that paper prints it.
Source: the repository's ``test.py`` (science.md section 6.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.base import Statistic
from grid.statistics.number import Estimate
from grid.statistics.resampling import RESAMPLES, Resampled
from grid.statistics.rows import Runs
from grid.statistics.spreads import CrossedBootstrap, Interval, Separate

DRAWS = 50
BATCHES = 16
BATCH = 8
FEWEST_BATCHES = 3
"""A draw leaves two batches out, so that draws differ."""
SEED = 5050


@dataclass(frozen=True)
class SubsetTInterval(Separate):
    """Mean ± t(0.975, 49) x sd / sqrt(50) of the statistic on 50 draws.

    A draw is of 16 test batches of 8 samples.

    Batches are of samples in the order of their ids, the last may be smaller. A draw takes min(16,
    batches - 2) of them without replacement. The printed value is the mean over draws, which is not
    the value on the test set. Over seeds it is averaged within a draw. Draws in which the statistic
    is undefined are left out.
    """

    @property
    def name(self) -> str:
        """``subset-draws-95``."""
        return "subset-draws-95"

    def caption(self, patients: str, seeds: str) -> str:
        """Return the sentence for a table's caption."""
        return (
            f"± is a 95 % t-interval over {DRAWS} random subsets of the test set ({patients},"
            f" {seeds}), as Echo-Vision-FM prints it: how well the draws determine the subset mean,"
            " not how sure the value is for other patients or trainings. The printed value is the"
            " mean over draws; what is bold or reproduced is judged by the value on the whole test"
            " set."
        )

    def number(self, runs: Runs, statistic: Statistic) -> Estimate:
        """Return the number of one value.

        Raises:
            EchoLMError: the test set has fewer than three batches.
        """
        from scipy.special import stdtrit

        values = self.draws(runs, statistic)
        defined = values[np.isfinite(values)]
        mean = np.nan
        if len(defined):
            mean = float(defined.mean())
        spread = None
        if len(defined) > 1:
            quantile = stdtrit(len(defined) - 1, 0.975)
            spread = float(quantile * defined.std(ddof=1) / np.sqrt(len(defined)))
        notes = []
        if len(defined) < DRAWS:
            undefined = len(values) - len(defined)
            notes.append(
                f"{statistic.name} is undefined in {undefined} of {DRAWS} draws, which are left out"
            )
        return Estimate(
            estimate=mean,
            kind=self.name,
            patients=len(runs.patients),
            seeds=len(runs.seeds),
            spread=spread,
            notes=tuple(notes),
        )

    def draws(self, runs: Runs, statistic: Statistic) -> np.ndarray:
        """Return the statistic on each draw, averaged over seeds, (50,)."""
        return self.draws_by_seed(runs, statistic).mean(0)

    def draws_by_seed(self, runs: Runs, statistic: Statistic) -> np.ndarray:
        """Return the statistic of each seed on each draw, (S, 50).

        Raises:
            EchoLMError: the test set has fewer than three batches.
        """
        too_few = _too_few_batches(runs)
        if too_few:
            raise EchoLMError(
                f"{runs.name}: {too_few}; {self.name} needs {FEWEST_BATCHES}; valid here: "
                "crossed-95, bootstrap-95, std-over-patients"
            )
        order = np.argsort(runs.samples, kind="stable")
        batches = np.array_split(order, np.arange(BATCH, len(order), BATCH))
        generator = np.random.default_rng(SEED)
        size = min(BATCHES, len(batches) - 2)
        weights = np.zeros((DRAWS, len(order)))
        for draw in weights:
            numbers = generator.choice(len(batches), size, replace=False)
            draw[np.concatenate([batches[number] for number in numbers])] = 1
        return statistic.evaluate(_by_sample(runs), weights)


@dataclass(frozen=True)
class SubsetAndCrossed(Interval):
    """The ± of Echo-Vision-FM and the default interval, side by side: ``8.1 ± 0.1 [5.8, 10.8]``.

    The value is that on the whole test set. The ± is ``SubsetTInterval``'s, the brackets are
    ``CrossedBootstrap``'s. A reader sees how far apart the two are. A test set of too few batches
    has no ±, and a note says so.
    """

    resamples: int = RESAMPLES

    @property
    def name(self) -> str:
        """``subset-draws-and-crossed-95``."""
        return "subset-draws-and-crossed-95"

    def caption(self, patients: str, seeds: str) -> str:
        """Return the sentence for a table's caption."""
        return (
            f"± is a 95 % t-interval over {DRAWS} subsets, as Echo-Vision-FM prints it, in brackets"
            f" is ours over {patients} and {seeds}: the ± says nothing of other patients or"
            " trainings. The value is that on the whole test set."
            f" {CrossedBootstrap().caption(patients, seeds)}"
        )

    def of(self, value: Resampled) -> Estimate:
        """Return the number of a value that was resampled already."""
        ours = CrossedBootstrap().of(value)
        too_few = _too_few_batches(value.runs)
        if too_few:
            note = f"{too_few}, where the ± over random subsets needs {FEWEST_BATCHES}"
            return replace(ours, kind=self.name, notes=(*ours.notes, note))
        authors = SubsetTInterval().number(value.runs, value.statistic)
        return replace(
            ours, kind=self.name, spread=authors.spread, notes=(*ours.notes, *authors.notes)
        )


def _too_few_batches(runs: Runs) -> str:
    """Return how few test batches there are, where draws cannot be taken from them, or ''."""
    samples = len(runs.samples)
    batches = -(-samples // BATCH)
    if batches >= FEWEST_BATCHES:
        return ""
    return f"{samples} test samples are {batches} batches of {BATCH}"


def _by_sample(runs: Runs) -> Runs:
    """Take every sample as a patient of its own: draws are of samples."""
    count = len(runs.samples)
    return replace(runs, patients=runs.samples, owner=np.arange(count), weights=np.ones(count))
