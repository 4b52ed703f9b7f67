"""Preparing: stopped anywhere it continues, each failure is told, no store is half there."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from filelock import FileLock

from echolm.datasets import scan_dataset
from echolm.datasets.phantom.generate import generate_phantom
from echolm.errors import EchoLMError
from echolm.media.read import read_video
from echolm.media.resize import resize_area
from echolm.stores import shards
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import prepare
from echolm.stores.sampling import SAMPLING_RULES
from echolm.stores.shards import DecodeJob, Shards

NAME = "echonet-dynamic"
COMMAND = (
    "import sys; from echolm.stores.prepare_clips import prepare; "
    "prepare('echonet-dynamic', sys.argv[1], sys.argv[2], 'all', int(sys.argv[3]))"
)


def make(root: Path, out: Path, **options: Any) -> ClipStore:
    return prepare(NAME, root, out, workers=1, progress=False, **options)


@pytest.fixture
def large(tmp_path: Path, new_dataset: Callable[[Path], Any]) -> Path:
    """320 videos (five parts) of 60 frames that share their bytes by hard links."""
    dataset = new_dataset(tmp_path / "large")
    dataset.add("0X000", frames=60)
    files, tracings = dataset.files[0], list(dataset.tracings)
    for number in range(1, 320):
        sample = f"0X{number:03d}"
        os.link(dataset.root / "Videos" / "0X000.avi", dataset.root / "Videos" / f"{sample}.avi")
        dataset.files.append(files | {"FileName": sample})
        dataset.tracings += [row | {"FileName": sample} for row in tracings]
    return Path(dataset.write())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_preparation_continues(large: Path, tmp_path: Path, workers: int) -> None:
    out = tmp_path / "store"
    process = subprocess.Popen([sys.executable, "-c", COMMAND, str(large), str(out), str(workers)])
    first = out / "partial" / "part-00000.json"
    while not first.exists():
        assert process.poll() is None
        time.sleep(0.002)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not psutil.wait_procs(children, timeout=120)[1]
    with pytest.raises(EchoLMError, match="unfinished clip store"):
        ClipStore.open(out)
    _replace_videos_of_first_part(large)
    store = make(large, out, clips="all")
    assert len(store.items) == 320 and len({entry.tobytes() for entry in _first_frames(store)}) == 1
    assert not (out / "partial").exists()


def test_processes_choose_frames_of_files_that_they_count(large: Path, tmp_path: Path) -> None:
    """The rule travels to the process that decodes."""
    video = large / "Videos" / "0X000.avi"
    rule = SAMPLING_RULES.parse("every-20")
    jobs = [DecodeJob(video, None, rule=rule, size=16) for _ in range(130)]
    folder = tmp_path / "parts"
    folder.mkdir()
    merging = Shards(folder, jobs, tmp_path / "frames.bin")
    assert sum(merging.decode(2)) == 130
    results = list(merging.results())
    assert {tuple(result.frames) for result in results} == {(0, 20, 40)}
    assert {tuple(result.shown) for result in results} == {(112, 112)}
    merging.merge()
    content = (tmp_path / "frames.bin").read_bytes()
    one = resize_area(read_video(video, [0, 20, 40]).frames, 16, 16).tobytes()
    assert content == one * 130


def test_a_damaged_part_is_decoded_again(dataset: Any, tmp_path: Path) -> None:
    whole = make(dataset.write(), tmp_path / "whole")
    broken = dataset.root / "Videos" / "0XA2.avi"
    content = broken.read_bytes()
    for number, damage in enumerate(
        [b"", b"[{}", b"[]", b"{}", b'[{"error": "", "more": 1}, 2]', b"\xff"]
    ):
        out = tmp_path / str(number)
        broken.write_bytes(bytes(len(content)))
        with pytest.raises(EchoLMError, match="1 of 4 videos do not decode"):
            make(dataset.root, out)
        broken.write_bytes(content)
        (out / "partial" / "part-00000.json").write_bytes(damage)
        assert make(dataset.root, out).fingerprint == whole.fingerprint


def test_a_damaged_part_that_is_merged_already_says_so(dataset: Any, tmp_path: Path) -> None:
    video = scan_dataset(NAME, dataset.write()).items[0].path
    folder = tmp_path / "store" / "partial"
    folder.mkdir(parents=True)
    merging = Shards(
        folder, [DecodeJob(video, np.array([0]), ((112, 112),))], tmp_path / "frames.bin"
    )
    assert sum(merging.decode(1)) == 1
    merging.merge()
    (folder / "part-00000.json").write_text("[")
    assert list(merging.decode(1)) == [1]
    with pytest.raises(
        EchoLMError,
        match=rf"part-00000.json: damaged; remove {tmp_path / 'store'} and type it again",
    ):
        list(merging.results())


def test_parts_of_no_known_plan_are_not_used(dataset: Any, tmp_path: Path) -> None:
    """Without its plan, nobody knows which files the parts were made from."""
    broken = dataset.root / "Videos" / "0XA2.avi"
    content = broken.read_bytes()
    broken.write_bytes(bytes(len(content)))
    with pytest.raises(EchoLMError, match="1 of 4 videos do not decode"):
        make(dataset.write(), tmp_path / "store")
    broken.write_bytes(content)
    results = tmp_path / "store" / "partial" / "part-00000.json"
    entries = [{"height": 112, "width": 112, "sha256": "0" * 64, "error": "", "packets": []}] * 4
    results.write_text(json.dumps(entries))
    (results.parent / "plan.json").unlink()
    assert (
        make(dataset.root, tmp_path / "store").fingerprint
        == make(dataset.root, tmp_path / "whole").fingerprint
    )


def test_what_a_killed_preparation_was_writing_is_removed(dataset: Any, tmp_path: Path) -> None:
    out, (broken, *_) = tmp_path / "store", sorted((dataset.root / "Videos").iterdir())
    content = broken.read_bytes()
    broken.write_bytes(bytes(len(content)))
    with pytest.raises(EchoLMError, match="1 of 4 videos do not decode"):
        make(dataset.write(), out)
    broken.write_bytes(content)
    for name in (
        ".index.parquet.0123456789abcdef.tmp",
        "partial/.part-00000.bin.0123456789abcdef.tmp",
    ):
        (out / name).write_text("x")
    make(dataset.root, out)
    assert sorted(os.listdir(out)) == ["frames.bin", "index.parquet", "problems.csv", "store.json"]


def _replace_videos_of_first_part(root: Path) -> None:
    """The same names and sizes, but no videos: a continued preparation does not read them again."""
    for number in range(shards.PART):
        path = root / "Videos" / f"0X{number:03d}.avi"
        size = path.stat().st_size
        path.unlink()
        path.write_bytes(bytes(size))


def _first_frames(store: ClipStore) -> list[Any]:
    return [store.read(row, store.items[row].frames[:1]) for row in range(len(store.items))]


@pytest.mark.parametrize(
    "kept", [0, 1, 5 * 12544, 64 * 12544, 64 * 12544 + 7, 130 * 12544 - 1, 130 * 12544]
)
def test_merging_continues_from_any_byte(dataset: Any, tmp_path: Path, kept: int) -> None:
    """A kill while merging leaves some bytes merged, and the parts of whole merged parts
    deleted."""
    video = scan_dataset(NAME, dataset.write()).items[0].path
    jobs = [DecodeJob(video, np.array([number % 12]), ((112, 112),)) for number in range(130)]
    folder = tmp_path / "parts"
    folder.mkdir()
    merging = Shards(folder, jobs, tmp_path / "frames.bin")
    assert sum(merging.decode(1)) == 130
    whole = b"".join((folder / f"part-{number:05d}.bin").read_bytes() for number in range(3))
    (tmp_path / "frames.bin").write_bytes(whole[:kept])
    for number in range(kept // (64 * 12544)):
        (folder / f"part-{number:05d}.bin").unlink()
    assert list(merging.decode(1)) == [130]
    merging.merge()
    assert (tmp_path / "frames.bin").read_bytes() == whole and not list(folder.glob("*.bin"))


def test_preparing_again_opens_the_store(dataset: Any, tmp_path: Path) -> None:
    first = make(dataset.write(), tmp_path / "store")
    stamp = (first.path / "store.json").stat().st_mtime_ns
    second = make(dataset.root, tmp_path / "store")
    assert (
        second.fingerprint == first.fingerprint
        and (first.path / "store.json").stat().st_mtime_ns == stamp
    )


def test_other_files_and_another_rule_are_refused(dataset: Any, tmp_path: Path) -> None:
    out = tmp_path / "store"
    make(dataset.write(), out)
    with pytest.raises(
        EchoLMError, match=r"store: was made by another clip rule \(ed-to-es-16; asked for: all\)"
    ):
        make(dataset.root, out, clips="all")
    dataset.add("0XB1")
    with pytest.raises(
        EchoLMError, match="store: was made from other files; choose another folder"
    ):
        make(dataset.write(), out)


def test_an_unfinished_store_of_other_files_is_refused(dataset: Any, tmp_path: Path) -> None:
    broken = dataset.root / "Videos" / "0XA2.avi"
    content = broken.read_bytes()
    broken.write_bytes(bytes(len(content)))
    with pytest.raises(EchoLMError, match="1 of 4 videos do not decode"):
        make(dataset.write(), tmp_path / "store")
    with pytest.raises(EchoLMError, match="by another clip rule"):
        make(dataset.root, tmp_path / "store", clips="all")
    dataset.files[0]["EF"] = 61
    with pytest.raises(EchoLMError, match="from other files"):
        make(dataset.write(), tmp_path / "store")
    dataset.files[0]["EF"] = 60.0
    broken.write_bytes(content)
    assert len(make(dataset.write(), tmp_path / "store").items) == 4


def test_a_folder_with_other_files_is_refused(dataset: Any, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.doc").write_text("x")
    with pytest.raises(EchoLMError, match="holds other files and is no clip store"):
        make(dataset.write(), tmp_path / "store")
    assert os.listdir(tmp_path / "store") == ["thesis.doc"]


def test_a_video_that_does_not_decode_fails_by_name_after_all_others(
    dataset: Any, tmp_path: Path
) -> None:
    video = dataset.root / "Videos" / "0XA2.avi"
    video.write_bytes(video.read_bytes()[:4000])
    out = tmp_path / "store"
    with pytest.raises(EchoLMError) as caught:
        make(dataset.write(), out)
    lines = str(caught.value).splitlines()
    assert (
        lines[0].startswith("Videos/0XA2.avi: 0XA2: ") and "1 of 4 videos do not decode" in lines[1]
    )
    assert "--skip-unreadable" in lines[2] and not (out / "store.json").exists()
    store = make(dataset.root, out, skip_unreadable=True)
    assert [item.sample for item in store.items] == ["0XA1", "0XA3", "0XA4"]
    with open(out / "problems.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert store.info["problems"] == len(rows) == 1
    assert (rows[0]["file"], rows[0]["row"], rows[0]["sample"]) == ("Videos/0XA2.avi", "", "0XA2")
    assert str(dataset.root) not in rows[0]["reason"]


def test_unreadable_videos_alone_make_no_store(dataset: Any, tmp_path: Path) -> None:
    for video in (dataset.root / "Videos").iterdir():
        video.write_bytes(b"")
    with pytest.raises(EchoLMError, match="4 of 4 videos do not decode"):
        make(dataset.write(), tmp_path / "store", skip_unreadable=True)


def test_what_the_reader_leaves_out_is_listed(dataset: Any, tmp_path: Path) -> None:
    dataset.files[1]["EF"] = "nan"
    dataset.files[2]["Split"] = '?, "x"\nnew line'
    store = make(dataset.write(), tmp_path / "store")
    with open(store.path / "problems.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "row", "sample", "reason"] and store.info["problems"] == 2
    assert rows[1] == ["FileList.csv", "3", "0XA2", "EF is 'nan', not a number"]
    assert rows[2][:3] == ["FileList.csv", "5", "0XA3"]


def test_a_video_of_another_size_is_a_problem_unless_listed(tmp_path: Path) -> None:
    generate_phantom(tmp_path / "small", videos=3, size=64)
    assert make(tmp_path / "small", tmp_path / "store").items[0].height == 64
    files = tmp_path / "small" / "FileList.csv"
    files.write_text(files.read_text().replace(",64,64,", ",112,112,"))
    with pytest.raises(EchoLMError, match="is 64 x 64 pixels; its labels are for 112 x 112"):
        make(tmp_path / "small", tmp_path / "other")


def test_a_patient_in_two_splits_makes_no_store(dataset: Any, tmp_path: Path) -> None:
    dataset.file_columns.append("Patient")
    for row in dataset.files:
        row["Patient"] = "same"
    with pytest.raises(EchoLMError, match="patient same is in train .* and val .* and test"):
        make(dataset.write(), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_full_disk_is_an_error_and_can_be_continued(large: Path, tmp_path: Path) -> None:
    """The largest file a process may write stands for the space that is left."""
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10**7, 10**7)); " + COMMAND
    )
    run = [sys.executable, "-c", limited, str(large), str(tmp_path / "store"), "1"]
    done = subprocess.run(run, capture_output=True, text=True)
    assert done.returncode == 1 and "echolm.errors.EchoLMError" in done.stderr.splitlines()[-1]
    assert (
        "part-00000.bin: cannot be written: File too large; no store was made, "
        "type it again to continue" in done.stderr
    )
    assert not list((tmp_path / "store").rglob("*.tmp"))
    with pytest.raises(EchoLMError, match="unfinished"):
        ClipStore.open(tmp_path / "store")
    assert len(make(large, tmp_path / "store", clips="all").items) == 320


def test_a_place_that_cannot_be_written_is_an_error(dataset: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EchoLMError, match="file.*(Not a directory|File exists)"):
        make(dataset.write(), tmp_path / "file" / "store")


def test_two_preparations_of_one_folder(dataset: Any, tmp_path: Path) -> None:
    partial = tmp_path / "store" / "partial"
    partial.mkdir(parents=True)
    with (
        FileLock(partial / "lock"),
        pytest.raises(EchoLMError, match="is being prepared by another process"),
    ):
        make(dataset.write(), tmp_path / "store")
    assert len(make(dataset.root, tmp_path / "store").items) == 4


def test_progress_is_plain_lines_where_there_is_no_terminal(
    dataset: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(NAME, dataset.write(), tmp_path / "store", workers=1)
    assert capfd.readouterr() == ("", "decoding: 4 of 4 videos\n")
