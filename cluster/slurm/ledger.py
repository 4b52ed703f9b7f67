"""Which jobs a grid has in SLURM, which units they cover, and what became of those that ended. Looking changes nothing;
``settle`` writes down what has been seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.batch import Batch, batches, end_claim
from cluster.failures import Failure, classify, note, noted
from cluster.slurm.queue import QueuedJob, ask_sacct, ask_squeue, scancel
from echolm.attempt import mark_cancelled
from echolm.record import find_records
from echolm.workspace import Workspace

Place = tuple[str, str]
"""Array job id and index."""


@dataclass(frozen=True)
class BatchView:
    """A batch and its jobs at the moment of looking. A job that SLURM does not know any more is missing in ``jobs``."""

    batch: Batch
    places: tuple[Place, ...]
    jobs: dict[Place, QueuedJob]

    @property
    def alive(self) -> list[QueuedJob]:
        """Jobs that wait or run."""
        return [job for job in self.jobs.values() if job.alive]

    @property
    def ended(self) -> list[Place]:
        """Jobs that do neither."""
        return [place for place in self.places if place not in self.jobs or not self.jobs[place].alive]

    def covered(self) -> set[str]:
        """Cells that its jobs will train or train now: those of units that are not done, while a job is alive."""
        if not self.alive:
            return set()
        claims = self.batch.claims()
        done = {unit for unit, own in claims.items() if own[-1]["over"] == "done"}
        return {cell for unit in self.batch.units if unit.id not in done for cell in unit.cells}


def look(workspace: Workspace, grid: str) -> list[BatchView]:
    """Every batch of a grid that has jobs. EchoLMError when squeue does not answer."""
    known = [(batch, arrays) for batch in batches(workspace, grid) if (arrays := batch.submitted())]
    if not known:
        return []
    seen = ask_squeue()
    listed = {job.array for job in seen}
    missing = [a["job"] for _, arrays in known for a in arrays if not _complete(a, seen) or a["job"] not in listed]
    since = min(a["time"] for _, arrays in known for a in arrays)
    return [_view(batch, arrays, [*(ask_sacct(missing, since) or []), *seen]) for batch, arrays in known]


def _complete(array: dict[str, Any], seen: Sequence[QueuedJob]) -> bool:
    return sum(job.array == array["job"] for job in seen) >= array["count"]


def _view(batch: Batch, arrays: Sequence[dict[str, Any]], seen: Sequence[QueuedJob]) -> BatchView:
    """``seen``: later ones count more (squeue knows of a requeue before sacct does)."""
    times = {array["job"]: array["time"] for array in arrays}
    name = f"echolm-{batch.grid}"
    ours = [job for job in seen if job.array in times and job.belongs(batch.name, name, times[job.array])]
    places = tuple((array["job"], str(index)) for array in arrays for index in range(array["count"]))
    return BatchView(batch, places, {(job.array, job.task): job for job in ours})


def owners(views: Sequence[BatchView]) -> dict[str, str]:
    """Cell -> the job that trains it, or why it waits, in words: ``job 12_3 on n1``, ``queued in 12 (Resources)``, ``next in
    12`` for a unit that a running job will come to."""
    found: dict[str, str] = {}
    for view in views:
        waiting = next((job for job in view.alive if job.state == "PENDING"), None)
        claims = view.batch.claims()
        for unit in view.batch.units:
            own = claims.get(unit.id)
            if own and own[-1]["over"] is None:
                holder = own[-1]["holder"]
                job = "_".join(filter(None, (holder.get("array") or holder.get("slurm_job"), holder.get("task"))))
                found.update(dict.fromkeys(unit.cells, f"job {job} on {holder.get('node') or holder.get('host')}"))
            elif view.alive and (not own or own[-1]["over"] != "done"):
                words = f"queued in {waiting.array} ({waiting.reason})" if waiting else f"next in {view.alive[0].array}"
                found.update(dict.fromkeys(unit.cells, words))
    return found


def settle(workspace: Workspace, grid: str, views: Sequence[BatchView]) -> list[Failure]:
    """Write down what the ended jobs left undone, once a job: their claims are over, their failures noted, and the
    cells of a job that somebody cancelled are marked as cancelled. Returns what was new."""
    known = noted(workspace, grid)
    found = []
    for view in views:
        claims = view.batch.claims()
        for place in view.ended:
            undone = [own[-1] for own in claims.values() if own[-1]["over"] != "done" and _is_of(own[-1]["holder"], place)]
            failure = _failure(workspace, view, place, [c["path"] for c in undone], known)
            if failure:
                found.append(failure)
                note(workspace, grid, [failure])
            for claim in undone:
                end_claim(claim["path"], failure.kind if failure else "interrupted")
        found += _left(workspace, view, known)
        scancel("_".join(place) if len(view.places) > 1 else place[0] for place, job in view.jobs.items() if job.held)
        own = {job for job, _ in known}  # what failed to start, and was cancelled here
        if not view.alive and view.jobs and all(job.state == "CANCELLED" and "_".join(place) not in own for place, job in view.jobs.items()):
            _mark(workspace, _never_claimed(view))
    for failure in found:
        if failure.kind == "cancelled":
            _mark(workspace, failure.cells)
    return found


def _left(workspace: Workspace, view: BatchView, known: set[tuple[str, tuple[str, ...]]]) -> list[Failure]:
    """Cells that jobs gave back because they could not be run: their data is not there, or the ranks do not suit them."""
    found = []
    for own in view.batch.claims().values():
        for claim in own:
            job = "_".join((claim["holder"].get("array") or claim["holder"].get("slurm_job", ""), claim["holder"].get("task", "0")))
            new = {cell: why for cell, why in claim["left"].items() if (job, (cell,)) not in known}
            found += [Failure("launch", job, view.batch.name, (cell,), claim["holder"].get("node", ""), why) for cell, why in new.items()]
    note(workspace, view.batch.grid, found)
    return found


def _is_of(holder: dict[str, Any], place: Place) -> bool:
    if "array" in holder:
        return (holder["array"], holder.get("task", "0")) == place
    return (holder.get("slurm_job"), "0") == place


def _failure(workspace: Workspace, view: BatchView, place: Place, claims: Sequence[Path], known: set[tuple[str, tuple[str, ...]]]) -> Failure | None:
    """What a job that ended left, or None: it ended well, or this was noted before."""
    job, name = view.jobs.get(place), "_".join(place)
    state = job.state if job else ""
    units = {path.parent.name for path in claims}
    if state == "COMPLETED" and not claims:
        return None
    log = _tail(view.batch.path / "logs", place)
    began = bool(claims) or any(_is_of(c["holder"], place) for own in view.batch.claims().values() for c in own)
    kind = "launch" if job and job.held else classify(state, began, log)
    cells = tuple(cell for unit in view.batch.units if unit.id in units for cell in unit.cells)
    if (name, cells) in known or (not claims and (began or kind not in ("launch", "cancelled") or not (state or log))):
        return None
    state = "held by SLURM: launch failed" if job and job.held else state
    words = f"{state or 'SLURM does not know the job any more'}\n{log}"
    stood = min((record.place() for cell in cells for record in find_records(workspace.runs, cell)[:1]), default=(0, 0))
    return Failure(kind, name, view.batch.name, cells, job.node if job else "", words, stood)


def _never_claimed(view: BatchView) -> list[str]:
    claims = view.batch.claims()
    return [cell for unit in view.batch.units if unit.id not in claims for cell in unit.cells]


def _mark(workspace: Workspace, cells: Sequence[str]) -> None:
    for cell in cells:
        mark_cancelled(workspace.runs, cell)


def _tail(logs: Path, place: Place, characters: int = 2000) -> str:
    """The end of what a job wrote: the log of its first task, and the batch script's errors."""
    name = "_".join(place)
    texts = []
    for path in sorted({*logs.glob(f"{name}_*_log.err"), *logs.glob(f"{place[0]}_?_log.err" if place[1] == "0" else "-")}):
        with open(path, encoding="utf-8", errors="replace") as file:
            texts.append(file.read()[-characters:])
    return "\n".join(texts)[-characters:]
