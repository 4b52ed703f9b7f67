"""Failure classes, budgets and remedies, from what SLURM says and what a job wrote."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.failures import (
    CLASSES,
    JobFailure,
    bad_nodes,
    classify,
    counted,
    failures,
    forgive,
    given_up,
    micro_batches,
    never_began,
    note,
)
from echolm.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "grids" / "toy").mkdir(parents=True)
    return Workspace(tmp_path)


def lost(
    kind: str, *cells: str, job: str = "9_0", node: str = "n1", place: tuple[int, int] = (0, 0)
) -> JobFailure:
    return JobFailure(kind, job, "batch", cells, node, "words", place)


@pytest.mark.parametrize(
    ("state", "began", "log", "kind"),
    [
        ("NODE_FAIL", True, "", "node-failure"),
        ("BOOT_FAIL", False, "", "node-failure"),
        ("TIMEOUT", True, "", "time-limit"),
        ("DEADLINE", True, "", "time-limit"),
        ("PREEMPTED", True, "", "preempted"),
        ("CANCELLED", True, "", "cancelled"),
        ("OUT_OF_MEMORY", True, "", "out-of-memory"),
        ("LOST", True, "", "outage"),
        ("LOST", False, "", "outage"),
        ("LOST", True, "slurmstepd: error: Detected 1 oom-kill event", "out-of-memory"),
        ("FAILED", True, "12:00 stopped: outage: the store x is not there", "outage"),
        ("FAILED", False, "echolm.outages.OutageError: the batch x is not there", "outage"),
        ("FAILED", True, "OSError: [Errno 116] Stale file handle: '/scratch'", "outage"),
        ("FAILED", True, "", "killed"),
        ("FAILED", False, "ModuleNotFoundError", "launch"),
        ("", True, "", "killed"),
        ("LAUNCH_FAILED", False, "", "launch"),
        # as slurmstepd and srun of several versions put it
        (
            "FAILED",
            True,
            "slurmstepd: error: Detected 1 oom_kill event in StepId=5.0."
            " Some of the step tasks have been OOM Killed.",
            "out-of-memory",
        ),
        (
            "FAILED",
            True,
            "slurmstepd: error: Detected 2 oom-kill event(s) in step 5.batch cgroup.",
            "out-of-memory",
        ),
        (
            "FAILED",
            True,
            "slurmstepd: error: StepId=5.0 exceeded memory limit (600000 > 512000), being killed",
            "out-of-memory",
        ),
        ("FAILED", True, "srun: error: n1: task 0: Out Of Memory", "out-of-memory"),
    ],
)
def test_classes(state: str, began: bool, log: str, kind: str) -> None:
    assert classify(state, began, log) == kind
    assert kind in CLASSES


def test_failures_are_kept_in_order_and_retry_forgives_those_of_its_cells(
    workspace: Workspace,
) -> None:
    assert failures(workspace, "toy") == []
    written = [lost("node-failure", "a", "b"), lost("launch"), lost("killed", "c")]
    note(workspace, "toy", written)
    assert failures(workspace, "toy") == written
    with open(workspace.grids / "toy" / "failures.jsonl", "a") as file:
        file.write('{"kind": "kil')  # a crash in the middle of a line
    assert failures(workspace, "toy") == written
    forgive(workspace, "toy", ["b"])
    assert failures(workspace, "toy") == [replace(written[0], cells=("a",)), written[2]], (
        "not of the cell, nor of jobs that never began"
    )
    forgive(workspace, "toy", ["a"])
    assert failures(workspace, "toy") == written[2:]


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind != "time-limit"])
def test_a_cell_is_given_up_when_its_budget_is_used(kind: str) -> None:
    budget = CLASSES[kind].budget
    assert given_up([lost(kind, "a") for _ in range(budget)]) == {}
    found = given_up([lost(kind, "a", job=f"9_{n}") for n in range(budget + 1)])
    assert (
        list(found) == ["a"]
        and kind in found["a"]
        and f"9_{budget}" in found["a"]
        and "n1" in found["a"]
    )


def test_budgets_of_classes_and_cells_are_apart() -> None:
    found = [
        lost(kind, cell) for kind in ("killed", "node-failure") for cell in "ab" for _ in range(3)
    ]
    assert counted(found) == {cell: {"killed": 3, "node-failure": 3} for cell in "ab"}
    assert given_up(found) == {}


def test_a_run_that_moves_on_may_meet_any_number_of_time_limits() -> None:
    moving = [lost("time-limit", "a", place=(epoch, 0)) for epoch in range(1, 30)]
    assert given_up(moving) == {}
    stuck = [lost("time-limit", "a", place=(4, 2)) for _ in range(4)]
    assert list(given_up(stuck)) == ["a"]


def test_out_of_memory_halves_the_micro_batch_each_time() -> None:
    found = [lost("out-of-memory", "a") for _ in range(3)]
    assert [micro_batches(found[:n], 20, "a", None) for n in range(4)] == [None, 10, 5, 2]
    assert micro_batches(found, 20, "other", 16) == 16
    assert micro_batches([*found, *found], 20, "a", None) == 1


def test_jobs_that_never_begin_stop_the_submission_with_their_last_line() -> None:
    dead = JobFailure(
        "launch",
        "9_0",
        "batch",
        (),
        "n1",
        "Traceback ...\nModuleNotFoundError: No module named 'nibabel'\n",
    )
    assert never_began([dead, dead]) == ""
    assert never_began([dead] * 3) == (
        "3 jobs ended before they took a unit, and nothing more is submitted:"
        " ModuleNotFoundError: No module named 'nibabel'"
    )


def test_nodes_that_failed_today_are_avoided_the_last_one_first() -> None:
    now = time.time()
    old = JobFailure("node-failure", "1", "b", ("a",), "n4", "", (0, 0), now - 2 * 86400)
    found = [
        lost("node-failure", "a", node="n2"),
        lost("launch", node="n1"),
        lost("killed", "a", node="n3"),
        old,
    ]
    assert bad_nodes(found, now) == ("n1", "n2")
    assert bad_nodes([*found, lost("node-failure", node="n5,n2")], now) == ("n5", "n2", "n1"), (
        "two nodes of a job"
    )
    assert (
        bad_nodes([lost("node-failure", node=""), lost("node-failure", node="n[1-2]")], now) == ()
    ), "nobody knows which"
