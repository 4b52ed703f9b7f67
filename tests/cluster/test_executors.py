"""What every executor does with units, whichever engine runs them.

Only records are looked at, which all of them write.

A new executor is one more branch in ``engines.engine``.
"""

from __future__ import annotations

import time
from typing import Any

import psutil
import pytest
from engines import Engine, engine  # noqa: F401  (a fixture)
from launch_support import Reference, Shell, result, until

from cluster.failures import failures
from cluster.tracebacks import clear
from echolm.attempt import mark_cancelled, mark_retried
from echolm.outages import mark_workspace
from grid.definition.grid import Cell

SMALL = {"name": "mlp", "width": 16}
BLANK = {"encoder": "none", "trainable": "k0"}
"""No network to import: where only processes matter."""


def events(shell: Shell, cell: Cell, name: str, attempt: int = 1) -> list[float]:
    """When a cell's events of that name were written."""
    times = []
    for event in shell.record(cell).events(attempt):
        if event["event"] == name:
            times.append(event["time"])
    return times


def started(shell: Shell, cell: Cell, attempt: int) -> dict[str, Any]:
    """What a cell's attempt said when it began to train."""
    [event] = [event for event in shell.record(cell).events(attempt) if event["event"] == "started"]
    return event


def metrics(shell: Shell, cell: Cell) -> dict[str, float]:
    """The metrics of a complete cell."""
    return dict(result(shell.record(cell))[0])


def test_units_run_once_together_and_fail_alone(
    engine: Engine,  # noqa: F811
    shell: Shell,
    reference: Reference,
) -> None:
    grid = shell.grid({"head": [SMALL, "slow", "fails", "greedy", "hungry", "mean"]}, **BLANK)
    cells = mlp, slow, fails, greedy, hungry, mean = shell.cells(grid)
    engine.launch(grid, [[mlp, slow, fails], [greedy], [hungry], [mean]])

    assert shell.states(grid) == ["complete"] * 2 + ["failed"] + ["complete"] * 3
    for cell in (mlp, slow, fails, mean):
        assert shell.record(cell).attempts() == [1]
    starts = []
    for cell in (mlp, slow, fails):
        [time] = events(shell, cell, "started")
        starts.append(time)
    first_epochs = [min(events(shell, cell, "epoch")) for cell in (mlp, slow)]
    assert max(starts) < min(first_epochs), "a cohort trains together"
    assert result(shell.record(mean)) == reference(mean), "bitwise, in whichever process"
    assert metrics(shell, mlp) == pytest.approx(reference(mlp)[0], rel=1e-4)
    assert "this head is broken" in shell.record(fails).state().evidence["error"]

    for cell, error in ((greedy, "OutOfMemoryError: CUDA out of memory"), (hungry, "MemoryError")):
        record = shell.record(cell)
        assert record.attempts() == [1, 2], "5 samples at once, then 2"
        failure = record.events(1)[-1]
        assert failure["class"] == "out-of-memory"
        assert error in failure["error"]
        expected = pytest.approx(reference(cell)[0], rel=1e-4)
        assert metrics(shell, cell) == expected, "the batch stays"

    files = sorted(shell.workspace.runs.rglob("*"))
    engine.launch(grid, [[cell] for cell in cells if cell is not fails], slots=1)
    assert sorted(shell.workspace.runs.rglob("*")) == files, "launching again runs nothing"


def test_a_killed_process_costs_an_attempt_and_a_cancelled_cell_stops(
    engine: Engine,  # noqa: F811
    shell: Shell,
    reference: Reference,
) -> None:
    grid = shell.grid({"head": ["slow"], "seed": [0, 1, 2]}, epochs=4, **BLANK)
    killed, cancelled, waiting = shell.cells(grid)
    shell.slow(5, from_step=4)

    def disturb() -> None:
        until(lambda: shell.saved(killed) >= 1 and shell.saved(cancelled) >= 1, "an epoch of both")
        mark_cancelled(shell.workspace.runs, waiting.id)
        mark_cancelled(shell.workspace.runs, cancelled.id)
        until(lambda: shell.record(cancelled).state().name == "cancelled", "the mark is obeyed")
        shell.worker_of(killed).kill()
        shell.slow(0)

    engine.launch(grid, meanwhile=disturb)
    assert shell.states(grid) == ["complete", "cancelled", "cancelled"]
    record = shell.record(killed)
    assert len(record.attempts()) == 2
    assert record.events(2)[0]["epoch"] >= 1, "it went on from its checkpoint"
    assert result(record) == reference(killed), "bitwise"
    assert shell.record(cancelled).events(1)[-1]["event"] == "cancelled"
    assert list(shell.record(cancelled).attempt_path(1).glob("checkpoint-*.pt"))
    assert not shell.epochs(waiting), "what waited was not started"


