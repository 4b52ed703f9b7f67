"""Ask SLURM about jobs: one ``squeue`` and one ``sacct`` call for any number of them.

Either command may be missing. Job ids are used again by SLURM when its counter wraps or its state
is lost, so a job counts as ours only when it carries our batch's name, which is given once, as its
comment. Where sacct does not store comments, our job name and a time after the batch's must do.
"""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from cluster.failures import LOST
from cluster.slurm.commands import run
from echolm.errors import EchoLMError

ALIVE = (
    "PENDING",
    "CONFIGURING",
    "RUNNING",
    "SUSPENDED",
    "COMPLETING",
    "REQUEUED",
    "REQUEUE_HOLD",
    "REQUEUE_FED",
    "STOPPED",
    "RESIZING",
    "SIGNALING",
    "STAGE_OUT",
    "SPECIAL_EXIT",
)
"""States of a job that will run, runs, or is about to be queued again."""
HELD = ("launch failed", "JobHoldMaxRequeue")
"""How the reasons begin for which SLURM itself holds a job, after starts that failed: it will not
run by itself."""
_UNANSWERED = re.compile(
    r"timed out|contact|connection|zero bytes|communication|make sense of|transport", re.IGNORECASE
)
"""What sbatch says when it did not get SLURM's answer."""
ASKED_FOR_IT = 3
"""How often squeue is asked for an array whose answer was lost."""
PAUSE_S = 1.0
"""Seconds after each of these."""
CLOCKS_S = 7200.0
"""How far SLURM's times may be off: the hour that comes twice a year, and clocks that differ."""
ACCOUNTING_S = 86400.0
"""How long before the first submission accounting is asked from: SLURM's clock may be another."""
_SQUEUE = "%F|%K|%T|%r|%N|%k|%j|%V|%A"
_SACCT = "JobID,State,NodeList,Comment,JobName,Submit"


@dataclass(frozen=True)
class QueuedJob:
    """One job of an array as SLURM sees it.

    Attributes:
        array: the array's job id.
        task: its index in the array, ``0`` of a job that is no array.
        state: SLURM's word.
        reason: why it waits.
        node: where it runs or ran.
        comment: the name of its batch.
        name: the job's name.
        submitted: when, in seconds since 1970. 0 when SLURM does not say.
        source: ``squeue`` or ``sacct``.
        id: what commands take: ``12_3``, or ``12`` of a job that is no array.
        number: what the job itself has in SLURM_JOB_ID, from squeue alone.
    """

    array: str
    task: str
    state: str
    reason: str
    node: str
    comment: str
    name: str
    submitted: float
    source: str
    id: str = ""
    number: str = ""

    @property
    def alive(self) -> bool:
        """Whether it waits or runs, or will by itself.

        What accounting alone takes for alive, the controller has lost.
        """
        return self.source == "squeue" and self.state in ALIVE and not self.held

    @property
    def held(self) -> bool:
        """Whether SLURM holds it after failed starts, until somebody releases it."""
        waits = self.source == "squeue" and self.state == "PENDING"
        return waits and self.reason.startswith(HELD)

    @property
    def lost(self) -> bool:
        """Whether accounting takes it for alive: it says what was before the controller lost it."""
        return self.source == "sacct" and self.state in ALIVE

    def belongs(self, batch: str, name: str, since: float) -> bool:
        """Tell whether this is a job of that batch, and not another that got the same id."""
        if self.comment:
            return self.comment == batch
        return self.name == name and self.submitted >= since - CLOCKS_S


def ask_squeue(user: str | None = None) -> list[QueuedJob]:
    """Return all jobs of this user that slurmctld knows, ended ones too (for MinJobAge).

    Raises:
        EchoLMError: squeue does not answer.
    """
    if shutil.which("squeue") is None:
        raise EchoLMError(
            "squeue is not there: this is not a login node of a SLURM cluster, or its module is "
            "not loaded"
        )
    whose = ["--user", user] if user else ["--me"]
    done = run(["squeue", *whose, "--noheader", "--array", "--states=all", f"--format={_SQUEUE}"])
    if done.returncode:
        complaint = done.stderr.strip() or "no answer"
        raise EchoLMError(f"squeue: {complaint}; the controller may be restarting: try again")
    jobs = [_from_squeue(line) for line in done.stdout.splitlines()]
    return [job for job in jobs if job]


def ask_scontrol(array: str) -> str:
    """Ask the controller for a job by its id.

    Returns:
        The state of one of its jobs that waits or runs, or '' when it has none.

    Raises:
        EchoLMError: scontrol does not answer.
    """
    done = run(["scontrol", "show", "job", "-o", array])
    if done.returncode and "Invalid job id" not in done.stderr:
        complaint = done.stderr.strip() or "no answer"
        raise EchoLMError(f"scontrol: {complaint}; the controller may be restarting: try again")
    for state in re.findall(r"\bJobState=(\w+)", done.stdout):
        if state in ALIVE:
            return str(state)
    return ""


