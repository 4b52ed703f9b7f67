"""The kinds of ± by name: what each is, its sentence for a caption, and the number it makes.

They answer different questions and are never mixed in a table: how much patients differ
(``std-over-patients``), how much trainings differ (``std-over-seeds``), and how sure the printed
value is (the intervals).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from echolm.errors import EchoLMError
from grid.statistics.base import Statistic
from grid.statistics.bounds import cut_interval
from grid.statistics.crossed_bootstrap import FEWEST_SEEDS, Uncertainty, crossed, patients_only
from grid.statistics.number import Estimate
from grid.statistics.resampling import RESAMPLES, Resampled, resample
from grid.statistics.rows import Runs

PATIENTS_ONLY = "patients only"
"""Label of an interval that does not count seeds."""


class Spread(ABC):
    """One kind of ±."""

    @property
    @abstractmethod
    def name(self) -> str:
        """As definitions and the command line name it, distinct among kinds."""

    @abstractmethod
    def caption(self, patients: str, seeds: str) -> str:
        """Return a sentence on what the ± is.

        Args:
            patients: a count in words, ``1,264 patients``.
            seeds: a count in words, ``3 seeds``.
        """

    @abstractmethod
    def numbers(self, values: Sequence[Runs], statistic: Statistic) -> list[Estimate]:
        """Return the numbers of values of one table column, all of the same patients."""

    def number(self, runs: Runs, statistic: Statistic) -> Estimate:
        """Return the number of one value."""
        return self.numbers([runs], statistic)[0]


class Separate(Spread):
    """A kind that takes each value by itself."""

    @abstractmethod
    def number(self, runs: Runs, statistic: Statistic) -> Estimate:
        """Return the number of one value."""

    def numbers(self, values: Sequence[Runs], statistic: Statistic) -> list[Estimate]:
        """Return the number of each value."""
        return [self.number(runs, statistic) for runs in values]


@dataclass(frozen=True)
class StdOverPatients(Separate):
    """Standard deviation (ddof 1) over patients within each seed, averaged over seeds.

    It says how much patients differ. NLDL 2026 Tables 2-4 print it (there over test samples, of one
    run). It exists for means of one value a patient only.
    """

    @property
    def name(self) -> str:
        """``std-over-patients``."""
        return "std-over-patients"

    def caption(self, patients: str, seeds: str) -> str:
        """Return the sentence for a table's caption."""
        within = f"within each seed, averaged over {seeds}"
        if seeds == "1 seed":
            within = "of 1 seed"
        return f"± is the standard deviation over {patients} (ddof 1) {within}."

    def number(self, runs: Runs, statistic: Statistic) -> Estimate:
        """Return the number of one value. One patient has no spread.

        Raises:
            EchoLMError: the statistic has no value a patient.
        """
        values = statistic.per_patient(runs)
        if values is None:
            raise EchoLMError(
                f"{self.name}: {statistic.name} has no value for each patient; "
                "valid for it: std-over-seeds, crossed-95, bootstrap-95"
            )
        seeds, patients = values.shape
        spread = None
        if patients > 1:
            spread = float(values.std(1, ddof=1).mean())
        return Estimate(float(statistic.full(runs).mean()), self.name, patients, seeds, spread)


@dataclass(frozen=True)
class StdOverSeeds(Separate):
    """Standard deviation (ddof 1) over seeds of the statistic: how much trainings differ.

    One seed has none.
    """

    @property
    def name(self) -> str:
        """``std-over-seeds``."""
        return "std-over-seeds"

    def caption(self, patients: str, seeds: str) -> str:
        """Return the sentence for a table's caption."""
        if seeds == "1 seed":
            return f"Over {patients}; 1 seed has no ± over seeds."
        return f"± is the standard deviation over {seeds} (ddof 1) of the value over {patients}."

    def number(self, runs: Runs, statistic: Statistic) -> Estimate:
        """Return the number of one value."""
        full = statistic.full(runs)
        spread = None
        if len(full) > 1:
            spread = float(full.std(ddof=1))
        return Estimate(float(full.mean()), self.name, len(runs.patients), len(full), spread)


