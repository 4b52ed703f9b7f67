"""Faults in either stage of a grid, and stages that several launches want at once."""

from __future__ import annotations

from launch_support import Reference, Shell, ended, result, until
from storm import FAULTS, LAUNCH, STEP_S, Storm

SLOW = {"name": "recall", "acts": "slow"}


def test_killed_at_ten_random_moments_in_either_stage_it_ends_as_if_undisturbed(
    shell: Shell, reference: Reference
) -> None:
    """Workers and launches are killed. What follows begins with weights that are bitwise equal.

    Five moments are in the first stage, and five after it.
    """
    then = {"axes": {"head": ["slow"], "seed": [0, 1]}}
    grid = shell.stages(objective=SLOW, epochs=5, then=then)
    *downstream, first = shell.cells(grid)
    shell.slow(STEP_S)
    storm, launches = Storm(shell, grid.name, seed=13, acts=("kill", "kill", "kill", LAUNCH)), 0
    while set(shell.states(grid)) != {"complete"}:
        launches += 1
        assert launches <= 1 + storm.faults.count(LAUNCH), (shell.states(grid), storm.faults)
        process = shell.start("launch", grid, "--slots", 2, "--no-collect")
        storm.rage(process)
        ended(process)
        until(lambda: not shell.workers(), "no worker is left")
    assert len(storm.faults) == FAULTS and LAUNCH in storm.faults
    assert storm.struck[first.id] and any(storm.struck[cell.id] for cell in downstream)

    assert result(shell.record(first)) == reference(first)
    newest = shell.record(first).attempts()[-1]
    first_ended = shell.record(first).events(newest)[-1]["time"]
    for cell in downstream:
        record = shell.record(cell)
        assert result(record) == reference(cell)
        events = [event for number in record.attempts() for event in record.events(number)]
        assert min(event["time"] for event in events) >= first_ended
        assert [event["epoch"] for event in record.history()] == list(range(5)), "trained once"


def test_two_grids_that_are_launched_at_once_train_the_stage_that_they_share_once(
    shell: Shell,
) -> None:
    shell.slow(STEP_S)
    one = shell.stages("one", objective=SLOW, then={"axes": {"head": ["mean"]}})
    other = shell.stages("other", objective=SLOW, then={"axes": {"head": ["mlp"]}})
    launches = []
    for grid in (one, other):  # in a workspace that is new to both
        launches.append(shell.start("launch", grid, "--slots", 1, "--no-collect"))
    for process in launches:
        done = ended(process)
        assert done.status == 0, done
    for grid in (one, other):
        assert shell.states(grid) == ["complete", "complete"]
        assert shell.attempts(grid) == [1, 1]
    assert shell.cells(one)[1].id == shell.cells(other)[1].id
