"""Run a Ray cluster inside a SLURM allocation.

It is one job with a node of the cluster on each of its nodes, and ends with the job. ``<folder>``,
which login and compute nodes see and only its owner may read::

    job.sh      what sbatch ran
    log         what the nodes said
    token       whoever has it may use the cluster
    address     host:port of the head and where the token is, while all nodes are there

Ports are the system's choice and the token is the job's own, so clusters of several users share
nodes without collision.
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
from typing import Any

from cluster.profile import Profile
from cluster.slurm.commands import environment
from cluster.slurm.submit.queue import QueuedJob, ask_scontrol, ask_squeue, find_unanswered
from cluster.slurm.submit.sbatch import refuse_percent
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.files import write_atomic, writing

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


def allocation(
    profile: Profile, nodes: int, minutes: int | None, cpus: int | None, gpus: int | None
) -> Allocation:
    """Return what to ask for, with the profile's values where nothing was asked for: whole nodes.

    Raises:
        EchoLMError: a node has less.
    """
    has = profile.has
    asked = Allocation(
        nodes=nodes,
        minutes=minutes or profile.time_minutes,
        cpus=cpus or has.cpus_per_node,
        gpus=has.gpus_per_node if gpus is None else gpus,
    )
    limits = (
        ("cpus", asked.cpus, has.cpus_per_node),
        ("gpus", asked.gpus, has.gpus_per_node),
        ("minutes", asked.minutes, has.max_minutes),
    )
    for name, number, most in limits:
        if most is not None and number > most:
            raise EchoLMError(
                f"--{name} {number}: partition {profile.partition} has {most}; valid: up to {most}"
            )
    return asked


def script(folder: Path, profile: Profile, wanted: Allocation) -> str:
    """Return the sbatch script."""
    lines = ["#!/bin/bash"]
    for name, value in _sbatch_options(folder, profile, wanted).items():
        if value is True:
            lines.append(f"#SBATCH --{name}")
        elif value:
            lines.append(f"#SBATCH --{name}={shlex.quote(str(value))}")
    lines += profile.setup
    lines.append("unset RAY_ADDRESS RAY_AUTH_TOKEN  # of another cluster")
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "SRUN_CPUS_PER_TASK": str(wanted.cpus),
    }
    for name, value in variables.items():
        if value:
            lines.append(f"export {name}={shlex.quote(value)}")
    task = shlex.join([*profile.command, "-m", "cluster.ray.allocation", str(folder)])
    lines.append(f"exec srun --kill-on-bad-exit=1 --export=ALL {task}")
    return "\n".join(lines) + "\n"


def _sbatch_options(folder: Path, profile: Profile, wanted: Allocation) -> dict[str, Any]:
    """Return sbatch's options. True stands for one without a value, and empty ones are left out."""
    has = profile.has
    # the CPUs' share of the node's memory
    memory_mib = int(has.memory_gb_per_node * 1024 * wanted.cpus / has.cpus_per_node)
    options: dict[str, Any] = {
        "job-name": "echolm-ray",
        "comment": folder.name,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "wckey": profile.wckey,
        "constraint": profile.constraint,
        "exclude": ",".join(profile.exclude),
        "nodes": wanted.nodes,
        "ntasks-per-node": 1,
        "cpus-per-task": wanted.cpus,
        "mem": f"{memory_mib}M",
        "time": wanted.minutes,
        "chdir": folder,
        "output": folder / "log",
        "export": "ALL",
        "no-requeue": True,
    }
    if gpus := profile.gpu_request(wanted.gpus):
        option, value = gpus
        options[option] = value
    return options | profile.extra


def submit(folder: Path, profile: Profile, wanted: Allocation) -> str:
    """Make ``folder`` and submit its job. Return the job's id.

    Raises:
        EchoLMError: sbatch refuses, with its words, or would misread the path.
    """
    refuse_percent(folder)
    with writing(folder):
        folder.mkdir(parents=True, mode=0o700)
        token = os.open(folder / "token", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        os.write(token, secrets.token_hex(32).encode())
        os.close(token)
    write_atomic(folder / "job.sh", script(folder, profile, wanted).encode())
    command = ["sbatch", "--parsable", str(folder / "job.sh")]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=environment()
        )
    except FileNotFoundError:
        raise EchoLMError(
            "sbatch is not there: this is not a login node of a SLURM cluster, or its module is "
            "not loaded"
        ) from None
    except subprocess.TimeoutExpired:
        raise EchoLMError(
            "sbatch did not answer within 120 s; look for a job named echolm-ray in squeue before "
            "you try again"
        ) from None
    job = done.stdout.strip().partition(";")[0]
    if done.returncode or not job.isdecimal():
        said = re.sub(r"\s+", " ", done.stderr or done.stdout).strip()
        if job := find_unanswered(said, folder.name):
            return job
        shutil.rmtree(folder)
        raise EchoLMError(
            f"sbatch refused the job of the Ray cluster: {said}; see",
            Command("cluster check", "PROFILE"),
        )
    return job


def wait(folder: Path, job: str, tell: Callable[[str], None]) -> str:
    """Wait until the cluster is there. Return its address.

    Args:
        folder: the cluster's.
        job: its job's id. squeue is asked for it often at first and then seldom.
        tell: hears, once, that squeue has not answered for a while. The wait goes on.

    Raises:
        EchoLMError: the job has ended, with the end of its log.
    """
    from cluster.ray.connection import read_address

    began = time.monotonic()
    answered = began
    asked = -math.inf
    has_told = False
    while not (folder / "address").exists():
        now = time.monotonic()
        pause = LOOK_S if now - began < OFTEN_S else SELDOM_S
        if now - asked >= pause:
            asked = now
            try:
                jobs = ask_squeue()
            except EchoLMError as error:
                if now - answered >= PATIENCE_S and not has_told:
                    complaint = str(error).removesuffix(": try again")
                    tell(
                        f"{complaint}; job {job} is not affected by that; still waiting "
                        "(Ctrl-C: do not wait)"
                    )
                    has_told = True
            else:
                answered, has_told = now, False
                _check_alive(folder, job, jobs)
        time.sleep(LOOK_S)
    return str(read_address(folder)["address"])


def _check_alive(folder: Path, job: str, jobs: list[QueuedJob]) -> None:
    """Check that the job waits or runs.

    Raises:
        EchoLMError: it has ended.
    """
    if any(queued.array == job and queued.alive for queued in jobs):
        return
    if not jobs:  # a squeue that says nothing at all is not believed
        try:
            if ask_scontrol(job):
                return
        except EchoLMError:  # the next look tells
            return
    log = folder / "log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    last = lines[-1] if lines else "it wrote nothing"
    raise EchoLMError(f"job {job} ended before the cluster was there: {last}; see {log}")