class Interval(Spread):
    """A kind whose interval comes from resamples that all values of a table share."""

    resamples: int

    @abstractmethod
    def of(self, value: Resampled) -> Estimate:
        """Return the number of a value that was resampled already."""

    def numbers(self, values: Sequence[Runs], statistic: Statistic) -> list[Estimate]:
        """Resample all values together, and return their numbers."""
        return [self.of(value) for value in resample(values, statistic, self.resamples)]

    def _number(
        self, value: Resampled, uncertainty: Uncertainty, level: float, label: str = ""
    ) -> Estimate:
        """Return the number with the interval of ``uncertainty``, cut at what is possible.

        One patient has no interval.
        """
        low: float | None = None
        high: float | None = None
        notes = []
        if value.patients > 1:
            low, high, cut = cut_interval(
                value.estimate, *uncertainty.interval(level), value.bounds
            )
            if cut:
                notes.append(cut)
        if uncertainty.undefined and math.isfinite(value.estimate):
            notes.append(
                f"{value.statistic.name} is undefined in {100 * uncertainty.undefined:.3g} % of "
                "the resamples, which are left out"
            )
        return Estimate(
            estimate=value.estimate,
            kind=self.name,
            patients=value.patients,
            seeds=value.seeds,
            low=low,
            high=high,
            label=label,
            notes=tuple(notes),
            bounds=value.bounds,
        )


@dataclass(frozen=True)
class PatientBootstrap(Interval):
    """Percentile interval over resampled patients of the mean over seeds, the networks as trained.

    ``level`` 0.90 is the 5-95 % of EchoNet-Dynamic's code, 0.95 CardioBench's 2.5-97.5 % (both with
    one run).
    """

    level: float = 0.95
    resamples: int = RESAMPLES

    @property
    def name(self) -> str:
        """``bootstrap-90`` or ``bootstrap-95``."""
        return f"bootstrap-{100 * self.level:g}"

    def caption(self, patients: str, seeds: str) -> str:
        """Return the sentence for a table's caption."""
        low = 50 * (1 - self.level)
        high = 50 * (1 + self.level)
        return (
            f"In brackets: percentiles {low:g}-{high:g} of {self.resamples:,} bootstrap resamples"
            f" of {patients}; {seeds}, as trained: what another training would give is not in it."
        )

    def of(self, value: Resampled) -> Estimate:
        """Return the number of a value that was resampled already."""
        return self._number(value, patients_only(value), self.level)


@dataclass(frozen=True)
class CrossedBootstrap(Interval):
    """The default: interval over patients and seeds, resampled independently.

    See ``grid.statistics.crossed_bootstrap``. Under three seeds it is over patients only, and its
    number is labelled so.
    """

    level: float = 0.95
    resamples: int = RESAMPLES

    @property
    def name(self) -> str:
        """``crossed-95``."""
        return f"crossed-{100 * self.level:g}"

    def caption(self, patients: str, seeds: str) -> str:
        """Return the sentence for a table's caption."""
        interval = f"{100 * self.level:g} % bootstrap interval, {self.resamples:,} resamples"
        if seeds in ("1 seed", "2 seeds", "1-2 seeds"):
            return (
                f"In brackets: {interval} of {patients} only: {seeds} cannot tell what another"
                " training would give."
            )
        return (
            f"In brackets: {interval} of {patients} and of {seeds}, drawn independently; deviations"
            " of seeds are scaled by S / (S - 1) in variance and by t quantiles."
            f" Under {FEWEST_SEEDS} seeds: of patients only, and marked so."
        )

    def of(self, value: Resampled) -> Estimate:
        """Return the number of a value that was resampled already."""
        uncertainty = crossed(value)
        label = "" if uncertainty.crossed else PATIENTS_ONLY
        return self._number(value, uncertainty, self.level, label)
