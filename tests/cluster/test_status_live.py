"""Status of a run between two epochs: from its record alone."""

from __future__ import annotations

import dataclasses

from launch_support import Shell

from cluster.status import cell_facts, seconds_left
from echolm.attempt import Attempt
from echolm.cli.hints import status_row
from echolm.training.live import LiveProgress, write_live
from echolm.training.prepare import prepare_run

BLANK = {"encoder": "none", "trainable": "k0", "epochs": 10}


def test_a_running_cell_shows_its_step_and_the_grid_its_time(shell: Shell) -> None:
    grid = shell.grid({"head": ["mlp"], "seed": [0, 1]}, **BLANK)
    first, second = shell.cells(grid)
    assert seconds_left(shell.standings(grid)) is None
    run = prepare_run(first.config, shell.workspace)
    run.record.create(run.identity)
    attempt = Attempt.acquire(run.record)
    try:
        live = LiveProgress("training", 1, 10, 45, 120, 90.0)
        write_live(attempt.path, live)
        [status, waiting] = shell.standings(grid)
        facts = cell_facts(status)
        assert (facts["epoch"], facts["phase"], facts["step"], facts["steps"]) == (
            0,
            "step",
            45,
            120,
        )
        assert facts["seconds_left"] == 90
        row = status_row(status, {})
        assert row[2:4] == ("0/10", "90 s") or row[2:4] == ("0/10", "2 min")
        assert "step 45/120" in row[-1]
        assert seconds_left([status]) == 90
        assert seconds_left([status, waiting]) is None, "an epoch's time is not known yet"

        attempt.event("epoch", epoch=0, step=120, metrics={"val/loss": 1.0}, seconds=100.0)
        live = dataclasses.replace(live, phase="final evaluation", epoch=10, seconds_left=0.0)
        write_live(attempt.path, live)
        facts = cell_facts(status)
        assert facts["phase"] == "final evaluation" and facts["seconds_left"] == 0
        assert seconds_left([status, waiting]) == 1000, "ten epochs of the cell that waits"
    finally:
        attempt.release("interrupted")
    [status, _] = shell.standings(grid)
    assert cell_facts(status)["phase"] == "", "what does not run stands nowhere"
