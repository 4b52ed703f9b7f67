"""Write what stands in the sbatch script, as submitit's parameters.

These are the resources, the environment of the pinned code, and what the script does when its
tasks were killed.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.batch import JobBatch
from cluster.profile import Profile
from cluster.slurm.job.requeue import TRY_AGAIN
from cluster.slurm.submit.arrays import Array
from echolm.errors import EchoLMError

WORK = "work.pkl"
"""The batch's file with what each of its jobs calls."""
RESTARTS = 3
"""How often a job whose tasks are killed, by nobody that SLURM knows of, starts itself again."""
PASSED_ON = ("ECHOLM_PLUGINS", "ECHOLM_WEIGHTS")
"""Variables of the submitting shell that the jobs get. Paths in them are as seen from there."""


def parameters(
    batch: JobBatch,
    profile: Profile,
    exclude: tuple[str, ...] = (),
    array: Array | None = None,
    after: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the parameters of ``submitit.SlurmExecutor`` for an array of a batch.

    A throttle that limits nothing is left out: SLURM counts a job on a node that died against it,
    and would not start that very job again before the node is back.

    ``after`` are the arrays that have to end before this one begins, however they end: whether a
    cell is complete is what its record says, not how a job of it ended.

    Raises:
        EchoLMError: the request fits no node, or SLURM would misread the batch's path.
    """
    refuse_percent(batch.path)
    refuse_percent(profile.work_dir)
    needs = batch.resources
    profile = profile.asking(needs.threads, needs.memory_gb, needs.minutes)
    shape = profile.shape(needs.gpus) if needs.gpus else profile.shape(ranks=needs.ranks)
    additional: dict[str, Any] = {"requeue": True, "chdir": str(batch.path), "export": "ALL"}
    if gpus := profile.gpu_request(shape.gpus_per_node):
        option, value = gpus
        additional[option] = value
    if after:
        additional["dependency"] = f"afterany:{':'.join(after)}"
    additional.update(profile.extra)
    memory_mb = max(1, (profile.memory_gb or 0) * 1024)
    chosen: dict[str, Any] = {
        "job_name": f"echolm-{batch.grid}",
        "comment": batch.name,
        "partition": profile.partition,
        "account": profile.account,
        "qos": profile.qos,
        "constraint": profile.constraint,
        "nodes": shape.nodes,
        "ntasks_per_node": shape.tasks_per_node,
        "cpus_per_task": profile.cpus_per_task,
        "mem": f"{memory_mb:.0f}M" if profile.memory_gb else None,
        "time": needs.minutes,
        "signal_delay_s": profile.warning_seconds,
        "exclude": ",".join(sorted({*profile.exclude, *exclude})),
        "setup": setup(batch, profile),
        "teardown": teardown(batch),
        "srun_args": ["--kill-on-bad-exit=1", "--export=ALL"],
        "additional_parameters": additional,
    }
    if array and array.at_once < array.count:
        chosen["array_parallelism"] = array.at_once
    elif array and array.count > 1:
        additional["array"] = f"0-{array.count - 1}"
    stated = {name: value for name, value in chosen.items() if value not in (None, "")}
    # the one that may be None: submitit leaves it out then, and without it would send its own
    stated["wckey"] = profile.wckey
    return stated


def refuse_percent(path: Path | None) -> None:
    """Refuse a path with a percent sign.

    sbatch and submitit take %j and the like in the paths of logs for the job's number, so each job
    would write elsewhere, and what it printed before it died would not be found.

    Raises:
        EchoLMError: the path has one.
    """
    if path is not None and "%" in str(path):
        raise EchoLMError(
            f"{path}: SLURM reads % in the paths of its logs as the job's number; use a folder "
            "whose path has no % (--workspace, or work_dir of the profile)"
        )


def setup(batch: JobBatch, profile: Profile) -> list[str]:
    """Return the script's lines before the tasks start: the site's own, then the environment.

    Modules come from the pinned code, then from where this process has them, and never from the
    folder that the job runs in. srun is told the CPUs of a task: from SLURM 22.05 on it does not
    take them over from sbatch.
    """
    paths = [batch.code]
    for path in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if path:
            paths.append(os.path.abspath(path))
    variables = {
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "PYTHONSAFEPATH": "1",
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": str(batch.resources.threads),
        "SRUN_CPUS_PER_TASK": str(profile.cpus_per_task),
    }
    for name in PASSED_ON:
        if name in os.environ:
            variables[name] = _passed_on(name, os.environ[name])
    exports = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return [*profile.setup, *exports, *_find_work(batch)]


def _find_work(batch: JobBatch) -> list[str]:
    """Return the lines that give a job its work when submitit has not named a file for it.

    submitit does so once sbatch has answered, and then its own file takes the link's place.
    """
    logs = shlex.quote(str(batch.path / "logs"))
    return [
        "work=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}",
        f'work={logs}/"${{work:-$SLURM_JOB_ID}}"_submitted.pkl',
        f'[ -e "$work" ] || ln -s ../{WORK} "$work"',
    ]


def _passed_on(name: str, value: str) -> str:
    return os.path.abspath(value) if name == "ECHOLM_WEIGHTS" and value else value


def teardown(batch: JobBatch) -> list[str]:
    """Return the script's lines after the tasks.

    Tasks that were killed, or that lost one of them, start again ``RESTARTS`` times, while SLURM
    itself has not ended the job: a cancelled or timed-out job is not RUNNING any more. A job that
    left a note that it wants to, in a container without SLURM's commands, always starts again.
    """
    death_folder = shlex.quote(str(Path(batch.path) / "deaths"))
    note_folder = shlex.quote(str(Path(batch.path) / "again"))
    deaths = f"{death_folder}/$SLURM_JOB_ID"
    note = f"{note_folder}/$SLURM_JOB_ID"
    return [
        "status=$?",
        "job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}"
        "  # one task has the id of all",
        "again() {",
        '  scontrol show job -o "${job:-$SLURM_JOB_ID}" | grep -q "JobState=RUNNING" || return',
        '  echo "$1: this job starts again" >&2',
        '  scontrol requeue "${job:-$SLURM_JOB_ID}" && sleep 60',
        "}",
        f"if [ -e {note} ]; then",
        f"  rm -f {note}",
        '  again "its tasks stopped"',
        f'elif [ "$status" -ge 128 ] || [ "$status" -eq {TRY_AGAIN} ]; then',
        f"  mkdir -p {death_folder}",
        f'  echo "$status $SLURM_JOB_NODELIST" >> {deaths}',
        f'  [ "$(wc -l < {deaths})" -gt {RESTARTS} ] || again "tasks ended with status $status"',
        "fi",
        "exit $status",
    ]
