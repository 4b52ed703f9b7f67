"""A batch: what one submission's jobs are told, and which of them has which unit.

A folder that compute nodes and login nodes share, ``grids/<grid>/jobs/<batch>/``::

    batch.json                  units, resources, the pinned code
    submitted.jsonl             one line an array: job id, number of jobs
    claims/<unit>/<n>/          the n-th claim of a unit: holder.json, and at its end over.json
    ended/<job>                 jobs that found no further unit, and why
    logs/                       pickles and output of the jobs

A job claims the next unit that nobody has. A claim's number is taken by rename; it is free again when it is over or its
holder known dead: an earlier start of the same job. What another job left behind, ``echolm launch`` finds, and writes
down why: that unit leaves the batch, since it may need another shape, and the launch submits it anew, or not.
Claims save work; what keeps a run safe is its record.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cluster.failures import CLASSES
from echolm.liveness import describe_self, earlier_start, read_holder
from echolm.record import names, read_json, read_lines, write_atomic, writing
from echolm.workspace import Workspace
from grid.plan import Resources, Unit

LEFT = frozenset({"done", *CLASSES})
"""How the last claim of a unit is over that no job of its batch takes again."""


@dataclass(frozen=True)
class Batch:
    """Units of one resource shape that were submitted together. ``code``: folder of the pinned code, first in PYTHONPATH.
    ``times``: ``patience_s`` and ``heartbeat_s`` of the jobs' attempts."""

    path: Path
    workspace: Path
    grid: str
    units: tuple[Unit, ...]
    resources: Resources = Resources()
    code: str = ""
    times: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The folder's name, and the jobs' comment."""
        return self.path.name

    @property
    def cells(self) -> tuple[str, ...]:
        """All cells of its units."""
        return tuple(cell for unit in self.units for cell in unit.cells)

    def write(self, elsewhere: Path | None = None) -> None:
        """Make the folder and ``batch.json``; with ``elsewhere``, in that folder, with a link in its place. Raises StorageError."""
        with writing(self.path) as path:
            if elsewhere:
                (elsewhere / path.name).mkdir(parents=True)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(elsewhere / path.name)
            (path / "logs").mkdir(parents=True)
        content = {
            "workspace": str(self.workspace), "grid": self.grid, "units": [list(unit.cells) for unit in self.units],
            "resources": asdict(self.resources), "code": self.code, "times": self.times,
        }  # fmt: skip
        write_atomic(self.path / "batch.json", json.dumps(content, indent=1).encode())

    @classmethod
    def read(cls, path: Path) -> Batch:
        """The batch of a folder; EchoLMError when it is damaged."""
        content = read_json(path / "batch.json", "workspace", "grid", "units", "resources")
        units = tuple(Unit(tuple(cells)) for cells in content["units"])
        own = Path(content["workspace"]), content["grid"], units, Resources(**content["resources"])
        return cls(path, *own, content.get("code", ""), content.get("times", {}))

    def remove(self) -> None:
        """Take the folder away again, wherever it lies."""
        shutil.rmtree(self.path.resolve(), ignore_errors=True)
        if self.path.is_symlink():
            self.path.unlink(missing_ok=True)

    def note_submitted(self, job: str, count: int, at_once: int, when: float | None = None, more: bool = False) -> None:
        """Append an array, its job id, its number of jobs, its throttle and its time (now) to ``submitted.jsonl``. ``more``: its
        jobs came in place of others."""
        self._append({"job": job, "count": count, "at_once": at_once, "time": when or time.time(), "more": more})

    def note_throttle(self, job: str, at_once: int) -> None:
        """The throttle of an array is another now."""
        self._append({"job": job, "at_once": at_once})

    def _append(self, line: dict[str, Any]) -> None:
        with writing(self.path / "submitted.jsonl") as path, open(path, "a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(line) + "\n")

    def submitted(self) -> list[dict[str, Any]]:
        """The arrays that were submitted, oldest first, with their last throttles."""
        found: dict[str, dict[str, Any]] = {}
        for line in read_lines(self.path / "submitted.jsonl", "job"):
            found[line["job"]] = found.get(line["job"], {}) | line
        return [array for array in found.values() if "count" in array]  # else its own line was not written to the end

    def claims(self, holders: bool = True) -> dict[str, list[dict[str, Any]]]:
        """Unit -> its claims in order: ``path``, ``holder``, ``over`` (how it ended, or None), ``left``. Without
        ``holders``, those of claims that are over are {}, which is faster."""
        begun = names(self.path / "claims")
        found: dict[str, list[dict[str, Any]]] = {}
        for unit in self.units:
            folder = self.path / "claims" / unit.id
            if unit.id in begun and (claims := [_claim(folder / str(number), holders) for number in _numbers(folder)]):
                found[unit.id] = claims
        return found

    def waiting(self, claims: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Unit]:
        """The units that its jobs have to train or train now. Done ones have left it, and those whose job ended before
        them: a launch has written down why, and submits them again or not."""
        return [unit for unit in self.units if unit.id not in claims or claims[unit.id][-1]["over"] not in LEFT]

    @property
    def begun(self) -> bool:
        """Whether a job of it has claimed a unit."""
        return bool(names(self.path / "claims"))

    def note_ended(self, why: str) -> None:
        """This process's job has ended by itself: no unit was left for it."""
        job = _job()
        with writing(self.path / "ended") as folder:
            folder.mkdir(exist_ok=True)
            (folder / f"{job.get('array') or os.environ.get('SLURM_JOB_ID', '')}_{job.get('task', '0')}").write_text(f"{why}\n")

    def ended(self) -> set[str]:
        """``<array>_<index>`` of jobs that ended by themselves, at their last start or an earlier one."""
        return names(self.path / "ended")


