"""A batch: what one submission's jobs are told, and which of them has which unit.

A folder that compute nodes and login nodes share, ``grids/<grid>/jobs/<batch>/``::

    batch.json                  units, their cells' configurations, resources, the pinned code
    submitted.jsonl             one line an array: job id, number of jobs
    claims/<unit>/<n>/          the n-th claim of a unit: holder.json, and at its end over.json
    ended/<job>                 jobs that found no further unit, and why
    logs/                       pickles and output of the jobs

A job claims the next unit that nobody has. A claim's number is taken by rename. It is free again
when it is over or its holder known dead: an earlier start of the same job. What another job left
behind, ``echolm launch`` finds, and writes down why: that unit leaves the batch, since it may need
another shape, and the launch submits it anew, or not.
Claims save work. What keeps a run safe is its record.
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
from echolm.files import list_names, read_json, read_lines, write_atomic, writing
from echolm.liveness import describe_self, earlier_start, read_holder
from echolm.outages import workspace_id
from echolm.workspace import Workspace
from grid.units import Resources, Unit

LEFT = frozenset({"done", *CLASSES})
"""How the last claim of a unit is over that no job of its batch takes again."""


@dataclass(frozen=True)
class JobBatch:
    """Units of one resource shape that were submitted together.

    Attributes:
        path: the folder.
        workspace: the workspace's folder.
        grid: the grid's name.
        units: what its jobs train.
        resources: what each job asks for.
        code: folder of the pinned code, first in PYTHONPATH.
        times: ``patience_s``, ``heartbeat_s`` and ``outage_s`` of the jobs' attempts.
        workspace_id: of the workspace's marker, by which a job knows that it is there. '' in a
            batch of an earlier version.
    """

    path: Path
    workspace: Path
    grid: str
    units: tuple[Unit, ...]
    resources: Resources = Resources()
    code: str = ""
    times: dict[str, float] = field(default_factory=dict)
    workspace_id: str = ""

    @property
    def name(self) -> str:
        """The folder's name, and the jobs' comment."""
        return self.path.name

    @property
    def cells(self) -> tuple[str, ...]:
        """All cells of its units."""
        return tuple(cell for unit in self.units for cell in unit.cells)

    def write(self, elsewhere: Path | None = None) -> None:
        """Make the folder and ``batch.json``. Raises StorageError.

        With ``elsewhere`` it is made in that folder, with a link in its place.
        """
        with writing(self.path) as path:
            if elsewhere:
                (elsewhere / path.name).mkdir(parents=True)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(elsewhere / path.name)
            (path / "logs").mkdir(parents=True)
        configs: dict[str, str] = {}
        for unit in self.units:
            configs.update(unit.configs)
        content = {
            "workspace": str(self.workspace),
            "grid": self.grid,
            "units": [list(unit.cells) for unit in self.units],
            "resources": asdict(self.resources),
            "code": self.code,
            "times": self.times,
            "workspace_id": self.workspace_id or workspace_id(self.workspace),
            "configs": configs,
        }
        write_atomic(self.path / "batch.json", json.dumps(content).encode())

    @classmethod
    def read(cls, path: Path) -> JobBatch:
        """Read the batch of a folder. EchoLMError: it is damaged."""
        content = read_json(path / "batch.json", "workspace", "grid", "units", "resources")
        configs = content.get("configs", {})  # none in a batch of an earlier version
        return cls(
            path=path,
            workspace=Path(content["workspace"]),
            grid=content["grid"],
            units=tuple(Unit(tuple(cells), configs).only(cells) for cells in content["units"]),
            resources=Resources(**content["resources"]),
            code=content.get("code", ""),
            times=content.get("times", {}),
            workspace_id=content.get("workspace_id", ""),
        )

    def remove(self) -> None:
        """Take the folder away again, wherever it lies."""
        shutil.rmtree(self.path.resolve(), ignore_errors=True)
        if self.path.is_symlink():
            self.path.unlink(missing_ok=True)

    def note_submitted(
        self, job: str, count: int, at_once: int, when: float | None = None, more: bool = False
    ) -> None:
        """Append an array to ``submitted.jsonl``.

        Args:
            job: its job id.
            count: its number of jobs.
            at_once: its throttle.
            when: its time. None: now.
            more: whether its jobs came in place of others.
        """
        self._append(
            {
                "job": job,
                "count": count,
                "at_once": at_once,
                "time": when or time.time(),
                "more": more,
            }
        )

    def note_throttle(self, job: str, at_once: int) -> None:
        """Note that the throttle of an array is another now."""
        self._append({"job": job, "at_once": at_once})

    def _append(self, line: dict[str, Any]) -> None:
        with writing(self.path / "submitted.jsonl") as path:
            with open(path, "a", encoding="utf-8") as file:
                file.write("\n" + json.dumps(line) + "\n")

    def submitted(self) -> list[dict[str, Any]]:
        """Return the arrays that were submitted, oldest first, with their last throttles."""
        arrays: dict[str, dict[str, Any]] = {}
        for line in read_lines(self.path / "submitted.jsonl", "job"):
            arrays[line["job"]] = arrays.get(line["job"], {}) | line
        # Without a count, its own line was not written to the end.
        return [array for array in arrays.values() if "count" in array]

    def claims(self, holders: bool = True) -> dict[str, list[dict[str, Any]]]:
        """Return the claims of each unit that has some, in order, by the unit's id.

        A claim has ``path``, ``holder``, ``over`` (how it ended, or None) and ``left``. Without
        ``holders``, those of claims that are over are {}, which is faster.
        """
        begun = list_names(self.path / "claims")
        claims: dict[str, list[dict[str, Any]]] = {}
        for unit in self.units:
            if unit.id not in begun:
                continue
            folder = self.path / "claims" / unit.id
            numbers = _numbers(folder)
            if numbers:
                claims[unit.id] = [_claim(folder / str(number), holders) for number in numbers]
        return claims

    def waiting(self, claims: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Unit]:
        """Return the units that its jobs have to train or train now.

        Done ones have left it, and those whose job ended before them: a launch has written down
        why, and submits them again or not.
        """
        units = []
        for unit in self.units:
            if unit.id not in claims or claims[unit.id][-1]["over"] not in LEFT:
                units.append(unit)
        return units

    @property
    def begun(self) -> bool:
        """Whether a job of it has claimed a unit."""
        return bool(list_names(self.path / "claims"))

    def note_ended(self, why: str) -> None:
        """Note that this process's job has ended by itself: no unit was left for it."""
        job = _job()
        array = job.get("array") or os.environ.get("SLURM_JOB_ID", "")
        with writing(self.path / "ended") as folder:
            folder.mkdir(exist_ok=True)
            (folder / f"{array}_{job.get('task', '0')}").write_text(f"{why}\n")

    def ended(self) -> set[str]:
        """Return the jobs, as ``<array>_<index>``, that ended by themselves at any start."""
        return list_names(self.path / "ended")


