"""Faults on a seeded schedule against a small grid on the real SLURM; in the end all must be as if
nothing had happened.

Each fault (``strikes``) meets a job that trains, proves that it has struck it, and the next comes
when what it struck trains again. A fault whose victim ended too early is tried again with another
one. The grid's head ``slow`` makes steps as long as needed. State is kept in ``chaos.json``, so
that a long run can be continued.
"""

from __future__ import annotations

import json
import random
import re
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch_support import result

from echolm.errors import EchoLMError
from echolm.record import ENDINGS, find_records
from grid.definition.grid import Cell
from tests.slurm import daemons
from tests.slurm.site import BLANK, Site, until
from tests.slurm.strikes import KINDS, Missed

RECOVERY_S = 180.0
"""A struck job must train again within this; the slowest way is a dead node on a busy machine."""
EPOCHS = 20
STEP_S = 2.0
"""Short steps and many epochs: a job that starts again soon has an epoch behind it."""
CELLS_A_FAULT = 0.75
"""A cell takes two minutes, and a fault 20 s: three jobs at once never run out of cells."""
MINUTES = 600
"""A time limit that is not met by itself."""
WARNING_S = 120
"""More than the time that the fault ``time_limit`` leaves: SLURM warns at its next look."""
MISSES = 10
"""A fault that meets nobody so often is an error."""


@dataclass(frozen=True)
class Victim:
    """A cell, the number of its attempt that is to be struck, and the job that trains it (as squeue
    prints it), which has been started again so often.
    """

    cell: Cell
    attempt: int
    job: str
    restarts: int


