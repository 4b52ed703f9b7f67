"""How much a grid will write, and whether that fits on the workspace's disk.

Weights are counted on networks without memory, one for each shape of a grid, not one a cell.
Predictions are estimated from complete runs of the same task, else by an assumed size of a row.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cluster.place import LaunchOptions
from echolm.config import FinetuneConfig, PretrainConfig, splits_read
from echolm.errors import EchoLMError
from echolm.identity import canonical_json
from echolm.kept_weights import Keep
from echolm.record import RunRecord
from echolm.states import RunState
from echolm.stores.clips import peek
from echolm.text import counted, file_size
from echolm.training.footprint import Footprint, footprint
from echolm.workspace import Workspace
from grid.definition.schema import BlockResources
from grid.plan import CellStatus
from grid.units import Unit

ROW_BYTES = 100
"""Bytes of one sample's predictions, compressed (assumed: 95 of a landmark run of EchoNet)."""
CHECKPOINTS = 3
"""Checkpoints of a run in training: two that stay, and one that is being written."""
BEST_WEIGHTS = 3
"""Best weights of a run in training: those that its checkpoints refer to, and the newest."""
MEASURED_RUNS = 3
"""Complete runs of a task whose predictions are looked at."""


@dataclass(frozen=True)
class DiskForecast:
    """What the cells of a grid that are not complete will write, in bytes.

    Attributes:
        cells: how many they are.
        weights: of the weights that stay.
        predictions: of the predictions, estimated.
        at_once: how many cells are taken to be in training at the same time.
        checkpoints: of what these hold beside, while they train.
        largest: of what one of them holds at most.
        free: on the disk of the workspace. None: it cannot be asked.
        place: that disk, by the workspace's folder.
        unknown: cells whose network is not known and cannot be built here. They are not counted.
        uncounted: cells whose predictions are not counted, since their store is not here.
        shapes: how many networks were counted.
    """

    cells: int
    weights: int
    predictions: int
    at_once: int
    checkpoints: int
    largest: int
    free: int | None
    place: str
    unknown: int = 0
    uncounted: int = 0
    shapes: int = 0

    @property
    def needed(self) -> int:
        """What must fit on the disk at the worst moment."""
        return self.weights + self.predictions + self.checkpoints

    @property
    def fits(self) -> bool:
        """Whether it does, as far as the disk can be asked."""
        return self.free is None or self.needed <= self.free

    def lines(self) -> list[str]:
        """Return it as text. There is nothing to say of a grid that is complete."""
        if not self.cells:
            return []
        line = (
            f"to write: {file_size(self.weights)} of weights, about "
            f"{file_size(self.predictions)} of predictions; in training, with "
            f"{counted(self.at_once, 'cell')} at once, up to {file_size(self.checkpoints)} of "
            "checkpoints"
        )
        if self.free is not None:
            line += f"; {file_size(self.free)} free on the disk of {self.place}"
        lines = [line]
        if self.unknown:
            lines.append(
                f"not counted: the weights of {counted(self.unknown, 'cell')}, whose networks are "
                "not known here"
            )
        if self.uncounted:
            lines.append(
                f"not counted: the predictions of {counted(self.uncounted, 'cell')}, whose store "
                "is not here"
            )
        return lines

    def warnings(self) -> list[str]:
        """Say that it does not fit, and what would help."""
        if self.fits or not self.cells or self.free is None:
            return []
        return [
            f"{self.place}: {file_size(self.free)} are free and {file_size(self.needed)} would be "
            "written: make room, keep less (--keep half, --keep none), or choose cells with --where"
        ]

    def plain(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return {**asdict(self), "needed": self.needed, "fits": self.fits}


def forecast_disk(
    workspace: Workspace,
    statuses: Sequence[CellStatus],
    options: LaunchOptions | None = None,
    at_once: int = 1,
    remembers: bool = False,
) -> DiskForecast:
    """Forecast what cells that are not complete will write.

    Args:
        workspace: where they do.
        statuses: where the cells stand.
        options: of the launch. None: each cell keeps what its block says.
        at_once: cells that train at the same time.
        remembers: whether the workspace's cache may take what is counted.
    """
    options = options or LaunchOptions()
    to_write = [status for status in statuses if status.state.name != RunState.COMPLETE]
    # torch takes seconds to begin. Where nothing can run, that is not worth it.
    builds = any(status.run for status in to_write)
    networks = _Networks(workspace.cache, remembers, builds)
    keep_of = _Keeps(options)
    predictions = _Predictions(workspace, statuses)
    weights = rows_bytes = unknown = uncounted = 0
    in_training: list[int] = []
    for status in to_write:
        config = status.cell.config
        keep = keep_of(status.cell.resources)
        size = networks(config)
        if size is None:
            unknown += 1
        else:
            weights += int(keep.share * size.weights)
            in_training.append(CHECKPOINTS * size.checkpoint + BEST_WEIGHTS * size.weights)
        row_bytes = predictions(config)
        if row_bytes is None:
            uncounted += 1
        else:
            rows_bytes += row_bytes
    in_training.sort(reverse=True)
    count = min(at_once, len(to_write))
    return DiskForecast(
        cells=len(to_write),
        weights=weights,
        predictions=rows_bytes,
        at_once=count,
        checkpoints=sum(in_training[:count]),
        largest=max(in_training, default=0),
        free=_free(workspace.root),
        place=str(workspace.root),
        unknown=unknown,
        uncounted=uncounted,
        shapes=networks.count,
    )


def cells_at_once(units: Iterable[Unit], slots: int) -> int:
    """Return how many cells train at the same time at most, when so many units do."""
    sizes = sorted((len(unit.cells) for unit in units), reverse=True)
    return sum(sizes[:slots])


class _Keeps:
    """What becomes of the weights of cells, asked once for each block."""

    def __init__(self, options: LaunchOptions) -> None:
        self._options = options
        self._by_block: dict[int, Keep] = {}

    def __call__(self, block: BlockResources) -> Keep:
        """Return what becomes of the weights of a block's cells."""
        if id(block) not in self._by_block:
            self._by_block[id(block)] = Keep(self._options.of_block(block).keep or Keep.BEST)
        return self._by_block[id(block)]


class _Networks:
    """The footprints of networks, each shape counted once. Cells share the parts of their runs."""

    def __init__(self, cache: Path, remembers: bool, builds: bool) -> None:
        self._cache = cache
        self._remembers = remembers
        self._builds = builds
        self._by_parts: dict[tuple[int, ...], Footprint | None] = {}

    @property
    def count(self) -> int:
        """How many shapes there were."""
        return len({size for size in self._by_parts.values() if size is not None})

    def __call__(self, config: FinetuneConfig | PretrainConfig) -> Footprint | None:
        """Return the footprint of a run. None where its network cannot be built here."""
        parts: list[Any] = [config.encoder, config.optimizer]
        if isinstance(config, PretrainConfig):
            parts.append(config.objective)
        else:
            parts += [config.trainable, config.fusion, config.head, config.task]
        key = tuple(map(id, parts))
        if key not in self._by_parts:
            self._by_parts[key] = self._count(config)
        return self._by_parts[key]

    def _count(self, config: FinetuneConfig | PretrainConfig) -> Footprint | None:
        try:
            return footprint(config, self._cache, remembers=self._remembers, builds=self._builds)
        except Exception:  # a plugin may do anything: what it breaks is an estimate
            return None


class _Predictions:
    """The bytes of a run's predictions."""

    def __init__(self, workspace: Workspace, statuses: Sequence[CellStatus]) -> None:
        self._workspace = workspace
        self._row_bytes = _measured_row_bytes(statuses)
        self._splits: dict[str, dict[str, int] | None] = {}
        self._row_bytes_of: dict[int, float] = {}

    def __call__(self, config: FinetuneConfig | PretrainConfig) -> int | None:
        """Return the bytes of a run's predictions. None where its store is not here."""
        if isinstance(config, PretrainConfig) and not config.predictions:
            return 0
        splits = self._splits_of(config.data.name)
        if splits is None:
            return None
        rows = 0.0
        for split in splits_read(config)[1:]:
            is_cut = split == "val" and config.data.of == "train+val"
            rows += splits.get(split, 0) * (config.data.fraction if is_cut else 1)
        goal = id(config.goal)
        if goal not in self._row_bytes_of:
            self._row_bytes_of[goal] = self._row_bytes.get(_goal_key(config), ROW_BYTES)
        return int(rows * self._row_bytes_of[goal])

    def _splits_of(self, store: str) -> dict[str, int] | None:
        if store not in self._splits:
            try:
                info = peek(self._workspace.store(store))
            except EchoLMError:
                self._splits[store] = None
            else:
                self._splits[store] = info.get("splits", {})
        return self._splits[store]


def _goal_key(config: FinetuneConfig | PretrainConfig) -> str:
    return canonical_json(config.goal.model_dump(mode="json"))


def _measured_row_bytes(statuses: Iterable[CellStatus]) -> dict[str, float]:
    """Return the bytes of a sample's predictions in complete runs, by what is learned."""
    sizes: dict[str, list[float]] = {}
    keys: dict[int, str] = {}
    for status in statuses:
        if status.state.name != RunState.COMPLETE or status.record is None:
            continue
        config = status.cell.config
        if id(config.goal) not in keys:
            keys[id(config.goal)] = _goal_key(config)
        of_goal = sizes.setdefault(keys[id(config.goal)], [])
        if len(of_goal) < MEASURED_RUNS:
            size = _row_bytes_of(status.record, splits_read(config)[1:])
            if size is not None:
                of_goal.append(size)
    return {goal: sum(parts) / len(parts) for goal, parts in sizes.items() if parts}


def _row_bytes_of(record: RunRecord, splits: Sequence[str]) -> float | None:
    """Return the bytes of a sample's predictions in a complete run. None: it has none."""
    try:
        summary = record.summary() or {}
        rows = sum(int(summary["counts"][split]) for split in splits)
        size = record.file("predictions.parquet").stat().st_size
    except (EchoLMError, OSError, KeyError):
        return None
    return size / rows if rows else None


def _free(folder: Path) -> int | None:
    """Return the free bytes of the disk that a folder is on, or will be on."""
    for place in (folder, *folder.parents):
        if place.exists():
            try:
                return shutil.disk_usage(place).free
            except OSError:
                return None
    return None
