"""What a dataset reader finds: usable items, problems, and the identity of the files it read."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from echolm.errors import EchoLMError, printable
from echolm.registry import suggest

SPLITS = ("train", "val", "test")
PHANTOM = "phantom.json"
"""A file whose presence in a dataset's folder marks generated data."""
READERS = {"echonet-dynamic": "echolm.data.echonet_dynamic"}
"""Dataset name -> the module whose ``scan(root) -> Scan`` reads it."""


@dataclass(frozen=True)
class Problem:
    """Why an item is unusable: a file of the dataset, its line (1-based; None: the file as a whole), sample, reason."""

    file: str
    row: int | None
    sample: str
    reason: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}:{self.row}"
        return f"{where}: {printable(self.sample)}: {self.reason}" if self.sample else f"{where}: {self.reason}"


@dataclass(frozen=True, eq=False)
class SourceItem:
    """One usable video. ``values`` are the reader's targets and landmarks, by column name of the store."""

    sample: str
    patient: str
    study: str | None
    split: str
    path: Path
    frame_count: int
    sizes: tuple[tuple[int, int], ...]
    """The (height, width) of the video, in pixels, that its labels fit."""
    values: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Scan:
    """A dataset as its reader found it. ``items`` are sorted by sample id."""

    reader: str
    root: Path
    items: list[SourceItem]
    problems: list[Problem]
    fatal: list[str]
    """Findings that make the whole set unusable, such as a patient in two splits."""
    identity: str
    """SHA-256 over the tables' bytes and each video's name and size."""
    synthetic: bool = False
    es_traced_first: int = 0
    """Usable items whose first traced frame in the file is ES: row order would have named their phases wrongly."""

    @property
    def splits(self) -> dict[str, int]:
        """Usable items of each split."""
        counts = Counter(item.split for item in self.items)
        return {split: counts[split] for split in SPLITS}


def scan(reader: str, root: Path) -> Scan:
    """Read dataset ``reader`` at ``root``. EchoLMError: an unknown reader, or tables that cannot be read at all."""
    if reader not in READERS:
        raise EchoLMError(f"unknown dataset {reader!r}; {suggest(reader, READERS)}")
    read = cast(Callable[[Path], Scan], importlib.import_module(READERS[reader]).scan)
    return read(Path(root))
