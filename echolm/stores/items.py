"""The items of a store, made from its index when they are asked for.

An index of half a million items opens in seconds, since its columns stay as they were read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from echolm.columns import numbers_in, one_piece

if TYPE_CHECKING:
    import pyarrow as pa

IDS = ("sample", "patient", "study", "split")
LANDMARKS = "landmarks"
"""Value columns whose name starts so hold N x 2 points, flattened."""
REMEMBERED = 32_768
"""Items that are kept once they were asked for."""
BLOCK = 4096
"""Items that are made at once when all are gone through."""


@dataclass(frozen=True, eq=False)
class Item:
    """One row of a store.

    Attributes:
        sample: its id.
        patient: whom it shows.
        study: the examination it is of, None when the dataset does not say.
        split: ``train``, ``val`` or ``test``.
        height: of the stored frames, in pixels.
        width: of the stored frames, in pixels.
        frames: original numbers of the stored frames, ascending (T,).
        values: the dataset's targets and landmarks by name, None where this item has none.
            Landmarks are N x 2 float32 arrays (x, y) in pixels of the stored frame.
    """

    sample: str
    patient: str
    study: str | None
    split: str
    height: int
    width: int
    frames: np.ndarray
    values: dict[str, Any]


class StoredItems(Sequence[Item]):
    """The rows of a store's index as a sequence of items."""

    def __init__(self, table: pa.Table, value_names: Sequence[str]) -> None:
        """Keep the columns.

        Args:
            table: the index, each column in one piece.
            value_names: the columns that are values of the items.
        """
        self._count: int = table.num_rows
        self.value_names = tuple(value_names)
        self._lists: dict[str, ListColumn] = {}
        self._plain: dict[str, pa.Array] = {}
        for name in (*IDS, "h", "w", "frames", *self.value_names):
            if name == "frames" or name.startswith(LANDMARKS):
                self._lists[name] = ListColumn(table, name)
            else:
                self._plain[name] = one_piece(table[name])
        self._item = lru_cache(REMEMBERED)(self._make)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Item: ...

    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...

    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        if isinstance(place, slice):
            return [self._item(row) for row in range(*place.indices(self._count))]
        row = int(place)
        if row < 0:
            row += self._count
        if not 0 <= row < self._count:
            raise IndexError(f"row {place} of a store of {self._count} items")
        return self._item(row)

    def __iter__(self) -> Iterator[Item]:
        if self._count <= REMEMBERED:
            yield from (self._item(row) for row in range(self._count))
            return
        for start in range(0, self._count, BLOCK):
            yield from self._block(start, min(start + BLOCK, self._count))

    def column(self, name: str) -> list[Any]:
        """Return an id or a value of all items, None where an item has none."""
        if name in self._lists:
            column = self._lists[name]
            return [self._points(column, row) for row in range(self._count)]
        values: list[Any] = self._plain[name].to_pylist()
        return values

    def frames(self, row: int) -> np.ndarray:
        """Return the original numbers of an item's stored frames, ascending (T,)."""
        return self._lists["frames"][row]

    def _make(self, row: int) -> Item:
        plain = {name: column[row].as_py() for name, column in self._plain.items()}
        return self._build(row, plain)

    def _block(self, start: int, end: int) -> Iterator[Item]:
        """Yield the items of a run of rows. Whole columns are turned into Python's values."""
        columns = []
        for column in self._plain.values():
            columns.append(column.slice(start, end - start).to_pylist())
        for row, cells in enumerate(zip(*columns, strict=True), start):
            yield self._build(row, dict(zip(self._plain, cells, strict=True)))

    def _build(self, row: int, plain: dict[str, Any]) -> Item:
        """Make an item.

        Args:
            row: its row.
            plain: its cells of the columns that are no lists, by name.
        """
        values = {}
        for name in self.value_names:
            column = self._lists.get(name)
            values[name] = plain[name] if column is None else self._points(column, row)
        return Item(
            sample=plain["sample"],
            patient=plain["patient"],
            study=plain["study"],
            split=plain["split"],
            height=plain["h"],
            width=plain["w"],
            frames=self._lists["frames"][row],
            values=values,
        )

    @staticmethod
    def _points(column: ListColumn, row: int) -> np.ndarray | None:
        if column.is_null(row):
            return None
        points: np.ndarray = column[row].reshape(-1, 2)
        return points


class ListColumn:
    """The rows of a list column, each a view of one array."""

    def __init__(self, table: pa.Table, name: str) -> None:
        """Keep the column ``name`` of ``table``."""
        column = one_piece(table[name])
        self._nulls: np.ndarray | None = None
        if column.null_count:
            self._nulls = numbers_in(column.is_null().cast("uint8"))  # numpy reads no single bits
        self._ends = numbers_in(column.offsets)
        # Not flatten(), which leaves out what lies under a null row and moves what follows.
        self._values = numbers_in(column.values)

    def __getitem__(self, row: int) -> np.ndarray:
        cells: np.ndarray = self._values[self._ends[row] : self._ends[row + 1]]
        return cells

    def is_null(self, row: int) -> bool:
        """Return whether a row has no list."""
        return self._nulls is not None and bool(self._nulls[row])
