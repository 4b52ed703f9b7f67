"""A finished number of a table with its ±, whose kind is named."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Number:
    """An estimate with either a ``spread`` (printed after ±) or an interval (``low`` to ``high``), or neither.

    ``kind`` is the name of the kind of ± (see ``grid.statistics.KINDS``); ``patients`` and ``seeds`` are how many stand
    behind it. ``label`` says in a few words what sets this number apart from its kind (``patients only``); ``notes``
    are sentences. A NaN among the rows makes all of them NaN: it is not left out.
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

    def text(self, digits: int = 2) -> str:
        """``91.20 ± 3.10``, ``91.20 [90.95, 91.44]``, or ``91.20`` without a spread."""
        value = f"{self.estimate:.{digits}f}"
        if self.spread is not None:
            return f"{value} ± {self.spread:.{digits}f}"
        if self.low is not None and self.high is not None:
            return f"{value} [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return value
