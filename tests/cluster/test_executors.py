"""What every executor does with units, whichever engine runs them. Only records are looked at, which all of them write.

A new executor is one more branch in ``engines.engine``.
"""

from __future__ import annotations

import psutil
import pytest
from engines import Engine, engine  # noqa: F401  (a fixture)
from launch_support import Reference, Shell, result, until

from cluster.failures import failures
from cluster.tracebacks import forget
from echolm.attempt import mark_cancelled, mark_retried
from grid.definition import Cell

SMALL = {"name": "mlp", "width": 16}
BLANK = {"encoder": "none", "trainable": "k0"}
"""No network to import: where only processes matter."""


def events(shell: Shell, cell: Cell, name: str, attempt: int = 1) -> list[float]:
    """When a cell's events of that name were written."""
    return [event["time"] for event in shell.record(cell).events(attempt) if event["event"] == name]


def test_units_run_once_together_and_fail_alone(engine: Engine, shell: Shell, reference: Reference) -> None:  # noqa: F811
    grid = shell.grid({"head": [SMALL, "slow", "fails", "greedy", "hungry", "mean"]}, **BLANK)
    cells = mlp, slow, fails, greedy, hungry, mean = shell.cells(grid)
    engine.launch(grid, [[mlp, slow, fails], [greedy], [hungry], [mean]])

    assert shell.states(grid) == ["complete", "complete", "failed", "complete", "complete", "complete"]
    assert [shell.attempts(grid)[number] for number in (0, 1, 2, 5)] == [1] * 4
    started = [events(shell, cell, "started") for cell in (mlp, slow, fails)]
    assert max(time for [time] in started) < min(min(events(shell, cell, "epoch")) for cell in (mlp, slow)), "a cohort trains together"
    assert result(shell.record(mean)) == reference(mean), "bitwise, in whichever process"
    assert shell.record(mlp).summary()["metrics"] == pytest.approx(reference(mlp)[0], rel=1e-4)  # type: ignore[index]
    assert "this head is broken" in shell.record(fails).state().evidence["error"]

    for cell, error in ((greedy, "OutOfMemoryError: CUDA out of memory"), (hungry, "MemoryError")):
        record = shell.record(cell)
        *failed, last = record.attempts()
        assert [record.events(number)[-1]["class"] for number in failed] == ["out-of-memory"], "5 samples at once, then 2"
        assert error in record.events(1)[-1]["error"]
        assert record.summary()["metrics"] == pytest.approx(reference(cell)[0], rel=1e-4), "the batch stays"  # type: ignore[index]
        assert last == 2

    files = sorted(shell.workspace.runs.rglob("*"))
    engine.launch(grid, [[cell] for cell in cells if cell is not fails])
    assert sorted(shell.workspace.runs.rglob("*")) == files, "launching again runs nothing"


def test_a_killed_process_costs_an_attempt_and_a_cancelled_cell_stops(engine: Engine, shell: Shell, reference: Reference) -> None:  # noqa: F811
    grid = shell.grid({"head": ["slow"], "seed": [0, 1, 2]}, epochs=4, **BLANK)
    killed, cancelled, waiting = shell.cells(grid)
    shell.slow(0.3)

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


def test_the_same_traceback_in_three_cells_stops_further_units(engine: Engine, shell: Shell) -> None:  # noqa: F811
    grid = shell.grid({"head": ["fails"], "seed": list(range(5))}, epochs=1, **BLANK)
    engine.launch(grid, slots=1)
    assert shell.states(grid) == ["failed"] * 3 + ["pending"] * 2
    if not engine.returns:
        assert "the same error ended 3 cells" in engine.halted and "RuntimeError: this head is broken" in engine.halted
    engine.launch(grid, [[shell.cells(grid)[4]]])
    assert shell.states(grid) == ["failed"] * 3 + ["pending"] * 2, "the cause is not mended: nothing starts"
    mended = shell.cells(grid)[2]
    mark_retried(shell.record(mended))  # as echolm retry does
    forget(shell.workspace, "toy", [mended.id])
    shell.healed.touch()
    engine.launch(grid, [[cell] for cell in shell.cells(grid)[2:]], slots=1)
    assert shell.states(grid) == ["failed"] * 2 + ["complete"] * 3


@pytest.mark.parametrize("engine", ["ray", "slurm"], indirect=True)
def test_two_ranks_of_which_one_is_killed_go_on_together_from_one_checkpoint(engine: Engine, shell: Shell, reference: Reference) -> None:  # noqa: F811
    """The local executor gives a unit one process."""
    grid = shell.grid({"head": ["traced"]}, epochs=3, **BLANK)
    [cell] = shell.cells(grid)
    first: set[int] = set()
    shell.slow(0.3)

    def lose_a_rank() -> None:
        until(lambda: shell.saved(cell) >= 1, "an epoch")
        first.update(line["pid"] for line in shell.traced())
        psutil.Process(next(line["pid"] for line in shell.traced() if line["rank"] == 1)).kill()
        shell.slow(0)

    engine.launch(grid, meanwhile=lose_a_rank, ranks=2)
    record = shell.record(cell)
    assert shell.states(grid) == ["complete"] and record.attempts() == [1, 2] and len(first) == 2
    if not engine.returns:  # else the next launch writes it down
        assert [(failure.kind, failure.cells) for failure in failures(shell.workspace, "toy")] == [("killed", (cell.id,))]
    [begun], [again] = [[event for event in record.events(number) if event["event"] == "started"] for number in (1, 2)]
    assert (begun["world"], again["world"]) == (2, 2) and again["epoch"] >= 1
    ranks = [[line["weights"] for line in shell.traced() if line["pid"] not in first and line["rank"] == rank] for rank in range(2)]
    assert ranks[0] == ranks[1] and len(ranks[0]) == 3 * 3 - (3 * again["epoch"] + again["step"]), "the same weights in each step that was left"
    assert record.summary()["metrics"] == pytest.approx(reference(cell)[0], rel=1e-3)  # type: ignore[index]