class Chaos:
    """A grid of a cell that is complete soon, for MLflow, and ``cells`` slow ones, under ``count``
    faults; every kind comes before any comes again.
    """

    def __init__(
        self, site: Site, seed: int, count: int, cells: int, say: Callable[[str], None]
    ) -> None:
        self.site, self.rng, self.say = site, random.Random(seed), say
        site.profile(
            partition="low",
            jobs_at_once=3,
            units_per_job=None,
            time_minutes=MINUTES,
            warning_seconds=WARNING_S,
        )
        quick = {"label": "quick", "set": {"head": "mean", "seed": cells}}
        slow = [
            {"label": f"slow {number}", "set": {"head": "slow", "seed": number}}
            for number in range(cells)
        ]
        self.grid = site.grid(
            {"kind of cell": [quick, *slow]}, name="chaos", epochs=EPOCHS, **BLANK
        )
        self.cells = site.cells(self.grid)
        kinds = list(KINDS)
        rounds = [self.rng.sample(kinds, len(kinds)) for _ in range(-(-count // len(kinds)))]
        self.schedule = [kind for kinds in rounds for kind in kinds][:count]
        self._state = site.root / "chaos.json"
        self._asked = {"seed": seed, "count": count, "cells": cells}
        self.done: list[str] = self._earlier()

    def _earlier(self) -> list[str]:
        """The faults that struck before this process. EchoLMError: they were another schedule's, or
        the runs are not there.
        """
        if not self._state.exists():
            return []
        kept = json.loads(self._state.read_text())
        if kept["asked"] != self._asked:
            raise EchoLMError(
                f"{self._state}: of {kept['asked']}, not {self._asked}; ask for the "
                f"same, or remove {self.site.root.parent}"
            )
        if kept["done"] and not any(self.site.workspace.runs.glob("*/*/config.json")):
            raise EchoLMError(
                f"{self.site.workspace.runs}: the runs of {len(kept['done'])} faults are "
                f"gone; remove {self.site.root.parent}"
            )
        return list(kept["done"])

    def run(self) -> Counter[str]:
        """All faults that are left, then to the end. How many of each kind have struck."""
        self.site.slow(STEP_S)
        began = time.monotonic()
        for kind in self.schedule[len(self.done) :]:
            self.say(
                f"{time.monotonic() - began:5.0f} s  fault "
                f"{len(self.done) + 1}/{len(self.schedule)}: {kind}"
            )
            self._strike(kind)
            self.done.append(kind)
            self._state.write_text(json.dumps({"asked": self._asked, "done": self.done}))
        self.site.slow(0)
        self.site.finish(self.grid, seconds=600)
        self.say(f"{time.monotonic() - began:5.0f} s  every cell complete")
        return Counter(self.done)

    def _strike(self, kind: str) -> None:
        """Until a fault of this kind has struck somebody."""
        for _ in range(MISSES):
            victim = self._victim()
            self._lift(victim.job)
            try:
                return KINDS[kind](self, victim)
            except (
                Missed,
                EchoLMError,
                LookupError,
            ) as error:  # the last two: what a job that has ended is struck with
                if not self.completed(victim):
                    raise
                self.say(f"         its victim ended too early ({error}); another one")
        raise AssertionError(f"{kind}: met nobody {MISSES} times")

    def launch(self, command: str = "launch") -> None:
        """As ``--watch`` does between two looks."""
        done = self.site.submit(self.grid, command=command)
        assert done.status in (0, 1) and "Traceback" not in done.err, done

    def _victim(self) -> Victim:
        """A slow cell that trains under a running job, with an epoch of this attempt behind it and
        some before it; launches what is missing meanwhile.
        """

        def found() -> list[tuple[Cell, str]]:
            self.undrain()
            if set(self.site.states(self.grid)) == {"complete"}:
                raise AssertionError(
                    f"the grid was complete after {len(self.done)} of "
                    f"{len(self.schedule)} faults: too few cells"
                )
            running = self.site.jobs(self.grid, "RUNNING")
            pairs = [
                (cell, self.site.job_of(self.grid, cell))
                for cell in self.cells[1:]
                if self.trains(cell)
            ]
            pairs = [(cell, job) for cell, job in pairs if job in running]
            if not pairs and len(self.site.jobs(self.grid)) < 3:
                self.launch()
            return pairs

        cell, job = self.rng.choice(until(found, "a cell that trains", RECOVERY_S))
        return Victim(cell, self.attempts(cell), job, int(self.fields(job)["Restarts"]))

    def _lift(self, job: str) -> None:
        """No throttle on the struck job's array: started again, it need not wait for the others to
        end.
        """
        if "_" in job:
            # an array of which a task has ended is updated, and scontrol complains all the same
            daemons.succeeds(
                self.site.settings,
                "scontrol",
                "update",
                f"JobId={job.split('_')[0]}",
                "ArrayTaskThrottle=0",
            )

    def trains(self, cell: Cell) -> bool:
        """Whether its newest attempt has reported an epoch and has not ended; some epochs are still
        to come.
        """
        records = find_records(self.site.workspace.runs, cell.id)
        if not records or records[0].state().name != "running":
            return False
        epochs = [
            event["epoch"]
            for event in records[0].events(records[0].attempts()[-1])
            if event["event"] == "epoch"
        ]
        return bool(epochs) and epochs[-1] < EPOCHS - 3

    def attempts(self, cell: Cell) -> int:
        """How many attempts a cell has had."""
        return max(
            (len(record.attempts()) for record in find_records(self.site.workspace.runs, cell.id)),
            default=0,
        )

    def events(self, victim: Victim) -> list[dict[str, Any]]:
        """What the struck attempt has written."""
        return self.site.record(victim.cell).events(victim.attempt)

    def ending(self, victim: Victim) -> str:
        """How the struck attempt ended, by its own word and its reason; '' when it could not say
        so.
        """
        return next(
            (
                f"{e['event']} {e.get('reason', '')}".strip()
                for e in reversed(self.events(victim))
                if e["event"] in ENDINGS
            ),
            "",
        )

    def completed(self, victim: Victim) -> bool:
        """Whether the struck attempt completed the cell all the same."""
        summary = self.site.record(victim.cell).summary()
        return summary is not None and summary["attempt"] == victim.attempt

    def until(self, victim: Victim, true: Callable[[], Any], what: str) -> None:
        """Until it is true. Missed: the victim completes its cell instead."""

        def struck() -> bool:
            if self.completed(victim):
                raise Missed(f"not {what}")
            return bool(true())

        until(struck, f"{self.told(victim)}: {what}", RECOVERY_S)

    def fields(self, job: str) -> dict[str, str]:
        """What scontrol says of a job."""
        return dict(
            re.findall(r"(\w+)=(\S*)", self.site.slurm("scontrol", "show", "job", "-o", job))
        )

    def starts_again(self, victim: Victim) -> None:
        """Until SLURM has put the struck job into the queue again."""
        self.until(
            victim,
            lambda: int(self.fields(victim.job)["Restarts"]) > victim.restarts,
            "started again",
        )

    def recovers(self, victim: Victim) -> None:
        """Until a later attempt of the cell trains, or has completed it."""
        last = time.monotonic()

        def again() -> bool:
            nonlocal last
            if time.monotonic() - last > 8:
                self.launch()
                last = time.monotonic()
            return self.attempts(victim.cell) > victim.attempt and self.site.record(
                victim.cell
            ).state().name in ("running", "complete")

        self.until(victim, again, "trains again")

    def no_space(self, victim: Victim) -> int:
        """How often its job's log says that the cell waits because no space is left."""
        logs = (self.site.workspace.grids / "chaos" / "jobs").glob(f"*/logs/{victim.job}_*_log.err")
        lines = [
            line
            for path in logs
            for line in path.read_text(errors="replace").splitlines()
            if victim.cell.id in line and line.endswith("; waiting")
        ]
        return sum("No space left on device" in line for line in lines)

    def told(self, victim: Victim) -> str:
        """For messages."""
        return f"{victim} ended as {self.ending(victim)!r}"

    def evidence(self, victim: Victim) -> str:
        """For failures: what the struck attempt wrote, and what the controller says of jobs and
        nodes in the end.
        """
        lines = self.site.settings.log("slurmctld").read_text(errors="replace").splitlines()
        return "\n".join([self.told(victim), *map(str, self.events(victim)), *lines[-60:]])

    def tracked(self) -> list[str]:
        """The fingerprints of all runs in MLflow's database, deleted and unfinished ones too, as
        its tables say.
        """
        database = self.site.workspace.root / "mlflow" / "mlflow.db"
        words = (
            "SELECT value FROM runs LEFT JOIN tags ON tags.run_uuid = runs.run_uuid AND "
            "tags.key = 'echolm.fingerprint'"
        )
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as open_database:
            return sorted(str(value) for (value,) in open_database.execute(words))

    def undrain(self) -> None:
        """What an administrator does: SLURM drains a node on which a job could not be started."""
        for line in self.site.slurm("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T").splitlines():
            node, state = line.split()
            if state.startswith(("drain", "down")) and not state.endswith("*"):
                self.site.slurm("scontrol", "update", f"nodename={node}", "state=resume")

    def node_state(self, node: str) -> str:
        """In sinfo's long words; with ``*`` when it does not answer."""
        return self.site.slurm("sinfo", "-h", "-N", "-p", "main", "-n", node, "-o", "%T").strip()

    def node_of(self, job: str) -> str:
        """Where a job runs."""
        return self.site.slurm("squeue", "-h", "-j", job, "-o", "%N").strip()


def small_disk(runs: Path, megabytes: int = 48) -> None:
    """A file system of its own for the runs."""
    runs.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(runs)], check=True
    )


def verify(chaos: Chaos, expected: Callable[[Cell], object]) -> None:
    """Every cell complete once, bitwise as undisturbed, and once in MLflow, however often it is
    collected.
    """
    for cell in chaos.cells:
        record = chaos.site.record(cell)
        assert result(record) == expected(cell), f"{cell.id}: differs from an undisturbed run"
        endings = [
            event["event"]
            for number in record.attempts()
            for event in record.events(number)
            if event["event"] == "complete"
        ]
        assert len(endings) <= 1, (cell.id, endings)
    fingerprints = sorted(chaos.site.record(cell).identity()["fingerprint"] for cell in chaos.cells)
    for _ in range(2):
        done = chaos.site("collect", chaos.grid.stem, "--json")
        assert done.status == 0, done
        content = json.loads(done.out)
        [collected] = content["collected"].values()
        assert collected["runs"] == len(chaos.cells), content
        assert not (
            collected["problems"] or collected["unfinished"] or content["exported"]["problems"]
        ), content
        assert chaos.tracked() == fingerprints, "MLflow holds each run once, and no other"
