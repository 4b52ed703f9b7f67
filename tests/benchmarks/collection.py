"""Collect many runs: MLflow -> Parquet against ``mlflow.search_runs``.

Seconds are wall seconds of fresh processes.

python -m tests.benchmarks.collection            10,000 runs of 25 params and 40 latest metrics
                                                 (285 points)
python -m tests.benchmarks.collection --tiny     200 runs, to see that it runs; nothing is kept
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from grid.tracking import reader
from grid.tracking.predictions import stated_digest
from tests.benchmarks.measure import circumstances, number, spread
from tests.benchmarks.report import RESULTS, write
from tests.benchmarks.tracking_database import (
    GRID,
    PARAMS,
    POINTS,
    SCALARS,
    add,
    artifacts,
    build,
    run_id,
)

PREDICTIONS_ROWS = 2_554
"""ED and ES of the 1,277 test videos of EchoNet-Dynamic."""
KEYS = ("sample", "patient", "split", "target", "slot")

MEASURED = """
import json, sys, time
began = time.perf_counter()
{imports}
imported = time.perf_counter()
{call}
ended = time.perf_counter()
for line in open("/proc/self/status"):
    if line.startswith("VmHWM"):
        peak = int(line.split()[1]) / 1000
cpu = time.process_time()
print(json.dumps(dict(call=ended - imported, cpu=cpu, peak=peak, rows=rows)))
"""
"""What a process does: ``imports`` are not part of its ``call``, which says how many ``rows``."""


@dataclass(frozen=True)
class Code:
    """What a process is asked for. Its arguments are the database's address and a folder."""

    imports: str
    call: str


SEARCH_CALL = "rows = len(mlflow.search_runs(experiment_names=[{grid!r}], max_results={runs}))"


def collecting(curves: bool) -> Code:
    """Return the code that collects the grid, with or without the history."""
    call = f"collect(sys.argv[1], {GRID!r}, None, Path(sys.argv[2]), curves={curves})"
    return Code(
        "from pathlib import Path; from grid.tracking.collect import collect",
        f"report = {call}; rows = report.read",
    )


def searching(runs: int) -> Code:
    """Return the code that reads some runs of the grid with MLflow's own function."""
    return Code(
        "import mlflow; mlflow.set_tracking_uri(sys.argv[1])",
        SEARCH_CALL.format(grid=GRID, runs=runs),
    )


@dataclass(frozen=True)
class Spent:
    """What one process took.

    Args:
        wall: seconds from its start to its end.
        call: seconds of what was asked for alone, without imports.
        cpu: seconds of processor time of all of it.
        peak: MB of resident memory.
        rows: runs that were read.
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
    sizes = (20, 200) if options.tiny else (1_000, 10_000)
    title = f"MLflow -> Parquet, {runs:,} runs"
    lines = []
    print(title, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        # Bytecode is kept, as where packages are installed.
        os.environ["PYTHONPYCACHEPREFIX"] = f"{folder}/bytecode"
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        first = first_collections(Path(folder), sizes)
        for line in chain(first, measured(Path(folder), runs, peers, options.rounds)):
            print(f"  {line}", flush=True)
            lines.append(line)
    if not options.tiny:
        content = {"circumstances": circumstances(), "sections": {title: lines}}
        write(options.out, "collection", content)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="processes of each kind")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes; nothing is kept")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where results are kept")
    return parser.parse_args()


def first_collections(folder: Path, sizes: Sequence[int]) -> Iterator[str]:
    """Collect runs with their predictions for the first time, few and then many."""
    _first_collection(folder / "compiles", 20, stated=False)
    for name, stated in (("", True), (", of runs that do not state their samples", False)):
        spent = [_first_collection(folder / f"{size} {stated}", size, stated) for size in sizes]
        few, many = spent
        growth = (many.cpu / sizes[1]) / (few.cpu / sizes[0])
        target = _judge(many.cpu, 15.0, "s") if stated else ""
        yield (
            f"a first collection of {sizes[1]:,} runs with {PREDICTIONS_ROWS:,} predictions each"
            f"{name}: {number(many.cpu)} s processor time, {number(many.wall)} s, peak memory "
            f"{many.peak:.0f} MB; {sizes[0]:,} runs: {number(few.cpu)} s; growth a run from "
            f"{sizes[0]:,} to {sizes[1]:,}: {growth:.2f}{target}"
        )


def _first_collection(folder: Path, runs: int, stated: bool) -> Spent:
    """Build a database whose runs have predictions, collect it, and remove both."""
    content = _predictions()
    tags = {reader.PREDICTIONS: hashlib.sha256(content).hexdigest()}
    if stated:
        tags[reader.SAMPLES] = stated_digest(content)
    folder.mkdir()
    uri = build(folder / "mlflow.db", runs, tags=tags)
    kept = folder / "predictions.parquet"
    kept.write_bytes(content)
    for run in range(runs):
        own = artifacts(folder / "mlflow.db") / run_id(run) / "artifacts"
        own.mkdir(parents=True)
        os.link(kept, own / kept.name)  # all runs share one file: the disk has room for one
    spent = _process(collecting(curves=True), uri, folder / "results")
    assert len(os.listdir(folder / "results" / "predictions")) == runs
    shutil.rmtree(folder)
    return spent


def _predictions() -> bytes:
    """Return predictions of landmarks as large as those of EchoNet-Dynamic's test split."""
    random = np.random.default_rng(0)
    rows: dict[str, list[Any]] = {name: [] for name in KEYS}
    for row in range(PREDICTIONS_ROWS):
        clip = f"0X{row // 2:016X}"
        labels = (clip, f"patient{row // 2}", "test", "landmarks", ("ED", "ES")[row % 2])
        for name, label in zip(KEYS, labels, strict=True):
            rows[name].append(label)
    columns: dict[str, Any] = {**rows}
    for name in ("dice", "mke"):
        columns[name] = random.random(PREDICTIONS_ROWS)
    columns["prediction"] = list(random.random((PREDICTIONS_ROWS, 80), np.float32).round(2))
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file, compression="zstd")
    return file.getvalue()


