"""The clip store: decoded frames of a dataset as raw bytes, with their labels.

A folder of ``frames.bin`` (uint8 frames, item after item), ``index.parquet`` (a row an item, sorted
by sample id) and ``store.json`` (what the store is). ``store.json`` is written last: a folder
without it is not a store.

A store made with ``--index-only`` has no ``frames.bin``: its index says where in the dataset's
videos the packets of its frames lie, and they are decoded whenever they are read. The frames are
the same, and so is the fingerprint.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echolm.commands import Command
from echolm.datasets import DATASETS
from echolm.datasets.scan import SPLITS
from echolm.errors import EchoLMError
from echolm.stores.frames import PACKETS, StoredFrames, VideoFrames
from echolm.stores.integrity import check_once
from echolm.stores.items import IDS, Item, StoredItems
from echolm.text import counted, suggest
from echolm.yaml_files import dump_yaml

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_RULE = "ed-to-es-16"
"""The clip rule of ``echolm data prepare`` where nobody names one."""
SCHEMA = 1
"""Raised when the files of a store change their form."""
FRAMES = "frames.bin"
INDEX = "index.parquet"
INFO = "store.json"
PROBLEMS = "problems.csv"
PARTIAL = "partial"
"""The folder of an unfinished store's parts."""
FIXED = (*IDS, "offset", "t", "h", "w", "frames", "sha256", "video", *PACKETS)
"""Columns of every index. All others are the values of the items."""
SHOWN_ITEMS = 5
"""Items named in an error."""


