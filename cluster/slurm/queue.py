"""What SLURM says of jobs: one ``squeue`` and one ``sacct`` call for any number of them. Either may be missing.

Job ids are used again by SLURM when its counter wraps or its state is lost, so a job counts as ours only when it carries
our batch's name as its comment (or, where sacct does not store comments, our job name) and was submitted after the batch.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from echolm.errors import EchoLMError

ALIVE = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "STOPPED", "RESIZING",
         "SIGNALING", "STAGE_OUT", "SPECIAL_EXIT")  # fmt: skip
"""States of a job that will run, runs, or is about to be queued again."""
HELD = ("launch failed", "JobHoldMaxRequeue")
"""How the reasons begin for which SLURM itself holds a job, after starts that failed: it will not run by itself."""
_SQUEUE = "%F|%K|%T|%r|%N|%k|%j|%V|%A"


@dataclass(frozen=True)
class QueuedJob:
    """One job of an array as SLURM sees it. ``array``, ``task``: its place; ``state``: SLURM's word; ``reason``: why it
    waits; ``node``: where it runs or ran; ``source``: ``squeue`` or ``sacct``."""

    array: str
    task: str
    state: str
    reason: str
    node: str
    comment: str
    name: str
    submitted: float
    source: str

    @property
    def alive(self) -> bool:
        """Whether it waits or runs, or will by itself. What accounting alone takes for alive, the controller has lost."""
        return self.source == "squeue" and self.state in ALIVE and not self.held

    @property
    def held(self) -> bool:
        """Whether SLURM holds it after failed starts, until somebody releases it."""
        return self.source == "squeue" and self.state == "PENDING" and self.reason.startswith(HELD)

    @property
    def lost(self) -> bool:
        """Whether accounting takes it for alive: it says what was before the controller lost the job."""
        return self.source == "sacct" and self.state in ALIVE

    def belongs(self, batch: str, name: str, since: float) -> bool:
        """Whether this is a job of that batch, and not another that got the same id."""
        ours = self.comment == batch if self.comment else self.name == name
        return ours and self.submitted >= since - 120


def ask_squeue(user: str | None = None) -> list[QueuedJob]:
    """All jobs of this user that slurmctld knows, ended ones too (for MinJobAge). EchoLMError when it does not answer."""
    if shutil.which("squeue") is None:
        raise EchoLMError("squeue is not there: this is not a login node of a SLURM cluster, or its module is not loaded")
    who = ["--user", user] if user else ["--me"]
    done = _run(["squeue", *who, "--noheader", "--array", "--states=all", f"--format={_SQUEUE}"])
    if done.returncode:
        raise EchoLMError(f"squeue: {done.stderr.strip() or 'no answer'}; the controller may be restarting: try again")
    return [job for line in done.stdout.splitlines() if (job := _from_squeue(line))]


def ask_sacct(arrays: Iterable[str], since: float) -> tuple[list[QueuedJob], str]:
    """Every start of the jobs of those arrays as accounting remembers them, a job's earlier ones first; and why accounting
    did not answer, '' also where the site has none."""
    ids = sorted(set(arrays))
    if not ids or shutil.which("sacct") is None:
        return [], ""
    fields = "JobID,State,NodeList,Comment,JobName,Submit"
    begin = datetime.fromtimestamp(max(0.0, since - 86400)).strftime("%Y-%m-%dT%H:%M:%S")
    done = _run(["sacct", "-X", "-n", "-P", "--duplicates", f"-j{','.join(ids)}", f"-S{begin}", f"--format={fields}"])
    if done.returncode and "storage is disabled" in done.stderr:
        return [], ""
    if done.returncode:
        return [], f"sacct: {' '.join(done.stderr.split()) or 'no answer'}"
    found = [job for line in done.stdout.splitlines() if (job := _from_sacct(line))]
    return sorted(found, key=lambda job: job.submitted), ""


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"{command[0]} did not answer within 120 s")


def _from_squeue(line: str) -> QueuedJob | None:
    parts = line.split("|")
    if len(parts) != 9:
        return None
    array, task, state, reason, node, comment, name, submitted, _ = (part.strip() for part in parts)
    task = "0" if task in ("N/A", "") else task
    return QueuedJob(array, task, state, reason, node, _word(comment), name, _time(submitted), "squeue")


def _from_sacct(line: str) -> QueuedJob | None:
    parts = line.split("|")
    if len(parts) != 6 or not parts[0]:
        return None
    id, state, node, comment, name, submitted = (part.strip() for part in parts)
    found = re.fullmatch(r"(\d+)(?:_(\d+))?", id)
    if not found:  # an array's waiting rest, "12_[3-9]": squeue lists it
        return None
    word = state.split()[0] if state else "UNKNOWN"  # "CANCELLED by 0"
    return QueuedJob(found[1], found[2] or "0", word, "", _word(node), _word(comment), name, _time(submitted), "sacct")


def _word(text: str) -> str:
    return "" if text in ("(null)", "N/A", "None assigned", "Unknown") else text


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def avoid(job: str, node: str) -> None:
    """Let a waiting job not start on that node again. Where SLURM refuses, it starts wherever there is room."""
    _run(["scontrol", "update", f"JobId={job}", f"ExcNodeList={node}"])


def scancel(jobs: Iterable[str]) -> str:
    """Cancel jobs by id; what scancel complained of, or ''."""
    ids = sorted(jobs)
    done = _run(["scancel", *ids]) if ids else None
    return done.stderr.strip() if done and done.returncode else ""
