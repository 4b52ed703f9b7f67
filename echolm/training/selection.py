"""Which items of a store a run uses.

Those that ``data.where`` asks for, and of these the ones that have all values which the run needs.
Others are left out of every split. ``data.fraction`` then takes a part of train and val.

A store is looked at twice: by its index alone when runs are planned, and as a whole when they are
trained. Both ask ``select``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.config import Data, FinetuneConfig, PretrainConfig
from echolm.datasets.scan import SPLITS
from echolm.errors import EchoLMError
from echolm.randomness import fold, sample_keys
from echolm.stores.clips import FIXED, INDEX, ClipStore
from echolm.stores.items import LANDMARKS, Item
from echolm.tasks import Goal, Task
from echolm.text import suggest
from echolm.value_groups import members

if TYPE_CHECKING:
    import pyarrow.parquet as pq

Config = FinetuneConfig | PretrainConfig
HERE = "points"
"""Stands for points, of which only matters whether an item has them."""
SHOWN_VALUES = 10
"""Values of a store that an error names."""


@dataclass(frozen=True)
class ItemValues:
    """What decides which items are used.

    Attributes:
        path: of the store.
        names: of all values that the store has.
        splits: the split of each item.
        columns: name -> a value of each item, None where it has none. Points are ``HERE``.
    """

    path: Path
    names: tuple[str, ...]
    splits: Sequence[str]
    columns: Mapping[str, Sequence[Any]]

    @classmethod
    def of_store(cls, store: ClipStore, wanted: Collection[str]) -> ItemValues:
        """Take the values called ``wanted`` of an opened store, as far as it has them."""
        names: dict[str, None] = {}
        for item in store.items:
            names.update(dict.fromkeys(item.values))
        columns = {}
        for name in [name for name in names if name in wanted]:
            values = [item.values.get(name) for item in store.items]
            columns[name] = _without_points(name, values)
        return cls(store.path, tuple(names), [item.split for item in store.items], columns)

    @classmethod
    def of_index(cls, path: Path, wanted: Collection[str]) -> ItemValues:
        """Read the values called ``wanted`` in the index of a store, and little else of it.

        Raises:
            EchoLMError: the index cannot be read.
        """
        with _opened_index(path) as file:
            names = [name for name in file.schema_arrow.names if name not in FIXED]
            read = [name for name in names if name in wanted]
            table = file.read(columns=["split", *read])
        columns = {}
        for name in read:
            column = table[name]
            if name.startswith(LANDMARKS):  # many numbers, of which none matters
                column = column.is_valid()
                columns[name] = [HERE if there else None for there in column.to_pylist()]
            else:
                columns[name] = column.to_pylist()
        return cls(path, tuple(names), table["split"].to_pylist(), columns)


def _without_points(name: str, values: list[Any]) -> list[Any]:
    if not name.startswith(LANDMARKS):
        return values
    return [None if points is None else HERE for points in values]


def first_item(path: Path) -> Item:
    """Read the first item in the index of a store.

    Raises:
        EchoLMError: the index cannot be read.
    """
    with _opened_index(path) as file:
        [row] = next(file.iter_batches(batch_size=1)).to_pylist()
    values = {name: value for name, value in row.items() if name not in FIXED}
    for name, value in values.items():
        if name.startswith(LANDMARKS) and value is not None:
            values[name] = np.array(value, np.float32).reshape(-1, 2)
    return Item(
        sample=row["sample"],
        patient=row["patient"],
        study=row["study"],
        split=row["split"],
        height=row["h"],
        width=row["w"],
        frames=np.array(row["frames"]),
        values=values,
    )


@contextmanager
def _opened_index(path: Path) -> Iterator[pq.ParquetFile]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path / INDEX) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise EchoLMError(f"{path / INDEX}: cannot be read: {reason}") from error


@dataclass(frozen=True)
class Selection:
    """The rows of a store that a run uses.

    Attributes:
        rows: split -> rows of the store, ascending.
        left_out: split -> how many items are left out, since they lack a value.
    """

    rows: dict[str, np.ndarray]
    left_out: dict[str, int]


def select_rows(store: ClipStore, config: Config, splits: Sequence[str] = SPLITS) -> Selection:
    """Choose the rows of an opened store that a run uses, under ``data.fraction``.

    Args:
        store: the store.
        config: of the run.
        splits: those that it reads.

    Raises:
        EchoLMError: nothing of a split is left, or ``data.where`` names what no item has.
    """
    own_frames = chooses_frames(config.goal, store.items[0], config.encoder.frames)
    needed = needed_values(config, own_frames)
    values = ItemValues.of_store(store, wanted_columns(config, needed))
    selection = select(values, config, needed, splits)
    rows = dict(selection.rows)
    for split in rows.keys() & {"train", "val"}:
        rows[split] = subset_rows(store.items, rows[split], config.data, split)
    return Selection(rows, selection.left_out)


def needed_values(config: Config, own_frames: bool) -> tuple[str, ...]:
    """Return the names of the values that an item must have: those of the goal and of the clip.

    Args:
        config: of a run.
        own_frames: whether the goal chooses frames itself, and the clip none.
    """
    names = dict.fromkeys(config.goal.needed_values())
    if not own_frames:
        names.update(dict.fromkeys(config.clip.needs))
    return tuple(names)


def wanted_columns(config: Config, needed: Iterable[str]) -> set[str]:
    """Return the names of all values that decide which items are used."""
    return {*needed, *(name for name, _ in config.data.where)}


def chooses_frames(goal: Goal, item: Item, frames: int) -> bool:
    """Tell whether a goal chooses frames itself, so that the run's clip does not.

    A goal says it by ``sampling``, or does it in ``prepare`` and says it nowhere.

    Args:
        goal: what is learned.
        item: the first of a store.
        frames: of a clip.
    """
    if goal.sampling:
        return True
    try:
        return goal.prepare(item, frames).frames is not None
    except Exception:  # of a goal in a plugin, or of an item that lacks what it needs
        return False


def select(
    values: ItemValues, config: Config, needed: Sequence[str], splits: Sequence[str]
) -> Selection:
    """Choose the items that meet ``data.where`` and have the needed values, by split.

    Raises:
        EchoLMError: nothing of a split is left, or ``data.where`` names what no item has.
    """
    wanted = _meet(values, config.data)
    lacking = _lacking(values, needed)
    incomplete = np.asarray(lacking.any(axis=0))
    if isinstance(config, FinetuneConfig) and config.task.reads_values:
        _check_usable(values, config.task, wanted)
        incomplete |= ~_taken(values, config.task, ~incomplete)
    split_of_item = np.array(values.splits, object)
    rows = {}
    left_out = {}
    for split in splits:
        asked = wanted & (split_of_item == split)
        rows[split] = np.flatnonzero(asked & ~incomplete).astype(np.int64)
        left_out[split] = int((asked & incomplete).sum())
        if not len(rows[split]):
            missed = lacking[:, asked].any(axis=1)
            names = [needed[index] for index in np.flatnonzero(missed).tolist()]
            _refuse_empty_split(values.path, config, names, split)
    return Selection(rows, left_out)


def _lacking(values: ItemValues, needed: Sequence[str]) -> np.ndarray:
    """Return which items lack which of the needed values (len(needed), N)."""
    lacking = np.ones((len(needed), len(values.splits)), bool)
    for row, name in enumerate(needed):
        if name in values.columns:
            lacking[row] = [value is None for value in values.columns[name]]
    return lacking


def _check_usable(values: ItemValues, task: Task, wanted: np.ndarray) -> None:
    """Raise EchoLMError when a task cannot be learned from the values of the wanted items."""
    columns = {}
    for name in task.needed_values():
        column = values.columns.get(name, ())
        columns[name] = [value for value, want in zip(column, wanted, strict=False) if want]
    reason = task.why_unusable(columns, values.names)
    if reason:
        raise EchoLMError(f"{values.path}: task {task.name}: {reason}")


def _taken(values: ItemValues, task: Task, complete: np.ndarray) -> np.ndarray:
    """Return which of the complete items a task has use for (N,)."""
    names = [name for name in task.needed_values() if name in values.columns]
    taken = complete.copy()
    for row in np.flatnonzero(complete).tolist():
        taken[row] = task.takes({name: values.columns[name][row] for name in names})
    return taken


def _meet(values: ItemValues, data: Data) -> np.ndarray:
    """Return which items meet ``data.where`` (N,)."""
    wanted = np.ones(len(values.splits), bool)
    for name, allowed in data.where:
        if name not in values.names:
            raise EchoLMError(
                f"{values.path}: data.where: no item has a value {name!r}; "
                f"{suggest(name, values.names)}"
            )
        if name.startswith(LANDMARKS):
            raise EchoLMError(
                f"{values.path}: data.where: {name} are points, which cannot be compared; "
                "name a value that is a text or a number"
            )
        column = values.columns[name]
        meets = _has_one_of(values, name, allowed)
        if not meets.any():
            raise EchoLMError(
                f"{values.path}: data.where: no item has {_either(name, allowed)}; "
                f"the store has {_shown_values(column)}"
            )
        wanted &= meets
    return wanted


def _has_one_of(values: ItemValues, name: str, allowed: Sequence[Any]) -> np.ndarray:
    """Return which items have one of some values, or are in one of some groups (N,).

    A text that no item has is a group, in the words of subgroups: ``<60``, ``60-75``, ``unknown``.
    """
    column = values.columns[name]
    meets = np.array([value in allowed for value in column], bool)
    there = set(column)
    for label in allowed:
        if isinstance(label, str) and label not in there:
            meets |= members(column, name, label, f"{values.path}: data.where: ")
    return meets


def _refuse_empty_split(path: Path, config: Config, lacking: Sequence[str], split: str) -> None:
    """Raise EchoLMError about a split of which nothing is left.

    Args:
        path: of the store.
        config: of the run.
        lacking: needed values that items of the split lack.
        split: its name.
    """
    reason = f"no sample in split {split}"
    if config.data.where:
        conditions = [_either(name, allowed) for name, allowed in config.data.where]
        reason += f" with {' and '.join(conditions)} (data.where)"
    remedy = "name another store in data"
    if lacking:
        reason += f" has {who_needs(config, lacking)}"
        if needs_another_clip(config, lacking):
            remedy = "choose frames without them: clip: uniform"
    raise EchoLMError(f"{path}: no run can be trained on it: {reason}; {remedy}")


def who_needs(config: Config, needed: Iterable[str]) -> str:
    """Say which values are needed, and by what: ``ed and es, which clip ed-to-es needs``."""
    of_goal = [name for name in needed if name in config.goal.needed_values()]
    of_clip = [name for name in needed if name not in of_goal]
    parts = []
    if of_goal:
        parts.append(f"{' and '.join(of_goal)}, which {config.goal.name} needs")
    if of_clip:
        parts.append(f"{' and '.join(of_clip)}, which clip {config.clip.name} needs")
    return ", and ".join(parts)


def needs_another_clip(config: Config, needed: Iterable[str]) -> bool:
    """Tell whether values are needed for the clip's sake, and the goal allows another clip."""
    own = set(needed) - set(config.goal.needed_values())
    return bool(own) and not config.goal.clips


