"""Ctrl-C, SIGTERM and kill -9 of the launcher: workers checkpoint and stop by themselves.

All can be continued.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable

import pytest
from launch_support import Reference, Shell, ended, result, until

STOP_S = 20.0
"""Workers stop at their next step, a fraction of a second away; the rest is for a busy machine."""


def group(process: subprocess.Popen[str]) -> None:
    """Ctrl-C on a terminal: SIGINT to the whole process group."""
    os.killpg(process.pid, signal.SIGINT)


def alone(number: signal.Signals) -> Callable[[subprocess.Popen[str]], None]:
    """A signal to the launcher alone."""
    return lambda process: process.send_signal(number)


STOPS: list[tuple[str, Callable[[subprocess.Popen[str]], None], int]] = [
    ("Ctrl-C", group, 130),
    ("SIGINT", alone(signal.SIGINT), 130),
    ("SIGTERM", alone(signal.SIGTERM), 143),
    ("SIGKILL", alone(signal.SIGKILL), -9),
    ("SIGHUP", alone(signal.SIGHUP), -1),
]


def hangups_count() -> None:
    """In the launch: also when the tests themselves run under nohup, which is inherited."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def test_a_launch_that_is_stopped_again_and_again_ends_as_if_undisturbed(
    shell: Shell, reference: Reference
) -> None:
    grid = shell.grid(
        {"head": ["slow"], "seed": [0, 1, 2]}, epochs=6, encoder="none", trainable="k0"
    )
    first, second, third = shell.cells(grid)
    shell.slow(3)
    for number, (name, stop, status) in enumerate(STOPS):
        process = shell.start(
            "launch", grid, "--slots", 2, "--no-collect", cold=True, preexec_fn=hangups_count
        )
        until(
            lambda number=number: all(shell.trains(cell, number) for cell in (first, second)),
            f"both train before {name}",
        )
        stop(process)
        done = ended(process)
        until(lambda: not shell.workers(), f"no worker is left after {name}", STOP_S)
        assert done.status == status, (name, done)
        if status > 0:
            assert "checkpoints are written" in done.err
            assert f"stopping ({signal.Signals(status - 128).name}): each run saves" in done.err
            assert "to run the rest: echolm launch" in done.err
            assert "Traceback" not in done.err and "Aborted" not in done.err
        assert shell.states(grid) == ["interrupted", "interrupted", "pending"], name
        for cell in (first, second):
            record = shell.record(cell)
            newest = record.attempts()[-1]
            assert record.events(newest)[-1]["event"] == "interrupted", name
            assert list(record.attempt_path(newest).glob("checkpoint-*.pt")), name
    shell.slow(0)
    assert shell("launch", grid, "--slots", 2, "--no-collect").status == 0
    assert shell.attempts(grid) == [len(STOPS) + 1, len(STOPS) + 1, 1]
    for cell in (first, second, third):
        assert result(shell.record(cell)) == reference(cell)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_launcher_that_ends_while_its_workers_start(shell: Shell, number: signal.Signals) -> None:
    """Units are not trained by workers nobody hears, and nobody is left who would fork them."""
    grid = shell.grid({"head": ["slow"], "seed": [0, 1]}, encoder="none", trainable="k0")
    process = shell.start("launch", grid, "--slots", 2, "--no-collect", cold=True)
    until(shell.workers, "the process that workers are forked from is there")
    process.send_signal(number)
    assert ended(process).status == (130 if number == signal.SIGINT else -9)
    # The process that forks workers hears of it once it has imported what they need.
    until(lambda: not shell.workers(), "no worker is left")
    assert shell.states(grid) == ["pending", "pending"]


def test_a_second_ctrl_c_does_not_wait(shell: Shell) -> None:
    """For a worker that does not come to its next step."""
    shell.slow(3, from_step=4)
    grid = shell.grid({"head": ["slow"]}, epochs=20, encoder="none", trainable="k0")
    [cell] = shell.cells(grid)
    process = shell.start("launch", grid, "--slots", 1, "--no-collect", cold=True)
    until(lambda: shell.epochs(cell) >= 1, "an epoch")
    worker = shell.worker_of(cell)
    worker.suspend()
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGINT)
    assert ended(process).status == 130
    assert not worker.is_running() or worker.status() == "zombie"
    assert shell.states(grid) == ["interrupted"]


def test_a_stopped_launch_says_so_in_json(shell: Shell) -> None:
    shell.slow(3, from_step=4)
    grid = shell.grid({"head": ["slow"]}, epochs=20, encoder="none", trainable="k0")
    process = shell.start("launch", grid, "--slots", 1, "--json", cold=True)
    until(lambda: shell.epochs(shell.cells(grid)[0]) >= 1, "an epoch")
    process.send_signal(signal.SIGTERM)
    done = ended(process)
    assert done.status == 143
    assert json.loads(done.out) == {
        "grid": "toy",
        "states": {"interrupted": 1},
        "stopped": "SIGTERM",
    }
