"""What stands in the sbatch script, as submitit's parameters: resources, the environment of the pinned code, and what the
script does when its tasks were killed."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from cluster.batch import Batch
from cluster.profile import Profile
from cluster.slurm.again import LOST
from cluster.slurm.arrays import Array

RESTARTS = 3
"""How often a job whose tasks are killed, by nobody that SLURM knows of, starts itself again."""
PASSED_ON = ("ECHOLM_PLUGINS", "ECHOLM_WEIGHTS")
"""Variables of the submitting shell that the jobs get; paths in them as seen from there."""


def parameters(batch: Batch, profile: Profile, exclude: tuple[str, ...] = (), array: Array | None = None) -> dict[str, Any]:
    """Parameters of ``submitit.SlurmExecutor`` for an array of a batch. EchoLMError when the request fits no node.

    A throttle that limits nothing is left out: SLURM counts a job on a node that died against it, and would not start that
    very job again before the node is back.
    """
    needs = batch.resources
    profile = profile.asking(needs.threads, needs.memory_gb, needs.minutes)
    shape = profile.shape(needs.gpus) if needs.gpus else profile.shape(ranks=needs.ranks)
    gpus = profile.gpu_request(shape.gpus_per_node)
    chosen: dict[str, Any] = {
        "job_name": f"echolm-{batch.grid}", "comment": batch.name, "partition": profile.partition,
        "account": profile.account, "qos": profile.qos, "constraint": profile.constraint,
        "nodes": shape.nodes, "ntasks_per_node": shape.tasks_per_node, "cpus_per_task": profile.cpus_per_task,
        "mem": f"{max(1, profile.memory_gb * 1024):.0f}M" if profile.memory_gb else None, "time": needs.minutes, "signal_delay_s": profile.warning_seconds,
        "exclude": ",".join(sorted({*profile.exclude, *exclude})), "setup": setup(batch, profile), "teardown": teardown(batch),
        "srun_args": ["--kill-on-bad-exit=1", "--export=ALL"],
        "additional_parameters": {"requeue": True, "chdir": str(batch.path), "export": "ALL", **dict([gpus] if gpus else []), **profile.extra},
    }  # fmt: skip
    if array and array.at_once < array.count:
        chosen["array_parallelism"] = array.at_once
    elif array and array.count > 1:
        chosen["additional_parameters"]["array"] = f"0-{array.count - 1}"
    given = {name: value for name, value in chosen.items() if value not in (None, "")}
    return {**given, "wckey": profile.wckey}  # None: left out; without it, submitit would send its own


def setup(batch: Batch, profile: Profile) -> list[str]:
    """Lines before the tasks start: the site's own, then the environment. Modules come from the pinned code, then from
    where this process has them; never from the folder the job runs in. srun is told the CPUs of a task: from SLURM 22.05 on
    it does not take them over from sbatch."""
    paths = [batch.code, *(os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path)]
    values = {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(batch.resources.threads), "SRUN_CPUS_PER_TASK": str(profile.cpus_per_task),
        **{name: _passed(name, os.environ[name]) for name in PASSED_ON if name in os.environ},
    }  # fmt: skip
    return [*profile.setup, *(f"export {name}={shlex.quote(value)}" for name, value in values.items())]


def _passed(name: str, value: str) -> str:
    return os.path.abspath(value) if name == "ECHOLM_WEIGHTS" and value else value


def teardown(batch: Batch) -> list[str]:
    """Lines after the tasks: tasks that were killed, or that lost one of them, start again while SLURM itself has not
    ended the job (a cancelled or timed-out job is not RUNNING any more), ``RESTARTS`` times; a job that left a note that it wants
    to, in a container without SLURM's commands, always."""
    deaths = shlex.quote(str(Path(batch.path) / "deaths")) + "/$SLURM_JOB_ID"
    note = shlex.quote(str(Path(batch.path) / "again")) + "/$SLURM_JOB_ID"
    return [
        "status=$?",
        "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}  # one task has the id of all",
        "again() {",
        '  scontrol show job -o "${job:-$SLURM_JOB_ID}" | grep -q "JobState=RUNNING" || return',
        '  echo "$1: this job starts again" >&2',
        '  scontrol requeue "${job:-$SLURM_JOB_ID}" && sleep 60',
        "}",
        f"if [ -e {note} ]; then",
        f"  rm -f {note}",
        '  again "its tasks stopped"',
        f'elif [ "$status" -ge 128 ] || [ "$status" -eq {LOST} ]; then',
        f"  mkdir -p {shlex.quote(str(Path(batch.path) / 'deaths'))}",
        f'  echo "$status $SLURM_JOB_NODELIST" >> {deaths}',
        f'  [ "$(wc -l < {deaths})" -gt {RESTARTS} ] || again "tasks ended with status $status"',
        "fi",
        "exit $status",
    ]