def find_unanswered(said: str, comment: str, noted: Collection[str] = ()) -> str:
    """Find an array that SLURM took although sbatch complains.

    A busy controller answers late, and sbatch does not wait for it.

    Args:
        said: what sbatch complained of.
        comment: the array's, which no other has.
        noted: arrays with that comment that are known already.

    Returns:
        Its id, and a line on standard error says so. '' when SLURM has none.
    """
    if not _UNANSWERED.search(said):
        return ""
    for _ in range(ASKED_FOR_IT):
        try:
            queued = ask_squeue()
        except EchoLMError:
            queued = []  # it does not answer either: the next launch finds the array
        for job in queued:
            if job.comment == comment and job.array not in noted:
                print(f"{said}; SLURM has the jobs all the same: {job.array}", file=sys.stderr)
                return job.array
        time.sleep(PAUSE_S)
    return ""


def ask_sacct(arrays: Iterable[str], since: float) -> tuple[list[QueuedJob], str]:
    """Return every start of the jobs of those arrays as accounting remembers them.

    Args:
        arrays: the arrays' job ids.
        since: when the first of them was submitted, in seconds since 1970.

    Returns:
        The starts, a job's earlier ones first, and why accounting did not answer: '' also where
        the site has none.
    """
    ids = sorted(set(arrays))
    if not ids or shutil.which("sacct") is None:
        return [], ""
    begin = datetime.fromtimestamp(max(0.0, since - ACCOUNTING_S))
    command = [
        "sacct",
        "-X",
        "-n",
        "-P",
        "--duplicates",
        f"-j{','.join(ids)}",
        f"-S{begin:%Y-%m-%dT%H:%M:%S}",
        f"--format={_SACCT}",
    ]
    done = run(command)
    if done.returncode and "storage is disabled" in done.stderr:
        return [], ""
    if done.returncode:
        return [], f"sacct: {' '.join(done.stderr.split()) or 'no answer'}"
    jobs: list[QueuedJob] = []
    for line in done.stdout.splitlines():
        jobs += _from_sacct(line)
    return sorted(jobs, key=lambda job: job.submitted), ""


def scancel(jobs: Iterable[str]) -> str:
    """Cancel jobs by id. Return what scancel complained of, or ''."""
    ids = sorted(jobs)
    if not ids:
        return ""
    done = run(["scancel", *ids])
    return done.stderr.strip() if done.returncode else ""


def _from_squeue(line: str) -> QueuedJob | None:
    fields = [field.strip() for field in line.split("|")]
    if len(fields) != 9:
        return None
    array, task, state, reason, node, comment, name, submitted, number = fields
    id = f"{array}_{task}"
    if task in ("N/A", ""):  # no array
        id, task = array, "0"
    return QueuedJob(
        array=array,
        task=task,
        state=state,
        reason=reason,
        node=_word(node),
        comment=_word(comment),
        name=name,
        submitted=_time(submitted),
        source="squeue",
        id=id,
        number=number,
    )


def _from_sacct(line: str) -> list[QueuedJob]:
    """Read a line of sacct.

    ``12_[3-9]`` is an array's rest that waits, or waited until it was cancelled: all of its jobs.
    """
    fields = [field.strip() for field in line.split("|")]
    if len(fields) != 6:
        return []
    job_id, state, node, comment, name, submitted = fields
    parts = re.fullmatch(r"(\d+)(?:_(\d+)|_\[(.+)\])?", job_id)
    if not parts:
        return []
    array, index, rest = parts.groups()
    word = state.split()[0] if state else "UNKNOWN"  # "CANCELLED by 0"
    if state == "CANCELLED":
        word = LOST
    if rest and word in ALIVE:  # squeue lists them
        return []
    jobs = []
    for task in _indices(rest) if rest else [index]:
        jobs.append(
            QueuedJob(
                array=array,
                task=task or "0",
                state=word,
                reason="",
                node=_word(node),
                comment=_word(comment),
                name=name,
                submitted=_time(submitted),
                source="sacct",
                id=f"{array}_{task}" if task else array,
            )
        )
    return jobs


def _indices(text: str) -> list[str]:
    """Return the indices of ``0-2,4,8-16:4%2`` (the last is the throttle)."""
    indices: list[str] = []
    for part in text.partition("%")[0].split(","):
        span = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if span:
            first, last, step = int(span[1]), int(span[2] or span[1]), int(span[3] or 1)
            indices += [str(index) for index in range(first, last + 1, step)]
    return indices


def _word(text: str) -> str:
    """Return a field, '' for what SLURM writes when there is nothing to say."""
    return "" if text in ("(null)", "N/A", "None assigned", "Unknown") else text


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
