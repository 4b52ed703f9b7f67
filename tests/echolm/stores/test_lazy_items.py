"""Items are made when they are asked for, and the fingerprint of many is made a piece at a time."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echolm.datasets.scan import SourceItem
from echolm.errors import EchoLMError
from echolm.identity import canonical_json
from echolm.stores import items as items_module
from echolm.stores.clips import FIXED, ClipStore
from echolm.stores.items import StoredItems
from echolm.stores.writer import StoredItem, _describe, _table, fingerprint, write_index, write_info


def stored(count: int, seed: int = 0) -> list[StoredItem]:
    """Items of 0 to 3 frames of one pixel, some without a study, a target or landmarks."""
    rng = np.random.default_rng(seed)
    items = []
    for number in range(count):
        values: dict[str, Any] = {"view": "2CH", "ef": float(rng.normal())}
        if number % 3 == 0:
            values = {"ef": None, "landmarks_ed": rng.random((2, 2)).astype(np.float32)}
        source = SourceItem(
            sample=f"S{number:05d}",
            patient=f"P{number // 2}",
            split=("train", "val", "test")[number % 3],
            path=Path("x"),
            study=None if number % 2 else "study",
            values=values,
        )
        frames = np.arange(number % 4, dtype=np.int64)
        digest = hashlib.sha256(bytes(len(frames))).hexdigest()
        items.append(StoredItem(source, frames, 1, 1, digest))
    return items


def opened(items: list[StoredItem]) -> StoredItems:
    table = _table(items)
    return StoredItems(table, [name for name in table.column_names if name not in FIXED])


def same(one: Any, other: Any) -> None:
    for name in ("sample", "patient", "study", "split", "height", "width"):
        assert getattr(one, name) == getattr(other, name)
    assert one.frames.tolist() == other.frames.tolist() and one.values.keys() == other.values.keys()
    for name, value in one.values.items():
        assert np.array_equal(value, other.values[name]), name


def test_all_ways_to_an_item_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = stored(50)
    few = opened(sources)
    monkeypatch.setattr(items_module, "REMEMBERED", 10)
    monkeypatch.setattr(items_module, "BLOCK", 7)
    many = opened(sources)
    assert len(many) == len(few) == 50
    for row, (item, source) in enumerate(zip(many, sources, strict=True)):
        same(item, many[row])
        same(item, few[np.int64(row)])
        same(item, many[row - 50])
        expected = {"view": None, "ef": None, "landmarks_ed": None} | dict(source.source.values)
        assert item.frames.tolist() == source.frames.tolist()
        for name, value in expected.items():
            assert np.array_equal(item.values[name], value)
    assert [item.sample for item in many[3:9:2]] == ["S00003", "S00005", "S00007"]
    assert few[4] is few[4]
    for row in (50, -51):
        with pytest.raises(IndexError):
            many[row]


def test_columns_are_those_of_the_items(tmp_path: Path) -> None:
    sources = stored(9)
    info = {"schema": 1, "fingerprint": "0" * 64, "clips": "all", "reader": "toy"}
    write_info(tmp_path, info | {"index_sha256": write_index(tmp_path, sources)}, sources)
    size = sum(len(item.frames) for item in sources)
    (tmp_path / "frames.bin").write_bytes(bytes(size))
    store = ClipStore.open(tmp_path)
    plain = ClipStore(tmp_path, {}, list(store.items), None)  # type: ignore[arg-type]
    for name in ("sample", "split", "study", "ef", "view"):
        expected = [getattr(item, name, item.values.get(name)) for item in store.items]
        assert store.column(name) == plain.column(name) == expected
    assert [points is None for points in store.column("landmarks_ed")] == [
        item.values["landmarks_ed"] is None for item in store.items
    ]
    assert store.split("val") == plain.split("val") == [1, 4, 7]
    with pytest.raises(EchoLMError, match="no value 'eff'; did you mean 'ef'"):
        store.column("eff")


def test_no_items_at_all() -> None:
    columns = {name: pa.array([], pa.string()) for name in ("sample", "patient", "study", "split")}
    columns |= {"h": pa.array([], pa.int32()), "w": pa.array([], pa.int32())}
    columns["frames"] = pa.array([], pa.list_(pa.int32()))
    assert list(StoredItems(pa.table(columns), [])) == []


@given(st.lists(st.text(max_size=6), unique=True, max_size=8), st.randoms())
def test_the_fingerprint_is_of_the_canonical_json_of_all(names: list[str], random: Any) -> None:
    """As it was before it was made a piece at a time."""
    items = []
    for item, name in zip(stored(len(names)), names, strict=True):
        items.append(replace(item, source=replace(item.source, sample=name)))
    described = {item.source.sample: _describe(item) for item in items}
    content = {"items": described, "decoder": "d", "channel_rule": "é"}
    random.shuffle(items)
    digest = hashlib.sha256(canonical_json(content).encode()).hexdigest()
    assert fingerprint(items, "d", "é") == digest
    sized = hashlib.sha256(canonical_json(content | {"size": 24}).encode()).hexdigest()
    assert fingerprint(items, "d", "é", 24) == sized
