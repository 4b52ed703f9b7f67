"""The same traceback in three cells stops a grid.

Other errors, and other failures of one cell alone, do not.
"""

from __future__ import annotations

import resource
import traceback
from pathlib import Path

import pytest

from cluster.tracebacks import LIMIT, _note, clear, digest, note_failures, stop_reason
from echolm.attempt import Attempt
from echolm.errors import StorageError
from echolm.record import RunRecord
from echolm.workspace import Workspace


def text(error: type[Exception], message: str, deeper: bool = False) -> str:
    def inner() -> None:
        raise error(message)

    try:
        inner() if deeper else exec("raise error(message)", {"error": error, "message": message})
    except Exception as raised:
        return "".join(traceback.format_exception(raised))
    raise AssertionError


def fail(workspace: Workspace, cell: str, trace: str, kind: str = "bug") -> None:
    record = RunRecord.at(workspace.runs, cell, "f" * 64)
    record.create(
        {
            "cell": cell,
            "fingerprint": "f" * 64,
            "config": {},
            "protocols": {},
            "data": "",
            "weights": "",
        }
    )
    attempt = Attempt.acquire(record)
    attempt.release(
        "failed", **{"class": kind, "error": trace.splitlines()[-1], "traceback": trace}
    )
    note_failures(workspace, "toy", [cell])


def test_messages_do_not_matter_place_and_type_do() -> None:
    one = text(ValueError, "sample 3")
    assert digest(one) == digest(text(ValueError, "sample 44"))
    assert digest(one) != digest(text(KeyError, "sample 3"))
    assert digest(one) != digest(text(ValueError, "sample 3", deeper=True))
    assert digest(one) == digest(one.replace("/", "/other/prefix/", 1)), (
        "another place of the same package"
    )


def test_three_cells_stop_and_retry_lets_go_on(tmp_path: Path) -> None:
    workspace, trace = Workspace(tmp_path), text(ValueError, "the mask is empty")
    for number in range(LIMIT):
        assert stop_reason(workspace, "toy") == ""
        fail(workspace, f"cell{number}", trace)
        note_failures(
            workspace, "toy", [f"cell{number}"]
        )  # noted again by another start of the job
    assert stop_reason(workspace, "toy") == (
        "the same error ended 3 cells (cell0, cell1, cell2) and nothing more is started:"
        " ValueError: the mask is empty"
    )
    assert stop_reason(workspace, "other") == ""
    clear(workspace, "toy", ["cell1"])
    assert stop_reason(workspace, "toy") == ""


def test_a_disk_that_is_full_leaves_no_cell_without_the_text(tmp_path: Path) -> None:
    """There empty files are still made, and nothing that takes room: here by a limit of the kernel.

    The next that fails is noted with its text.
    """
    workspace, trace = Workspace(tmp_path), text(ValueError, "the mask is empty")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(StorageError, match="text: cannot be written: File too large"):
            _note(workspace.grids / "toy" / "tracebacks", "cell0", trace)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not [path for path in (workspace.grids / "toy" / "tracebacks").glob("*/*")]
    for number in range(LIMIT):
        fail(workspace, f"cell{number}", trace)
    assert stop_reason(workspace, "toy").endswith(
        "nothing more is started: ValueError: the mask is empty"
    )


def test_cells_count_where_the_text_is_lost(tmp_path: Path) -> None:
    """As an earlier version left it after a full disk.

    The next cell with that error brings the text back.
    """
    workspace, trace = Workspace(tmp_path), text(ValueError, "the mask is empty")
    for number in range(LIMIT):
        fail(workspace, f"cell{number}", trace)
    (workspace.grids / "toy" / "tracebacks" / digest(trace) / "text").unlink()
    assert stop_reason(workspace, "toy").endswith("nothing more is started: an error without text")
    fail(workspace, "another", trace)
    assert stop_reason(workspace, "toy").endswith(
        "nothing more is started: ValueError: the mask is empty"
    )


@pytest.mark.parametrize("kind", ["diverged", "cancelled"])
def test_failures_of_a_cell_alone_do_not_count(tmp_path: Path, kind: str) -> None:
    workspace = Workspace(tmp_path)
    for number in range(LIMIT + 2):
        fail(workspace, f"cell{number}", text(ValueError, "nan"), kind)
    assert stop_reason(workspace, "toy") == ""


def test_different_errors_do_not_add_up(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for number, error in enumerate((ValueError, KeyError, TypeError, OSError)):
        fail(workspace, f"cell{number}", text(error, "x"))
    assert stop_reason(workspace, "toy") == ""