def measured(folder: Path, runs: int, peers: int, rounds: int) -> Iterator[str]:
    """Build a database, then collect it in several ways."""
    began = time.perf_counter()
    uri = build(folder / "mlflow.db", runs, foreign=runs // 5)
    seconds = time.perf_counter() - began
    size = (folder / "mlflow.db").stat().st_size / 1e6
    yield (
        f"SQLite database: {runs:,} runs of the grid with {PARAMS} params, {SCALARS + 5} latest"
        f" metrics and {POINTS} points each, and {runs // 5:,} runs of another project;"
        f" {size:,.0f} MB, made in {seconds:.0f} s"
    )
    yield (
        f"mlflow {version('mlflow')}, pyarrow {version('pyarrow')}, SQLite"
        f" {sqlite3.sqlite_version}; seconds are those of fresh processes, imports included:"
        " median (smallest-largest)"
    )
    collect = collecting(curves=False)
    _process(collect, uri, folder / "first")  # compiles, and reads the file into the page cache
    full = [_process(collect, uri, folder / f"runs {turn}") for turn in range(rounds)]
    yield _line("all runs, params and latest metrics", full, seconds=3.0, megabytes=400)
    out = folder / "runs 0"
    again = [_process(collect, uri, out) for _ in range(rounds)]
    yield _line("again, nothing new", again, seconds=0.5)
    again = []
    for first in range(2 * runs, 2 * runs + rounds):
        add(uri, range(first, first + 1), "another project")
        again.append(_process(collect, uri, out))
    yield _line("again, another project has written since", again, seconds=0.5)
    again = []
    for first in range(3 * runs, 3 * runs + 100 * rounds, 100):
        add(uri, range(first, first + 100))
        again.append(_process(collect, uri, out))
    yield _line("again, 100 runs more each time", again, seconds=0.5)
    points = (runs + 100 * rounds) * POINTS
    history = _process(collecting(curves=True), uri, out)
    yield _line(f"the history of all of these, {points:,} points", [history], megabytes=400)
    runs_mb = (out / "runs.parquet").stat().st_size / 1e6
    metrics_mb = sum(path.stat().st_size for path in (out / "metrics").iterdir()) / 1e6
    yield f"files: runs.parquet {runs_mb:.1f} MB, metrics/ {metrics_mb:.1f} MB"
    search = searching(peers)
    peer = [_process(search, uri, out) for _ in range(max(1, rounds // 2))]
    yield _line(f"peer: mlflow.search_runs of {peers:,} of these runs", peer)
    ratios = []
    for own, other in zip(full, cycle(peer), strict=False):
        ratios.append((other.call / peers) / (own.call / runs))
    yield (
        f"search_runs takes {spread(ratios)} times as long a run as collecting (calls without"
        f" imports; search_runs' time of {peers:,} runs scaled by run)"
    )


def _process(code: Code, uri: str, out: Path) -> Spent:
    """Run some code in a process of its own."""
    text = MEASURED.format(imports=code.imports, call=code.call)
    began = time.perf_counter()
    words = [sys.executable, "-c", text, uri, str(out)]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True)
    wall = time.perf_counter() - began
    return Spent(wall, **json.loads(done.stdout))


def _line(
    name: str, spent: list[Spent], seconds: float | None = None, megabytes: float | None = None
) -> str:
    """Spell what some processes took: median (smallest-largest).

    Args:
        name: what they did.
        spent: what each took.
        seconds: the target of the median. None without one.
        megabytes: the target of the largest peak. None without one.
    """
    walls = [process.wall for process in spent]
    peak = max(process.peak for process in spent)
    cpu = spread([process.cpu for process in spent])
    text = (
        f"{name}, {counted_processes(len(spent))}: {spread(walls)} s, of these {cpu} s processor"
        f" time; peak memory {peak:.0f} MB; runs read: {spent[-1].rows:,}"
    )
    if seconds is not None:
        text += _judge(sorted(walls)[len(walls) // 2], seconds, "s")
    if megabytes is not None:
        text += _judge(peak, megabytes, "MB")
    return text


def counted_processes(count: int) -> str:
    """Spell a number of processes."""
    return "1 process" if count == 1 else f"{count} processes"


def _judge(value: float, target: float, unit: str) -> str:
    """Spell what became of a target."""
    return f"; target {target:g} {unit}: {'met' if value <= target else 'MISSED'}"


if __name__ == "__main__":
    main()
