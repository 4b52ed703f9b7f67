"""Which jobs a grid has in SLURM, which units they cover, and what became of those that ended. Looking changes nothing;
``settle`` writes down what has been seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cluster.batch import Batch, batches, end_claim
from cluster.failures import Failure, cancelled, classify, failures, given_up, note, noted, stood
from cluster.slurm.nodes import avoid, blamed
from cluster.slurm.queue import ALIVE, QueuedJob, ask_sacct, ask_squeue, scancel
from echolm.attempt import mark_cancelled
from echolm.workspace import Workspace
from grid.plan import Unit

Place = tuple[str, str]
"""Array job id and index."""
Ask = Callable[[], Sequence[QueuedJob]]
"""How squeue's answer is got: it may have been asked already."""
UNSENT_S = 600.0
"""Seconds after which a batch that SLURM does not know was refused."""


@dataclass(frozen=True)
class BatchView:
    """A batch and its jobs at the moment of looking. A job that SLURM does not know any more is missing in ``jobs``.
    ``earlier``: starts before a job's last one, as accounting remembers them; ``unnoted``: arrays that SLURM has and of
    which the batch does not know, since who submitted them was ended in that moment; ``unasked``: why accounting, where there
    is one, did not answer; ``cancelled``: jobs of which it was noted before that they were cancelled."""

    batch: Batch
    places: tuple[Place, ...]
    jobs: dict[Place, QueuedJob]
    earlier: dict[Place, list[QueuedJob]] = field(default_factory=dict)
    unnoted: tuple[dict[str, Any], ...] = ()
    unasked: str = ""
    cancelled: frozenset[Place] = frozenset()

    @property
    def alive(self) -> list[QueuedJob]:
        """Jobs that wait or run."""
        return [job for place, job in self.jobs.items() if job.alive and not self._leaves(place)]

    @property
    def ended(self) -> list[Place]:
        """Jobs that do neither."""
        return [place for place in self.places if place not in self.jobs or not self.jobs[place].alive or self._leaves(place)]

    @property
    def arrays(self) -> list[tuple[dict[str, Any], int]]:
        """Each array, and how many of its jobs wait or run."""
        alive = Counter(job.array for job in self.alive)
        known = {array["job"]: array for array in (*self.unnoted, *self.batch.submitted())}  # it may have been noted since the look
        return [(array, alive[job]) for job, array in known.items()]

    @property
    def slots(self) -> int:
        """How many of its jobs may run at once now."""
        return sum(min(alive, array["at_once"]) for array, alive in self.arrays)

    def _leaves(self, place: Place) -> bool:
        """Whether a cancelled job is about to end."""
        return place in self.cancelled and self.jobs[place].state == "COMPLETING"

    def covered(self) -> set[str]:
        """Cells that its jobs will train or train now: those of units that are left, while a job is alive."""
        if not self.alive:
            return set()
        return {cell for unit in self.batch.waiting(self.batch.claims(holders=False)) for cell in unit.cells}


def look(workspace: Workspace, grid: str, remembered: bool = True, ask: Ask = ask_squeue) -> list[BatchView]:
    """Every batch of a grid that has jobs; without ``remembered``, accounting is not asked for ended ones. EchoLMError when
    squeue does not answer."""
    known = [(batch, batch.submitted()) for batch in batches(workspace, grid)]
    if not known:
        return []
    seen, over = ask(), cancelled(workspace, grid)
    found = [(batch, arrays, _unnoted(batch, arrays, seen)) for batch, arrays in known]
    found = [(batch, arrays, unnoted) for batch, arrays, unnoted in found if arrays or unnoted]
    noted = [array for _, arrays, _ in found for array in arrays]
    since = min((array["time"] for array in noted), default=0.0)
    before, unasked = ask_sacct((array["job"] for array in noted), since) if remembered else ([], "")
    views = [_view(batch, arrays, unnoted, before, seen) for batch, arrays, unnoted in found]
    return [replace(view, unasked=unasked, cancelled=_cancelled(view, over)) for view in views]


def _cancelled(view: BatchView, noted: set[tuple[str, str]]) -> frozenset[Place]:
    name = view.batch.name
    return frozenset(place for place in view.places if (name, place[0]) in noted or (name, "_".join(place)) in noted)


def discard_refused(workspace: Workspace, grid: str, now: float, ask: Ask = ask_squeue) -> None:
    """Remove batches that sbatch refused: no array of theirs was noted, and SLURM has none, ten minutes after. (What sbatch
    says is not enough: it also complains when the answer of a controller that took the array was late.)"""
    unsent = [batch for batch in batches(workspace, grid) if not batch.submitted() and now - batch.path.stat().st_mtime > UNSENT_S]
    seen = ask() if unsent else []
    for batch in unsent:
        if not batch.begun and not any(job.comment == batch.name for job in seen):
            batch.remove()


