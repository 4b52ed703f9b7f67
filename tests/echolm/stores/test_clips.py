"""The clip store: frames bit for bit, labels as read, and what folders are no store."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from echolm.datasets import scan_dataset
from echolm.datasets.scan import SourceItem
from echolm.errors import EchoLMError
from echolm.stores.clips import ClipStore, peek
from echolm.stores.prepare_clips import prepare
from echolm.stores.sampling import ed_to_es
from echolm.stores.writer import StoredItem, fingerprint, write_index, write_info

NAME = "echonet-dynamic"


@pytest.fixture
def store(dataset: Any, tmp_path: Path) -> ClipStore:
    return prepare(NAME, dataset.write(), tmp_path / "store", workers=1, progress=False)


def luma(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray()[: frame.height] for frame in container.decode(video=0)])


def test_round_trip_of_a_phantom(phantom_root: Path, tmp_path: Path) -> None:
    store = prepare(NAME, phantom_root, tmp_path / "store", workers=1, progress=False)
    scan = scan_dataset(NAME, phantom_root)
    assert [item.sample for item in store.items] == [item.sample for item in scan.items]
    for row, (item, source) in enumerate(zip(store.items, scan.items, strict=True)):
        ids = (item.sample, item.patient, item.study, item.split, item.height, item.width)
        assert ids == (source.sample, source.patient, None, source.split, 64, 64)
        wanted = ed_to_es(source.values["ed"], source.values["es"], 16)
        assert np.array_equal(store.read(row, wanted), luma(source.path)[wanted])
        assert (
            item.frames.tolist() == sorted(set(wanted.tolist())) and item.frames.dtype == np.int32
        )
        assert item.values.keys() == source.values.keys()
        for name, value in source.values.items():
            assert np.array_equal(item.values[name], value), name


def test_whole_videos(phantom_root: Path, tmp_path: Path) -> None:
    store = prepare(NAME, phantom_root, tmp_path / "store", clips="all", workers=1, progress=False)
    for row, source in enumerate(scan_dataset(NAME, phantom_root).items[:3]):
        assert np.array_equal(store.read(row, np.arange(source.frame_count)), luma(source.path))


def test_what_a_store_says_of_itself(store: ClipStore) -> None:
    expected = {
        "reader": NAME,
        "clips": "ed-to-es-16",
        "decoder": "pyav-luma",
        "channel_rule": "Y",
        "schema": 1,
    }
    expected |= {
        "items": 4,
        "splits": {"train": 2, "val": 1, "test": 1},
        "problems": 0,
        "synthetic": False,
    }
    assert store.info == peek(store.path) and expected.items() <= store.info.items()
    assert len(store.fingerprint) == 64 and store.fingerprint == store.info["fingerprint"]


def test_splits_are_rows_in_sample_order(store: ClipStore) -> None:
    assert (store.split("train"), store.split("val"), store.split("test")) == ([0, 3], [1], [2])
    with pytest.raises(EchoLMError, match="did you mean 'train'"):
        store.split("tran")


def test_frames_come_in_the_order_asked_for(store: ClipStore) -> None:
    forward = store.read(1, np.arange(2, 10))
    assert np.array_equal(store.read(1, np.array([9, 2, 2])), forward[[7, 0, 0]])
    forward[:] = 0
    assert store.read(1, np.array([2])).any()


@pytest.mark.parametrize("frame", [0, 10, -1, 99])
def test_a_frame_that_is_not_stored_says_how_to_get_it(store: ClipStore, frame: int) -> None:
    with pytest.raises(
        EchoLMError, match=f"holds no frame {frame} of 0XA1.*rule 'ed-to-es-16'.*--clips all"
    ):
        store.read(0, np.array([2, frame]))


def test_a_store_pickles_as_its_path(store: ClipStore) -> None:
    frames = store.read(2, np.array([5]))
    content = pickle.dumps(store)
    assert len(content) < 1000 and np.array_equal(
        pickle.loads(content).read(2, np.array([5])), frames
    )


def test_a_store_moves_to_any_path(store: ClipStore, tmp_path: Path) -> None:
    moved = tmp_path / "ein 'neuer' \"Ort\" für $HOME; 心"
    shutil.copytree(store.path, moved)
    opened = ClipStore.open(moved)
    assert opened.fingerprint == store.fingerprint
    assert np.array_equal(opened.read(3, np.array([4])), store.read(3, np.array([4])))


def test_peek_needs_neither_torch_nor_pyarrow(store: ClipStore) -> None:
    code = "import sys; from echolm.stores.clips import peek; peek(sys.argv[1]); "
    code += "print({'torch', 'pyarrow'} & {*sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


def test_a_missing_store_says_what_to_type(tmp_path: Path) -> None:
    for opened in (ClipStore.open, peek):
        with pytest.raises(
            EchoLMError, match="no clip store here; make one with: echolm data prepare"
        ):
            opened(tmp_path / "nothing")
        with pytest.raises(EchoLMError, match="not a clip store"):
            opened(tmp_path)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("camus", "data prepare camus PATH --name camus$"),
        ("echonet-dynamic-phantom-videos", "data prepare echonet-dynamic PATH --name echonet-dyn"),
        ("camusette", "data prepare DATASET PATH$"),
    ],
)
def test_a_missing_store_that_is_called_by_a_dataset(
    name: str, command: str, tmp_path: Path
) -> None:
    with pytest.raises(EchoLMError, match=f"make one with: echolm {command}"):
        peek(tmp_path / name)


def test_an_unfinished_store_says_how_to_continue(store: ClipStore) -> None:
    (store.path / "store.json").unlink()
    (store.path / "partial").mkdir()
    with pytest.raises(EchoLMError, match="unfinished clip store; type the same again"):
        ClipStore.open(store.path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not a clip store's"),
        ("[]", "no schema"),
        ("{}", "no schema"),
        ('{"schema": 99, "fingerprint": ""}', "schema 99; valid: 1"),
    ],
)
def test_a_foreign_description(store: ClipStore, text: str, message: str) -> None:
    (store.path / "store.json").write_text(text)
    with pytest.raises(EchoLMError, match=message):
        ClipStore.open(store.path)


def test_truncated_or_missing_frames(store: ClipStore) -> None:
    frames = store.path / "frames.bin"
    frames.write_bytes(frames.read_bytes()[:-1])
    with pytest.raises(EchoLMError, match=r"frames.bin: has \d+ bytes, the index says \d+"):
        ClipStore.open(store.path)
    frames.unlink()
    with pytest.raises(EchoLMError, match="frames.bin: cannot be read"):
        ClipStore.open(store.path)


def test_frames_cut_off_while_they_are_mapped(store: ClipStore) -> None:
    """Reading them from the map would end the process (SIGBUS)."""
    assert store.read(3, np.array([9])).any()
    with open(store.path / "frames.bin", "r+b") as frames:
        frames.truncate(10)
    with pytest.raises(EchoLMError, match=r"frames.bin: has 10 bytes now, \d+ when it was opened"):
        store.read(3, np.array([9]))


def test_an_index_of_another_store(store: ClipStore) -> None:
    index = store.path / "index.parquet"
    index.write_bytes(index.read_bytes()[:-1] + b"\0")
    with pytest.raises(EchoLMError, match="index.parquet: damaged, or of another store"):
        ClipStore.open(store.path)
    index.unlink()
    with pytest.raises(EchoLMError, match="index.parquet: cannot be read"):
        ClipStore.open(store.path)


def test_thousands_of_items_open(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    zeros = hashlib.sha256(bytes(16 * 112 * 112)).hexdigest()
    items = []
    for number in range(3_000):
        points = rng.uniform(0, 112, (2, 40, 2)).astype(np.float32)
        values = {
            "ed": 3,
            "es": 20,
            "ef": 55.5,
            "landmarks_ed": points[0],
            "landmarks_es": points[1],
        }
        source = SourceItem(
            sample=f"S{number:05d}",
            patient=f"P{number}",
            split="train",
            path=tmp_path,
            frame_count=30,
            sizes=((112, 112),),
            values=values,
        )
        items.append(StoredItem(source, ed_to_es(3, 20, 16), 112, 112, zeros))
    info = {"schema": 1, "fingerprint": "0" * 64, "clips": "ed-to-es-16", "reader": NAME}
    write_info(tmp_path, info | {"index_sha256": write_index(tmp_path, items)}, items)
    with open(tmp_path / "frames.bin", "wb") as frames:
        frames.truncate(3_000 * 16 * 112 * 112)
    store = ClipStore.open(tmp_path)
    assert (
        len(store.items) == 3_000
        and json.loads((tmp_path / "store.json").read_text())["items"] == 3_000
    )
    assert np.array_equal(
        store.items[2_999].values["landmarks_es"], items[2_999].source.values["landmarks_es"]
    )
    assert store.read(2_999, np.array([20])).shape == (1, 112, 112)


def test_values_that_an_item_does_not_have_are_none(tmp_path: Path) -> None:
    points = np.arange(6, dtype=np.float32).reshape(3, 2)
    rows: list[dict[str, Any]] = [
        {"ed": None, "landmarks_ed": None},
        {"ed": 4, "landmarks_ed": points, "view": "2CH"},
        {},
    ]
    items = []
    for number, values in enumerate(rows):
        source = SourceItem(str(number), "p", "train", tmp_path, values=values)
        digest = hashlib.sha256(bytes(4)).hexdigest()
        items.append(StoredItem(source, np.array([0]), 2, 2, digest))
    info = {"schema": 1, "fingerprint": "0" * 64, "clips": "all", "reader": NAME}
    write_info(tmp_path, info | {"index_sha256": write_index(tmp_path, items)}, items)
    (tmp_path / "frames.bin").write_bytes(bytes(3 * 4))
    store = ClipStore.open(tmp_path)
    assert store.info["values"] == {"ed": 1, "landmarks_ed": 1, "view": 1}
    nothing = {"ed": None, "landmarks_ed": None, "view": None}
    assert store.items[0].values == store.items[2].values == nothing
    assert store.items[1].values["ed"] == 4 and store.items[1].values["view"] == "2CH"
    assert np.array_equal(store.items[1].values["landmarks_ed"], points)
    bare = [replace(item, source=replace(item.source, values={})) for item in items]
    assert fingerprint(items[:1], "d", "c") == fingerprint(bare[:1], "d", "c")
    assert fingerprint(items[1:2], "d", "c") != fingerprint(bare[1:2], "d", "c")


def test_a_missing_store_is_to_be_made_by_the_rule_that_a_run_needs(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError) as caught:
        peek(tmp_path / "camus-phantom", "all")
    command = caught.value.command
    assert command is not None
    expected = "data prepare camus PATH --clips all --name camus-phantom"
    assert " ".join(command.words) == expected
