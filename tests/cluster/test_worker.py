"""The end of a local worker."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STOPPED_WORKER = """
import sys, time
import cluster.worker

cluster.worker.train_unit = lambda *unit: "SIGTERM"
settings = {"workspace": sys.argv[1], "grid": "g", "threads": 1, "micro_batch": None,
            "precision": "fp32", "compile": False, "times": {}}
cluster.worker.run_worker(settings, "cpu")
time.sleep(0.5)  # the end of its input comes now
"""
"""A worker whose unit has been interrupted, and whose process takes a moment to end."""


def test_a_worker_that_has_stopped_is_not_killed_by_the_end_of_its_input(tmp_path: Path) -> None:
    """The launcher answers the end of a worker's output with the end of its input."""
    command = [sys.executable, "-c", STOPPED_WORKER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdin and worker.stdout
        assert b"ready" in worker.stdout.readline()
        os.write(worker.stdin.fileno(), b'{"cells": [], "configs": {}}\n')
        assert worker.stdout.read() == b""
        worker.stdin.close()
        assert worker.wait() == 0
