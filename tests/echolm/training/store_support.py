"""Stores with other values than those that were prepared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from echolm.stores.clips import FIXED, FRAMES, INDEX, INFO


def changed_store(
    source: Path, target: Path, change: Callable[[dict[str, Any]], dict[str, Any]], **info: Any
) -> Path:
    """Make a store of the same frames whose items have other values.

    ``change`` gets a row of the index as a mapping and returns it. ``info`` changes ``store.json``.
    """
    target.mkdir(parents=True)
    (target / FRAMES).symlink_to((source / FRAMES).resolve())
    table = pq.read_table(source / INDEX)
    rows = [change(row) for row in table.to_pylist()]
    columns = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        kind = table.schema.field(name).type if name in table.column_names else None
        columns[name] = pa.array([row.get(name) for row in rows], kind)
    pq.write_table(pa.table(columns), target / INDEX)
    content = (target / INDEX).read_bytes()
    stored = json.loads((source / INFO).read_text())
    values = {name: len(rows) - array.null_count for name, array in columns.items()}
    stored |= {
        "index_sha256": hashlib.sha256(content).hexdigest(),
        "values": {name: count for name, count in values.items() if count and name not in FIXED},
        "fingerprint": hashlib.sha256(content + b"changed").hexdigest(),
    }
    (target / INFO).write_text(json.dumps(stored | info))
    return target


def without(*names: str, of: Callable[[dict[str, Any]], bool]) -> Callable[[Any], Any]:
    """A change that takes values away from the items ``of`` which that holds."""

    def change(row: dict[str, Any]) -> dict[str, Any]:
        return row | dict.fromkeys(names) if of(row) else row

    return change
