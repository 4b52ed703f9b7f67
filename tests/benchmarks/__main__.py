"""Run the benchmarks: ``python -m tests.benchmarks [--only NAME] [--tiny] [--out DIR]``."""

from __future__ import annotations

import argparse
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.measure import run
from tests.benchmarks.report import RESULTS, write

NAMES = ("clips", "raster", "augment", "intervals", "dicom", "cohorts")
"""Modules with ``measure(folder, tiny)``."""


def main() -> None:
    """Measure each group in a process of its own. Print it, and keep it unless tiny."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description="Input speed against a peer in the same run."
    )
    parser.add_argument("--only", choices=NAMES, help="one group")
    parser.add_argument(
        "--tiny",
        action="store_true",
        help="the smallest sizes: the rates mean nothing, and are not kept",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    options = parser.parse_args()
    for name in [options.only] if options.only else NAMES:
        with get_context("spawn").Pool(1) as pool:
            results = pool.apply(run, (name, options.tiny))
        if not options.tiny:
            write(options.out, name, results)


if __name__ == "__main__":
    main()
