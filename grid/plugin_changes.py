"""Whether the plugins of today are those that made the stored runs of a grid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from echolm.config import COMPONENTS
from echolm.errors import EchoLMError
from echolm.plugins import OWN, plugin_sources
from echolm.record import RunRecord, find_records
from echolm.registry import load_plugins
from echolm.text import counted
from echolm.workspace import Workspace
from grid.definition.tables import SEED, TableCell
from grid.stored_configs import launched_configs

LISTED = 5
"""Lines of one kind. The others are counted."""
LISTED_IDS = 4
"""Cells that a line names."""
SHOWN_DIGITS = 8
"""Of a SHA-256 or a cell's id."""
RAISE_PROTOCOL = (
    "if the same configuration gives other numbers now, raise the component's protocol "
    "(protocol: ClassVar[int] = 2 in its class) and launch again; if not, nothing is to be done"
)
"""What to do about an edited plugin."""

Source = Mapping[str, str]
"""Plugin -> SHA-256 of its source."""


@dataclass(frozen=True)
class _StoredRun:
    """The run of a cell that counts, and the sources that made it, oldest first."""

    cell: TableCell
    sources: Sequence[Source]
    complete: bool


def plugin_changes(workspace: Workspace, grid: str, cells: Iterable[TableCell]) -> list[str]:
    """Say which stored runs were made with another source of a plugin.

    It is another than today's, another than the run began with, or another than that of other seeds
    of the same value. Runs whose record tells no source say nothing here (``echolm grid explain``
    does).

    Args:
        workspace: where the runs are.
        grid: the grid's name.
        cells: the cells whose runs count.
    """
    load_plugins()
    runs = []
    for cell in _cells_with_plugins(workspace, grid, list(cells)):
        run = _stored_run(workspace, cell)
        if run is not None:
            runs.append(run)
    return [*_differ_from_today(runs), *_differ_in_a_run(runs), *_differ_between_seeds(runs)]


def source_line(record: RunRecord) -> str:
    """Say how the plugins that made a run stand to today's.

    The line is empty where the run uses none.
    """
    if not _uses_plugin(record.identity()["config"]):
        return ""
    sources = record.plugin_sources()
    if sources is None:
        return "the source of its plugins is not recorded: an earlier EchoLM made it"
    if not sources:
        return ""
    if len(sources) > 1:
        turns = ", went on with ".join(_named(source) for source in sources)
        return f"begun with plugin {turns}; {RAISE_PROTOCOL}"
    today = {name: plugin_sources().get(name, "") for name in sources[0]}
    if today == sources[0]:
        return f"plugin {_named(sources[0])}, as today"
    return f"plugin {_named(sources[0])}, today {_named(today)}; {RAISE_PROTOCOL}"


def _stored_run(workspace: Workspace, cell: TableCell) -> _StoredRun | None:
    """Return the newest complete run of a cell, else its newest. None: no source is recorded."""
    records = find_records(workspace.runs, cell.id)
    complete = [record for record in records if record.summary() is not None]
    for record in (complete or records)[:1]:
        sources = record.plugin_sources()
        if sources:
            return _StoredRun(cell, sources, bool(complete))
    return None


def _differ_from_today(runs: Sequence[_StoredRun]) -> list[str]:
    """Say which runs were made with another source than today's, a line for each pair of both."""
    today = plugin_sources()
    groups: dict[tuple[str, str, bool], list[str]] = {}
    for run in runs:
        for plugin, then in run.sources[-1].items():
            now = today.get(plugin)
            if then and now and then != now:
                groups.setdefault((plugin, then, run.complete), []).append(run.cell.id)
    lines = []
    for (plugin, then, complete), cells in groups.items():
        what = "made" if complete else "begun, and would go on with another,"
        lines.append(
            f"{counted(len(cells), 'run')} ({_ids(cells)}) {what} with plugin "
            f"{_named({plugin: then})}, today {_named({plugin: today[plugin]})}; {RAISE_PROTOCOL}"
        )
    return _shortened(lines)


def _differ_in_a_run(runs: Sequence[_StoredRun]) -> list[str]:
    """Say which runs began with one source and went on with another."""
    lines = []
    for run in runs:
        if len(run.sources) > 1:
            turns = ", went on with ".join(_named(source) for source in run.sources)
            lines.append(f"cell {run.cell.id[:SHOWN_DIGITS]} was begun with plugin {turns}")
    return _shortened(lines)


def _differ_between_seeds(runs: Sequence[_StoredRun]) -> list[str]:
    """Say which values, whose seeds are averaged, have seeds of several sources."""
    values: dict[tuple[tuple[str, str], ...], dict[str, list[str]]] = {}
    for run in runs:
        if not run.complete:
            continue
        labels = dict(run.cell.coordinates)
        seed = labels.pop(SEED, "")
        by_source = values.setdefault(tuple(labels.items()), {})
        by_source.setdefault(_named(run.sources[-1]), []).append(seed)
    lines = []
    for place, by_source in values.items():
        if len(by_source) > 1:
            where = " ".join(f"{axis}={label}" for axis, label in place)
            parts = []
            for source, seeds in by_source.items():
                parts.append(f"seed {', '.join(seeds)} with {source}")
            lines.append(f"{where or 'one value'}: seeds of several sources: {'; '.join(parts)}")
    return _shortened(lines)


def _ids(cells: Sequence[str]) -> str:
    names = ", ".join(cell[:SHOWN_DIGITS] for cell in cells[:LISTED_IDS])
    return f"{names}, ..." if len(cells) > LISTED_IDS else names


def _shortened(lines: list[str]) -> list[str]:
    more = len(lines) - LISTED
    if more <= 0:
        return lines
    return [*lines[:LISTED], f"... and {more:,} more; echolm grid explain CELL says it of each"]


def _named(source: Source) -> str:
    """Name plugins with their sources: ``toys 1a2b3c4d``."""
    names = [
        f"{plugin} {digest[:SHOWN_DIGITS] or '(no file)'}" for plugin, digest in source.items()
    ]
    return ", ".join(names) or "(none)"


def _cells_with_plugins(
    workspace: Workspace, grid: str, cells: Sequence[TableCell]
) -> list[TableCell]:
    """Return the cells whose configuration names a component of a plugin."""
    stored: Mapping[str, Any] | None = None
    using = []
    for cell in cells:
        config = getattr(cell, "config", None)
        if config is None:  # a cell as tables read it
            if stored is None:
                stored = _stored_configs(workspace, grid)
            values = stored.get(cell.id, {})
        else:
            values = {field: getattr(config, field, None) for field in COMPONENTS}
        if _uses_plugin(values):
            using.append(cell)
    return using


def _stored_configs(workspace: Workspace, grid: str) -> Mapping[str, Any]:
    """Return the configurations that were launched. An early version stored none."""
    try:
        return launched_configs(workspace, grid)
    except EchoLMError:
        return {}


def _uses_plugin(config: Mapping[str, Any]) -> bool:
    """Return whether a configuration, parsed or plain, names a component of a plugin."""
    for field in COMPONENTS:
        value = config.get(field)
        name = value.get("name") if isinstance(value, Mapping) else getattr(value, "name", value)
        if isinstance(name, str) and _is_of_plugin(field, name):
            return True
    return False


@lru_cache
def _is_of_plugin(field: str, name: str) -> bool:
    registry = COMPONENTS[field]
    if name not in registry.names():
        return True  # of a plugin that is not imported here
    return registry.get(name).__module__.partition(".")[0] not in OWN
