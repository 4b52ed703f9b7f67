"""Index-only stores are like stores that keep their frames, and never give a stale frame.

The frames, the fingerprint and the training run are the same.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echolm.config import parse_config
from echolm.datasets.phantom.generate import write_mjpeg
from echolm.errors import EchoLMError
from echolm.media.mjpeg import index_packets, read_packets
from echolm.media.read import read_video
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import prepare
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace

NAME = "echonet-dynamic"


def make(root: Path, out: Path, **options: Any) -> ClipStore:
    return prepare(NAME, root, out, workers=1, progress=False, **options)


@pytest.fixture
def indexed(dataset: Any, tmp_path: Path) -> ClipStore:
    """An index-only store of whole videos."""
    return make(dataset.write(), tmp_path / "indexed", clips="all", index_only=True)


@pytest.fixture(scope="module")
def twins(
    phantom_root: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ClipStore, ClipStore]:
    """Of the phantom: a store with frames, and an index-only one."""
    folder = tmp_path_factory.mktemp("twins")
    return make(phantom_root, folder / "stored"), make(
        phantom_root, folder / "indexed", index_only=True
    )


@pytest.mark.parametrize("clips", ["ed-to-es-16", "all"])
def test_it_is_the_same_store_without_frames(
    phantom_root: Path, tmp_path: Path, clips: str
) -> None:
    stored = make(phantom_root, tmp_path / "stored", clips=clips)
    indexed = make(phantom_root, tmp_path / "indexed", clips=clips, index_only=True)
    assert sorted(os.listdir(indexed.path)) == ["index.parquet", "problems.csv", "store.json"]
    differing = {"index_only", "videos", "index_sha256"}
    assert {key: value for key, value in indexed.info.items() if key not in differing} == {
        key: value for key, value in stored.info.items() if key not in differing
    }
    assert indexed.fingerprint == stored.fingerprint and indexed.info["videos"] == str(phantom_root)
    for row, (one, other) in enumerate(zip(stored.items, indexed.items, strict=True)):
        assert vars(one).keys() == vars(other).keys() and np.array_equal(one.frames, other.frames)
        assert one.values.keys() == other.values.keys()
        assert np.array_equal(indexed.read(row, one.frames), stored.read(row, one.frames))


def test_frames_come_in_the_order_asked_for_and_repeat(twins: tuple[ClipStore, ClipStore]) -> None:
    for row, item in enumerate(twins[0].items):
        wanted = np.random.default_rng(row).choice(item.frames, 9)
        first, second = (store.read(row, wanted) for store in twins)
        assert np.array_equal(first, second) and second.dtype == np.uint8
        second[:] = 0  # the caller's own
    assert (
        twins[1].read(0, np.array([], np.int64)).shape
        == twins[0].read(0, np.array([], np.int64)).shape
    )


def test_a_frame_that_is_not_held_is_refused(twins: tuple[ClipStore, ClipStore]) -> None:
    with pytest.raises(EchoLMError, match="holds no frame 999"):
        twins[1].read(0, np.array([999]))


def test_training_is_bitwise_the_same(twins: tuple[ClipStore, ClipStore], tmp_path: Path) -> None:
    changes = {
        "trainable": "all",
        "head": {"name": "mlp", "width": 16},
        "augmentation": "bhoodoo2026",
    }
    plain = {
        "data": "heart",
        "task": "landmarks",
        "encoder": "tiny-r3d",
        "epochs": 2,
        "batch_size": 7,
        **changes,
    }
    results = []
    for number, store in enumerate(twins):
        workspace = Workspace(tmp_path / str(number))
        workspace.store("heart").parent.mkdir(parents=True)
        workspace.store("heart").symlink_to(store.path)
        run = prepare_run(parse_config(plain), workspace)
        [outcome] = fit([run])
        assert outcome.state == "complete", outcome
        epochs = [event["metrics"] for event in run.record.history()]
        best = run.record.file("best.safetensors").read_bytes()
        results.append(
            (
                run.identity["fingerprint"],
                epochs,
                best,
                pq.read_table(run.record.file("predictions.parquet")),
            )
        )
    assert len(results[0][1]) == 2 and results[0] == results[1]


@given(wanted=st.lists(st.integers(0, 11), min_size=1, max_size=8))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_packets_decode_to_what_the_video_holds(
    tmp_path: Path, pictures: Callable[[str, int], np.ndarray], wanted: list[int]
) -> None:
    path = tmp_path / "clip ünï 'quoted'.avi"
    if not path.exists():
        write_mjpeg(path, pictures("clip", 12), 50)
    packets = index_packets(path, wanted)
    content = path.read_bytes()
    assert all(content[start : start + 2] == b"\xff\xd8" for start, _, _ in packets.tolist())
    assert np.array_equal(
        read_packets(path, packets, wanted, (112, 112)), read_video(path, wanted).frames
    )


def test_videos_of_opencv_are_read_too(
    tmp_path: Path, pictures: Callable[[str, int], np.ndarray]
) -> None:
    """It wrote the videos of EchoNet-Dynamic."""
    import cv2

    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50, (112, 112))
    for picture in pictures("clip", 12):
        writer.write(cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR))
    writer.release()
    numbers = list(range(12))
    frames = read_packets(path, index_packets(path, numbers), numbers, (112, 112))
    assert np.array_equal(frames, read_video(path).frames)


def test_a_missing_video_is_named_when_the_store_is_opened(
    indexed: ClipStore, dataset: Any
) -> None:
    video = dataset.root / "Videos" / "0XA3.avi"
    video.rename(video.with_suffix(".off"))
    with pytest.raises(
        EchoLMError,
        match=r"0XA3.avi: is missing, as 1 of 4 .*prepare echonet-dynamic PATH --clips all",
    ):
        ClipStore.open(indexed.path)
    with pytest.raises(
        EchoLMError, match=r"0XA3.avi: cannot be read: No such file.*put the indexed video back"
    ):
        indexed.read(2, np.array([3]))


@pytest.mark.parametrize("place", [2, 700, -1])
def test_one_changed_byte_is_an_error_and_never_another_frame(
    indexed: ClipStore, dataset: Any, place: int
) -> None:
    """Size and times of the file stay as they were."""
    video = dataset.root / "Videos" / "0XA1.avi"
    [(start, length, _)] = index_packets(video, [5]).tolist()
    others = indexed.read(0, np.array([4, 6]))
    times, content = video.stat(), bytearray(video.read_bytes())
    content[start + place % length] ^= 1
    video.write_bytes(content)
    os.utime(video, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(
        EchoLMError, match=r"0XA1.avi: has changed since it was indexed \(frame 5\)"
    ):
        indexed.read(0, np.array([4, 5]))
    assert np.array_equal(indexed.read(0, np.array([4, 6])), others)


def test_a_truncated_video_is_an_error(indexed: ClipStore, dataset: Any) -> None:
    video = dataset.root / "Videos" / "0XA1.avi"
    video.write_bytes(video.read_bytes()[: index_packets(video, [5])[0, 0] + 100])
    assert indexed.read(0, np.array([4])).any()
    with pytest.raises(EchoLMError, match=r"has changed since it was indexed \(frame 5\)"):
        indexed.read(0, np.array([4, 5]))


def test_a_copied_dataset_is_found_again(indexed: ClipStore, dataset: Any, tmp_path: Path) -> None:
    frames = indexed.read(1, np.array([7, 3]))
    moved = tmp_path / "ein 'neuer' \"Ort\" für $HOME; 心"
    shutil.copytree(dataset.root, moved)
    shutil.rmtree(dataset.root)
    with pytest.raises(EchoLMError, match="is missing, as 4 of 4 .*say where the dataset is now"):
        ClipStore.open(indexed.path)
    again = make(moved, indexed.path, clips="all", index_only=True)
    assert again.fingerprint == indexed.fingerprint and np.array_equal(
        again.read(1, np.array([7, 3])), frames
    )


def test_another_dataset_is_not_taken_for_the_moved_one(indexed: ClipStore, dataset: Any) -> None:
    dataset.files[0]["EF"] = 61
    with pytest.raises(EchoLMError, match="from other files"):
        make(dataset.write(), indexed.path, clips="all", index_only=True)


@pytest.mark.parametrize("first", [True, False])
def test_stored_and_index_only_do_not_mix(dataset: Any, tmp_path: Path, first: bool) -> None:
    make(dataset.write(), tmp_path / "store", index_only=first)
    with pytest.raises(
        EchoLMError, match=f"with another --index-only .{first}; asked for: {not first}"
    ):
        make(dataset.root, tmp_path / "store", index_only=not first)


def test_a_store_of_an_earlier_version_is_one_with_frames(dataset: Any, tmp_path: Path) -> None:
    store = make(dataset.write(), tmp_path / "store")
    (store.path / "store.json").write_text(
        json.dumps({k: v for k, v in store.info.items() if k != "index_only"})
    )
    assert make(dataset.root, store.path).read(0, np.array([5])).any()


def test_it_pickles_as_its_path(indexed: ClipStore) -> None:
    content = pickle.dumps(indexed)
    assert len(content) < 1000
    assert np.array_equal(
        pickle.loads(content).read(3, np.array([5])), indexed.read(3, np.array([5]))
    )


def test_a_killed_preparation_continues(dataset: Any, tmp_path: Path) -> None:
    for number in range(200):
        name = f"0XB{number:03d}"
        os.makedirs(dataset.root / "Videos", exist_ok=True)
        os.link(dataset.root / "Videos" / "0XA1.avi", dataset.root / "Videos" / f"{name}.avi")
        dataset.files.append(dataset.files[0] | {"FileName": name})
        dataset.tracings += [row | {"FileName": name} for row in dataset.tracings[:42]]
    out = tmp_path / "store"
    code = (
        "import sys; from echolm.stores.prepare_clips import prepare; "
        "prepare(*sys.argv[1:4], 'all', 1, False, False, True)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, NAME, str(dataset.write()), str(out)])
    while not (out / "partial" / "part-00000.json").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    process.wait()
    with pytest.raises(EchoLMError, match="unfinished clip store"):
        ClipStore.open(out)
    store = make(dataset.root, out, clips="all", index_only=True)
    assert (
        len(store.items) == 204
        and store.read(203, np.array([11])).any()
        and not (out / "partial").exists()
    )


def test_videos_that_do_not_decode_and_dicom_are_named(dataset: Any, tmp_path: Path) -> None:
    from pydicom.data import get_testdata_file

    (dataset.root / "Videos" / "0XA2.avi").write_bytes(b"no video")
    shutil.copy(
        str(get_testdata_file("examples_ybr_color.dcm")), dataset.root / "Videos" / "0XA3.avi"
    )
    with pytest.raises(EchoLMError) as caught:
        make(dataset.write(), tmp_path / "store", index_only=True)
    first, second, *_ = str(caught.value).splitlines()
    assert first.startswith("Videos/0XA2.avi: 0XA2: not a video")
    assert second.startswith(
        "Videos/0XA3.avi: 0XA3: its frames cannot be read by index; store them: prepare without"
    )
