"""Prepare small diagrams for SVG: scales, ticks and lines. ``charts.html.j2`` lays them out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape

from echolm.text import harmless

COLOURS = ("#1f6fb4", "#d1602a", "#2b8a4b", "#8b4fa8", "#a3781e", "#417f86")
"""Colours of seeds, in this order, then again from the first."""
SLOTS = ("#00798c", "#b8336a", "#6a7283")
"""Colours of slots, likewise."""
LEFT, RIGHT, TOP, BOTTOM = 38, 6, 8, 20
"""Margins of a diagram."""


@dataclass(frozen=True)
class SvgShape:
    """An SVG element without content, such as a ``path``. An attribute that is None is left out."""

    element: str
    attributes: Mapping[str, object]

    @property
    def text(self) -> str:
        """It as SVG. Nothing in it is a name that somebody chose."""
        attributes = []
        for name, value in self.attributes.items():
            if value is not None:
                attributes.append(f' {name}="{value}"')
        return f"<{self.element}{''.join(attributes)}/>"


@dataclass(frozen=True)
class SvgText:
    """A few words in a diagram."""

    content: str
    attributes: Mapping[str, object]

    @property
    def text(self) -> str:
        """It as SVG."""
        attributes = "".join(f' {name}="{value}"' for name, value in self.attributes.items())
        return f"<text{attributes}>{escape(harmless(self.content))}</text>"


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a colour and what it means."""

    colour: str
    text: str


@dataclass(frozen=True)
class Tick:
    """A number on an axis, at ``position`` in the diagram or along its axis."""

    text: str
    position: str


@dataclass(frozen=True)
class Chart:
    """A diagram with its caption.

    Args:
        heading: what it shows.
        remark: a word more, in smaller letters.
        title: what it shows, for who cannot see it.
        axes: its scales.
        x_label: the name of the horizontal axis.
        shapes: what is drawn within the axes.
    """

    heading: str
    remark: str
    title: str
    axes: Axes
    x_label: str
    shapes: Sequence[SvgShape | SvgText]

    @property
    def drawing(self) -> str:
        """The axes and the shapes as SVG.

        A large page has ten thousands of diagrams, and a template takes three times as long.
        """
        axes = self.axes
        below = axes.bottom + 13
        parts = ['<g class="grid">']
        for tick in axes.y_ticks:
            y = tick.position
            parts.append(f'<line x1="{axes.left}" x2="{axes.right}" y1="{y}" y2="{y}"/>')
            place = f'x="{axes.left - 5}" y="{y}"'
            parts.append(f'<text {place} dy=".32em" text-anchor="end">{tick.text}</text>')
        for tick in axes.x_ticks:
            place = f'x="{tick.position}" y="{below}"'
            parts.append(f'<text {place} text-anchor="middle">{tick.text}</text>')
        label = escape(harmless(self.x_label))
        parts.append(f'<text x="0" y="{below}" class="axis">{label}</text></g>')
        parts += [shape.text for shape in self.shapes]
        return "".join(parts)


def colour(index: int, colours: Sequence[str] = COLOURS) -> str:
    """Return the colour of the n-th seed, or of the n-th thing of other ``colours``."""
    return colours[index % len(colours)]


def ticks(low: float, high: float, about: int = 4) -> list[float]:
    """Return round numbers within low to high.

    They are 1, 2 or 5 times a power of ten apart, and about as many as asked for.
    """
    if not high > low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    for factor in (1, 2, 5, 10):
        step = power * factor
        # A little less will do: the rough step may only be rounded.
        if step >= rough * 0.999:
            break
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return powers of ten within low to high, which are positive.

    Where these are few, twice and five times them are added.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    coarse, fine = [], []
    for power in powers:
        for factor in (1, 2, 5):
            value = factor * 10.0**power
            if low <= value <= high:
                fine.append(value)
                if factor == 1:
                    coarse.append(value)
    if len(coarse) > 2:
        return coarse
    return fine or [low]