def _either(name: str, allowed: Sequence[Any]) -> str:
    return f"{name} {' or '.join(str(value) for value in allowed)}"


def _shown_values(column: Iterable[Any]) -> str:
    """List the values of a column, the first of many."""
    known = {value for value in column if value is not None}
    shown = [str(value) for value in sorted(known)[:SHOWN_VALUES]]
    if len(known) > SHOWN_VALUES:
        shown.append("...")
    return ", ".join(shown)


def training_rows(store: ClipStore, data: Data, split: str) -> np.ndarray:
    """Choose the rows of ``train`` or ``val`` under ``data.fraction``, of all items of the split.

    What a run uses may be fewer, see ``select_rows``.
    """
    return subset_rows(store.items, np.array(store.split(split), np.int64), data, split)


def subset_rows(items: Sequence[Item], rows: np.ndarray, data: Data, split: str) -> np.ndarray:
    """Choose a part of the rows of ``train`` or ``val``, as ``data.fraction`` says.

    It is floor(fraction * n) of the samples or patients, at least one. Parts are nested in the
    fraction, and drawn for each split by ``data.subset_seed`` (NLDL 2026 §4.3).

    Args:
        items: all items of the store.
        rows: rows of the split, ascending.
        data: which part.
        split: ``train`` or ``val``.
    """
    whole = data.fraction == 1.0 or (data.of == "train" and split != "train")
    if whole or not len(rows):
        return rows
    names = [getattr(items[int(row)], data.by) for row in rows]
    drawn = _drawn(list(dict.fromkeys(names)), data, split)
    return rows[[name in drawn for name in names]]


def _drawn(names: list[str], data: Data, split: str) -> set[str]:
    """Draw floor(fraction * n) of the names of samples or patients, at least one."""
    keys = fold(sample_keys(names), "subset", data.subset_seed, split)
    count = max(1, int(data.fraction * len(names) + 1e-9))
    return {names[index] for index in np.argsort(keys, kind="stable")[:count]}
