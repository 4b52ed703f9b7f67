"""A Ray cluster inside a SLURM allocation: one job, a node of the cluster on each of its nodes, ended with the job.

``<folder>``, which login and compute nodes see and only its owner may read::

    job.sh      what sbatch ran                     log         what the nodes said
    token       whoever has it may use the cluster  address     host:port of the head and where the token is, while all nodes
                                                                are there

Ports are the system's choice and the token is the job's own, so clusters of several users share nodes without collision.
"""

from __future__ import annotations

import math
import os
import re
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.profile import Profile
from cluster.slurm.commands import environment
from cluster.slurm.queue import QueuedJob, ask_squeue
from echolm.errors import EchoLMError
from echolm.record import write_atomic, writing

LOOK_S = 1.0
"""How often the address is looked for."""
OFTEN_S, SELDOM_S = 10.0, 15.0
"""squeue is asked at each look for so long, and then that seldom: a job may wait for days."""
PATIENCE_S = 60.0
"""Until one is told that squeue does not answer."""


@dataclass(frozen=True)
class Allocation:
    """What one asks SLURM for: nodes, minutes, and CPUs and GPUs on each node."""

    nodes: int
    minutes: int
    cpus: int
    gpus: int


def allocation(profile: Profile, nodes: int, minutes: int | None, cpus: int | None, gpus: int | None) -> Allocation:
    """With the profile's values where nothing was asked for: whole nodes. EchoLMError when a node has less."""
    has = profile.has
    found = Allocation(nodes, minutes or profile.time_minutes, cpus or has.cpus_per_node, has.gpus_per_node if gpus is None else gpus)
    for name, given, most in (("cpus", found.cpus, has.cpus_per_node), ("gpus", found.gpus, has.gpus_per_node), ("minutes", found.minutes, has.max_minutes)):
        if most is not None and given > most:
            raise EchoLMError(f"--{name} {given}: partition {profile.partition} has {most}; valid: up to {most}")
    return found


def script(folder: Path, profile: Profile, wanted: Allocation) -> str:
    """The sbatch script."""
    gpus, has = profile.gpu_request(wanted.gpus), profile.has
    memory = int(has.memory_gb_per_node * 1024 * wanted.cpus / has.cpus_per_node)  # the CPUs' share of the node's
    options = {
        "job-name": "echolm-ray", "comment": folder.name, "partition": profile.partition, "account": profile.account, "qos": profile.qos,
        "wckey": profile.wckey, "constraint": profile.constraint, "exclude": ",".join(profile.exclude), "nodes": wanted.nodes, "ntasks-per-node": 1,
        "cpus-per-task": wanted.cpus, "mem": f"{memory}M", "time": wanted.minutes,
        "chdir": folder, "output": folder / "log", "export": "ALL", "no-requeue": True, **dict([gpus] if gpus else []), **profile.extra,
    }  # fmt: skip
    variables = {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": folder / "token", "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", "SRUN_CPUS_PER_TASK": wanted.cpus,
    }  # fmt: skip
    return "\n".join([
        "#!/bin/bash",
        *(f"#SBATCH --{name}" + ("" if value is True else f"={shlex.quote(str(value))}") for name, value in options.items() if value),
        *profile.setup,
        "unset RAY_ADDRESS RAY_AUTH_TOKEN  # of another cluster",
        *(f"export {name}={shlex.quote(str(value))}" for name, value in variables.items() if value),
        f"exec srun --kill-on-bad-exit=1 --export=ALL {shlex.join([*profile.command, '-m', 'cluster.ray.allocation', str(folder)])}",
        "",
    ])  # fmt: skip


def submit(folder: Path, profile: Profile, wanted: Allocation) -> str:
    """Make ``folder`` and submit its job; the job's id. EchoLMError: sbatch refuses, with its words."""
    with writing(folder):
        folder.mkdir(parents=True, mode=0o700)
        token = os.open(folder / "token", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(token, secrets.token_hex(32).encode())
        os.close(token)
    write_atomic(folder / "job.sh", script(folder, profile, wanted).encode())
    try:
        command = ["sbatch", "--parsable", str(folder / "job.sh")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment())
    except FileNotFoundError:
        raise EchoLMError("sbatch is not there: this is not a login node of a SLURM cluster, or its module is not loaded") from None
    except subprocess.TimeoutExpired:
        raise EchoLMError("sbatch did not answer within 120 s; look for a job named echolm-ray in squeue before you try again") from None
    job = done.stdout.strip().partition(";")[0]
    if done.returncode or not job.isdecimal():
        said = re.sub(r"\s+", " ", done.stderr or done.stdout).strip()
        shutil.rmtree(folder)
        raise EchoLMError(f"sbatch refused the job of the Ray cluster: {said}; see: echolm cluster check PROFILE")
    return job


def wait(folder: Path, job: str, tell: Callable[[str], None]) -> str:
    """Wait until the cluster is there; its address. squeue is asked often at first and then seldom; ``tell`` hears, once, that it
    has not answered for a while, and the wait goes on. EchoLMError: the job has ended, with the end of its log."""
    from cluster.ray.connection import read_address

    began = answered = time.monotonic()
    asked, told = -math.inf, False
    while not (folder / "address").exists():
        now = time.monotonic()
        if now - asked >= (LOOK_S if now - began < OFTEN_S else SELDOM_S):
            asked = now
            try:
                jobs = ask_squeue()
            except EchoLMError as error:
                if now - answered >= PATIENCE_S and not told:
                    tell(f"{str(error).removesuffix(': try again')}; job {job} is not affected by that; still waiting (Ctrl-C: do not wait)")
                    told = True
            else:
                answered, told = now, False
                _check(folder, job, jobs)
        time.sleep(LOOK_S)
    return str(read_address(folder)["address"])


def _check(folder: Path, job: str, jobs: list[QueuedJob]) -> None:
    """EchoLMError when the job has ended."""
    if not any(queued.array == job and queued.alive for queued in jobs):
        log = (folder / "log").read_text(errors="replace").strip().splitlines() if (folder / "log").exists() else []
        raise EchoLMError(f"job {job} ended before the cluster was there: {log[-1] if log else 'it wrote nothing'}; see {folder / 'log'}")
