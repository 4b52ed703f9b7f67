"""Where a clip store's frames are read from: its own ``frames.bin``, or the dataset's videos.

Videos are read by an index of the packets that hold the frames.
"""

from __future__ import annotations

import hashlib
import math
import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echolm.columns import numbers_in, one_piece
from echolm.commands import Command
from echolm.errors import EchoLMError
from echolm.media.mjpeg import read_packets
from echolm.stores.items import Item, ListColumn

if TYPE_CHECKING:
    import pyarrow as pa

PACKETS = ("position", "length", "crc32")
"""Columns of a video's packets, one entry a held frame: where in the file, how many bytes, their
checksum."""
READ_BYTES = 1 << 22
"""Bytes read at once, where a whole file is read."""


class StoredFrames:
    """Decoded frames in one file, item after item."""

    def __init__(self, file: Path, table: pa.Table) -> None:
        """Check the file of a store.

        Raises:
            EchoLMError: ``file`` has not exactly the bytes that the store's index describes.
        """
        self.file = file
        self._starts = numbers_in(table["offset"])
        self._digests = table["sha256"]
        t, h, w = (numbers_in(table[name]).astype(np.int64) for name in ("t", "h", "w"))
        self._lengths = t * h * w
        self._size = int(self._lengths.sum())
        size = self._file_size()
        if size != self._size:
            raise EchoLMError(
                f"{file}: has {size} bytes, the index says {self._size}; prepare the store again"
            )

    def read(self, row: int, item: Item, positions: np.ndarray) -> np.ndarray:
        """Read frames of the item in ``row``: len(positions) x H x W uint8.

        Args:
            row: the item's row in the index.
            item: the item.
            positions: where the frames are among the item's stored frames.

        Raises:
            EchoLMError: the file has been cut off. It is mapped into memory: reading past its end
                would end the process.
        """
        size = self._file_size()
        if size < self._size:
            raise EchoLMError(
                f"{self.file}: has {size} bytes now, {self._size} when it was opened; "
                "prepare the store again"
            )
        shape = (len(item.frames), item.height, item.width)
        start = int(self._starts[row])
        frames = self._bytes[start : start + math.prod(shape)].reshape(shape)
        chosen: np.ndarray = frames[positions]
        return chosen

    def damaged_rows(self) -> list[int]:
        """Read the whole file, and return the rows of items whose frames have another SHA-256.

        Raises:
            EchoLMError: the file cannot be read.
        """
        damaged = []
        places = zip(self._starts.tolist(), self._lengths.tolist(), strict=True)
        digests = self._digests.to_pylist()
        try:
            with open(self.file, "rb", buffering=0) as file:
                for row, (start, length) in enumerate(places):
                    if _sha256(file.fileno(), start, length) != digests[row]:
                        damaged.append(row)
        except OSError as error:
            raise EchoLMError(f"{self.file}: cannot be read: {error.strerror or error}") from error
        return damaged

    def _file_size(self) -> int:
        try:
            return self.file.stat().st_size
        except OSError as error:
            raise EchoLMError(f"{self.file}: cannot be read: {error.strerror or error}") from error

    @cached_property
    def _bytes(self) -> np.ndarray:
        try:
            return np.asarray(np.memmap(self.file, np.uint8, "r"))
        except OSError as error:
            raise EchoLMError(f"{self.file}: cannot be read: {error.strerror or error}") from error


def _sha256(file: int, start: int, length: int) -> str:
    """Return SHA-256 of a part of an open file."""
    digest = hashlib.sha256()
    end = start + length
    while start < end:
        content = os.pread(file, min(end - start, READ_BYTES), start)
        if not content:
            break  # cut off: the hash of what is there is another
        digest.update(content)
        start += len(content)
    return digest.hexdigest()


class VideoFrames:
    """Frames that stay in MJPEG videos.

    Each packet is checked against the checksum taken when it was indexed, so a changed video is an
    error and never another frame.
    """

    def __init__(self, root: Path, table: pa.Table, again: Command) -> None:
        """Check that the videos are there.

        Args:
            root: the dataset's folder.
            table: the store's index.
            again: the command that indexes the dataset at another place.

        Raises:
            EchoLMError: a video is missing.
        """
        self._root = root
        self._again = again
        self._videos = one_piece(table["video"])
        self._packets = [ListColumn(table, name) for name in PACKETS]
        self._check_present()

    def read(self, row: int, item: Item, positions: np.ndarray) -> np.ndarray:
        """Read frames like ``StoredFrames.read``, decoded from the video.

        Raises:
            EchoLMError: the video is missing or has changed.
        """
        path = self._root / self._videos[row].as_py()
        packets = np.stack([column[row][positions] for column in self._packets], axis=1)
        numbers = item.frames[positions].tolist()
        try:
            return read_packets(path, packets, numbers, (item.height, item.width))
        except EchoLMError as error:
            raise EchoLMError(
                f"{error}; put the indexed video back, or index the dataset again",
                command=self._again,
            ) from error

    def _check_present(self) -> None:
        """Look for the videos, by one listing a folder. Reading them checks their content."""
        videos = self._videos.to_pylist()
        present = set()
        for folder in {_folder_of(video) for video in videos}:
            present |= {folder + name for name in _file_names(self._root / folder)}
        missing = [video for video in videos if video not in present]
        if missing:
            raise EchoLMError(
                f"{self._root / missing[0]}: is missing, as {len(missing)} of {len(videos)} "
                "indexed videos are; put them back, or say where the dataset is now",
                command=self._again,
            )


def _folder_of(video: str) -> str:
    """Return the folder of a path, with the ``/`` at its end. '' for a file of the root."""
    folder, separator, _ = video.rpartition("/")
    return folder + separator


def _file_names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise EchoLMError(f"{folder}: cannot be listed: {error.strerror or error}") from error
