"""Run SLURM's commands so that they say the same for every user.

Variables change what the commands print and do. SLURM_TIME_FORMAT, SQUEUE_* and SACCT_* change
their output, SLURM_CLUSTERS changes whom they ask, and SBATCH_* changes what a script's #SBATCH
lines ask for. Inside a job (salloc, srun --pty) there are also that job's own variables, which
sbatch would hand on to new jobs and their srun. None of these reaches a command: what a job asks
for stands in the profile.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

LEFT_OUT = (
    "SBATCH_",
    "SQUEUE_",
    "SACCT_",
    "SCANCEL_",
    "SCONTROL_",
    "SINFO_",
    "SLURM_",
    "SLURMD_",
    "SRUN_",
)
"""How the names of variables begin that the commands do not get."""
KEPT = ("SLURM_CONF", "SLURM_JWT")
"""Variables that the commands get nevertheless: where the site's configuration lies, and the token
of sites that ask for one."""
OF_A_RANK = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables that make a process one of several ranks. A job's ranks meet by themselves."""
ADDED = {"SLURM_TIME_FORMAT": "standard", "SLURM_BITSTR_LEN": "0"}
"""Variables that the commands get besides: times as dates, and indices of arrays in full."""


def environment() -> dict[str, str]:
    """Return this process's environment as SLURM's commands get it."""
    variables = {}
    for name, value in os.environ.items():
        left_out = name.startswith(LEFT_OUT) and name not in KEPT
        if not left_out and name not in OF_A_RANK:
            variables[name] = value
    return variables | ADDED


@contextmanager
def as_environment() -> Iterator[None]:
    """Let ``os.environ`` be ``environment()`` in a block, for a library that starts sbatch."""
    before = dict(os.environ)
    inside = environment()
    try:
        os.environ.clear()
        os.environ.update(inside)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run(command: Sequence[str], seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command and return what it said.

    One that cannot be run, or does not answer in time, counts as failed, and its standard error
    says so.
    """
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=environment(),
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        complaint = f"{command[0]} did not answer within {seconds:g} s"
    except OSError as error:
        complaint = f"{command[0]} cannot be run: {error.strerror or error}"
    return subprocess.CompletedProcess(command, 1, "", complaint)
