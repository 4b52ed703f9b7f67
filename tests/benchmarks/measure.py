"""Compare ways of doing one thing: rounds in turn on one core and one thread, in CPU seconds."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "numba",
    "av",
    "opencv-python-headless",
    "scikit-image",
)
"""Packages whose versions are kept beside results."""


@dataclass(frozen=True)
class Way:
    """One way of doing the thing.

    Args:
        things: how many things ``run`` does.
        run: does them once over.
        target: the least ratio to the peer. None without one.
    """

    name: str
    things: int
    run: Callable[[], object]
    target: float | None = None


@dataclass(frozen=True)
class Rate:
    """What was measured of a way.

    Args:
        rates: things a CPU second in each round.
        ratios: each rate as a multiple of the peer's of that round. Empty for the peer.
    """

    name: str
    rates: list[float]
    ratios: list[float]
    target: float | None

    def line(self, unit: str) -> str:
        """Spell rate and ratio, median and range, and what became of the target."""
        text = f"{self.name}: {spread(self.rates)} {unit}/s"
        if self.ratios:
            text += f", {spread(self.ratios)} x the peer"
        if self.target is not None:
            text += f"; target {self.target:g} x: {self.verdict}"
        return text

    @property
    def verdict(self) -> str:
        """What became of the target, by the median over rounds."""
        if self.target is None or statistics.median(self.ratios) >= self.target:
            return "met"
        return "BELOW TARGET"


@dataclass(frozen=True)
class Comparison:
    """A benchmark's result. The first way is the peer. ``facts`` are further findings, by name."""

    title: str
    unit: str
    ways: list[Rate]
    facts: dict[str, Any]

    def lines(self) -> list[str]:
        """Return what is printed."""
        lines = [self.title]
        lines += [f"  {way.line(self.unit)}" for way in self.ways]
        lines += [f"  {name}: {value}" for name, value in self.facts.items()]
        return lines

    def plain(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


def compare(title: str, unit: str, ways: Sequence[Way], rounds: int, **facts: Any) -> Comparison:
    """Run all ways ``rounds`` times in turn, after one round that does not count."""
    for way in ways:
        way.run()
    rates: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for way_rates, way in zip(rates, ways, strict=True):
            began = time.process_time()
            way.run()
            seconds = time.process_time() - began
            way_rates.append(way.things / max(seconds, 1e-9))
    peer_rates = rates[0]
    measured = [Rate(ways[0].name, peer_rates, [], ways[0].target)]
    for way, way_rates in zip(ways[1:], rates[1:], strict=True):
        pairs = zip(way_rates, peer_rates, strict=True)
        ratios = [rate / peer_rate for rate, peer_rate in pairs]
        measured.append(Rate(way.name, way_rates, ratios, way.target))
    return Comparison(title, unit, measured, facts)


def spread(values: Sequence[float]) -> str:
    """Spell median (smallest-largest)."""
    low, high = number(min(values)), number(max(values))
    return f"{number(statistics.median(values))} ({low}-{high})"


def number(value: float) -> str:
    """Spell at least three figures."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def run(name: str, tiny: bool) -> dict[str, Any]:
    """Measure and print the benchmarks of one module, on one core and one thread."""
    pin()
    with tempfile.TemporaryDirectory() as folder:
        comparisons = import_module(f"tests.benchmarks.{name}").measure(Path(folder), tiny)
    for comparison in comparisons:
        print("\n".join(comparison.lines()), flush=True)
    return {
        "circumstances": circumstances(),
        "comparisons": [comparison.plain() for comparison in comparisons],
    }


def pin() -> None:
    """Use one core and one thread."""
    import torch

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def circumstances() -> dict[str, Any]:
    """Return machine, versions and date."""
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{_processor()}, {os.cpu_count()} cores, {capability}",
        "gpu": gpu,
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in PACKAGES},
        "load": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()
