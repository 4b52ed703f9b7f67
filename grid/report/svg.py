"""Small diagrams: scales, ticks and lines as SVG text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from grid.report.markup import Markup, join, tag

COLOURS = ("#1f6fb4", "#d1602a", "#2b8a4b", "#8b4fa8", "#a3781e", "#417f86")
"""Of seeds, in this order, then again from the first."""
SLOTS = ("#00798c", "#b8336a", "#6a7283")
"""Of slots, likewise."""
LEFT, RIGHT, TOP, BOTTOM = 38, 6, 8, 20
"""Margins of a diagram."""


def colour(index: int, colours: Sequence[str] = COLOURS) -> str:
    """The colour of the n-th seed, or of the n-th thing of other ``colours``."""
    return colours[index % len(colours)]


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) within low to high."""
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten within low to high (both positive); with 2 and 5 times them where these are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [10.0**power for power in powers if low <= 10.0**power <= high]
    if len(found) > 2:
        return found
    fine = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    return [value for value in fine if low <= value <= high] or [low]


@dataclass(frozen=True)
class Axes:
    """Scales of a diagram of ``width`` x ``height``; ``log``: the vertical one is logarithmic."""

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 240
    height: int = 140
    log: bool = False

    def x_at(self, value: float) -> float:
        """Horizontal place of a value."""
        return LEFT + (self.width - LEFT - RIGHT) * _share(value, *self.x)

    def y_at(self, value: float) -> float:
        """Vertical place of a value."""
        low, high = self.y
        share = _share(math.log(value), math.log(low), math.log(high)) if self.log else _share(value, low, high)
        return self.height - BOTTOM - (self.height - TOP - BOTTOM) * share

    def line(self, xs: Sequence[float], ys: Sequence[float], **attributes: object) -> Markup | None:
        """A line through finite points, broken where a value is not finite; None without any."""
        commands, broken = [], True
        for x, y in zip(xs, ys, strict=True):
            if not math.isfinite(y) or (self.log and y <= 0):
                broken = True
                continue
            commands.append(f"{'M' if broken else 'L'}{_short(self.x_at(x))} {_short(self.y_at(y))}")
            broken = False
        if not commands:
            return None
        if len(commands) == 1:
            commands.append("h.1")  # a single point shows as a dot
        return tag("path", d="".join(commands), fill="none", **attributes)

    def grid(self, x_label: str) -> Markup:
        """Lines and numbers of both axes."""
        right, bottom = self.width - RIGHT, self.height - BOTTOM
        pieces = []
        for value in log_ticks(*self.y) if self.log else ticks(*self.y):
            y = _short(self.y_at(value))
            pieces += [tag("line", x1=LEFT, x2=right, y1=y, y2=y), tag("text", f"{value:g}", x=LEFT - 5, y=y, dy=".32em", text_anchor="end")]
        for value in ticks(*self.x):
            pieces.append(tag("text", f"{value:g}", x=_short(self.x_at(value)), y=bottom + 13, text_anchor="middle"))
        pieces.append(tag("text", x_label, x=LEFT - 10, y=bottom + 13, text_anchor="end", class_="axis"))
        return tag("g", *pieces, class_="grid")

    def drawn(self, title: str, x_label: str, pieces: Sequence[Markup | None]) -> Markup:
        """The whole diagram."""
        box = f"0 0 {self.width} {self.height}"
        return tag("svg", tag("title", title), self.grid(x_label), join(pieces), viewBox=box, role="img", class_="chart")


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """Smallest and largest finite value, a little apart from each other; (0, 1) without any."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _share(value: float, low: float, high: float) -> float:
    return (value - low) / (high - low) if high > low else 0.5


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
