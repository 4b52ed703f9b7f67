"""A SLURM that the lab did not start is never touched: where one is found, the lab refuses."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import psutil

from echolm.errors import EchoLMError
from tests.slurm import processes
from tests.slurm.settings import marker

DAEMONS = ("slurmctld", "slurmd", "slurmdbd", "munged")


def is_labs(conf: str) -> bool:
    """Whether a SLURM_CONF is a lab's, this one's or another's."""
    path = Path(conf)
    return (
        path.name == "slurm.conf"
        and path.parent.name == "etc"
        and marker(path.parent.parent).is_file()
    )


def found(
    root: Path = Path("/"),
    environment: Mapping[str, str] = os.environ,
    names: Collection[str] = DAEMONS,
) -> Iterator[str]:
    """Every sign of a foreign SLURM, with its remedy. ``root``: where etc/ is looked for;
    ``names``: what its daemons are called.
    """
    for conf in sorted(root.glob("etc/slurm*/slurm.conf")):
        yield (
            f"{conf} configures a SLURM of this machine; run the lab on a machine or in a "
            "container without one"
        )
    conf_name = environment.get("SLURM_CONF", "")
    if conf_name and not is_labs(conf_name):
        yield f"SLURM_CONF={conf_name} points to a SLURM that is not the lab's; unset SLURM_CONF"
    if "SLURM_JOB_ID" in environment and not is_labs(conf_name):
        yield f"this is inside SLURM job {environment['SLURM_JOB_ID']}; run the lab outside of it"
    yield from map(told, running(names))


def running(names: Collection[str]) -> list[psutil.Process]:
    """SLURM's and munge's daemons on this machine that no lab started."""
    here = [process for process in psutil.process_iter() if processes.name(process) in names]
    return [
        p
        for p in here
        if not is_labs(processes.environment(p).get("SLURM_CONF", "")) and processes.name(p)
    ]


def refuse() -> None:
    """EchoLMError: a foreign SLURM is here."""
    if signs := list(found()):
        raise EchoLMError(
            "the SLURM lab does not start beside a SLURM that it did not start. " + ". ".join(signs)
        )


def told(process: psutil.Process) -> str:
    """A foreign daemon, and what to do about it."""
    name = processes.name(process)
    service = "munge" if name == "munged" else name
    return (
        f"{name} runs as process {process.pid} and is not a lab's; if nobody needs it, "
        f"'service {service} stop', else run the lab elsewhere"
    )
