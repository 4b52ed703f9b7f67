"""Processes of EchoLM look for garbage seldom, and release what nothing refers to at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from echolm.garbage import OBJECTS

STARTS = {
    "a command": "from echolm.cli.main import main; main(['grid', 'list'], standalone_mode=False)",
    "a job": (
        "import cluster.slurm.job.run as job\n"
        "from cluster.slurm.job.callable import BatchCallable\n"
        "job.run_job = print\n"
        "BatchCallable('folder')()"
    ),
}


@pytest.mark.parametrize("begin", STARTS.values(), ids=STARTS)
def test_who_begins_a_process_says_so(begin: str) -> None:
    script = f"import gc\n{begin}\nprint(gc.isenabled(), *gc.get_threshold())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == [f"True {OBJECTS} 10 10"], done.stderr
