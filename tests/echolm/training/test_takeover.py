"""One holder at a time.

A second process waits its turn, takes over from a silent one, and one result is made.
"""

from __future__ import annotations

import os
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from training_support import (
    Fault,
    Reference,
    Result,
    config,
    join,
    outcomes,
    record_of,
    start,
    train,
)

from echolm.record import RunRecord
from echolm.workspace import Workspace

RUN = config(epochs=3)
LONG = config(epochs=40)


def wait_until_stopped(process: BaseProcess) -> None:
    """Until the process has stopped itself."""
    for _ in range(6000):
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        if fields[0] == "T":
            return
        time.sleep(0.01)
    raise AssertionError("the process did not stop")


def wait_for_attempt(record: RunRecord) -> None:
    """Until somebody holds the record."""
    while not record.attempts() or not (record.attempt_path(1) / "events.jsonl").exists():
        time.sleep(0.005)


def test_a_second_process_finds_the_run_busy(workspace: Workspace, tmp_path: Path) -> None:
    record = record_of(workspace, LONG)
    first = start(workspace, [LONG], tmp_path / "first")
    wait_for_attempt(record)
    second = start(workspace, [LONG], tmp_path / "second")
    join(second)
    [outcome] = outcomes(tmp_path / "second")
    assert outcome.state == "busy" and "attempt 1 is held by a running process" in outcome.detail
    assert record.attempts() == [1] and record.state().name == "running"
    os.kill(first.pid or 0, signal.SIGTERM)
    join(first)
    assert outcomes(tmp_path / "first")[0].state == "interrupted"


def test_of_processes_that_start_at_once_one_trains(
    workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    join(*[start(workspace, [RUN], tmp_path / str(number)) for number in range(4)])
    states = sorted(outcomes(tmp_path / str(number))[0].state for number in range(4))
    assert states.count("complete") >= 1 and set(states) <= {"complete", "busy"}
    assert record_of(workspace, RUN).attempts() == [1]
    assert Result.of(record_of(workspace, RUN)) == reference(RUN)


STOPS = [
    ("echolm.training.loop:Cohort._step", 5, False),
    ("os:replace", 5, False),
    ("os:replace", 6, True),
    ("os:fsync", 6, False),
    ("echolm.training.run_handle:RunHandle.publish", 1, False),
    ("os:link", 1, False),
    ("os:link", 2, False),
]


@pytest.mark.parametrize(
    ("where", "call", "after"), STOPS, ids=lambda value: str(value).rpartition(":")[2]
)
def test_a_stopped_holder_is_replaced_and_stops_as_superseded(
    where: str, call: int, after: bool, workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    """Stopped in a step, inside the writing of a checkpoint, or just before the summary's link.

    It is continued too late.
    """
    record = record_of(workspace, RUN)
    first = start(workspace, [RUN], tmp_path / "first", [Fault(where, call, "SIGSTOP", after)])
    wait_until_stopped(first)
    join(start(workspace, [RUN], tmp_path / "second"))
    assert outcomes(tmp_path / "second")[0].state == "complete"
    assert Result.of(record) == reference(RUN)
    os.kill(first.pid or 0, signal.SIGCONT)
    assert join(first) == [0]
    assert outcomes(tmp_path / "first")[0].state == "superseded"
    assert record.attempts() == [1, 2]
    assert [
        event["event"]
        for n in (1, 2)
        for event in record.events(n)
        if event["event"] in ("complete", "superseded")
    ] == ["superseded", "complete"]
    assert record.summary()["attempt"] == 2  # type: ignore[index]
    assert Result.of(record) == reference(RUN)


def test_a_holder_that_wakes_while_its_successor_trains(
    workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    """Both train for a while: the old one leaves at its next checkpoint, the new result counts."""
    record = record_of(workspace, RUN)
    first = start(
        workspace,
        [RUN],
        tmp_path / "first",
        [Fault("echolm.training.loop:Cohort._step", 5, "SIGSTOP")],
    )
    wait_until_stopped(first)
    second = start(
        workspace,
        [RUN],
        tmp_path / "second",
        [Fault("echolm.training.loop:Cohort._step", 2, "SIGSTOP")],
    )
    wait_until_stopped(second)
    os.kill(first.pid or 0, signal.SIGCONT)
    join(first)
    assert outcomes(tmp_path / "first")[0].state == "superseded"
    assert record.summary() is None
    os.kill(second.pid or 0, signal.SIGCONT)
    join(second)
    assert outcomes(tmp_path / "second")[0].state == "complete"
    assert Result.of(record) == reference(RUN)


def test_a_dead_holder_is_replaced_at_once(
    workspace: Workspace, reference: Reference, tmp_path: Path
) -> None:
    """No waiting for its heartbeat, whatever the patience: its process is known to be gone."""
    join(
        start(
            workspace,
            [RUN],
            tmp_path / "out",
            [Fault("echolm.training.loop:Cohort._step", 4, "SIGKILL")],
        )
    )
    [outcome] = train(workspace, RUN)  # with a patience of a minute
    assert outcome.state == "complete"
    assert Result.of(record_of(workspace, RUN)) == reference(RUN)
