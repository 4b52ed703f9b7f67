"""What counts as an outage, and how a workspace is known to be away."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import av
import nibabel
import pyarrow.parquet as pq
import pydicom
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from echolm import outages
from echolm.errors import EchoLMError, StorageError
from echolm.files import writing
from echolm.outages import (
    UNREACHABLE,
    OutageError,
    insist,
    is_empty_place,
    is_outage,
    limit_s,
    lost_workspace,
    mark_workspace,
    no_room,
    remember_workspace,
    system_number,
    wait_for,
    workspace_id,
)
from echolm.stores.clips import peek


def said_by_the_system(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/somewhere")


@given(st.sampled_from(sorted(errno.errorcode)))
def test_what_went_away_is_known_by_the_systems_word(number: int) -> None:
    """Also where the error of a write, or another of ours, stands between."""
    plain = said_by_the_system(number)
    assert is_outage(plain) == (number in UNREACHABLE)
    with pytest.raises(StorageError) as caught, writing(Path("x")):
        raise said_by_the_system(number)
    assert is_outage(caught.value) == (number in UNREACHABLE)
    try:
        try:
            raise said_by_the_system(number)
        except OSError:
            raise EchoLMError("cannot be read") from None
    except EchoLMError as error:
        assert is_outage(error) == (number in UNREACHABLE)


@pytest.mark.parametrize(
    "read",
    [
        load_file,
        lambda path: nibabel.load(path),
        pq.read_table,
        av.open,
        torch.load,
        Image.open,
        pydicom.dcmread,
    ],
    ids=["safetensors", "nibabel", "pyarrow", "av", "torch", "pillow", "pydicom"],
)
def test_what_went_away_is_known_by_the_words_of_libraries(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    """They are not all written in Python, and leave the system's number out."""
    with pytest.raises(Exception) as caught:  # noqa: B017, PT011 - whichever it is
        read(tmp_path / "away" / "file")
    assert is_outage(caught.value), repr(caught.value)


def test_the_number_in_the_words_of_a_library_counts(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="os error 19") as caught:
        load_file(tmp_path)
    assert caught.value.errno is None
    assert system_number(caught.value) == errno.ENODEV and is_outage(caught.value)
    assert not is_outage(OSError("Permission denied (os error 13)"))
    assert system_number(OSError("something")) is None and not is_outage(OSError("something"))


def test_errors_that_are_no_files_are_no_outage(tmp_path: Path) -> None:
    assert not is_outage(EchoLMError("a mistake in the file"))
    assert not is_outage(ValueError("1"))
    try:
        try:
            raise said_by_the_system(errno.ENOENT)
        except OSError as error:
            raise ValueError("a bug") from error
    except ValueError as error:
        assert not is_outage(error)
    with pytest.raises(EchoLMError) as caught:
        peek(tmp_path / "store")
    assert is_outage(caught.value), "who knows that it was there waits for it"


def test_of_two_that_mark_a_workspace_at_once_the_first_one_counts_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = mark_workspace(tmp_path)
    looks = [""]  # the second had looked before the first had written

    def look(root: Path) -> str:
        return looks.pop() if looks else workspace_id(root)

    monkeypatch.setattr(outages, "workspace_id", look)
    assert mark_workspace(tmp_path) == first == workspace_id(tmp_path) and not looks
    assert [path.name for path in tmp_path.iterdir()] == [outages.MARKER]
    (tmp_path / outages.MARKER).write_text("damaged")
    assert mark_workspace(tmp_path) == workspace_id(tmp_path) != first


def test_a_workspace_is_known_by_its_marker(tmp_path: Path) -> None:
    root, away = tmp_path / "ws", tmp_path / "away"
    inside = root / "runs" / "cell"
    assert lost_workspace(inside) == "", "of a workspace that nobody saw, nothing is said"
    known = mark_workspace(root)
    assert known and mark_workspace(root) == known == workspace_id(root)
    assert lost_workspace(inside) == lost_workspace(root) == ""

    root.rename(away)
    assert str(root) in lost_workspace(inside)
    root.mkdir()
    assert str(root) in lost_workspace(inside), "an empty mount point is not the workspace"
    assert is_empty_place(root)
    (root / outages.MARKER).write_text('{"id": "another"}')
    assert lost_workspace(inside), "nor is another workspace"
    for text in ("", "[]", "{}", "\0"):
        (root / outages.MARKER).write_text(text)
        assert lost_workspace(inside) and workspace_id(root) == ""
    (root / outages.MARKER).unlink()
    root.rmdir()
    away.rename(root)
    assert lost_workspace(inside) == ""

    remember_workspace(root, "what a batch says")
    assert lost_workspace(inside)
    remember_workspace(root, known)
    assert lost_workspace(inside) == ""


def test_a_wait_is_told_once_and_ends_when_all_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE_S", 0.001)
    answers = ["the store is not there", "the store is not there", "the store is not there", ""]
    told: list[str] = []
    assert wait_for(lambda: answers.pop(0), told.append)
    assert told[0] == "the store is not there; waiting" and "again" in told[1] and len(told) == 2
    assert wait_for(lambda: "", told.append) and len(told) == 2, "nothing to tell"
    assert not wait_for(lambda: "away", told.append, limit=0)
    assert not wait_for(lambda: "away", told.append, stopped=lambda: True)


def test_a_small_write_is_done_once_the_place_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "FIRST_PAUSE_S", 0.001)
    missing = ["", "away", "away", ""]
    errors = [said_by_the_system(errno.ESTALE)]

    def act() -> str:
        if errors:
            raise errors.pop()
        return "done"

    assert insist(act, lambda: missing.pop(0), lambda line: None) == "done"
    with pytest.raises(PermissionError):
        insist(_refuse, lambda: "", lambda line: None)
    monkeypatch.setenv(outages.VARIABLE, "0")
    with pytest.raises(OutageError, match="away"):
        insist(act, lambda: "away", lambda line: None)


def _refuse() -> None:
    raise said_by_the_system(errno.EACCES)


def test_a_probe_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert no_room(tmp_path) == "" == no_room(tmp_path / "not there")

    def full(file: int) -> None:
        raise said_by_the_system(errno.ENOSPC)

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in no_room(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_a_bad_limit_is_one_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(outages.VARIABLE, "7")
    assert limit_s() == 7
    monkeypatch.setenv(outages.VARIABLE, text)
    with pytest.raises(EchoLMError, match="a number of seconds"):
        limit_s()


@given(st.sampled_from(sorted(errno.errorcode)), st.sampled_from(sorted(errno.errorcode)))
def test_of_several_errors_the_nearest_counts(first: int, second: int) -> None:
    """A folder that may not be made follows one that is not there: no waiting brings the right."""
    with pytest.raises(OSError) as caught:
        try:
            raise said_by_the_system(first)
        except OSError:
            raise said_by_the_system(second)  # noqa: B904 - the first is its context
    assert is_outage(caught.value) == (second in UNREACHABLE)