def _unnoted(batch: Batch, arrays: Sequence[dict[str, Any]], seen: Sequence[QueuedJob]) -> list[dict[str, Any]]:
    known = {array["job"] for array in arrays}
    ours = [job for job in seen if job.comment == batch.name and job.name == _name(batch) and job.array not in known]
    return [_counted(array, [job for job in ours if job.array == array]) for array in dict.fromkeys(job.array for job in ours)]


def _counted(array: str, jobs: Sequence[QueuedJob]) -> dict[str, Any]:
    """An array of which some jobs are still known."""
    count = 1 + max(int(job.task) for job in jobs)
    return {"job": array, "count": count, "at_once": count, "time": min(job.submitted for job in jobs)}


def _name(batch: Batch) -> str:
    return f"echolm-{batch.grid}"


def _view(
    batch: Batch, arrays: Sequence[dict[str, Any]], unnoted: Sequence[dict[str, Any]], before: Sequence[QueuedJob], seen: Sequence[QueuedJob]
) -> BatchView:
    """squeue counts more than sacct: it knows of a requeue before, and of the controller's losses."""
    both = [*arrays, *unnoted]
    times = {array["job"]: array["time"] for array in both}
    places = tuple((array["job"], str(index)) for array in both for index in range(array["count"]))
    starts: dict[Place, list[QueuedJob]] = {}
    for job in before:
        if job.array in times and job.belongs(batch.name, _name(batch), times[job.array]):
            starts.setdefault((job.array, job.task), []).append(job)
    jobs = {place: own[-1] for place, own in starts.items() if not own[-1].lost}
    now = {(job.array, job.task): job for job in seen if job.array in times and job.belongs(batch.name, _name(batch), times[job.array])}
    earlier = {}
    for place, own in starts.items():  # a requeued job that waits may have no line of its own yet
        waits = place in now and now[place].alive and own[-1].state not in ALIVE
        earlier[place] = own if waits else own[:-1]
    return BatchView(batch, places, jobs | now, earlier, tuple(unnoted))


def owners(views: Sequence[BatchView]) -> dict[str, str]:
    """Cell -> the job that trains it, or why it waits, in words: ``job 12_3 on n1``, ``queued in 12 (Resources)``, ``next in
    12`` for a unit that a running job will come to."""
    found: dict[str, str] = {}
    for view in views:
        alive, claims = view.alive, view.batch.claims(holders=False)
        first = next((job for job in alive if job.state == "PENDING"), alive[0] if alive else None)
        if first:
            words = f"queued in {first.array} ({first.reason})" if first.state == "PENDING" else f"next in {first.array}"
            found.update((cell, words) for unit in view.batch.waiting(claims) for cell in unit.cells)
        for unit in view.batch.units:
            own = claims.get(unit.id)
            holder = own[-1]["holder"] if own and own[-1]["over"] is None else {}
            held_by = view.jobs.get((holder.get("array") or holder.get("slurm_job", ""), holder.get("task", "0")))
            if held_by and held_by.alive and held_by.state != "PENDING":
                found.update(dict.fromkeys(unit.cells, f"job {held_by.id} on {holder.get('node') or holder.get('host')}"))
    return found


def settle(workspace: Workspace, grid: str, views: Sequence[BatchView]) -> list[Failure]:
    """Write down what the ended jobs left undone, once a job: their claims are over, their failures noted, and the
    cells of a job that somebody cancelled are marked as cancelled. Returns what was new."""
    known = noted(workspace, grid)
    found = []
    for view in views:
        for array in view.unnoted:
            view.batch.note_submitted(array["job"], array["count"], array["at_once"], array["time"])
        claims = _by_job(view.batch)
        found += _restarts(workspace, view, claims, known)
        for place in view.ended:
            failure = _failure(workspace, view, place, claims.get(place, []), known)
            if failure:
                found.append(failure)
                note(workspace, grid, [failure])
            for own in claims.get(place, []):
                if own.last and own.claim["over"] != "done":
                    end_claim(own.claim["path"], failure.kind if failure else "interrupted")
        found += _left(workspace, view, known)
        scancel(job.id for job in view.jobs.values() if job.held)
        own_doing = {job for job, _ in known}  # what failed to start, and was cancelled here
        others_doing = [place for place, job in view.jobs.items() if job.state == "CANCELLED" and place not in view.cancelled]
        if any("_".join(place) not in own_doing for place in others_doing) and not view.alive:
            _mark(workspace, _never_claimed(view))
    for failure in found:
        if failure.kind == "cancelled":
            _mark(workspace, failure.cells)
    return found


