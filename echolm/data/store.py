"""The clip store: decoded frames of a dataset as raw bytes, with their labels.

A folder of ``frames.bin`` (uint8 frames, item after item), ``index.parquet`` (a row an item, sorted by sample id) and
``store.json`` (what the store is). ``store.json`` is written last: a folder without it is not a store.

A store made with ``--index-only`` has no ``frames.bin``: its index says where in the dataset's videos the packets of its
frames lie, and they are decoded whenever they are read. The frames are the same, and so is the fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.data.frames import PACKETS, StoredFrames, VideoFrames
from echolm.data.scan import SPLITS
from echolm.errors import EchoLMError
from echolm.registry import suggest

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = 1
"""Raised when the files of a store change their form."""
FRAMES, INDEX, INFO, PROBLEMS, PARTIAL = "frames.bin", "index.parquet", "store.json", "problems.csv", "partial"
FIXED = ("sample", "patient", "study", "split", "offset", "t", "h", "w", "frames", "sha256", "video", *PACKETS)
"""Columns of every index; all others are the reader's values."""
LANDMARKS = "landmarks"
"""Value columns whose name starts so hold N x 2 points, flattened."""


@dataclass(frozen=True, eq=False)
class Item:
    """One row of a store: a video's ids, stored frames and labels.

    ``frames``: original numbers of the stored frames, ascending (T,). ``values``: the reader's columns, landmarks as
    N x 2 float32 arrays (x, y) in pixels of the stored frame.
    """

    sample: str
    patient: str
    study: str | None
    split: str
    height: int
    width: int
    frames: np.ndarray
    values: dict[str, Any]


class ClipStore:
    """An opened store. It pickles as its path, so that every process maps the frames itself."""

    def __init__(
        self, path: Path, info: dict[str, Any], items: list[Item], frames: StoredFrames | VideoFrames
    ) -> None:
        self.path = path
        self.info = info
        self.items = items
        self._frames = frames

    def __reduce__(self) -> tuple[Any, ...]:
        return ClipStore.open, (self.path,)

    @classmethod
    def open(cls, path: Path | str) -> ClipStore:
        """The store in folder ``path``. EchoLMError: missing, unfinished, of another schema, or damaged; videos that an
        index-only store reads are missing."""
        path = Path(path).absolute()
        info = peek(path)
        table = _read_index(path, info)
        return cls(path, info, _items(table), _frames(path, info, table))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the store holds: ids, splits, labels, frames, decoder; not of where or how it was made."""
        return str(self.info["fingerprint"])

    def split(self, name: str) -> list[int]:
        """Row numbers of split ``train``, ``val`` or ``test``, in sample-id order."""
        if name not in SPLITS:
            raise EchoLMError(f"unknown split {name!r}; {suggest(name, SPLITS)}")
        return [row for row, item in enumerate(self.items) if item.split == name]

    def read(self, row: int, frames: np.ndarray) -> np.ndarray:
        """Frames of the item in ``row`` by original number, in the order given: len(frames) x H x W uint8.

        EchoLMError when the store does not hold one of them, or a video of an index-only store has changed.
        """
        item, wanted = self.items[row], np.asarray(frames)
        places = np.searchsorted(item.frames, wanted).clip(max=len(item.frames) - 1)
        if not np.array_equal(item.frames[places], wanted):
            self._refuse(item, wanted)
        return self._frames.read(row, item, places)

    def _refuse(self, item: Item, wanted: np.ndarray) -> None:
        missing = sorted(set(wanted.tolist()) - set(item.frames.tolist()))
        rule, again = self.info["clips"], f"echolm data prepare {self.info['reader']} PATH --clips all"
        raise EchoLMError(
            f"{self.path}: holds no frame {missing[0]} of {item.sample}: it was prepared by clip rule {rule!r}; "
            f"prepare a store of whole videos under another name: {again} --name NAME"
        )


def peek(path: Path | str) -> dict[str, Any]:
    """What a store says of itself, from ``store.json`` alone: schema, reader, clips (the clip rule), decoder,
    channel_rule, source, items, splits, problems, synthetic, fingerprint; index_only, and then videos (the folder)."""
    path = Path(path)
    try:
        info = json.loads((path / INFO).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise EchoLMError(f"{path}: {_what_instead(path)}") from None
    except OSError as error:
        raise EchoLMError(f"{path / INFO}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise EchoLMError(f"{path / INFO}: not a clip store's: {error}") from error
    if not isinstance(info, dict) or "schema" not in info or "fingerprint" not in info:
        raise EchoLMError(f"{path / INFO}: not a clip store's: it has no schema and fingerprint")
    if info.get("index_only") and not isinstance(info.get("videos"), str):
        raise EchoLMError(f"{path / INFO}: not a clip store's: it reads from videos, and does not say where; prepare it again")
    if info["schema"] != SCHEMA:
        raise EchoLMError(f"{path}: a clip store of schema {info['schema']}; valid: {SCHEMA}. Prepare it again")
    return info


def _what_instead(path: Path) -> str:
    prepare = "echolm data prepare DATASET PATH"
    if (path / PARTIAL).is_dir():
        return f"an unfinished clip store; type the same '{prepare}' again to continue it"
    if path.is_dir():
        return f"not a clip store (no {INFO}); make one with: {prepare}"
    return f"no clip store here; make one with: {prepare}"


def _read_index(path: Path, info: dict[str, Any]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = (path / INDEX).read_bytes()
    except OSError as error:
        raise EchoLMError(f"{path / INDEX}: cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != info.get("index_sha256"):
        raise EchoLMError(f"{path / INDEX}: damaged, or of another store than {INFO}; prepare the store again")
    # pq.read_table would leave the bytes to a thread of the dataset scanner: freed while Python exits, they abort it.
    return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False).combine_chunks()


def _frames(path: Path, info: dict[str, Any], table: pa.Table) -> StoredFrames | VideoFrames:
    if not info.get("index_only"):
        return StoredFrames(path / FRAMES, table)
    again = f"echolm data prepare {info['reader']} PATH --clips {info['clips']} --index-only --name {path.name}"
    return VideoFrames(Path(info["videos"]), table, again)


def _items(table: pa.Table) -> list[Item]:
    ids = (table[name].to_pylist() for name in ("sample", "patient", "study", "split", "h", "w"))
    names = [name for name in table.column_names if name not in FIXED]
    columns = [_column(table, name) for name in names]
    values = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    return [Item(*row) for row in zip(*ids, _lists(table, "frames"), values, strict=True)]


def _column(table: pa.Table, name: str) -> list[Any]:
    if name.startswith(LANDMARKS):
        return [points.reshape(-1, 2) for points in _lists(table, name)]
    column: list[Any] = table[name].to_pylist()
    return column


def _lists(table: pa.Table, name: str) -> list[np.ndarray]:
    """The rows of a list column as arrays that share one read-only buffer."""
    column = table[name].combine_chunks()
    values, ends = column.flatten().to_numpy(), column.offsets.to_pylist()
    return [values[start:end] for start, end in zip(ends[:-1], ends[1:], strict=True)]
