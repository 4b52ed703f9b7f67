"""What later launches give to batches that are there: jobs in place of lost ones, and slots that
others have left.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from login_node import BLANK, LoginNode

from cluster.batch import Claim, JobBatch, batches
from cluster.slurm.submit.arrays import lacking
from grid.units import Unit


def ended(login: LoginNode, *jobs: str, state: str = "COMPLETED") -> None:
    """These jobs (``41_0``) have ended, the others run."""
    lines = []
    for array, task, _, *rest in login.queue():
        now = state if f"{array}_{task}" in jobs else "RUNNING"
        lines.append("|".join([array, task, now, *rest]) + "\n")
    (login.slurm / "queue").write_text("".join(lines))


def train(batch: JobBatch, unit: Unit) -> None:
    """A job has taken the unit, and done it."""
    claim = Claim.take(batch, unit)
    assert claim
    claim.end("done")


def grid(login: LoginNode, cells: int) -> Path:
    return login.grid({"head": ["mlp"], "seed": list(range(cells))}, **BLANK)


def ids(login: LoginNode) -> list[str]:
    """The jobs that were ever queued."""
    return [f"{line[0]}_{line[1]}" for line in login.queue()]


@given(units=st.integers(1, 200), jobs=st.integers(1, 50), there=st.integers(0, 60))
def test_as_many_jobs_as_at_first_and_none_too_many(units: int, jobs: int, there: int) -> None:
    assert lacking(units, units, jobs, 0) <= jobs
    if there >= jobs:
        assert lacking(units, units, min(jobs, units), there) == 0
    assert lacking(0, units, jobs, there) == 0
    assert lacking(units, units, units, there) == max(0, units - there)


def test_jobs_that_ended_before_their_units_are_replaced(login: LoginNode) -> None:
    login.profile(units_per_job=None, jobs_at_once=8)
    forty = grid(login, 40)
    assert login.submit(forty).status == 0
    ended(login, *(f"41_{index}" for index in range(7)))
    assert "40 in jobs; 7 jobs more for them" in login.submit(forty, "--dry-run").out
    again = login.submit(forty)
    assert (again.status, "40 in jobs; more jobs for them: 42" in again.out) == (0, True), again
    assert ids(login)[8:] == [f"42_{index}" for index in range(7)]
    [batch] = batches(login.workspace, "toy")
    first, more = batch.submitted()
    assert (first["job"], first["count"], first["more"]) == ("41", 8, False)
    assert (more["job"], more["count"], more["more"]) == ("42", 7, True)
    assert "more jobs" not in login.submit(forty).out and len(ids(login)) == 15


def test_those_that_somebody_cancelled_are_not(login: LoginNode) -> None:
    forty = grid(login, 4)
    assert login.submit(forty).status == 0
    ended(login, "41_0", "41_1", state="CANCELLED")
    assert "more jobs" not in login.submit(forty).out
    assert "more jobs" not in login.submit(forty).out, "nor later, when that was noted"


def test_nor_those_whose_units_are_done(login: LoginNode) -> None:
    four = grid(login, 4)
    assert login.submit(four).status == 0
    [batch] = batches(login.workspace, "toy")
    for unit in batch.units[:3]:
        train(batch, unit)
    ended(login, "41_0", "41_1", "41_2")
    assert "more jobs" not in login.submit(four).out


def test_jobs_that_end_again_and_again_without_a_unit_are_not_replaced_for_ever(
    login: LoginNode,
) -> None:
    two = grid(login, 2)
    assert login.submit(two).status == 0
    for _ in range(6):
        ended(login, *[job for job in ids(login) if job != "41_1"], state="FAILED")
        login.submit(two)
    assert 2 < len(ids(login)) <= 2 + 2 * 2 + 1


def test_a_throttle_is_raised_when_others_have_left(login: LoginNode) -> None:
    login.profile(units_per_job=None, jobs_at_once=8)
    forty = grid(login, 40)
    assert login.submit(forty, "--where", "seed=0-6").status == 0
    assert login.submit(forty).status == 0
    first, second = batches(login.workspace, "toy")
    assert [array["at_once"] for array in second.submitted()] == [1], "7 of 8 slots were taken"
    for unit in first.units:
        train(first, unit)
    ended(login, *(f"41_{index}" for index in range(7)))
    assert login.submit(forty).status == 0
    [array] = second.submitted()
    assert array["at_once"] == array["count"] == 7
    assert "update JobId=42 ArrayTaskThrottle=7" in (login.slurm / "updates").read_text()
    assert login.submit(forty).status == 0
    assert (login.slurm / "updates").read_text().count("\n") == 1, "once"


@pytest.fixture
def login(tiny: Path, tmp_path: Path) -> LoginNode:
    """Whose scontrol notes what it is to update."""
    login = LoginNode(tmp_path, tiny / "store")
    (login.slurm / "scontrol").write_text(
        f'#!/bin/sh\ncd "{login.slurm}"\n[ "$1" = update ] && echo "$@" >> updates || cat config\n'
    )
    return login
