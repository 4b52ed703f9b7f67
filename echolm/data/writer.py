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

from echolm.data.frames import PACKETS
from echolm.data.scan import SPLITS, Problem, SourceItem
from echolm.data.store import INDEX, INFO, LANDMARKS, PROBLEMS
from echolm.identity import canonical_json
from echolm.record import write_atomic

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, eq=False)
class StoredItem:
    """A source item with what was decoded of it: frame numbers (T,), height, width, SHA-256 of the T*H*W bytes.

    Of an index-only store also ``video``, the file's path in the dataset's folder, and ``packets``, T x 3.
    """

    source: SourceItem
    frames: np.ndarray
    height: int
    width: int
    sha256: str
    video: str = ""
    packets: Sequence[Sequence[int]] = ()


def fingerprint(items: Iterable[StoredItem], decoder: str, channel_rule: str) -> str:
    """SHA-256 over each item's ids, split, labels, frame numbers and hash of frames, and over how frames were made.

    Neither the order of ``items`` nor any path enters, nor whether the frames are stored or stay in the videos.
    """
    described = {item.source.sample: _describe(item) for item in items}
    content = {"items": described, "decoder": decoder, "channel_rule": channel_rule}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def write_index(folder: Path, items: list[StoredItem]) -> str:
    """Write ``index.parquet``, rows in the order of ``items``; the SHA-256 of the file."""
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
    table.writerows([problem.file, problem.row, problem.sample, problem.reason] for problem in problems)
    write_atomic(folder / PROBLEMS, text.getvalue().encode())


def write_info(folder: Path, info: dict[str, Any], items: list[StoredItem]) -> None:
    """Write ``store.json``, which makes the folder a store."""
    splits = Counter(item.source.split for item in items)
    counts = {"items": len(items), "splits": {split: splits[split] for split in SPLITS}}
    write_json(folder / INFO, info | counts)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file by ``write_atomic``."""
    write_atomic(path, json.dumps(content, indent=2).encode() + b"\n")


def _describe(item: StoredItem) -> dict[str, Any]:
    source = item.source
    values = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in source.values.items()}
    ids = {"patient": source.patient, "study": source.study, "split": source.split, "values": values}
    size = {"height": item.height, "width": item.width}
    return ids | size | {"frames": item.frames.tolist(), "sha256": item.sha256}


def _table(items: list[StoredItem]) -> pa.Table:
    import pyarrow as pa

    sources = [item.source for item in items]
    columns = {name: pa.array([getattr(source, name) for source in sources], pa.string()) for name in IDS}
    columns |= _packets(items) if items[0].video else {"offset": _offsets(items)}
    columns["t"] = pa.array([len(item.frames) for item in items], pa.int32())
    columns["h"] = pa.array([item.height for item in items], pa.int32())
    columns["w"] = pa.array([item.width for item in items], pa.int32())
    columns["frames"] = pa.array([item.frames for item in items], pa.list_(pa.int32()))
    columns["sha256"] = pa.array([item.sha256 for item in items], pa.string())
    for name in sources[0].values:
        columns[name] = _values(name, [source.values[name] for source in sources])
    return pa.table(columns)


def _offsets(items: list[StoredItem]) -> pa.Array:
    import pyarrow as pa

    sizes = np.array([len(item.frames) * item.height * item.width for item in items], np.int64)
    return pa.array(np.cumsum(sizes) - sizes)


def _packets(items: list[StoredItem]) -> dict[str, pa.Array]:
    import pyarrow as pa

    packets = [np.array(item.packets, np.int64).T for item in items]
    columns = {name: pa.array([rows[n] for rows in packets], pa.list_(pa.int64())) for n, name in enumerate(PACKETS)}
    return {"video": pa.array([item.video for item in items], pa.string()), **columns}


IDS = ("sample", "patient", "study", "split")


def _values(name: str, values: list[Any]) -> pa.Array:
    import pyarrow as pa

    if name.startswith(LANDMARKS):
        return pa.array([points.ravel() for points in values], pa.list_(pa.float32()))
    return pa.array(values)
