"""What SLURM says of jobs: one ``squeue`` and one ``sacct`` call for any number of them. Either may be missing.

Job ids are used again by SLURM when its counter wraps or its state is lost, so a job counts as ours only when it carries
our batch's name, which is given once, as its comment. Where sacct does not store comments, our job name and a time after
the batch's must do.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cluster.slurm.commands import run
from echolm.errors import EchoLMError

ALIVE = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "STOPPED", "RESIZING",
         "SIGNALING", "STAGE_OUT", "SPECIAL_EXIT")  # fmt: skip
"""States of a job that will run, runs, or is about to be queued again."""
HELD = ("launch failed", "JobHoldMaxRequeue")
"""How the reasons begin for which SLURM itself holds a job, after starts that failed: it will not run by itself."""
CLOCKS_S = 7200.0
"""How far SLURM's times may be off: the hour that comes twice a year, and clocks that differ."""
_SQUEUE = "%F|%K|%T|%r|%N|%k|%j|%V|%A"


@dataclass(frozen=True)
class QueuedJob:
    """One job of an array as SLURM sees it. ``array``, ``task``: its place; ``state``: SLURM's word; ``reason``: why it
    waits; ``node``: where it runs or ran; ``source``: ``squeue`` or ``sacct``; ``id``: what commands take (``12_3``, or ``12``
    of a job that is no array); ``number``: what the job itself has in SLURM_JOB_ID, from squeue alone."""

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
        return self.comment == batch if self.comment else self.name == name and self.submitted >= since - CLOCKS_S


def ask_squeue(user: str | None = None) -> list[QueuedJob]:
    """All jobs of this user that slurmctld knows, ended ones too (for MinJobAge). EchoLMError when it does not answer."""
    if shutil.which("squeue") is None:
        raise EchoLMError("squeue is not there: this is not a login node of a SLURM cluster, or its module is not loaded")
    who = ["--user", user] if user else ["--me"]
    done = run(["squeue", *who, "--noheader", "--array", "--states=all", f"--format={_SQUEUE}"])
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
    done = run(["sacct", "-X", "-n", "-P", "--duplicates", f"-j{','.join(ids)}", f"-S{begin}", f"--format={fields}"])
    if done.returncode and "storage is disabled" in done.stderr:
        return [], ""
    if done.returncode:
        return [], f"sacct: {' '.join(done.stderr.split()) or 'no answer'}"
    found = [job for line in done.stdout.splitlines() for job in _from_sacct(line)]
    return sorted(found, key=lambda job: job.submitted), ""


def _from_squeue(line: str) -> QueuedJob | None:
    parts = line.split("|")
    if len(parts) != 9:
        return None
    array, task, state, reason, node, comment, name, submitted, number = (part.strip() for part in parts)
    plain = task in ("N/A", "")
    id, task = (array, "0") if plain else (f"{array}_{task}", task)
    return QueuedJob(array, task, state, reason, _word(node), _word(comment), name, _time(submitted), "squeue", id, number)


def _from_sacct(line: str) -> list[QueuedJob]:
    """The job of a line; of ``12_[3-9]``, an array's rest that waits or waited until it was cancelled, all of its jobs."""
    parts = line.split("|")
    found = re.fullmatch(r"(\d+)(?:_(\d+)|_\[(.+)\])?", parts[0].strip())
    if len(parts) != 6 or not found:
        return []
    _, state, node, comment, name, submitted = (part.strip() for part in parts)
    word = state.split()[0] if state else "UNKNOWN"  # "CANCELLED by 0"
    array, index, rest = found.groups()
    if rest and word in ALIVE:  # squeue lists them
        return []
    same = word, "", _word(node), _word(comment), name, _time(submitted), "sacct"
    return [QueuedJob(array, task or "0", *same, f"{array}_{task}" if task else array) for task in (_indices(rest) if rest else [index])]


def _indices(text: str) -> list[str]:
    """The indices of ``0-2,4,8-16:4%2`` (the last is the throttle)."""
    ranges = [re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part) for part in text.partition("%")[0].split(",")]
    return [str(index) for r in ranges if r for index in range(int(r[1]), int(r[2] or r[1]) + 1, int(r[3] or 1))]


def _word(text: str) -> str:
    return "" if text in ("(null)", "N/A", "None assigned", "Unknown") else text


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def scancel(jobs: Iterable[str]) -> str:
    """Cancel jobs by id; what scancel complained of, or ''."""
    ids = sorted(jobs)
    done = run(["scancel", *ids]) if ids else None
    return done.stderr.strip() if done and done.returncode else ""
