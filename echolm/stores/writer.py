"""Writing a clip store's index, problems and ``store.json``, and the data fingerprint."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.datasets.scan import SPLITS, Problem, SourceItem
from echolm.files import write_atomic
from echolm.identity import canonical_json
from echolm.stores.clips import INDEX, INFO, PROBLEMS
from echolm.stores.frames import PACKETS
from echolm.stores.items import LANDMARKS

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False, slots=True)
class StoredItem:
    """A source item with what was decoded of it.

    Attributes:
        source: the item.
        frames: numbers of the stored frames (T,).
        height: of the frames, in pixels.
        width: of the frames, in pixels.
        sha256: of the T*H*W bytes.
        video: of an index-only store, the file's path in the dataset's folder.
        packets: of an index-only store, T x 3.
    """

    source: SourceItem
    frames: np.ndarray
    height: int
    width: int
    sha256: str
    video: str = ""
    packets: Sequence[Sequence[int]] = ()


def fingerprint(
    items: Iterable[StoredItem], decoder: str, channel_rule: str, size: int | None = None
) -> str:
    """Return SHA-256 over what each item is and over how frames were made.

    An item is its ids, split, values, frame numbers and hash of frames. Neither the order of
    ``items`` nor any path enters, nor whether the frames are stored or stay in the videos.

    Args:
        items: what is stored.
        decoder: what decoded the frames.
        channel_rule: how one channel was made of three.
        size: side in pixels to which frames were resized. None: they were not.
    """
    # The canonical JSON of all, a piece at a time: half a million items are gigabytes at once.
    digest = hashlib.sha256()
    made = {"channel_rule": channel_rule, "decoder": decoder}
    digest.update(f'{canonical_json(made)[:-1]},"items":{{'.encode())
    separator = ""
    for item in sorted(items, key=lambda item: item.source.sample):
        sample = canonical_json(item.source.sample)
        digest.update(f"{separator}{sample}:{canonical_json(_describe(item))}".encode())
        separator = ","
    digest.update(b"}")
    if size is not None:
        digest.update(f',"size":{size}'.encode())
    digest.update(b"}")
    return digest.hexdigest()


def write_index(folder: Path, items: list[StoredItem]) -> str:
    """Write ``index.parquet``, rows in the order of ``items``, and return the file's SHA-256."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(_table(items), sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    write_atomic(folder / INDEX, content)
    return hashlib.sha256(content).hexdigest()


def write_problems(folder: Path, problems: list[Problem]) -> None:
    """Write ``problems.csv``: file, row (empty: the whole file), sample, reason."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(["file", "row", "sample", "reason"])
    for problem in problems:
        table.writerow([problem.file, problem.row, problem.sample, problem.reason])
    write_atomic(folder / PROBLEMS, text.getvalue().encode())


def write_info(folder: Path, info: dict[str, Any], items: list[StoredItem]) -> None:
    """Write ``store.json``, which makes the folder a store.

    To ``info`` it adds the numbers of items, of items of each split, and of items that have each
    value.
    """
    splits = Counter(item.source.split for item in items)
    values: Counter[str] = Counter()
    for item in items:
        values.update(list(_values_of(item.source)))
    counts = {
        "items": len(items),
        "splits": {split: splits[split] for split in SPLITS},
        "values": dict(values),
    }
    write_json(folder / INFO, info | counts)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file by ``write_atomic``."""
    write_atomic(path, json.dumps(content, indent=2).encode() + b"\n")


def _values_of(source: SourceItem) -> dict[str, Any]:
    """Return the values that an item has: None and absent are the same."""
    return {name: value for name, value in source.values.items() if value is not None}


def _describe(item: StoredItem) -> dict[str, Any]:
    source = item.source
    values = _values_of(source)
    for name, value in values.items():
        if isinstance(value, np.ndarray):
            values[name] = value.tolist()
    return {
        "patient": source.patient,
        "study": source.study,
        "split": source.split,
        "values": values,
        "height": item.height,
        "width": item.width,
        "frames": item.frames.tolist(),
        "sha256": item.sha256,
    }


def _table(items: list[StoredItem]) -> pa.Table:
    """Make the index: first the columns of ``clips.FIXED``, then the values."""
    import pyarrow as pa

    sources = [item.source for item in items]
    columns = {}
    for name in ("sample", "patient", "study", "split"):
        columns[name] = pa.array([getattr(source, name) for source in sources], pa.string())
    if items[0].video:
        columns |= _packet_columns(items)
    else:
        columns["offset"] = _offsets(items)
    columns["t"] = pa.array([len(item.frames) for item in items], pa.int32())
    columns["h"] = pa.array([item.height for item in items], pa.int32())
    columns["w"] = pa.array([item.width for item in items], pa.int32())
    columns["frames"] = pa.array([item.frames for item in items], pa.list_(pa.int32()))
    columns["sha256"] = pa.array([item.sha256 for item in items], pa.string())
    for name in _value_names(sources):
        columns[name] = _value_column(name, [source.values.get(name) for source in sources])
    return pa.table(columns)


def _offsets(items: list[StoredItem]) -> pa.Array:
    import pyarrow as pa

    sizes = np.array([len(item.frames) * item.height * item.width for item in items], np.int64)
    return pa.array(np.cumsum(sizes) - sizes)


def _packet_columns(items: list[StoredItem]) -> dict[str, pa.Array]:
    import pyarrow as pa

    columns = {"video": pa.array([item.video for item in items], pa.string())}
    packets = [np.array(item.packets, np.int64).T for item in items]
    for index, name in enumerate(PACKETS):
        columns[name] = pa.array([rows[index] for rows in packets], pa.list_(pa.int64()))
    return columns


def _value_names(sources: list[SourceItem]) -> list[str]:
    """Return the names of all values that an item has, in the order in which they are met."""
    names: dict[str, None] = {}
    for source in sources:
        names.update(dict.fromkeys(source.values))
    return list(names)


def _value_column(name: str, values: list[Any]) -> pa.Array:
    """Make the column of one value, null where an item does not have it."""
    import pyarrow as pa

    if not name.startswith(LANDMARKS):
        return pa.array(values)
    rows = []
    for points in values:
        rows.append(points if points is None else points.ravel())
    return pa.array(rows, pa.list_(pa.float32()))
