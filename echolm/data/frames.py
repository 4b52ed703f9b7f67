"""Where a clip store's frames are read from: its own ``frames.bin``, or the dataset's videos by an index of packets."""

from __future__ import annotations

import math
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echolm.data.video import read_packets
from echolm.errors import EchoLMError

if TYPE_CHECKING:
    import pyarrow as pa

    from echolm.data.store import Item

PACKETS = ("position", "length", "crc32")
"""Columns of a video's packets, one entry a held frame: where in the file, how many bytes, their checksum."""


class StoredFrames:
    """Decoded frames in one file, item after item."""

    def __init__(self, file: Path, table: pa.Table) -> None:
        """EchoLMError unless ``file`` has exactly the bytes that the store's index describes."""
        self._file = file
        self._starts = table["offset"].to_pylist()
        t, h, w = (table[name].to_numpy().astype(np.int64) for name in ("t", "h", "w"))
        self._size = int((t * h * w).sum())
        if (found := self._found()) != self._size:
            raise EchoLMError(f"{file}: has {found} bytes, the index says {self._size}; prepare the store again")

    def read(self, row: int, item: Item, places: np.ndarray) -> np.ndarray:
        """The frames of the item in ``row`` at ``places`` among its held frames: len(places) x H x W uint8.

        EchoLMError: the file has been cut off. It is mapped into memory: reading past its end would end the process.
        """
        if (found := self._found()) < self._size:
            was = f"{self._size} when it was opened"
            raise EchoLMError(f"{self._file}: has {found} bytes now, {was}; prepare the store again")
        shape = len(item.frames), item.height, item.width
        start = self._starts[row]
        chosen: np.ndarray = self._bytes[start : start + math.prod(shape)].reshape(shape)[places]
        return chosen

    def _found(self) -> int:
        try:
            return self._file.stat().st_size
        except OSError as error:
            raise EchoLMError(f"{self._file}: cannot be read: {error.strerror or error}") from error

    @cached_property
    def _bytes(self) -> np.ndarray:
        try:
            return np.asarray(np.memmap(self._file, np.uint8, "r"))
        except OSError as error:
            raise EchoLMError(f"{self._file}: cannot be read: {error.strerror or error}") from error


class VideoFrames:
    """Frames that stay in MJPEG videos. Each packet is checked against the checksum taken when it was indexed, so a
    changed video is an error and never another frame."""

    def __init__(self, root: Path, table: pa.Table, again: str) -> None:
        """``root``: the dataset's folder. ``again``: the command that indexes the dataset at another place.

        EchoLMError: a video is missing.
        """
        self._root = root
        self._again = again
        self._videos = table["video"].to_pylist()
        starts = table["position"].combine_chunks().offsets.to_pylist()
        packets = np.stack([table[name].combine_chunks().flatten().to_numpy().astype(np.int64) for name in PACKETS], 1)
        self._packets = [packets[start:end] for start, end in zip(starts[:-1], starts[1:], strict=True)]
        self._check_present()

    def read(self, row: int, item: Item, places: np.ndarray) -> np.ndarray:
        """Like ``StoredFrames.read``, decoded from the video. EchoLMError: it is missing or has changed."""
        path, packets, numbers = self._root / self._videos[row], self._packets[row][places], item.frames[places].tolist()
        try:
            return read_packets(path, packets, numbers, (item.height, item.width))
        except EchoLMError as error:
            raise EchoLMError(f"{error}; put the indexed video back, or index the dataset again: {self._again}") from error

    def _check_present(self) -> None:
        """By one listing a folder: what is in the files is checked when they are read."""
        folders = {str(Path(video).parent) for video in self._videos}
        present = {f"{folder}/{name}" for folder in folders for name in _names(self._root / folder)}
        missing = [video for video in self._videos if video not in present]
        if missing:
            raise EchoLMError(
                f"{self._root / missing[0]}: is missing, as {len(missing)} of {len(self._videos)} indexed videos are; "
                f"put them back, or say where the dataset is now: {self._again}"
            )


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise EchoLMError(f"{folder}: cannot be listed: {error.strerror or error}") from error
