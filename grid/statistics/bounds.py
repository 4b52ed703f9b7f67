"""What values of a statistic are possible, so that no interval claims others.

An interval over patients and seeds is made by adding deviations to the estimate, widened for few
patients and seeds. So it may leave the range of the statistic: a Dice above 100 %, an error below
0. Such an interval is cut at the range and says so. Its coverage is what it was, since no true
value lies in what was cut off. ``tests/grid/statistics/test_bounds.py`` prints and checks it,
beside that of intervals made on a logit or a log scale.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Bounds:
    """The range of possible values, its ends included. None: no bound.

    Attributes:
        low: the least possible value.
        high: the largest possible value.
    """

    low: float | None = None
    high: float | None = None

    def holds(self, value: float) -> bool:
        """Return whether a value is possible. What is not a number is not."""
        above = self.low is None or value >= self.low
        below = self.high is None or value <= self.high
        return above and below and value == value

    def cut(self, value: float) -> float:
        """Return a value, or the bound that it is beyond."""
        if self.low is not None and value < self.low:
            return self.low
        if self.high is not None and value > self.high:
            return self.high
        return value

    @property
    def of_difference(self) -> Bounds:
        """The range of the difference of two values. Without two bounds it has none."""
        if self.low is None or self.high is None:
            return ANY
        width = self.high - self.low
        return Bounds(-width, width)


ANY = Bounds()
"""No bound."""
SHARE = Bounds(0, 1)
"""A share, a probability, an area under a curve."""
PERCENT = Bounds(0, 100)
CORRELATION = Bounds(-1, 1)
POSITIVE = Bounds(low=0)
"""An error, a distance, a standard deviation."""


def cut_interval(
    estimate: float, low: float, high: float, bounds: Bounds
) -> tuple[float, float, str]:
    """Cut an interval at the range of possible values.

    Args:
        estimate: the value. Where it is not possible itself, its range was declared wrongly, and
            nothing is cut.
        low: the lower end.
        high: the upper end.
        bounds: the range.

    Returns:
        Both ends, and a sentence on what was cut, '' where nothing was.
    """
    if not bounds.holds(estimate):
        return low, high, ""
    cut_low, cut_high = bounds.cut(low), bounds.cut(high)
    ends = []
    if cut_low != low:
        ends.append(f"{cut_low:g}, the least possible value")
    if cut_high != high:
        ends.append(f"{cut_high:g}, the largest possible value")
    if not ends:
        return low, high, ""
    return cut_low, cut_high, f"the interval is cut at {', and at '.join(ends)}"
