"""What a run was made from, and whether its cell is made from the same today.

A value of a table is of one content of a store, one identity of first weights and one set of
protocol numbers. Those of today count where they can be known: from the workspace's store, the file
of the weights, and the code. Else the runs of a value must agree among themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from echolm import identity
from echolm.config import FinetuneConfig, PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.files import read_json
from echolm.record import RunRecord, cell_state_or_diverged, find_records
from echolm.states import FailureClass, RunState, Standing
from echolm.training.prepare import Inputs
from echolm.workspace import Workspace
from grid.definition.launched import CELLS_FILE
from grid.definition.tables import TableCell
from grid.units import STOPPED, TO_RUN

DIGITS = 16
"""Digits of a hash that are shown."""
NO_LONGER_COUNTS = "not averaged, as its run no longer counts"
NONE_COUNTS = "none of its runs counts any more: their data, weights or protocols changed"
ELSEWHERE = (
    "average only runs of one store, one file of weights and one protocol; what counts today "
    "cannot be told here, as the store or the weights are not there. Where they are, "
    "'echolm launch' runs what changed, and 'echolm collect' brings it"
)


@dataclass(frozen=True)
class Origin:
    """What a run is made from. What is empty is not known.

    Attributes:
        fingerprint: of the run.
        data: the fingerprint of its store.
        weights: the identity of its first weights.
        protocols: the protocol number of each component.
    """

    fingerprint: str = ""
    data: str = ""
    weights: str = ""
    protocols: Mapping[str, int] = field(default_factory=dict)


UNKNOWN = Origin()


class TodaysOrigins:
    """What the cells of a grid are made from today in a workspace.

    Args:
        workspace: where stores, weights and records are.
        name: the grid's name.
        cells: its cells, where they are at hand.
    """

    def __init__(self, workspace: Workspace, name: str, cells: Sequence[TableCell] = ()) -> None:
        self._workspace = workspace
        self._name = name
        self._inputs = Inputs(workspace, self._cell_of_grid)
        self._origins: dict[str, Origin] = {}
        self._launched: dict[str, Any] | None = None
        self._configs: dict[str, FinetuneConfig | PretrainConfig] = {}
        for cell in cells:
            config = getattr(cell, "config", None)
            if isinstance(config, FinetuneConfig | PretrainConfig):
                self._configs[cell.id] = config

    def of(self, cell: str) -> Origin:
        """Return what a cell is made from today. What cannot be known here is empty."""
        if cell not in self._origins:
            self._origins[cell] = self._find(cell)
        return self._origins[cell]

    def state(self, cell: str) -> str:
        """Return the state of the run that counts today.

        It is as ``echolm.record.cell_state_or_diverged`` has it. Where today's data or weights
        cannot be known, it is that of the newest run. It is a ``Standing`` where the cell whose
        weights it begins with is not complete.
        """
        return self._standing(cell)[0]

    def why_waiting(self, cell: str) -> str:
        """Say for which cell a cell waits, or by which it is blocked. '' of any other."""
        return self._standing(cell)[1]

    def _own_state(self, cell: str) -> str:
        fingerprint = self.of(cell).fingerprint
        if not fingerprint:
            return cell_state_or_diverged(self._workspace.runs, cell)
        state = RunRecord.at(self._workspace.runs, cell, fingerprint).state()
        is_failed = state.name == RunState.FAILED
        if is_failed and state.evidence.get("class") == FailureClass.DIVERGED:
            return FailureClass.DIVERGED
        return state.name

    def config(self, cell: str) -> FinetuneConfig | PretrainConfig | None:
        """Return the configuration of a cell, or None where no file has it.

        A cell's id tells it, so any source will do.

        Raises:
            EchoLMError: it has a component that is not here.
        """
        if cell in self._configs:
            return self._configs[cell]
        config = self._plain(cell)
        if config is None:
            records = find_records(self._workspace.runs, cell)
            if not records:
                return None
            config = records[0].identity().get("config")
        return parse_config(config, f"cell {cell}")

    def _upstream(self, cell: str) -> str:
        """Return the cell of the grid whose weights a cell begins with, or ''."""
        config = self._cell_of_grid(cell)
        if config is None or config.weights.source != "run":
            return ""
        upstream = config.weights.value
        return upstream if self._cell_of_grid(upstream) is not None else ""

    def _standing(self, cell: str) -> tuple[str, str]:
        """Return how a cell stands, and why it cannot begin: '' where it can."""
        state = self._own_state(cell)
        upstream = self._upstream(cell) if state in TO_RUN else ""
        if not upstream:
            return state, ""
        of, _ = self._standing(upstream)
        if of == RunState.COMPLETE:
            return state, ""
        named = f"cell {upstream[:8]}, whose weights it begins with, is {of}"
        if of in (*STOPPED, FailureClass.DIVERGED, Standing.BLOCKED):
            return Standing.BLOCKED, f"{named}; a retry of the whole grid runs both"
        return Standing.WAITING, f"{named}; a launch of the whole grid runs both"

    def _cell_of_grid(self, cell: str) -> FinetuneConfig | PretrainConfig | None:
        """Return the configuration of a cell of the grid, where it is at hand."""
        if cell in self._configs:
            return self._configs[cell]
        plain = self._plain(cell)
        if not plain:
            return None
        try:
            self._configs[cell] = parse_config(plain, f"cell {cell}")
        except EchoLMError:
            return None  # of a component that is not here
        return self._configs[cell]

    def _plain(self, cell: str) -> dict[str, Any] | None:
        """Return the configuration of a cell as the grid was launched, or collected by its file."""
        if self._launched is None:
            self._launched = self._read_launched()
        return self._launched.get(cell)

    def _find(self, cell: str) -> Origin:
        try:
            config = self.config(cell)
        except EchoLMError:
            return UNKNOWN  # of a component that is not here, such as a plugin's
        if config is None:
            return UNKNOWN
        data = weights = fingerprint = ""
        try:
            data = self._inputs.store(config).fingerprint
        except EchoLMError:
            pass  # the store is not here
        try:
            _, weights = self._inputs.weights(config.weights, config.encoder)
        except EchoLMError:
            pass  # nor need the weights be
        if data and weights:
            _, fingerprint = identity.keys(config, data, weights)
        return Origin(fingerprint, data, weights, identity.protocols(config))

    def _read_launched(self) -> dict[str, Any]:
        """Read cell -> its configuration as the grid was launched, or collected by its file."""
        configs: dict[str, Any] = {}
        launched = self._workspace.grids / self._name
        for folder in (launched, self._workspace.results(self._name)):
            for cell, entry in _cells(folder / CELLS_FILE).items():
                if isinstance(entry, dict) and entry.get("config"):
                    configs[cell] = entry["config"]
        return configs


def _cells(path: Path) -> dict[str, Any]:
    """Return the entries of a ``cells.json``, none where it is not there or damaged."""
    try:
        entries = read_json(path, "cells")["cells"]
    except (EchoLMError, OSError):
        return {}
    return entries if isinstance(entries, dict) else {}


def origin_of(run: Mapping[str, Any]) -> Origin:
    """Return what a collected run was made from, as its row says."""
    return Origin(
        fingerprint=run["fingerprint"] or "",
        data=run["data"] or "",
        weights=run["weights"] or "",
        protocols=_protocols(run),
    )


def why_not_counted(run: Mapping[str, Any], today: Origin) -> str:
    """Return why a collected run is not the one of its cell today, or '' where it may be.

    Args:
        run: its row.
        today: what its cell is made from today.
    """
    then = origin_of(run)
    if then.fingerprint == today.fingerprint:
        return ""
    changes = []
    for name, old, new in (
        ("data", then.data, today.data),
        ("weights", then.weights, today.weights),
    ):
        if old and new and old != new:
            changes.append(f"{name} changed ({old[:DIGITS]} then, {new[:DIGITS]} now)")
    if then.protocols and today.protocols:
        for name in sorted({**then.protocols, **today.protocols}):
            old_number = then.protocols.get(name)
            new_number = today.protocols.get(name)
            if old_number != new_number:
                changes.append(f"protocol of {name} changed ({old_number} then, {new_number} now)")
    if today.fingerprint and not changes:
        changes.append("its weights or a protocol changed")
    if not changes:
        return ""
    return f"{NO_LONGER_COUNTS}: {'; '.join(changes)}"


def disagreement(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return in what the runs of one value differ, or '' where they agree.

    What is not known of a run is not compared. Weights that its configuration names for a seed
    alone differ by design.

    Args:
        runs: seed -> the row of its run.
    """
    parts = []
    data = {seed: run["data"] for seed, run in runs.items()}
    parts.append(_difference("data", data))
    for named in dict.fromkeys(run["params.weights"] for run in runs.values()):
        weights = {}
        for seed, run in runs.items():
            if run["params.weights"] == named:
                weights[seed] = run["weights"]
        parts.append(_difference("weights", weights))
    protocols = {seed: _protocols(run) for seed, run in runs.items()}
    components: dict[str, None] = {}
    for numbers in protocols.values():
        components.update(dict.fromkeys(numbers))
    for component in components:
        numbers_of_seeds = {seed: own.get(component) for seed, own in protocols.items()}
        parts.append(_difference(f"protocols of {component}", numbers_of_seeds))
    differences = [part for part in parts if part]
    if not differences:
        return ""
    return f"its runs are of different {', and of different '.join(differences)}: {ELSEWHERE}"


