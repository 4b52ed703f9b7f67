"""Running SLURM's commands so that they say the same for every user.

Variables change what they print and do: SLURM_TIME_FORMAT, SQUEUE_* and SACCT_* their output, SLURM_CLUSTERS whom they ask,
and SBATCH_* what a script's #SBATCH lines ask for. Inside a job (salloc, srun --pty) there are also that job's own, which
sbatch would hand on to new jobs and their srun. None of these reaches them: what a job asks for stands in the profile.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

LEFT_OUT = ("SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SCONTROL_", "SINFO_", "SLURM_", "SLURMD_", "SRUN_")
"""How the names of variables begin that they do not get."""
KEPT = ("SLURM_CONF", "SLURM_JWT")
"""Those that they get nevertheless: where the site's configuration lies, and the token of sites that ask for one."""
OF_A_RANK = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables that make a process one of several ranks; a job's ranks meet by themselves."""
GIVEN = {"SLURM_TIME_FORMAT": "standard", "SLURM_BITSTR_LEN": "0"}
"""What they get: times as dates, and indices of arrays in full."""


def environment() -> dict[str, str]:
    """This process's environment as SLURM's commands get it."""
    kept = {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(LEFT_OUT)}
    return {name: value for name, value in kept.items() if name not in OF_A_RANK} | GIVEN


@contextmanager
def as_environment() -> Iterator[None]:
    """``os.environ`` is ``environment()`` in this block: for a library that starts sbatch itself."""
    before, own = dict(os.environ), environment()
    try:
        os.environ.clear()
        os.environ.update(own)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run(command: Sequence[str], seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """What a command said. One that cannot be run, or does not answer, has failed, and says so."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment(), stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not answer within {seconds:g} s")
    except OSError as error:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} cannot be run: {error.strerror or error}")
