"""Whether a file is still the one that was collected: seen once, and again when it changes."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from grid.results import soundness
from grid.results.soundness import CHECKED_FILE, CheckedPredictions


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "predictions" / "a.parquet"
    path.parent.mkdir()
    path.write_bytes(b"collected")
    return path


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of files whose content was read."""
    names: list[str] = []
    original = hashlib.file_digest

    def counting(file: object, kind: str) -> object:
        names.append(Path(file.name).name)  # type: ignore[attr-defined]
        return original(file, kind)  # type: ignore[arg-type]

    monkeypatch.setattr(soundness.hashlib, "file_digest", counting)
    return names


def test_a_sound_file_is_read_once(path: Path, hashed: list[str]) -> None:
    for _ in range(3):  # the first time it is read
        checked = CheckedPredictions(path.parents[1])
        assert checked.is_sound(path, sha256(b"collected"))
        checked.save()
    assert hashed == ["a.parquet"]


@pytest.mark.parametrize("change", ["content", "size", "replaced", "copied", "another sha256"])
def test_any_change_is_seen(path: Path, tmp_path: Path, hashed: list[str], change: str) -> None:
    results = path.parents[1]
    checked = CheckedPredictions(results)
    assert checked.is_sound(path, sha256(b"collected"))
    checked.save()
    wanted = sha256(b"collected")
    if change == "copied":
        results = tmp_path / "copy"
        shutil.copytree(path.parent, results / "predictions")
        shutil.copy2(path.parents[1] / CHECKED_FILE, results)
        path = results / "predictions" / path.name
        assert CheckedPredictions(results).is_sound(path, wanted) and len(hashed) == 2
        path.write_bytes(b"otherwise")
    elif change == "another sha256":
        wanted = sha256(b"otherwise")
    elif change == "replaced":
        times = path.stat()
        path.with_name("b").write_bytes(b"otherwise")
        os.utime(path.with_name("b"), ns=(times.st_atime_ns, times.st_mtime_ns))
        os.replace(path.with_name("b"), path)
    else:
        path.write_bytes(b"otherwise" if change == "content" else b"longer than it was")
    assert not CheckedPredictions(results).is_sound(path, wanted)


def test_a_file_that_was_written_just_now_is_not_read(path: Path, hashed: list[str]) -> None:
    """What comes after it was noted has another time."""
    path.write_bytes(b"collected")
    checked = CheckedPredictions(path.parents[1])
    checked.written(path, sha256(b"collected"))
    checked.save()
    assert CheckedPredictions(path.parents[1]).is_sound(path, sha256(b"collected"))
    assert hashed == []
    path.write_bytes(b"otherwise")
    assert not CheckedPredictions(path.parents[1]).is_sound(path, sha256(b"collected"))


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a.parquet": [1, 2]}', b"\xff", b'{"a": 1}'])
def test_a_damaged_memory_is_none(path: Path, content: bytes) -> None:
    (path.parents[1] / CHECKED_FILE).write_bytes(content)
    checked = CheckedPredictions(path.parents[1])
    assert checked.is_sound(path, sha256(b"collected"))
    checked.save()
    assert CheckedPredictions(path.parents[1]).is_sound(path, sha256(b"collected"))


def test_a_file_that_is_not_there_is_not_sound(path: Path) -> None:
    assert not CheckedPredictions(path.parents[1]).is_sound(path.with_name("b"), sha256(b""))
