"""Tables and the report of large grids: ``python -m tests.benchmarks.tables``.

It makes the collected files of grids of about 1,000, 3,000 and 10,000 cells (three seeds a setting,
four columns, 172 test clips, every 40th setting lacks a seed), then runs ``echolm tables`` in each
format and ``echolm report`` on them, each in a process of its own. It prints CPU seconds, peak MB
and how fast they grow, and keeps nothing.

python -m tests.benchmarks.tables                 all of it: some minutes, 0.7 GB of files
python -m tests.benchmarks.tables --cells 1000    one size
python -m tests.benchmarks.tables --only md report
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from echolm.workspace import Workspace
from grid.definition.grid import Cell, load_grid
from grid.results.files import HISTORY_FOLDER, RUNS_FILE, predictions_path
from grid.results.schema import METRICS

SIZES = (1_000, 3_000, 10_000)
FORMATS = ("md", "latex", "csv", "parquet", "html")
COMMANDS = (*FORMATS, "report")
SEEDS = 3
CLIPS = 172
COORDINATES = 160
EPOCHS = 20
GOAL_SECONDS, GOAL_MB = 60, 1_000
"""For each command, at 10,000 cells."""
LACKING = 40
"""Every such setting lacks a seed."""
AXES: dict[str, list[Any]] = {
    "trainable": ["k0", "k1", "k2", "all"],
    "head": ["mlp", "gcn"],
    "augmentation": ["none", "bhoodoo2026"],
    "fraction": [
        {"label": "100%", "set": {"data.fraction": 1.0}},
        {"label": "10%", "set": {"data.fraction": 0.1}},
    ],
}
HISTORY_KEYS = ("train/loss", "val/loss", "val/dice/ED", "val/dice/ES", "val/mke/ED", "val/mke/ES")
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Measured:
    """What a command took."""

    cells: int
    seconds: float
    megabytes: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tables")
    parser.add_argument("--cells", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--only", nargs="+", choices=COMMANDS, default=list(COMMANDS))
    parser.add_argument("--keep", type=Path, help="make the files here, and leave them")
    options = parser.parse_args()
    measured: dict[str, list[Measured]] = {command: [] for command in options.only}
    for size in options.cells:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.keep / str(size) if options.keep else Path(temporary)
            cells = make(folder, size)
            for command in options.only:
                result = measure(folder, command, cells)
                measured[command].append(result)
                print(_line(command, result), flush=True)
    for command, results in measured.items():
        if len(results) > 1:
            print(f"{command}: {_growth(results)}")


def make(folder: Path, size: int) -> int:
    """Make a workspace with a grid of about so many cells and its collected files.

    Returns:
        How many cells the grid has.
    """
    path = folder / "large.yaml"
    if path.exists():
        return len(load_grid(str(path)).cells)
    settings = 1
    for labels in AXES.values():
        settings *= len(labels)
    rates = math.ceil(size / SEEDS / settings)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(_definition(rates), sort_keys=False), encoding="utf-8")
    cells = load_grid(str(path)).cells
    results = Workspace(folder).results("large")
    (results / "predictions").mkdir(parents=True)
    (results / HISTORY_FOLDER).mkdir()
    runs = []
    for number, cell in enumerate(cells):
        lacks = number // SEEDS % LACKING == 0 and cell.coordinates["seed"] == str(SEEDS - 1)
        if not lacks:
            runs.append(_run(number, cell))
            pq.write_table(
                _predictions(number),
                predictions_path(results, runs[-1]["fingerprint"]),
                compression="zstd",
            )
    pq.write_table(pa.Table.from_pylist(runs), results / RUNS_FILE, compression="zstd")
    part = results / HISTORY_FOLDER / "part-000000.parquet"
    pq.write_table(_history(runs), part, compression="zstd")
    return len(cells)


def measure(folder: Path, command: str, cells: int) -> Measured:
    """Run a command in a process of its own. Its output is a file that is thrown away."""
    out = folder / f"out.{command}"
    words = ["report", "large.yaml"]
    if command != "report":
        words = ["tables", "large.yaml", "--format", command]
    code = [sys.executable, "-m", "echolm.cli", "--workspace", ".", *words, "--out", out.name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    # Bytecode is kept, as where packages are installed.
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    child = os.fork()
    if child == 0:
        os.chdir(folder)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.execve(sys.executable, [str(word) for word in code], environment)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"echolm {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    seconds = usage.ru_utime + usage.ru_stime
    return Measured(cells, seconds, usage.ru_maxrss / 1_000)


def _definition(rates: int) -> dict[str, Any]:
    """Return the YAML of a grid with so many learning rates."""
    learning_rates = []
    for number in range(rates):
        rate = {"optimizer": {"name": "adam", "lr": 1e-4 * (1 + number)}}
        learning_rates.append({"label": f"lr{number}", "set": rate})
    columns = []
    for metric, unit in (("dice", "%"), ("mke", "px")):
        for slot in ("ED", "ES"):
            label = f"{metric} {slot} ({unit})"
            columns.append({"metric": metric, "slot": slot, "label": label})
    axes = {**AXES, "lr": learning_rates, "seed": list(range(SEEDS))}
    table = {"title": "A large table", "rows": [*AXES, "lr"], "columns": columns}
    base = {"data": "phantom", "task": "landmarks", "encoder": "tiny-r3d", "epochs": EPOCHS}
    return {"title": "A large grid", "base": base, "axes": axes, "tables": {"main": table}}


def _run(number: int, cell: Cell) -> dict[str, Any]:
    """Return the row of ``runs.parquet`` of a cell."""
    start = START + timedelta(seconds=60 * number)
    return {
        "run_id": f"{number:032x}",
        "fingerprint": f"{number:016x}".ljust(64, "0"),
        "cell": cell.id,
        "commit": "c0ffee" * 6,
        "host": "node1",
        "device": "cpu",
        "data": "a" * 64,
        "synthetic": True,
        "start": start,
        "end": start + timedelta(seconds=50),
        "problem": None,
        "history": "part-000000.parquet",
        "params.data.name": "phantom",
        "params.task.name": "landmarks",
        "metrics.run/seconds": 50.0 + number % 7,
        "metrics.run/epochs": float(EPOCHS),
        "metrics.run/best_epoch": float(number % EPOCHS),
    }


def _predictions(number: int) -> pa.Table:
    """Return the predictions of a run: two slots a clip, with contours."""
    random = np.random.default_rng(number)
    rows = 2 * CLIPS
    clips = np.repeat(np.arange(CLIPS), 2)
    quality = random.normal(0, 0.5) + (number // SEEDS % 97) / 50
    hardness = np.sin(clips * 12.9898) * 3
    contour = pa.array([np.linspace(20, 90, COORDINATES)], pa.list_(pa.float32()))
    contours = contour.take(pa.array(np.zeros(rows, np.int64)))
    dice = np.clip(88 + hardness + quality + random.normal(0, 1.5, rows), 0, 100)
    return pa.table(
        {
            "sample": pa.array([f"clip-{clip:06}" for clip in clips]),
            "patient": pa.array([f"patient-{clip:06}" for clip in clips]),
            "split": pa.array(["test"] * rows),
            "target": pa.array(["landmarks"] * rows),
            "slot": pa.array(["ED", "ES"] * CLIPS),
            "truth": contours,
            "prediction": contours,
            "dice": dice,
            "mke": np.abs(5 - hardness / 3 - quality + random.normal(0, 0.5, rows)),
        }
    )


def _history(runs: list[dict[str, Any]]) -> pa.Table:
    """Return the learning curves of some runs."""
    keys = len(HISTORY_KEYS)
    points = keys * EPOCHS
    steps = np.tile(np.arange(EPOCHS), keys)
    values = np.repeat(np.arange(keys), EPOCHS) + 1 / (1 + steps)
    return pa.table(
        {
            "run_id": np.repeat([run["run_id"] for run in runs], points),
            "key": np.tile(np.repeat(HISTORY_KEYS, EPOCHS), len(runs)),
            "step": np.tile(steps, len(runs)),
            "time": pa.array([START] * (points * len(runs)), METRICS.field("time").type),
            "value": np.tile(values, len(runs)),
        },
        schema=METRICS,
    )


def _line(command: str, result: Measured) -> str:
    text = (
        f"{command:8} {result.cells:>6,} cells: {result.seconds:6.1f} CPU s, "
        f"peak {result.megabytes:5,.0f} MB"
    )
    if result.cells < SIZES[-1]:
        return text
    is_met = result.seconds < GOAL_SECONDS and result.megabytes < GOAL_MB
    return f"{text}; goal {GOAL_SECONDS} s, {GOAL_MB:,} MB: {'met' if is_met else 'NOT MET'}"


def _growth(results: list[Measured]) -> str:
    """Say by which power of the cells the seconds grow, beyond those of the smallest grid."""
    first, last = results[0], results[-1]
    power = math.log(last.seconds / first.seconds) / math.log(last.cells / first.cells)
    return (
        f"{last.cells / first.cells:.1f} x the cells, {last.seconds / first.seconds:.1f} x the CPU "
        f"seconds (cells to the power of {power:.2f})"
    )


if __name__ == "__main__":
    main()
