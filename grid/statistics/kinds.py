"""The kinds of ± by name: what each is, the sentence for a table's caption, and the number it makes.

They answer different questions and are never mixed in a table: how much patients differ (``std-over-patients``), how much
trainings differ (``std-over-seeds``), and how sure the printed value is (the intervals).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from echolm.errors import EchoLMError
from grid.statistics.base import Statistic
from grid.statistics.crossing import FEWEST_SEEDS, Uncertainty, crossed, patients_only
from grid.statistics.number import Number
from grid.statistics.resampling import RESAMPLES, Resampled, resample
from grid.statistics.rows import Runs

PATIENTS_ONLY = "patients only"
"""Label of an interval that does not count seeds."""


class Kind(ABC):
    """One kind of ±: ``name`` in definitions and on the command line."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Distinct among kinds."""

    @abstractmethod
    def caption(self, patients: str, seeds: str) -> str:
        """A sentence on what the ± is. ``patients`` and ``seeds`` are counts in words: ``1,264 patients``, ``3 seeds``."""

    @abstractmethod
    def numbers(self, values: Sequence[Runs], statistic: Statistic) -> list[Number]:
        """The numbers of values of one table column, all of the same patients."""

    def number(self, runs: Runs, statistic: Statistic) -> Number:
        """The number of one value."""
        return self.numbers([runs], statistic)[0]


class Separate(Kind):
    """A kind that takes each value by itself."""

    @abstractmethod
    def number(self, runs: Runs, statistic: Statistic) -> Number:
        """The number of one value."""

    def numbers(self, values: Sequence[Runs], statistic: Statistic) -> list[Number]:
        """See ``Kind``."""
        return [self.number(runs, statistic) for runs in values]


@dataclass(frozen=True)
class StdOverPatients(Separate):
    """Standard deviation (ddof 1) over patients within each seed, averaged over seeds: how much patients differ.

    What NLDL 2026 Tables 2-4 print (there over test samples, of one run). For means of one value a patient only.
    """

    @property
    def name(self) -> str:
        """``std-over-patients``."""
        return "std-over-patients"

    def caption(self, patients: str, seeds: str) -> str:
        """See ``Kind``."""
        within = "of 1 seed" if seeds == "1 seed" else f"within each seed, averaged over {seeds}"
        return f"± is the standard deviation over {patients} (ddof 1) {within}."

    def number(self, runs: Runs, statistic: Statistic) -> Number:
        """Absent for one patient; EchoLMError for a statistic that has no value a patient."""
        values = statistic.per_patient(runs)
        if values is None:
            raise EchoLMError(
                f"{self.name}: {statistic.name} has no value for each patient; valid for it: std-over-seeds, crossed-95, bootstrap-95"
            )
        spread = float(values.std(1, ddof=1).mean()) if values.shape[1] > 1 else None
        return Number(float(statistic.full(runs).mean()), self.name, values.shape[1], len(values), spread)


@dataclass(frozen=True)
class StdOverSeeds(Separate):
    """Standard deviation (ddof 1) over seeds of the statistic: how much trainings differ. Absent for one seed."""

    @property
    def name(self) -> str:
        """``std-over-seeds``."""
        return "std-over-seeds"

    def caption(self, patients: str, seeds: str) -> str:
        """See ``Kind``."""
        if seeds == "1 seed":
            return f"Over {patients}; 1 seed has no ± over seeds."
        return f"± is the standard deviation over {seeds} (ddof 1) of the value over {patients}."

    def number(self, runs: Runs, statistic: Statistic) -> Number:
        """See ``Kind``."""
        full = statistic.full(runs)
        spread = float(full.std(ddof=1)) if len(full) > 1 else None
        return Number(float(full.mean()), self.name, len(runs.patients), len(full), spread)


class Interval(Kind):
    """A kind whose interval comes from resamples that all values of a table share."""

    resamples: int

    @abstractmethod
    def of(self, value: Resampled) -> Number:
        """The number of a value that was resampled already."""

    def numbers(self, values: Sequence[Runs], statistic: Statistic) -> list[Number]:
        """See ``Kind``."""
        return [self.of(value) for value in resample(values, statistic, self.resamples)]

    def _number(self, value: Resampled, found: Uncertainty, level: float, label: str = "") -> Number:
        low, high = found.interval(level)
        notes = []
        if found.undefined and math.isfinite(value.estimate):
            notes.append(f"{value.statistic.name} is undefined in {100 * found.undefined:.3g} % of the resamples, which are left out")
        ends: tuple[float | None, float | None] = (low, high) if value.patients > 1 else (None, None)
        return Number(value.estimate, self.name, value.patients, value.seeds, None, *ends, label, tuple(notes))


@dataclass(frozen=True)
class PatientBootstrap(Interval):
    """Percentile interval over resampled patients of the mean over seeds, the trained networks as they are.

    ``level`` 0.90 is the 5-95 % of EchoNet-Dynamic's code, 0.95 CardioBench's 2.5-97.5 % (both with one run).
    """

    level: float = 0.95
    resamples: int = RESAMPLES

    @property
    def name(self) -> str:
        """``bootstrap-90`` or ``bootstrap-95``."""
        return f"bootstrap-{100 * self.level:g}"

    def caption(self, patients: str, seeds: str) -> str:
        """See ``Kind``."""
        low, high = 50 * (1 - self.level), 50 * (1 + self.level)
        return (
            f"In brackets: percentiles {low:g}-{high:g} of {self.resamples:,} bootstrap resamples of {patients};"
            f" {seeds}, as trained: what another training would give is not in it."
        )

    def of(self, value: Resampled) -> Number:
        """See ``Interval``."""
        return self._number(value, patients_only(value), self.level)


@dataclass(frozen=True)
class CrossedBootstrap(Interval):
    """The default: interval over patients and seeds, resampled independently (see ``grid.statistics.crossing``).

    Under three seeds it is over patients only, and its number is labelled so.
    """

    level: float = 0.95
    resamples: int = RESAMPLES

    @property
    def name(self) -> str:
        """``crossed-95``."""
        return f"crossed-{100 * self.level:g}"

    def caption(self, patients: str, seeds: str) -> str:
        """See ``Kind``."""
        interval = f"{100 * self.level:g} % bootstrap interval, {self.resamples:,} resamples"
        if seeds in ("1 seed", "2 seeds", "1-2 seeds"):
            return f"In brackets: {interval} of {patients} only: {seeds} cannot tell what another training would give."
        return (
            f"In brackets: {interval} of {patients} and of {seeds}, drawn independently; deviations of seeds are scaled by"
            f" S / (S - 1) in variance and by t quantiles. Under {FEWEST_SEEDS} seeds: of patients only, and marked so."
        )

    def of(self, value: Resampled) -> Number:
        """See ``Interval``."""
        found = crossed(value)
        return self._number(value, found, self.level, "" if found.crossed else PATIENTS_ONLY)
