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
    """Also at its end, where Python looks through everything by itself."""
    script = (
        "import atexit, gc\n"
        "atexit.register(lambda: print('left alone:', gc.get_freeze_count()))\n"
        f"{begin}\n"
        "print(gc.isenabled(), *gc.get_threshold(), gc.get_freeze_count())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    *_, begun, ended = done.stdout.splitlines()
    assert begun == f"True {OBJECTS} 10 10 0", done.stderr
    assert int(ended.removeprefix("left alone: ")) > 1000
