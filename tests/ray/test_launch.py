"""What a launch on Ray does that no other does, or that engines do in their own ways: ranks, signals, nodes, tokens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from engines import Engine, ray_engine
from launch_support import Done, Reference, Shell, ended, result, until

from cluster.ray.executor import RayExecutor
from cluster.ray.node import start_node
from echolm.errors import EchoLMError
from grid.definition import Cell, load_grid
from grid.plan import Job, Limits, Report, Resources, Unit, save_cells

SMALL = {"name": "mlp", "width": 16}
BLANK = {"encoder": "none", "trainable": "k0"}


@pytest.fixture
def engine(ray_cluster: str, shell: Shell) -> Engine:
    """Ray, in the workspace of ``shell``."""
    return ray_engine(shell)


def start(shell: Shell, grid: Path, address: str, slots: int = 2) -> subprocess.Popen[str]:
    """The same in a process of its own."""
    save_cells(load_grid(str(grid)), shell.workspace)
    words = [sys.executable, str(Path(__file__).with_name("driver.py")), str(shell.workspace.root), grid.stem, address, str(slots)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    cells = [cell.id for cell in shell.cells(grid)]
    return subprocess.Popen([*words, *cells], env=shell.environment(), cwd=shell.root, start_new_session=True, **pipes)  # type: ignore[call-overload,no-any-return]


class TestRanks:
    """Several processes train one unit, placed by Ray."""

    def test_two_ranks_give_what_one_gives_and_survive_the_loss_of_one(self, engine: Engine, shell: Shell, reference: Reference) -> None:
        grid = shell.grid({"head": ["slow"]}, epochs=3, **BLANK)
        [cell] = shell.cells(grid)
        shell.slow(0.3)

        def lose_a_rank() -> None:
            until(lambda: shell.epochs(cell) >= 1, "an epoch")
            log = (shell.workspace.grids / "toy" / "workers" / "ray-0.1.log").read_text()
            psutil.Process(int(re.findall(r"worker (\d+)", log)[-1])).kill()
            shell.slow(0)

        engine.launch(grid, meanwhile=lose_a_rank, ranks=2)
        record = shell.record(cell)
        assert [report.facts["how"] for report in engine.reports if report.event == "died"], engine.reports
        assert record.attempts() == [1, 2]
        assert record.events(1)[-1]["event"] == "interrupted", "the rank that was left stopped by itself"
        started = [event for number in (1, 2) for event in record.events(number) if event["event"] == "started"]
        assert [event["world"] for event in started] == [2, 2] and started[1]["epoch"] >= 1
        assert record.summary()["metrics"] == pytest.approx(reference(cell)[0], rel=1e-3)  # type: ignore[index]