def new_batch_path(workspace: Workspace, grid: str) -> Path:
    """Return ``grids/<grid>/jobs/<name>`` with a new name."""
    return workspace.grids / grid / "jobs" / new_batch_name()


def new_batch_name() -> str:
    """Return ``<date>-<time>-<microseconds and a random digit>``: names sort by time."""
    now = datetime.now()
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond:05x}{secrets.randbelow(16):x}"


def batches(workspace: Workspace, grid: str) -> list[JobBatch]:
    """Read all batches of a grid, oldest first.

    A folder whose ``batch.json`` was never written is passed over.
    """
    paths = sorted((workspace.grids / grid / "jobs").glob("*/batch.json"))
    return [JobBatch.read(path.parent) for path in paths]


class Claim:
    """The right to train one unit, from ``take`` to ``end``."""

    def __init__(self, path: Path, unit: Unit) -> None:
        self.path = path
        self.unit = unit

    @classmethod
    def take(cls, batch: JobBatch, unit: Unit) -> Claim | None:
        """Claim a unit. None: another job has it. Raises StorageError."""
        folder = batch.path / "claims" / unit.id
        with writing(folder):
            newest = max(_numbers(folder), default=0)
        if newest and not _is_free(folder / str(newest)):
            return None
        path = folder / str(newest + 1)
        unnamed = folder / f".{secrets.token_hex(6)}"
        holder = {**describe_self(), **_job(), "time": time.time()}
        with writing(path):
            unnamed.mkdir(parents=True)
            write_atomic(unnamed / "holder.json", json.dumps(holder).encode())
            try:
                os.rename(unnamed, path)
            except OSError as error:
                shutil.rmtree(unnamed, ignore_errors=True)
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return None
                raise
        return cls(path, unit)

    def end(self, how: str, left: dict[str, str] | None = None) -> None:
        """Give the unit back.

        Args:
            how: ``done``, or why it was not.
            left: cells that could not be run, and why.
        """
        end_claim(self.path, how, left)


def end_claim(path: Path, how: str, left: dict[str, str] | None = None) -> None:
    """Note that a claim is over, once. The first note stays."""
    if _over(path) is None:
        content = {"how": how, "left": left or {}, "time": time.time()}
        write_atomic(path / "over.json", json.dumps(content).encode())


def _claim(path: Path, holders: bool) -> dict[str, Any]:
    """Read a claim. The holder of one that is over only with ``holders``."""
    over = _read(path / "over.json")
    holder = None
    if holders or not over:
        holder = read_holder(path)
    return {
        "path": path,
        "holder": holder or {},
        "over": over.get("how"),
        "left": over.get("left") or {},
    }


def _is_free(claim: Path) -> bool:
    """Return whether a unit may be claimed after this claim.

    A job that died keeps its unit, also before a job beside it on its node, until it starts again
    or a launch knows why.
    """
    return _over(claim) is not None or earlier_start(read_holder(claim) or {})


def _over(claim: Path) -> str | None:
    """Return how a claim ended. None: it has not."""
    how = _read(claim / "over.json").get("how")
    return None if how is None else str(how)


def _read(path: Path) -> dict[str, Any]:
    """Read a JSON object. {}: the file is not there."""
    try:
        return read_json(path)
    except FileNotFoundError:
        return {}


def _numbers(folder: Path) -> list[int]:
    """Return the numbers of a unit's claims, ascending."""
    return sorted(int(name) for name in list_names(folder) if name.isdecimal())


def _job() -> dict[str, str]:
    """Return the scheduler's names of this job: array id and index, node."""
    variables = {
        "array": "SLURM_ARRAY_JOB_ID",
        "task": "SLURM_ARRAY_TASK_ID",
        "node": "SLURMD_NODENAME",
    }
    return {name: os.environ[key] for name, key in variables.items() if key in os.environ}