class ClipStore:
    """An opened store. It pickles as its path, so that every process maps the frames itself."""

    def __init__(
        self,
        path: Path,
        info: dict[str, Any],
        items: Sequence[Item],
        frames: StoredFrames | VideoFrames,
    ) -> None:
        self.path = path
        self.info = info
        self.items = items
        self._frames = frames

    def __reduce__(self) -> tuple[Any, ...]:
        return ClipStore._open, (self.path,)

    @classmethod
    def open(cls, path: Path | str, cache: Path | None = None) -> ClipStore:
        """Open the store in folder ``path``.

        Its frames are checked against the SHA-256 of each item, unless that was done since they
        were written. An index-only store checks each packet whenever it is read.

        Args:
            path: the store's folder.
            cache: the workspace's folder that remembers which frames were checked. None: only this
                process remembers.

        Raises:
            EchoLMError: it is missing, unfinished, of another schema, or damaged, or videos that an
                index-only store reads are missing.
        """
        store = cls._open(Path(path).absolute())
        frames = store._frames
        if isinstance(frames, StoredFrames):
            digest = str(store.info["index_sha256"])
            check_once(frames.file, digest, cache, lambda: store._check_frames(frames))
        return store

    @classmethod
    def _open(cls, path: Path) -> ClipStore:
        """Open a store without a look at its frames."""
        info = peek(path)
        table = _read_index(path, info)
        value_names = [name for name in table.column_names if name not in FIXED]
        items = StoredItems(table, value_names)
        return cls(path, info, items, _open_frames(path, info, table))

    def _check_frames(self, frames: StoredFrames) -> None:
        """Raise EchoLMError when stored frames are not those that were prepared."""
        damaged = frames.damaged_rows()
        if not damaged:
            return
        names = [self.items[row].sample for row in damaged[:SHOWN_ITEMS]]
        if len(damaged) > SHOWN_ITEMS:
            names.append("...")
        count = f"{len(damaged)} of {counted(len(self.items), 'item')}"
        raise EchoLMError(
            f"{frames.file}: damaged: the frames of {count} are not those that were prepared "
            f"({', '.join(names)}); remove {self.path} and prepare it again",
            command=_same_again(self.path, self.info),
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the store holds: ids, splits, labels, frames, decoder.

        Where and how it was made does not enter.
        """
        return str(self.info["fingerprint"])

    def split(self, name: str) -> list[int]:
        """Return the row numbers of split ``train``, ``val`` or ``test``, in sample-id order."""
        if name not in SPLITS:
            raise EchoLMError(f"unknown split {name!r}; {suggest(name, SPLITS)}")
        return [row for row, split in enumerate(self.column("split")) if split == name]

    def column(self, name: str) -> list[Any]:
        """Return an id (``sample``) or a value (``ef``) of all items, None where one has none.

        It is faster than going through ``items``.

        Raises:
            EchoLMError: no item has such a value.
        """
        if not isinstance(self.items, StoredItems):
            return [_cell(item, name) for item in self.items]
        try:
            return self.items.column(name)
        except KeyError:
            names = [*IDS, *self.items.value_names]
            raise EchoLMError(f"{self.path}: no value {name!r}; {suggest(name, names)}") from None

    def read(self, row: int, frames: np.ndarray) -> np.ndarray:
        """Read frames of the item in ``row`` by original number: len(frames) x H x W uint8.

        They come in the order of ``frames``.

        Raises:
            EchoLMError: the store does not hold one of them, or a video of an index-only store has
                changed.
        """
        item = self.items[row]
        numbers = np.asarray(frames)
        positions = np.searchsorted(item.frames, numbers).clip(max=len(item.frames) - 1)
        if not np.array_equal(item.frames[positions], numbers):
            self._refuse(item, numbers)
        return self._frames.read(row, item, positions)

    def _refuse(self, item: Item, numbers: np.ndarray) -> None:
        missing = sorted(set(numbers.tolist()) - set(item.frames.tolist()))
        raise EchoLMError(
            f"{self.path}: holds no frame {missing[0]} of {item.sample}: it was prepared by "
            f"clip rule {self.info['clips']!r}; prepare a store of whole videos under another name",
            command=prepare_command(self.info, "--clips", "all", "--name", "NAME"),
        )


def peek(path: Path | str, clips: str = "") -> dict[str, Any]:
    """Read what a store says of itself, from ``store.json`` alone.

    Args:
        path: the store's folder.
        clips: the clip rule that a missing store is to be made by. Empty: the one by default.

    Returns:
        schema, reader (the dataset), clips (the clip rule), decoder, channel_rule, source, items,
        splits, values (name -> how many items have it, absent in stores that are older than this
        field), problems, equal_clips (how many items have the frames of an item of another split,
        absent in older stores), synthetic, fingerprint, index_only, and of an index-only store
        videos (the folder). Where they are not the default: dataset (the dataset's choices), size
        (side of resized frames) and reading (what is done with stills, colour and codecs).

    Raises:
        EchoLMError: no store is there, or one of another schema.
    """
    path = Path(path)
    try:
        info = json.loads((path / INFO).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise _no_store(path, clips) from None
    except OSError as error:
        raise EchoLMError(f"{path / INFO}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise EchoLMError(f"{path / INFO}: not a clip store's: {error}") from error
    if not isinstance(info, dict) or "schema" not in info or "fingerprint" not in info:
        raise EchoLMError(f"{path / INFO}: not a clip store's: it has no schema and fingerprint")
    if info.get("index_only") and not isinstance(info.get("videos"), str):
        raise EchoLMError(
            f"{path / INFO}: not a clip store's: it reads from videos, and does not say where; "
            "prepare it again"
        )
    if info["schema"] != SCHEMA:
        raise EchoLMError(
            f"{path}: a clip store of schema {info['schema']}; valid: {SCHEMA}. Prepare it again"
        )
    return info


def prepare_command(info: dict[str, Any], *options: str) -> Command:
    """Return the command that prepares a store's dataset. The user fills in the folder."""
    choices = choice_options(info.get("dataset", {}))
    return Command(
        "data prepare",
        target=str(info.get("reader", "DATASET")),
        options=("PATH", *choices, *options),
    )


def choice_options(choices: Mapping[str, Any]) -> list[str]:
    """Spell a dataset's choices as options: ``--set``, ``fold=1`` and so on."""
    options = []
    for name, value in choices.items():
        options += ["--set", f"{name}={_yaml(value)}"]
    return options


def _yaml(value: Any) -> str:
    """Spell a value in one line of YAML, a text without quotation marks where it needs none."""
    if not isinstance(value, str):
        return json.dumps(value)
    return dump_yaml(value).removesuffix("...\n").rstrip("\n")


def _no_store(path: Path, clips: str) -> EchoLMError:
    """Make the error of a folder that is no store: what it is, and the command that makes one."""
    command = _command_for(path.name, clips)
    what = f"not a clip store (no {INFO})" if path.is_dir() else "no clip store here"
    if (path / PARTIAL).is_dir():
        reason = "an unfinished clip store; type the same again to continue it"
    elif dataset_of_store(path.name) and "phantom" in path.name:
        # Nobody has a phantom's files before they are generated.
        generate = Command("data phantom", command.target, options=("PATH",))
        reason = f"{what}; generate the phantom ({generate}), then make one with"
    else:
        reason = f"{what}; make one with"
    return EchoLMError(f"{path}: {reason}", command)


def _command_for(name: str, clips: str) -> Command:
    """Return the command that makes a store called ``name``, of the dataset that it is called by.

    Stores are called by their dataset unless the user says otherwise, phantoms ``-phantom`` too.
    """
    rule = ("--clips", clips) if clips not in ("", DEFAULT_RULE) else ()
    dataset = dataset_of_store(name)
    if not dataset:
        return prepare_command({}, *rule)
    return prepare_command({"reader": dataset}, *rule, "--name", name)


def dataset_of_store(name: str) -> str:
    """Return the dataset that a store is called by. Empty where no dataset's name begins it."""
    begun = [one for one in DATASETS.names() if name == one or name.startswith(f"{one}-")]
    return max(begun, key=len, default="")


def _read_index(path: Path, info: dict[str, Any]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        content = (path / INDEX).read_bytes()
    except OSError as error:
        raise EchoLMError(f"{path / INDEX}: cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != info.get("index_sha256"):
        raise EchoLMError(
            f"{path / INDEX}: damaged, or of another store than {INFO}; prepare the store again"
        )
    # pq.read_table would leave the bytes to a thread of the dataset scanner: freed while Python
    # exits, they abort it.
    return pq.ParquetFile(pa.BufferReader(content)).read(use_threads=False)


def _open_frames(path: Path, info: dict[str, Any], table: pa.Table) -> StoredFrames | VideoFrames:
    if not info.get("index_only"):
        return StoredFrames(path / FRAMES, table)
    return VideoFrames(Path(info["videos"]), table, _same_again(path, info))


def _same_again(path: Path, info: dict[str, Any]) -> Command:
    """Return the command that prepares the same store again."""
    options = ["--clips", str(info["clips"])]
    if info.get("index_only"):
        options.append("--index-only")
    if info.get("size"):
        options += ["--size", str(info["size"])]
    return prepare_command(info, *options, "--name", path.name)


def _cell(item: Item, name: str) -> Any:
    return getattr(item, name) if name in IDS else item.values.get(name)
