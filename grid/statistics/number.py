"""A finished number of a table with its ±, whose kind is named."""

from __future__ import annotations

from dataclasses import dataclass

from grid.statistics.bounds import ANY, Bounds


@dataclass(frozen=True)
class Estimate:
    """An estimate with a spread, an interval, both or neither.

    A NaN among the rows makes all of its numbers NaN: it is not left out.

    Attributes:
        estimate: the value.
        kind: the name of the kind of ± (see ``grid.statistics.KINDS``).
        patients: how many patients stand behind it.
        seeds: how many seeds stand behind it.
        spread: what is printed after ±.
        low: the lower end of an interval.
        high: its upper end.
        label: what sets this number apart from its kind, in a few words (``patients only``).
        notes: sentences.
        bounds: which values are possible.
    """

    estimate: float
    kind: str
    patients: int
    seeds: int
    spread: float | None = None
    low: float | None = None
    high: float | None = None
    label: str = ""
    notes: tuple[str, ...] = ()
    bounds: Bounds = ANY

    @property
    def cut(self) -> tuple[bool, bool]:
        """Whether the lower and the upper end stand at the bound of what is possible."""
        low = self.low is not None and self.low == self.bounds.low
        high = self.high is not None and self.high == self.bounds.high
        return low, high

    @property
    def band(self) -> tuple[float, float] | None:
        """What a figure shades: the interval, or without one the estimate with its spread.

        No end is beyond what is possible. None without either.
        """
        low, high = self.low, self.high
        if (low is None or high is None) and self.spread is not None:
            low, high = self.estimate - self.spread, self.estimate + self.spread
        if low is None or high is None:
            return None
        if not self.bounds.holds(self.estimate):
            return low, high
        return self.bounds.cut(low), self.bounds.cut(high)

    def text(self, digits: int = 2) -> str:
        """Spell the number.

        Returns:
            ``91.20 ± 3.10``, ``91.20 [90.95, 91.44]``, both as ``91.20 ± 3.10 [90.95, 91.44]``, or
            ``91.20`` without a spread. An end at the bound of what is possible has no decimals:
            ``98.10 [91.20, 100]``.
        """
        value = f"{self.estimate:.{digits}f}"
        if self.spread is not None:
            value = f"{value} ± {self.spread:.{digits}f}"
        if self.low is not None and self.high is not None:
            ends = []
            for end, is_bound in zip((self.low, self.high), self.cut, strict=True):
                ends.append(f"{end:g}" if is_bound else f"{end:.{digits}f}")
            return f"{value} [{', '.join(ends)}]"
        return value
