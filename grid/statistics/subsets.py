"""The ± of Echo-Vision-FM's tables: a t-interval over 50 random subsets of the test set.

It says how well 50 draws determine the mean over subsets of about 128 samples: it shrinks with the number of draws, not with
the number of patients, and is *not* an interval for the population, nor for another training. It is here so that a
number can be printed the way that paper prints it. Source: the repository's ``test.py`` (science.md section 6.5).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from echolm.errors import EchoLMError
from grid.statistics.base import Statistic
from grid.statistics.kinds import Separate
from grid.statistics.number import Number
from grid.statistics.rows import Runs

DRAWS = 50
BATCHES = 16
BATCH = 8
SEED = 5050


@dataclass(frozen=True)
class SubsetTInterval(Separate):
    """Mean ± t(0.975, 49) x sd / sqrt(50) of the statistic on 50 draws of 16 test batches of 8 samples.

    Batches are of samples in the order of their ids, the last may be smaller; a draw takes min(16, batches - 2) of
    them without replacement. The printed value is the mean over draws, which is not the value on the test set; over
    seeds it is averaged within a draw. Draws in which the statistic is undefined are left out.
    """

    @property
    def name(self) -> str:
        """``subset-draws-95``."""
        return "subset-draws-95"

    def caption(self, patients: str, seeds: str) -> str:
        """See ``Kind``."""
        return (
            f"± is a 95 % t-interval over {DRAWS} random subsets of the test set ({patients}, {seeds}), as Echo-Vision-FM"
            " prints it: how well the draws determine the subset mean, not how sure the value is for other patients or trainings."
            " The printed value is the mean over draws; what is bold or reproduced is judged by the value on the whole test set."
        )

    def number(self, runs: Runs, statistic: Statistic) -> Number:
        """EchoLMError when the test set has fewer than three batches."""
        from scipy.special import stdtrit

        values = self.draws(runs, statistic)
        good = values[np.isfinite(values)]
        notes = [f"{statistic.name} is undefined in {len(values) - len(good)} of {DRAWS} draws, which are left out"]
        spread, mean = None, float(good.mean()) if len(good) else np.nan
        if len(good) > 1:
            spread = float(stdtrit(len(good) - 1, 0.975) * good.std(ddof=1) / np.sqrt(len(good)))
        counts = len(runs.patients), len(runs.seeds)
        return Number(mean, self.name, *counts, spread, notes=tuple(notes if len(good) < DRAWS else []))

    def draws(self, runs: Runs, statistic: Statistic) -> np.ndarray:
        """The statistic on each draw, averaged over seeds, (50,)."""
        order = np.argsort(runs.samples, kind="stable")
        batches = np.array_split(order, np.arange(BATCH, len(order), BATCH))
        if len(batches) < 3:
            few = f"{runs.name}: {len(order)} test samples are {len(batches)} batches of {BATCH}"
            raise EchoLMError(f"{few}; {self.name} needs 3; valid here: crossed-95, bootstrap-95, std-over-patients")
        generator = np.random.default_rng(SEED)
        size = min(BATCHES, len(batches) - 2)
        weights = np.zeros((DRAWS, len(order)))
        for draw in weights:
            chosen = generator.choice(len(batches), size, replace=False)
            draw[np.concatenate([batches[number] for number in chosen])] = 1
        return statistic.evaluate(_by_sample(runs), weights).mean(0)


def _by_sample(runs: Runs) -> Runs:
    """Every sample as a patient of its own: draws are of samples."""
    count = len(runs.samples)
    return replace(runs, patients=runs.samples, owner=np.arange(count), weights=np.ones(count))
