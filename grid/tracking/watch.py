"""Keep MLflow and ``results/`` current while runs complete elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from echolm.errors import EchoLMError
from echolm.record import STOPPED, RunRecord, RunStatus
from echolm.states import RunState
from echolm.training.signals import StopRequest
from echolm.workspace import Workspace
from grid.tracking.address import sqlite_path
from grid.tracking.collect import CollectReport
from grid.tracking.live import LiveRuns
from grid.tracking.sources import (
    Collection,
    CollectSource,
    collect_all,
    collect_source,
    collect_sources,
    export_sources,
)

ENDED = (RunState.COMPLETE, *STOPPED)
"""States of a cell that does not complete by itself any more."""
States = dict[str, dict[str, RunStatus]]
"""Grid -> cell -> state."""


@dataclass(frozen=True)
class EndedCell:
    """A cell that ended since the last look.

    Attributes:
        grid: its grid.
        cell: its id.
        labels: ``axis=label axis=label``.
        state: how it ended.
        ended: how many cells of the grid have ended by now.
        cells: how many the grid has.
    """

    grid: str
    cell: str
    labels: str
    state: RunStatus
    ended: int
    cells: int


@dataclass(frozen=True)
class GridStates:
    """How many cells of a grid are in which state."""

    grid: str
    cells: int
    states: dict[str, int]


class WatchListener(Protocol):
    """What hears of a watch."""

    def exported(self, done: int, total: int) -> None:
        """Hear, during the first look, how many records were brought to the tracking store."""
        ...

    def first_look(self, collection: Collection) -> None:
        """Hear what the first look did."""
        ...

    def waits(self, every: float) -> None:
        """Hear that the watch looks again every ``every`` seconds."""
        ...

    def counted(self, states: GridStates) -> None:
        """Hear how the cells of a grid stand, after the first look and at the end."""
        ...

    def ended(self, cell: EndedCell) -> None:
        """Hear that a cell has ended."""
        ...

    def restored(self, runs: int) -> None:
        """Hear that the tracking store had lost runs, which were added again from the records."""
        ...

    def trouble(self, text: str) -> None:
        """Hear what is not as it should be. Each text is told once."""
        ...


@dataclass(frozen=True)
class WatchResult:
    """How a watch ended.

    Attributes:
        states: the last known state of every cell, by grid.
        stopped_by: the signal that stopped it, or ''.
    """

    states: States
    stopped_by: str = ""

    @property
    def complete(self) -> bool:
        """Whether every cell is complete."""
        return all(state.name == RunState.COMPLETE for state in _all_states(self.states))

    @property
    def stopped_grids(self) -> list[str]:
        """The grids with cells that failed, were pruned or were cancelled."""
        grids = []
        for grid, cells in self.states.items():
            if any(state.name in STOPPED for state in cells.values()):
                grids.append(grid)
        return grids


class _Stopped(Exception):
    """A signal arrived."""


def watch(
    workspace: Workspace,
    grids: Sequence[str],
    uri: str,
    listener: WatchListener,
    *,
    every: float = 30.0,
    until_complete: bool = False,
) -> WatchResult:
    """Collect again and again, until a signal comes.

    Args:
        workspace: where the runs are.
        grids: as for ``collect``. Grids that are launched later are noticed.
        uri: the tracking store.
        listener: hears what happens.
        every: seconds between two looks.
        until_complete: end when there is a cell, and none that may still complete by itself.

    Raises:
        EchoLMError: what the first look cannot do. Later looks try again.
    """
    with StopRequest() as signals:
        looks = Watch(workspace, grids, uri, signals, listener)
        try:
            looks.look_first()
            if not (until_complete and looks.ended):
                listener.waits(every)
            while not (until_complete and looks.ended):
                _wait(every, signals)
                looks.look_again(every)
        except _Stopped:
            return WatchResult(looks.states, signals.received)
    return WatchResult(looks.states)


class Watch:
    """What was seen and told so far."""

    def __init__(
        self,
        workspace: Workspace,
        grids: Sequence[str],
        uri: str,
        signals: StopRequest,
        listener: WatchListener,
    ) -> None:
        self.states: States = {}
        self._workspace = workspace
        self._grids = grids
        self._uri = uri
        self._signals = signals
        self._listener = listener
        self._complete: set[RunRecord] = set()
        self._live = LiveRuns(uri, workspace.root / "mlflow" / "artifacts")
        self._told: set[str] = set()

    @property
    def ended(self) -> bool:
        """Whether there is a cell, and none that may still complete by itself."""
        states = _all_states(self.states)
        return bool(states) and all(state.name in ENDED for state in states)

    def look_first(self) -> None:
        """Collect everything, told as ``echolm collect`` does."""
        sources = collect_sources(self._workspace, self._grids)
        states = self._read_states(sources)  # before the export: what completes later is news

        def progress(done: int, total: int) -> None:
            self._listener.exported(done, total)
            self._stop_if_asked()

        collection = collect_all(self._workspace, sources, self._uri, progress)
        self._listener.first_look(collection)
        self._told.update(collection.complaints())
        with suppress(EchoLMError, OSError):  # it worked just now, and the next look tells
            self._live.show(sources)
        self.states = states
        self._count(sources)

    def look_again(self, every: float) -> None:
        """Collect what has changed. A store that fails now may be back at the next look."""
        try:
            self._look_again()
        except (EchoLMError, OSError) as error:
            self._tell_once([f"{error}; trying again every {every:g} s"])

    def _look_again(self) -> None:
        sources = collect_sources(self._workspace, self._grids)
        states = self._read_states(sources)
        news = {grid: self._ended_since(grid, cells) for grid, cells in states.items()}
        # A database file is looked at each time: it may have been removed.
        if _completed(news) or sqlite_path(self._uri):
            self._collect(sources, news)
        self._live.show(sources)
        self.states = states
        for source in sources:
            self._tell_news(source, news[source.name])
        if any(news.values()) and self.ended:
            self._count(sources)

    def _ended_since(self, grid: str, cells: Mapping[str, RunStatus]) -> dict[str, RunStatus]:
        """Return the cells that have ended, or ended otherwise, since the last look."""
        before = self.states.get(grid, {})
        ended = {}
        for cell, state in cells.items():
            if state.name in ENDED and state != before.get(cell):
                ended[cell] = state
        return ended

    def _collect(self, sources: Sequence[CollectSource], news: States) -> None:
        """Export, and collect the grids that have something new.

        All of them are collected where the store had lost runs.
        """

        def progress(done: int, total: int) -> None:
            self._stop_if_asked()

        exported = export_sources(self._workspace, sources, self._uri, progress)
        completed = _completed(news)
        completed_cells = set().union(*completed.values())
        lost = exported.created + exported.resumed - len(completed_cells)
        collected: dict[str, CollectReport] = {}
        for source in sources:
            if lost > 0 or source.name in completed:
                collected[source.name] = collect_source(self._workspace, source, self._uri)
        if lost > 0:
            self._listener.restored(lost)
        self._tell_once(Collection(self._uri, exported, collected).complaints())

    def _read_states(self, sources: Sequence[CollectSource]) -> States:
        """Judge every cell by its newest record."""
        states: States = {}
        for source in sources:
            states[source.name] = {}
            for cell, records in source.cells.items():
                states[source.name][cell] = self._state(records)
        return states

    def _state(self, records: Sequence[RunRecord]) -> RunStatus:
        """Judge a cell. A complete record stays so: it is not read again."""
        if not records:
            return RunStatus(RunState.PENDING)
        if records[0] in self._complete:
            return RunStatus(RunState.COMPLETE)
        state = records[0].state()
        if state.name != RunState.COMPLETE:
            return state
        self._complete.add(records[0])
        return RunStatus(RunState.COMPLETE)

    def _stop_if_asked(self) -> None:
        if self._signals.received:
            raise _Stopped

    def _count(self, sources: Sequence[CollectSource]) -> None:
        for source in sources:
            states = Counter(state.name for state in self.states[source.name].values())
            ordered = dict(sorted(states.items()))
            self._listener.counted(GridStates(source.name, len(source.cells), ordered))

    def _tell_news(self, source: CollectSource, news: Mapping[str, RunStatus]) -> None:
        states = self.states[source.name]
        ended = sum(state.name in ENDED for state in states.values())
        for cell, state in news.items():
            labels = source.labels[cell]
            self._listener.ended(
                EndedCell(source.name, cell, labels, state, ended=ended, cells=len(states))
            )

    def _tell_once(self, texts: Sequence[str]) -> None:
        for text in texts:
            if text not in self._told:
                self._listener.trouble(text)
                self._told.add(text)


def _completed(news: States) -> dict[str, set[str]]:
    """Return the cells that became complete, of the grids that have some."""
    completed: dict[str, set[str]] = {}
    for grid, cells in news.items():
        for cell, state in cells.items():
            if state.name == RunState.COMPLETE:
                completed.setdefault(grid, set()).add(cell)
    return completed


def _all_states(states: States) -> list[RunStatus]:
    return [state for cells in states.values() for state in cells.values()]


def _wait(seconds: float, signals: StopRequest) -> None:
    end = time.monotonic() + seconds
    while True:
        left = end - time.monotonic()
        if left <= 0:
            return
        if signals.received:
            raise _Stopped
        time.sleep(min(left, 0.2))
