"""A grid of two stages on Ray, with a fault in each stage."""

from __future__ import annotations

from engines import ray_engine
from launch_support import Reference, Shell, result, until

from cluster.failures import failures


def test_each_stage_loses_its_process_and_ends_as_if_undisturbed(
    ray_cluster: str, shell: Shell, reference: Reference
) -> None:
    slow = {"name": "recall", "acts": "slow"}
    grid = shell.stages(objective=slow, epochs=3, then={"axes": {"head": ["slow"]}})
    then, first = shell.cells(grid)
    shell.slow(0.3)

    def strike() -> None:
        for cell in (first, then):
            until(lambda cell=cell: shell.saved(cell) >= 1, f"an epoch of cell {cell.id}")
            shell.worker_of(cell).kill()
            assert shell.states(grid)[0] != "complete"

    ray_engine(shell).launch(grid, meanwhile=strike)
    assert shell.states(grid) == ["complete", "complete"]
    assert [shell.record(cell).attempts() for cell in (first, then)] == [[1, 2], [1, 2]]
    assert result(shell.record(first)) == reference(first)
    assert result(shell.record(then)) == reference(then)
    noted = failures(shell.workspace, "toy")
    assert [(one.kind, one.cells) for one in noted] == [
        ("killed", (first.id,)),
        ("killed", (then.id,)),
    ]
