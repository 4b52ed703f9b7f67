"""A store's frames are checked when it is first opened, once for all processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import shutil
import time
from collections.abc import Callable
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echolm.errors import EchoLMError
from echolm.stores import integrity
from echolm.stores.clips import ClipStore
from echolm.stores.frames import StoredFrames
from echolm.stores.prepare_clips import prepare
from echolm.stores.shards import DecodeJob, Shards

NAME = "echonet-dynamic"


@pytest.fixture
def path(dataset: Any, tmp_path: Path) -> Path:
    return prepare(NAME, dataset.write(), tmp_path / "store", workers=1, progress=False).path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read as a whole. This process remembers none."""
    files: list[Path] = []
    read = StoredFrames.damaged_rows

    def noted(frames: StoredFrames) -> list[int]:
        files.append(frames.file)
        return read(frames)

    monkeypatch.setattr(StoredFrames, "damaged_rows", noted)
    monkeypatch.setattr(integrity, "_sound", set())
    return files


def overwrite(path: Path, start: int, content: bytes) -> None:
    """Change bytes of a file in place, and keep its times of access and modification."""
    times = path.stat()
    time.sleep(0.02)  # a file system's clock is coarse
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Act as another process does, which remembers nothing."""
    monkeypatch.setattr(integrity, "_sound", set())


def test_frames_are_read_once_for_all_processes(
    path: Path, tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    for _ in range(3):
        forgotten(monkeypatch)
        store = ClipStore.open(path, cache)
        pickle.loads(pickle.dumps(store)).read(0, store.items[0].frames)
    assert reads == [path / "frames.bin"]
    files = {file.relative_to(cache).as_posix() for file in cache.rglob("*.json")}
    assert len(files) == 1 and not list(path.glob("*.lock"))


def test_without_a_cache_each_process_reads_them_once(
    path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        ClipStore.open(path)
        ClipStore.open(path)
        forgotten(monkeypatch)
    assert len(reads) == 2


@pytest.mark.parametrize("opened_before", [False, True])
def test_zeros_in_the_place_of_frames_are_named(
    path: Path, tmp_path: Path, opened_before: bool
) -> None:
    """Size and modification time stay as they were."""
    cache = tmp_path / "cache"
    if opened_before:
        ClipStore.open(path, cache)
    frames = path / "frames.bin"
    half = frames.stat().st_size // 2
    overwrite(frames, half, bytes(half))
    says = (
        rf"{frames}: damaged: the frames of 2 of 4 items are not those that were prepared "
        rf"\(0XA3, 0XA4\); remove {path} and prepare it again: echolm data prepare "
        rf"{NAME} PATH --clips ed-to-es-16 --name store$"
    )
    for _ in range(2):
        with pytest.raises(EchoLMError, match=says):
            ClipStore.open(path, cache)
    assert not [*cache.rglob("*.tmp")]


def test_any_byte_counts(path: Path) -> None:
    frames = path / "frames.bin"
    size = frames.stat().st_size
    for place in (0, size // 3, size - 1):
        content = frames.read_bytes()[place : place + 1]
        overwrite(frames, place, bytes([content[0] ^ 1]))
        with pytest.raises(EchoLMError, match="damaged: the frames of 1 of 4 items"):
            ClipStore.open(path)
        overwrite(frames, place, content)
        ClipStore.open(path)


@pytest.mark.parametrize("note", ["", "[", "{}", "[1, 2]", "\udcff"])
def test_a_damaged_note_is_no_note(
    path: Path, tmp_path: Path, reads: list[Path], note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ClipStore.open(path, tmp_path / "cache")
    [file] = (tmp_path / "cache").rglob("*.json")
    file.write_text(note, errors="surrogateescape")
    for _ in range(2):
        forgotten(monkeypatch)
        ClipStore.open(path, tmp_path / "cache")
    assert len(reads) == 2


def test_frames_of_another_store_under_its_name_are_read(
    path: Path, dataset: Any, tmp_path: Path, reads: list[Path]
) -> None:
    cache = tmp_path / "cache"
    ClipStore.open(path, cache)
    shutil.rmtree(path)
    dataset.files[0]["EF"] = 61
    prepare(NAME, dataset.write(), path, workers=1, progress=False, cache=cache)
    assert len(reads) == 2
    other = tmp_path / "copy"
    shutil.copytree(path, other)
    ClipStore.open(other, cache)
    assert len(reads) == 3


@pytest.mark.parametrize("cache", ["file", "file/below"])
def test_a_cache_that_cannot_be_written_is_none(path: Path, tmp_path: Path, cache: str) -> None:
    (tmp_path / "file").write_text("")
    store = ClipStore.open(path, tmp_path / cache)
    assert store.read(0, store.items[0].frames).any()


def test_an_index_only_store_has_no_frames_to_check(
    dataset: Any, tmp_path: Path, reads: list[Path]
) -> None:
    out, cache = tmp_path / "indexed", tmp_path / "cache"
    prepare(NAME, dataset.write(), out, workers=1, progress=False, index_only=True, cache=cache)
    assert not reads and not cache.exists()


def _open(path: Path, cache: Path, hashed: SimpleQueue[int]) -> None:
    read: Callable[[StoredFrames], list[int]] = StoredFrames.damaged_rows

    def noted(frames: StoredFrames) -> list[int]:
        hashed.put(os.getpid())
        return read(frames)

    StoredFrames.damaged_rows = noted  # type: ignore[method-assign]
    integrity._sound.clear()
    store = ClipStore.open(path, cache)
    assert store.read(0, store.items[0].frames).any()


def test_processes_that_open_at_the_same_time_read_once(path: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    hashed = context.SimpleQueue()
    arguments = (path, tmp_path / "cache", hashed)
    processes = [context.Process(target=_open, args=arguments) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0] * 6
    readers = []
    while not hashed.empty():
        readers.append(hashed.get())
    assert len(readers) == 1


def test_a_part_that_was_damaged_before_it_is_merged_is_named(dataset: Any, tmp_path: Path) -> None:
    videos = sorted((dataset.root / "Videos").iterdir())
    jobs = [DecodeJob(video, np.array([0, 3]), ((112, 112),)) for video in videos]
    folder = tmp_path / "store" / "partial"
    folder.mkdir(parents=True)
    merging = Shards(folder, jobs, tmp_path / "store" / "frames.bin")
    assert sum(merging.decode(1)) == 4
    overwrite(folder / "part-00000.bin", 2 * 2 * 112 * 112, b"\0\1" * 50)
    again = f"remove {tmp_path / 'store'} and type it again"
    for _ in range(2):
        with pytest.raises(
            EchoLMError, match=f"part-00000.bin: damaged: the frames of 0XA3.avi .*; {again}"
        ):
            merging.merge()