def same_data(first: Iterable[Mapping[str, Any]], second: Iterable[Mapping[str, Any]]) -> bool:
    """Return whether the runs of two values are of the same data, as far as is known."""
    known = []
    for runs in (first, second):
        known.append({run["data"] for run in runs if run["data"]})
    return not all(known) or known[0] == known[1]


def _protocols(run: Mapping[str, Any]) -> dict[str, int]:
    """Return the protocol numbers of a row, none where they are not known."""
    return _parsed(run["protocols"] or "{}")


@lru_cache(maxsize=256)
def _parsed(text: str) -> dict[str, int]:
    """Return the numbers in a JSON text, which most runs of a grid share. Nobody changes them."""
    try:
        numbers = json.loads(text)
    except ValueError:
        return {}
    return numbers if isinstance(numbers, dict) else {}


def _difference(what: str, by_seed: Mapping[str, Any]) -> str:
    """Return ``data (seeds 0, 1: a1b2; seed 2: c3d4)``, or '' where all that are known agree."""
    seeds: dict[str, list[str]] = {}
    for seed, part in by_seed.items():
        if part is not None:
            seeds.setdefault(str(part)[:DIGITS], []).append(seed)
    if len(seeds) < 2:
        return ""
    texts = []
    for part, names in seeds.items():
        noun = "seed" if len(names) == 1 else "seeds"
        texts.append(f"{noun} {', '.join(names)}: {part}")
    return f"{what} ({'; '.join(texts)})"
