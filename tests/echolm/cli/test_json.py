"""--json: one document on standard output and nothing else there; messages on standard error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from launch_support import Launched, Shell


def parsed(text: str) -> Any:
    """A JSON document, without NaN and infinities."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_launch(launched: Launched) -> None:
    """Export and progress are told on standard error."""
    done = launched.launch
    assert parsed(done.out) == {
        "grid": "toy",
        "states": {"complete": 1, "failed": 1, "pending": 1},
        "stopped": None,
    }
    assert done.status == 1
    assert "MLflow sqlite:///" in done.err and "complete    head=mean" in done.err


def test_status(launched: Launched) -> None:
    done = launched.shell.inside("status", launched.grid, "--json")
    found = parsed(done.out)
    assert (done.status, done.err, found["grid"]) == (0, "", "toy")
    assert found["states"] == {"complete": 1, "failed": 1, "pending": 1}
    mean, fails, missing = found["cells"]
    assert (mean["state"], mean["coordinates"], mean["attempt"]) == (
        "complete",
        {"head": "mean"},
        1,
    )
    assert (fails["state"], "this head is broken" in fails["what"]) == ("failed", True)
    assert (missing["state"], missing["record"], "weights.pt" in missing["problem"]) == (
        "pending",
        None,
        True,
    )


def test_logs(launched: Launched) -> None:
    cell = launched.cells["fails"].id
    found = parsed(launched.shell.inside("logs", cell, "--json").out)
    assert (found["cell"], found["attempt"]) == (cell, 1)
    assert "Traceback" in found["log"]
    assert found["events"][-1]["event"] == "failed" and found["events"][-1]["class"] == "bug"


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["grid", "list"], None),
        (["grid", "show", "GRID"], 3),
        (["grid", "show", "GRID", "--where", "head=mean"], 1),
        (["data", "list"], 1),
        (["tables", "GRID"], 2),
        (["collect", "GRID"], 4),
        (["launch", "GRID", "--dry-run"], 8),
        (["grid", "explain", "CELL"], 3),
        (["cancel", "GRID", "--where", "head=mean"], 3),
        (["retry", "GRID", "--where", "head=mean"], 2),
        (["retry", "GRID", "--where", "head=mean", "--no-launch"], 2),
        (["train", "CELL"], 4),
    ],
)
def test_every_other_command(launched: Launched, words: list[str], count: int | None) -> None:
    """Commands change nothing in a workspace where all is done.

    ``count``: of the document's entries.
    """
    by_name = words[0] in ("tables", "collect")
    names = {"GRID": "toy" if by_name else str(launched.grid), "CELL": launched.cells["mean"].id}
    done = launched.shell.inside(*[names.get(word, word) for word in words], "--json")
    assert done.status == 0, done.err
    found = parsed(done.out)
    assert count in (None, len(found)), found


def test_launch_with_nothing_to_run(launched: Launched) -> None:
    done = launched.shell.inside(
        "launch", launched.grid, "--where", "head=mean", "--json", "--no-collect"
    )
    assert (done.status, parsed(done.out)) == (
        0,
        {"grid": "toy", "states": {"complete": 1}, "stopped": None},
    )


def test_an_error_is_no_document(bare: Shell) -> None:
    done = bare.inside("status", "nosuch", "--json")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("Error: ")