@dataclass(frozen=True)
class Held:
    """A claim of a job. ``last``: nobody has claimed the unit since."""

    unit: Unit
    claim: dict[str, Any]
    last: bool


def _by_job(batch: Batch) -> dict[Place, list[Held]]:
    units = {unit.id: unit for unit in batch.units}
    found: dict[Place, list[Held]] = {}
    for id, own in batch.claims().items():
        for claim in own:
            holder = claim["holder"]
            place = (holder.get("array") or holder.get("slurm_job", ""), holder.get("task", "0"))
            found.setdefault(place, []).append(Held(units[id], claim, claim is own[-1]))
    return found


def _restarts(workspace: Workspace, view: BatchView, claims: dict[Place, list[Held]], known: set[tuple[str, tuple[str, ...]]]) -> list[Failure]:
    """Starts that a node or a preemption ended, and after which SLURM itself started the job again."""
    found = []
    for place, starts in view.earlier.items():
        for number, job in enumerate(starts):
            kind, name = classify(job.state, True), f"{'_'.join(place)}, start {number + 1}"
            units = [own.unit for own in claims.get(place, []) if own.claim["holder"].get("slurm_restart", 0) == number and own.claim["over"] != "done"]
            cells = tuple(cell for unit in units[-1:] for cell in unit.cells)
            if kind not in ("node-failure", "preempted") or (name, cells) in known:
                continue
            node = blamed(job.node) if kind == "node-failure" else job.node
            found.append(Failure(kind, name, view.batch.name, cells, node, f"{job.state} on {job.node}; SLURM started the job again"))
            if kind == "node-failure" and node and (now := view.jobs.get(place)) and now.state == "PENDING":
                avoid(now.id, node)
    note(workspace, view.batch.grid, found)
    if found:
        _give_up(workspace, view, claims)
    return found


def _give_up(workspace: Workspace, view: BatchView, claims: dict[Place, list[Held]]) -> None:
    """A unit over its budget leaves its batch: the job that waits to start again goes on with another, or ends."""
    lost = given_up(failures(workspace, view.batch.grid))
    for place, own in claims.items():
        waits = place in view.jobs and view.jobs[place].state == "PENDING"
        for held in own:
            if waits and held.last and held.claim["over"] is None and lost.keys() & set(held.unit.cells):
                end_claim(held.claim["path"], "node-failure")


def _left(workspace: Workspace, view: BatchView, known: set[tuple[str, tuple[str, ...]]]) -> list[Failure]:
    """Cells that jobs gave back because they could not be run: their data is not there, or the ranks do not suit them."""
    found = []
    for own in view.batch.claims().values():
        for claim in own:
            job = "_".join((claim["holder"].get("array") or claim["holder"].get("slurm_job", ""), claim["holder"].get("task", "0")))
            new = {cell: why for cell, why in claim["left"].items() if (job, (cell,)) not in known}
            found += [Failure("launch", job, view.batch.name, (cell,), "", why) for cell, why in new.items()]  # no node is to blame
    note(workspace, view.batch.grid, found)
    return found


def _failure(workspace: Workspace, view: BatchView, place: Place, own: Sequence[Held], known: set[tuple[str, tuple[str, ...]]]) -> Failure | None:
    """What a job that ended left, or None: it ended well, or this was noted before. ``own``: its claims."""
    job, name = view.jobs.get(place), "_".join(place)
    state = job.state if job else ""
    if place in view.cancelled and state in ("", "CANCELLED", "COMPLETING"):
        return None
    cells = tuple(cell for held in own if held.last and held.claim["over"] != "done" for cell in held.unit.cells)
    if not cells and (state == "COMPLETED" or (not state and name in view.batch.ended())):
        return None
    log = _tail(view.batch.path / "logs", place)
    kind = "launch" if job and job.held else classify(state, bool(own), log)
    if (name, cells) in known or (not cells and ((own and kind != "cancelled") or kind not in ("launch", "cancelled") or not (state or log))):
        return None
    state = f"held by SLURM: {job.reason}" if job and job.held else state
    node = job.node if job else ""
    words = f"{state or 'SLURM does not know the job any more'}{f' on {node}' if node else ''}\n{log}"
    node = blamed(node) if kind in ("node-failure", "launch") else node
    return Failure(kind, name, view.batch.name, cells, node, words, stood(workspace, cells))


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
