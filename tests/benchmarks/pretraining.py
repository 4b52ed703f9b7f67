"""CPU seconds of a pretraining of ``pretrain-phantom``: ``python -m tests.benchmarks.pretraining``.

It makes the store of that grid (600 phantom videos, 360 of them to train), trains the first cell of
its block ``pretraining`` in a process of its own on one thread, and prints what that process took,
imports included. With ``--store FOLDER`` the workspace that holds the store is kept there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from echolm.workspace import Workspace
from grid.definition.grid import load_grid

GRID = "pretrain-phantom"
BLOCK = "pretraining"
GOAL_SECONDS = 150
ROOT = Path(__file__).parents[2]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.pretraining")
    parser.add_argument("--store", type=Path, help="make the store here, and leave it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.store or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if not (Workspace(folder).root / "data" / GRID).exists():
            _make_store(folder)
        cell = load_grid(GRID).where((f"subgrid={BLOCK}",))[0]
        seconds, megabytes = _run(folder, "train", cell.id, "--threads", "1")
    outcome = "met" if seconds < GOAL_SECONDS else "NOT MET"
    print(
        f"pretraining of {cell.id} on 360 clips: {seconds:.1f} CPU s, peak {megabytes:.0f} MB; "
        f"goal {GOAL_SECONDS} s: {outcome}"
    )


def _make_store(folder: Path) -> None:
    raw = str(folder / "raw")
    _run(folder, "data", "phantom", "echonet-dynamic", raw, "--videos", "600", "--seed", "11")
    clips = ("--clips", "all", "--size", "32", "--name", GRID)
    _run(folder, "data", "prepare", "echonet-dynamic", raw, *clips)


def _run(folder: Path, *words: str) -> tuple[float, float]:
    """Run a command in a process of its own. Return its CPU seconds and its peak in MB."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "echolm.cli", "--workspace", str(folder), *words]
    child = os.fork()
    if child == 0:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        os.execve(sys.executable, command, environment)
    _, status, usage = os.wait4(child, 0)
    if status:
        raise SystemExit(f"echolm {' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1_000


if __name__ == "__main__":
    main()