def test_the_same_traceback_in_three_cells_stops_further_units(
    engine: Engine,  # noqa: F811
    shell: Shell,
) -> None:
    grid = shell.grid({"head": ["fails"], "seed": list(range(4))}, epochs=1, **BLANK)
    engine.launch(grid, slots=1)
    assert shell.states(grid) == ["failed"] * 3 + ["pending"]
    if not engine.returns:
        assert "the same error ended 3 cells" in engine.halted
        assert "RuntimeError: this head is broken" in engine.halted
    engine.launch(grid, [[shell.cells(grid)[3]]])
    assert shell.states(grid) == ["failed"] * 3 + ["pending"], (
        "the cause is not mended: nothing starts"
    )
    mended = shell.cells(grid)[2]
    mark_retried(shell.record(mended))  # as echolm retry does
    clear(shell.workspace, "toy", [mended.id])
    shell.healed.touch()
    engine.launch(grid, [[cell] for cell in shell.cells(grid)[2:]], slots=1)
    assert shell.states(grid) == ["failed"] * 2 + ["complete"] * 2


def test_what_goes_away_is_waited_for_and_fails_no_cell(
    engine: Engine,  # noqa: F811
    shell: Shell,
    reference: Reference,
) -> None:
    """The store, then the workspace, while two cells train and two wait.

    An empty mount point is where the workspace was, and stays empty. Clips are read in every epoch,
    since they are augmented.
    """
    fields = {**BLANK, "augmentation": "bhoodoo2026", "epochs": 4}
    grid = shell.grid({"head": ["slow"], "seed": [0, 1, 2, 3]}, **fields)
    cells = shell.cells(grid)
    shell.slow(5, from_step=4)
    root, store = shell.workspace.root, shell.workspace.store("tiny")
    mark_workspace(root)
    left: list[list[str]] = []

    def disturb() -> None:
        until(lambda: shell.saved(cells[0]) >= 1 and shell.saved(cells[1]) >= 1, "two train")
        store.rename(store.with_name("away"))
        shell.slow(5, from_step=10)  # what was read ahead is used up before
        if engine.returns:
            time.sleep(4)
        else:
            away = f"the store {store} is not there; waiting"
            until(lambda: away in told(engine), "it is missed")
        store.with_name("away").rename(store)
        until(lambda: shell.saved(cells[0]) >= 3, "it goes on")
        root.rename(root.with_name("away"))
        root.mkdir()
        shell.slow(0)
        time.sleep(2)
        left.append([path.name for path in root.iterdir()])
        root.rmdir()
        root.with_name("away").rename(root)

    engine.launch(grid, meanwhile=disturb)
    assert left == [[]]
    assert shell.states(grid) == ["complete"] * 4, engine.reports[-4:]
    for cell in cells:
        record = shell.record(cell)
        assert record.failures() == [] and result(record) == reference(cell)
    assert failures(shell.workspace, "toy") == []
    if not engine.returns:
        assert f"the workspace {root} is not there; waiting" in told(engine)


def told(engine: Engine) -> list[str]:  # noqa: F811
    """What was said of things that went away and came back."""
    return [report.facts["line"] for report in engine.reports if report.event == "outage"]


@pytest.mark.parametrize("engine", ["ray", "slurm"], indirect=True)
def test_two_ranks_of_which_one_is_killed_go_on_together_from_one_checkpoint(
    engine: Engine,  # noqa: F811
    shell: Shell,
    reference: Reference,
) -> None:
    """The local executor gives a unit one process."""
    grid = shell.grid({"head": ["traced"]}, epochs=3, **BLANK)
    [cell] = shell.cells(grid)
    first: set[int] = set()
    shell.slow(5, from_step=4)

    def lose_a_rank() -> None:
        until(lambda: shell.saved(cell) >= 1, "an epoch")
        ranks = {line["rank"]: line["pid"] for line in shell.traced()}
        first.update(ranks.values())
        psutil.Process(ranks[1]).kill()
        shell.slow(0)

    engine.launch(grid, meanwhile=lose_a_rank, ranks=2)
    record = shell.record(cell)
    assert shell.states(grid) == ["complete"]
    assert record.attempts() == [1, 2]
    assert len(first) == 2
    if not engine.returns:  # else the next launch writes it down
        [failure] = failures(shell.workspace, "toy")
        assert (failure.kind, failure.cells) == ("killed", (cell.id,))
    begun, again = started(shell, cell, 1), started(shell, cell, 2)
    assert (begun["world"], again["world"]) == (2, 2)
    assert again["epoch"] >= 1
    weights: dict[int, list[str]] = {0: [], 1: []}
    for line in shell.traced():
        if line["pid"] not in first:
            weights[line["rank"]].append(line["weights"])
    steps_left = 3 * 3 - (3 * again["epoch"] + again["step"])
    assert weights[0] == weights[1], "the same weights in each step that was left"
    assert len(weights[0]) == steps_left
    assert metrics(shell, cell) == pytest.approx(reference(cell)[0], rel=1e-3)


def test_units_start_when_what_they_begin_from_is_complete(
    engine: Engine,  # noqa: F811
    shell: Shell,
) -> None:
    grid = shell.stages()
    mean, mlp, first = shell.cells(grid)
    engine.launch(grid, [[mean, mlp], [first]])
    assert shell.states(grid) == ["complete"] * 3
    end = shell.record(first).events(1)[-1]["time"]
    for cell in (mean, mlp):
        assert shell.record(cell).attempts() == [1]
        assert min(events(shell, cell, "started")) >= end