def new_batch_path(workspace: Workspace, grid: str) -> Path:
    """``grids/<grid>/jobs/<name>``."""
    return workspace.grids / grid / "jobs" / new_batch_name()


def new_batch_name() -> str:
    """``<date>-<time>-<microseconds and a random digit>``, so that names sort by time."""
    now = datetime.now()
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond:05x}{secrets.randbelow(16):x}"


def batches(workspace: Workspace, grid: str) -> list[Batch]:
    """All batches of a grid, oldest first. A folder whose ``batch.json`` was never written is passed over."""
    found = sorted((workspace.grids / grid / "jobs").glob("*/batch.json"))
    return [Batch.read(path.parent) for path in found]


class Claim:
    """The right to train one unit, from ``take`` to ``end``."""

    def __init__(self, path: Path, unit: Unit) -> None:
        self.path, self.unit = path, unit

    @classmethod
    def take(cls, batch: Batch, unit: Unit) -> Claim | None:
        """Claim a unit; None when another job has it. Raises StorageError."""
        folder = batch.path / "claims" / unit.id
        with writing(folder):
            newest = max(_numbers(folder), default=0)
        if newest and not _free(folder / str(newest)):
            return None
        path, own = folder / str(newest + 1), folder / f".{secrets.token_hex(6)}"
        with writing(path):
            own.mkdir(parents=True)
            write_atomic(own / "holder.json", json.dumps({**describe_self(), **_job(), "time": time.time()}).encode())
            try:
                os.rename(own, path)
            except OSError as error:
                shutil.rmtree(own, ignore_errors=True)
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return None
                raise
        return cls(path, unit)

    def end(self, how: str, left: dict[str, str] | None = None) -> None:
        """Give the unit back: ``done``, or why it was not. ``left``: cells that could not be run, and why."""
        end_claim(self.path, how, left)


def end_claim(path: Path, how: str, left: dict[str, str] | None = None) -> None:
    """Note that a claim is over, once; the first note stays."""
    if _over(path) is None:
        write_atomic(path / "over.json", json.dumps({"how": how, "left": left or {}, "time": time.time()}).encode())


def _claim(path: Path, holders: bool) -> dict[str, Any]:
    over = _read(path / "over.json")
    holder = (read_holder(path) if holders or not over else None) or {}
    return {"path": path, "holder": holder, "over": over.get("how"), "left": over.get("left") or {}}


def _free(claim: Path) -> bool:
    """A job that died keeps its unit, also before a job beside it on its node, until it starts again or a launch knows why."""
    return _over(claim) is not None or earlier_start(read_holder(claim) or {})


def _over(claim: Path) -> str | None:
    how = _read(claim / "over.json").get("how")
    return None if how is None else str(how)


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except FileNotFoundError:
        return {}


def _numbers(folder: Path) -> list[int]:
    try:
        return sorted(int(name) for name in os.listdir(folder) if name.isdecimal())
    except FileNotFoundError:
        return []


def _job() -> dict[str, str]:
    """The scheduler's names of this job: array id and index, node."""
    names = {"array": "SLURM_ARRAY_JOB_ID", "task": "SLURM_ARRAY_TASK_ID", "node": "SLURMD_NODENAME"}
    return {key: os.environ[name] for key, name in names.items() if name in os.environ}