@dataclass(frozen=True)
class Axes:
    """Scales of a diagram.

    Args:
        x: smallest and largest value of the horizontal scale.
        y: smallest and largest value of the vertical scale.
        width: of the whole diagram.
        height: of the whole diagram.
        log: whether the vertical scale is logarithmic.
        about: how many numbers stand at each axis, more or less.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    width: int = 240
    height: int = 140
    log: bool = False
    about: int = 4

    @property
    def left(self) -> int:
        """Where the horizontal axis begins."""
        return LEFT

    @property
    def right(self) -> int:
        """Where the horizontal axis ends."""
        return self.width - RIGHT

    @property
    def bottom(self) -> int:
        """Where the vertical axis begins."""
        return self.height - BOTTOM

    def x_at(self, value: float) -> float:
        """Return the horizontal position of a value."""
        return LEFT + (self.right - LEFT) * _share(value, *self.x)

    def y_at(self, value: float) -> float:
        """Return the vertical position of a value."""
        low, high = self._y_ends()
        share = _share(math.log(value) if self.log else value, low, high)
        return self.bottom - (self.bottom - TOP) * share

    def _y_ends(self) -> tuple[float, float]:
        """Return the ends of the vertical scale, or their logarithms."""
        low, high = self.y
        return (math.log(low), math.log(high)) if self.log else (low, high)

    @property
    def x_ticks(self) -> list[Tick]:
        """The numbers below the horizontal axis."""
        return [
            Tick(f"{value:g}", _short(self.x_at(value))) for value in ticks(*self.x, self.about)
        ]

    @property
    def y_ticks(self) -> list[Tick]:
        """The numbers beside the vertical axis."""
        values = log_ticks(*self.y) if self.log else ticks(*self.y, self.about)
        return [Tick(f"{value:g}", _short(self.y_at(value))) for value in values]

    def line(
        self, xs: Sequence[float], ys: Sequence[float], attributes: Mapping[str, object]
    ) -> list[SvgShape]:
        """Draw a line through finite points, broken where a value is not finite.

        Returns:
            The line, or nothing without a finite point.
        """
        commands: list[str] = []
        command = "M"
        known = _x_positions(self.x, self.right)
        # As in y_at. A large report has millions of points, so what they share is looked up once.
        low, high = self._y_ends()
        bottom = self.bottom
        height = bottom - TOP
        for x, y in zip(xs, ys, strict=True):
            if not math.isfinite(y) or (self.log and y <= 0):
                command = "M"
                continue
            position = known.get(x)
            if position is None:
                position = known[x] = _short(self.x_at(x))
            share = _share(math.log(y) if self.log else y, low, high)
            commands.append(f"{command}{position} {_short(bottom - height * share)}")
            command = "L"
        if not commands:
            return []
        if len(commands) == 1:
            commands.append("h.1")  # a single point shows as a dot
        return [SvgShape("path", {"d": "".join(commands), "fill": "none", **attributes})]


@dataclass(frozen=True)
class NamedAxes(Axes):
    """Scales of a matrix, with a name for each column, and for each row from above.

    Args:
        names: short ones, as they have little room.
    """

    names: tuple[str, ...] = ()

    @property
    def x_ticks(self) -> list[Tick]:
        """The names below the columns."""
        places = enumerate(self.names)
        return [Tick(name, _short(self.x_at(place + 0.5))) for place, name in places]

    @property
    def y_ticks(self) -> list[Tick]:
        """The names beside the rows."""
        places = enumerate(reversed(self.names))
        return [Tick(name, _short(self.y_at(place + 0.5))) for place, name in places]


def spread_of(values: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and the largest finite value, a little apart from each other.

    Without any they are 0 and 1.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    if high > low:
        return low, high
    return low - 0.5, high + 0.5


@lru_cache(maxsize=64)
def _x_positions(x: tuple[float, float], right: int) -> dict[float, str]:
    """Return what is filled with the horizontal positions of values, for diagrams of one scale."""
    return {}


def _share(value: float, low: float, high: float) -> float:
    """Return where a value lies between low (0) and high (1)."""
    if high > low:
        return (value - low) / (high - low)
    return 0.5


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
