"""Comparing ways of doing one thing: interleaved rounds on one core and one thread, in seconds of CPU."""

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


@dataclass(frozen=True)
class Way:
    """One way: ``run()`` does ``things`` of the thing once over. ``target``: the least ratio to the peer, if any."""

    name: str
    things: int
    run: Callable[[], object]
    target: float | None = None


@dataclass(frozen=True)
class Rate:
    """What was measured of a way: things a CPU second in each round, and as a multiple of the peer's of that round."""

    name: str
    rates: list[float]
    ratios: list[float]
    target: float | None

    def line(self, unit: str) -> str:
        """Rate and ratio, median and range, and what became of the target."""
        text = f"{self.name}: {spread(self.rates)} {unit}/s"
        if self.ratios:
            text += f", {spread(self.ratios)} x the peer"
        return text if self.target is None else f"{text}; target {self.target:g} x: {self.verdict}"

    @property
    def verdict(self) -> str:
        """By the median over rounds."""
        return "met" if self.target is None or statistics.median(self.ratios) >= self.target else "BELOW TARGET"


@dataclass(frozen=True)
class Comparison:
    """A benchmark's result. The first way is the peer; ``facts`` are further findings, by name."""

    title: str
    unit: str
    ways: list[Rate]
    facts: dict[str, Any]

    def lines(self) -> list[str]:
        """What is printed."""
        rates = [f"  {way.line(self.unit)}" for way in self.ways]
        return [self.title, *rates, *(f"  {name}: {value}" for name, value in self.facts.items())]

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def compare(title: str, unit: str, ways: Sequence[Way], rounds: int, **facts: Any) -> Comparison:
    """Run all ways ``rounds`` times, one after the other in turn, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in ways]
    for number in range(-1, rounds):
        for place, way in enumerate(ways):
            began = time.process_time()
            way.run()
            if number >= 0:
                seconds[place].append(time.process_time() - began)
    rates = [[way.things / max(s, 1e-9) for s in spent] for way, spent in zip(ways, seconds, strict=True)]
    ratios = [[own / peer for own, peer in zip(rate, rates[0], strict=True)] for rate in rates]
    found = [Rate(w.name, rates[n], ratios[n] if n else [], w.target) for n, w in enumerate(ways)]
    return Comparison(title, unit, found, facts)


def spread(values: Sequence[float]) -> str:
    """Median (smallest-largest)."""
    middle, low, high = statistics.median(values), min(values), max(values)
    return f"{number(middle)} ({number(low)}-{number(high)})"


def number(value: float) -> str:
    """Three figures, at least."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def run(name: str, tiny: bool) -> dict[str, Any]:
    """Measure and print the benchmarks of one module, on one core and one thread."""
    pin()
    with tempfile.TemporaryDirectory() as folder:
        found = import_module(f"tests.benchmarks.{name}").measure(Path(folder), tiny)
    for comparison in found:
        print("\n".join(comparison.lines()), flush=True)
    return {"circumstances": circumstances(), "comparisons": [comparison.plain() for comparison in found]}


def pin() -> None:
    """One core, one thread."""
    import torch

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)


def circumstances() -> dict[str, Any]:
    """Machine, versions, date."""
    import torch

    names = ("torch", "torchvision", "numpy", "numba", "av", "opencv-python-headless", "scikit-image")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{_processor()}, {os.cpu_count()} cores, {torch.backends.cpu.get_cpu_capability()}",
        "gpu": gpu,
        "system": f"{platform.system()}, Python {platform.python_version()}",
        "versions": {name: version(name) for name in names},
        "load": round(os.getloadavg()[0], 1),
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return models[0] if models else platform.machine()
