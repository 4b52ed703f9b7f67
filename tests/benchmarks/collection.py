"""Collecting many runs: MLflow -> Parquet against ``mlflow.search_runs``, in wall seconds of fresh processes.

    python -m tests.benchmarks.collection            10,000 runs (25 params, 40 latest metrics, 285 points each)
    python -m tests.benchmarks.collection --tiny     200 runs, to see that it runs; nothing is kept
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.measure import circumstances, spread
from tests.benchmarks.report import RESULTS, write
from tests.benchmarks.tracking_database import GRID, PARAMS, POINTS, SCALARS, add, build

MEASURED = """
import json, sys, time
began = time.perf_counter()
{imports}
imported = time.perf_counter()
{call}
ended = time.perf_counter()
peak = next(int(line.split()[1]) / 1000 for line in open("/proc/self/status") if line.startswith("VmHWM"))
cpu = time.process_time()
print(json.dumps(dict(call=ended - imported, cpu=cpu, peak=peak, rows=rows)))
"""
COLLECT = ("from pathlib import Path; from grid.tracking.collect import collect",
           "report = collect(sys.argv[1], {grid!r}, None, Path(sys.argv[2]), curves={curves}); rows = report.read")  # fmt: skip
SEARCH = ("import mlflow; mlflow.set_tracking_uri(sys.argv[1])",
          "rows = len(mlflow.search_runs(experiment_names=[{grid!r}], max_results={runs}))")  # fmt: skip


@dataclass(frozen=True)
class Spent:
    """One process. ``wall``: from its start to its end; ``call``: what was asked for alone, without imports.

    ``cpu``: seconds of processor time of all of it; ``peak``: MB of resident memory; ``rows``: runs that were read.
    """

    wall: float
    call: float
    cpu: float
    peak: float
    rows: int


def main() -> None:
    """Measure, print, and keep what was printed."""
    options = _options()
    runs, peers = (200, 100) if options.tiny else (10_000, 1_000)
    title, found = f"MLflow -> Parquet, {runs:,} runs", []
    print(title, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"  # as where packages are installed
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        for line in measured(Path(folder), runs, peers, options.rounds):
            print(f"  {line}", flush=True)
            found.append(line)
    if not options.tiny:
        write(options.out, "collection", {"circumstances": circumstances(), "sections": {title: found}})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes; nothing is kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    return parser.parse_args()


def measured(folder: Path, runs: int, peers: int, rounds: int) -> Iterator[str]:
    """Build a database, then collect it in several ways."""
    began = time.perf_counter()
    uri = build(folder / "mlflow.db", runs, foreign=runs // 5)
    size = (folder / "mlflow.db").stat().st_size / 1e6
    yield (
        f"SQLite database: {runs:,} runs of the grid with {PARAMS} params, {SCALARS + 5} latest metrics and {POINTS} points each, "
        f"and {runs // 5:,} runs of another project; {size:,.0f} MB, made in {time.perf_counter() - began:.0f} s"
    )
    yield f"mlflow {version('mlflow')}, pyarrow {version('pyarrow')}, SQLite {sqlite3.sqlite_version}; seconds are those of fresh processes, imports included: median (smallest-largest)"
    collect = [COLLECT[0], COLLECT[1].format(grid=GRID, curves=False)]
    _process(collect, uri, folder / "first")  # compiles, and reads the file into the page cache
    full = [_process(collect, uri, folder / f"runs {number}") for number in range(rounds)]
    yield _line("all runs, params and latest metrics", full, 3.0, 400)
    out = folder / "runs 0"
    yield _line("again, nothing new", [_process(collect, uri, out) for _ in range(rounds)], 0.5)
    yield _line("again, another project has written since", list(_written(collect, uri, out, runs, rounds)), 0.5)
    yield _line("again, 100 runs more each time", list(_more(collect, uri, out, runs, rounds)), 0.5)
    curves = [COLLECT[0], COLLECT[1].format(grid=GRID, curves=True)]
    points = (runs + 100 * rounds) * POINTS
    yield _line(f"the history of all of these, {points:,} points", [_process(curves, uri, out)], None, 400)
    kept = sum(path.stat().st_size for path in (out / "metrics").iterdir()) / 1e6
    yield f"files: runs.parquet {(out / 'runs.parquet').stat().st_size / 1e6:.1f} MB, metrics/ {kept:.1f} MB"
    peer = [_process([SEARCH[0], SEARCH[1].format(grid=GRID, runs=peers)], uri, out) for _ in range(max(1, rounds // 2))]
    yield _line(f"peer: mlflow.search_runs of {peers:,} of these runs", peer)
    ratios = [(peer[n % len(peer)].call / peers) / (one.call / runs) for n, one in enumerate(full)]
    yield f"search_runs takes {spread(ratios)} times as long a run as collecting (calls without imports; search_runs' time of {peers:,} runs scaled by run)"


def _written(code: list[str], uri: str, out: Path, runs: int, rounds: int) -> Iterator[Spent]:
    for number in range(rounds):
        first = 2 * runs + number
        add(uri, range(first, first + 1), "another project")
        yield _process(code, uri, out)


def _more(code: list[str], uri: str, out: Path, runs: int, rounds: int) -> Iterator[Spent]:
    for number in range(rounds):
        first = 3 * runs + 100 * number
        add(uri, range(first, first + 100))
        yield _process(code, uri, out)


def _process(code: list[str], uri: str, out: Path) -> Spent:
    text = MEASURED.format(imports=code[0], call=code[1])
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", text, uri, str(out)], stdout=subprocess.PIPE, check=True)
    wall = time.perf_counter() - began
    return Spent(wall, **json.loads(done.stdout))


def _line(name: str, spent: list[Spent], seconds: float | None = None, megabytes: float | None = None) -> str:
    """Median (smallest-largest); targets are judged by the median."""
    text = f"{name}, {len(spent)} {'process' if len(spent) == 1 else 'processes'}: {spread([one.wall for one in spent])} s, of these {spread([one.cpu for one in spent])} s processor time"
    text += f"; peak memory {max(one.peak for one in spent):.0f} MB; runs read: {spent[-1].rows:,}"
    for value, target, unit in ((sorted(one.wall for one in spent)[len(spent) // 2], seconds, "s"), (max(one.peak for one in spent), megabytes, "MB")):
        if target is not None:
            text += f"; target {target:g} {unit}: {'met' if value <= target else 'MISSED'}"
    return text


if __name__ == "__main__":
    main()
