"""``echolm collect --watch``: keeps MLflow and results/ current while runs complete elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from signal import Signals as Signal

import click

from echolm.cli.collect import complaints, print_reports
from echolm.cli.members import Member, collect_one, export_all, members
from echolm.cli.options import counted, typed
from echolm.cli.standings import on_words, tell, where_run
from echolm.errors import EchoLMError
from echolm.record import STOPPED, RunRecord, RunState
from echolm.training.signals import Signals
from echolm.workspace import Workspace

ENDED = ("complete", *STOPPED)
Place = tuple[str, str]
"""Grid and cell."""


class _Stopped(Exception):
    """A signal arrived."""


def watch_grids(workspace: Workspace, grids: Sequence[str], uri: str, every: float, until_complete: bool) -> int:
    """Look every ``every`` seconds; the exit status. What the first look cannot do is an error, later it is tried again."""
    with Signals() as signals:
        watch = Watch(workspace, grids, uri, signals)
        try:
            watch.first()
            if not (until_complete and watch.ended):
                click.echo(f"looking again every {every:g} s; Ctrl-C ends")
            while not (until_complete and watch.ended):
                _wait(every, signals)
                watch.again(every)
        except _Stopped:
            click.echo(f"stopped by {signals.received}", err=True)
            return 128 + Signal[signals.received]
    return watch.finish()


class Watch:
    """What was seen and told so far."""

    def __init__(self, workspace: Workspace, grids: Sequence[str], uri: str, signals: Signals) -> None:
        self.workspace, self.grids, self.uri, self.signals = workspace, grids, uri, signals
        self.states: dict[Place, RunState] = {}
        self._complete: set[RunRecord] = set()
        self._told: set[str] = set()

    @property
    def ended(self) -> bool:
        """Whether there is a cell, and none that may still complete by itself."""
        return bool(self.states) and all(state.name in ENDED for state in self.states.values())

    def first(self) -> None:
        """Everything, told as ``echolm collect`` does."""
        found = members(self.workspace, self.grids)
        states = self._look(found)
        exported = export_all(self.workspace, found, self.uri, quiet=False, between=self._between)
        collected = {member.name: collect_one(self.workspace, self.uri, member) for member in found}
        print_reports(self.uri, exported, collected)
        self._told.update(complaints(exported, collected))
        self.states = states
        self._count(found)

    def again(self, every: float) -> None:
        """Only what has changed. A store that fails now may be back at the next look."""
        try:
            self._again()
        except (EchoLMError, OSError) as error:
            self._tell_once([f"{error}; trying again every {every:g} s"])

    def finish(self) -> int:
        """The last lines, and the exit status."""
        stopped = {grid: None for (grid, _), state in self.states.items() if state.name in STOPPED}
        tell([f"to run stopped cells again: {typed('retry', grid, *on_words(where_run(self.workspace, grid)))}" for grid in stopped])
        return 0 if all(state.name == "complete" for state in self.states.values()) else 1

    def _again(self) -> None:
        from grid.tracking.store import sqlite_path

        found = members(self.workspace, self.grids)
        states = self._look(found)
        news = {place: state for place, state in states.items() if state.name in ENDED and state != self.states.get(place)}
        complete = {place for place, state in news.items() if state.name == "complete"}
        if complete or sqlite_path(self.uri):  # a file is looked at each time: it may have been removed
            self._bring(found, complete)
        self.states = states
        for member in found:
            self._tell_news(member, news)
        if news and self.ended:
            self._count(found)

    def _bring(self, found: Sequence[Member], complete: set[Place]) -> None:
        """Export, and collect the grids that have something new; all of them where the store had lost runs."""
        exported = export_all(self.workspace, found, self.uri, quiet=True, between=self._between)
        lost = exported.created + exported.resumed - len({cell for _, cell in complete})
        fresh = {grid for grid, _ in complete}
        collected = {m.name: collect_one(self.workspace, self.uri, m) for m in found if lost > 0 or m.name in fresh}
        if lost > 0:
            click.echo(f"{_now()}  the tracking store had lost {counted(lost, 'run')}: added again from the records")
        self._tell_once(complaints(exported, collected))

    def _look(self, found: Sequence[Member]) -> dict[Place, RunState]:
        """Every cell, by its newest record. A complete record stays so: it is not read again."""
        return {(member.name, cell): self._state(records) for member in found for cell, records in member.cells.items()}

    def _state(self, records: Sequence[RunRecord]) -> RunState:
        if not records:
            return RunState("pending")
        if records[0] in self._complete:
            return RunState("complete")
        state = records[0].state()
        if state.name != "complete":
            return state
        self._complete.add(records[0])
        return RunState("complete")

    def _between(self) -> None:
        if self.signals.received:
            raise _Stopped

    def _count(self, found: Sequence[Member]) -> None:
        for member in found:
            names = Counter(self.states[member.name, cell].name for cell in member.cells)
            states = ", ".join(f"{count} {name}" for name, count in sorted(names.items()))
            click.echo(f"{member.name}: {counted(len(member.cells), 'cell')}: {states}")

    def _tell_news(self, member: Member, news: Mapping[Place, RunState]) -> None:
        ended = sum(self.states[member.name, cell].name in ENDED for cell in member.cells)
        for cell in member.cells:
            if state := news.get((member.name, cell)):
                why = str(state.evidence.get("error") or "").partition("\n")[0]
                line = f"{_now()}  {member.name} {ended}/{len(member.cells)}  {cell[:8]}  {state.name:<9}  {member.labels[cell]}"
                click.echo(line.rstrip() + (f"  ({why})" if why else ""))

    def _tell_once(self, texts: Sequence[str]) -> None:
        for text in texts:
            if text not in self._told:
                click.echo(f"{_now()}  {text}", err=True)
                self._told.add(text)


def _wait(seconds: float, signals: Signals) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if signals.received:
            raise _Stopped
        time.sleep(min(left, 0.2))


def _now() -> str:
    return time.strftime("%H:%M:%S")
