"""Launches of grids whose cells begin with the weights of other cells, on this machine."""

from __future__ import annotations

import json
import shutil
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from launch_support import Shell, result, until

from cluster import supervision
from cluster.actions import cancel_cells, release_cells
from cluster.launch import LocalPlace, choose_place
from cluster.place import LaunchNews, LaunchOptions, LaunchResult
from cluster.stages import following, next_pool
from echolm.arithmetic import Arithmetic
from echolm.attempt import mark_cancelled
from echolm.errors import EchoLMError
from echolm.record import find_records
from echolm.states import RunState
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from grid.definition.grid import load_grid
from grid.definition.schema import BlockResources
from grid.plan import save_cells
from grid.report.content import Run, Setting
from grid.report.missing import missing_groups
from grid.tables.build import build
from grid.tables.origins import TodaysOrigins
from grid.units import Job, Resources, Unit
from tests import warm

PLACE = LaunchOptions(slots=2)


def launch(shell: Shell, grid: Path, monkeypatch: pytest.MonkeyPatch) -> LaunchResult:
    """Launch a grid from this process."""
    for name, value in shell.environment().items():
        if name.startswith(("TEST_", "ECHOLM_")):
            monkeypatch.setenv(name, value)
    loaded = load_grid(str(grid))
    with warm.workers():
        return choose_place(shell.workspace, PLACE).launch(loaded, loaded.cells, LaunchNews())


def attempts(shell: Shell, grid: Path) -> list[int]:
    """How many attempts each cell has had, those that never began too."""
    counts = []
    for cell in shell.cells(grid):
        records = find_records(shell.workspace.runs, cell.id)
        counts.append(sum(len(record.attempts()) for record in records))
    return counts


def test_one_launch_runs_both_stages_and_the_keys_were_known_before(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = shell.stages()
    before = shell.standings(grid)
    assert shell.states(grid) == ["waiting", "waiting", "pending"]
    first = shell.cells(grid)[2]
    assert [status.waits_for for status in before] == [first.id, first.id, ""]
    assert launch(shell, grid, monkeypatch).done
    assert shell.states(grid) == ["complete"] * 3
    for status in before:
        assert status.run and status.record
        assert shell.record(status.cell).path == status.record.path, "the same fingerprint"
        if status.waits_for:
            weights = shell.record(first).identity()["fingerprint"]
            assert shell.record(status.cell).identity()["weights"] == weights
    ends = shell.record(first).events(1)[-1]["time"]
    for cell in shell.cells(grid)[:2]:
        assert shell.record(cell).events(1)[0]["time"] >= ends
    again = shell.stages("other")
    assert launch(shell, again, monkeypatch).done
    assert attempts(shell, again) == [1, 1, 1], "two grids, and each cell trained once"


@pytest.mark.parametrize("moment", [2, 3])
def test_a_launch_starts_what_begins_from_a_cell_that_another_ends(
    moment: int, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever of its questions come before the end of the other's cell, and which after."""
    grid = shell.stages(heads=("mean",))
    then, first = shell.cells(grid)
    assert fit([prepare_run(first.config, shell.workspace)])[0].state == RunState.COMPLETE
    questions = count()
    monkeypatch.setattr(supervision, "is_ready", lambda *_: next(questions) >= moment)
    monkeypatch.setattr(supervision, "is_running", lambda *_: next(questions) < moment)
    monkeypatch.setattr(supervision, "ELSEWHERE_S", 0.0)
    assert launch(shell, grid, monkeypatch).done
    assert shell.record(then).state().name == RunState.COMPLETE
    assert next(questions) > moment


def test_what_blocks_is_named_and_a_retry_of_it_runs_both(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = shell.stages(objective={"name": "recall", "acts": "fails"})
    assert not launch(shell, grid, monkeypatch).done
    assert shell.states(grid) == ["blocked", "blocked", "failed"]
    first = shell.cells(grid)[2].id[:8]
    said = shell.inside("status", grid)
    assert f"2 cells blocked ({shell.cells(grid)[0].id[:8]}" in said.err
    assert f"cell {first} (seed=0), whose weights it begins with, is failed" in said.err
    document = json.loads(shell.inside("status", grid, "--json").out)
    assert document["states"] == {"blocked": 2, "failed": 1}
    planned = json.loads(shell.inside("launch", grid, "--dry-run", "--json").out)
    assert planned["units"] == planned["units_later"] == []

    shell.healed.touch()
    released = release_cells(shell.workspace, "toy", shell.cells(grid))
    assert [status.cell.id[:8] for status in released.again] == [first]
    assert len(released.freed) == 2
    assert shell.states(grid) == ["waiting", "waiting", "pending"]
    assert launch(shell, grid, monkeypatch).done
    assert shell.states(grid) == ["complete"] * 3


def test_a_stage_that_dies_starts_nothing_that_waits_for_it(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = shell.stages(objective={"name": "recall", "acts": "dies"})
    assert not launch(shell, grid, monkeypatch).done
    assert shell.states(grid) == ["waiting", "waiting", "interrupted"]


def test_another_launch_that_trains_the_first_stage_is_waited_for(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {"name": "recall", "acts": "slow"}
    shell.slow(0.5)
    grid = shell.stages(objective=slow, epochs=2)
    alone = shell.stages("alone", objective=slow, epochs=2, then={"axes": {"head": ["mlp"]}})
    other = shell.start("launch", alone, "--where", "subgrid=first")
    try:
        until(lambda: shell.trains(shell.cells(grid)[2]), "the other launch trains")
        assert shell.states(grid)[2] == "running"
        planned = json.loads(shell.inside("launch", grid, "--dry-run", "--json").out)
        assert planned["units"] == [] and len(planned["units_later"]) == 1
        shell.slow(0)
        assert launch(shell, grid, monkeypatch).done
    finally:
        other.communicate()
    assert attempts(shell, grid) == [1, 1, 1]


def test_cells_that_wait_are_cancelled_and_are_no_running_ones(shell: Shell) -> None:
    grid = shell.stages()
    mean, mlp, first = shell.cells(grid)
    mark_cancelled(shell.workspace.runs, first.id)
    assert shell.states(grid) == ["blocked", "blocked", "cancelled"]
    cancelled = cancel_cells(shell.workspace, "toy", [mean])
    assert cancelled.cells == [mean.id]
    assert shell.states(grid) == ["cancelled", "blocked", "cancelled"]
    said = shell.inside("grid", "show", grid)
    assert f"1 cell blocked ({mlp.id[:8]})" in said.err, said


def test_tables_name_the_cell_that_is_waited_for(shell: Shell) -> None:
    grid = shell.stages(then={"tables": ["dice"]})
    table = {"title": "Dice", "rows": ["head"], "columns": [{"metric": "dice", "slot": "ED"}]}
    content = yaml.safe_load(grid.read_text())
    grid.write_text(yaml.safe_dump({**content, "tables": {"dice": table}}, sort_keys=False))
    mean, _, first = shell.cells(grid)
    loaded = load_grid(str(grid))

    def reasons() -> set[str]:
        today = TodaysOrigins(shell.workspace, "toy", shell.cells(grid))
        built = build(loaded, "dice", None, state=today.state, today=today)
        return {seed.reason for value in built.values for seed in value.missing}

    named = f"cell {first.id[:8]}, whose weights it begins with, is"
    assert reasons() == {f"it is waiting: {named} pending; a launch of the whole grid runs both"}
    mark_cancelled(shell.workspace.runs, first.id)
    assert reasons() == {f"it is blocked: {named} cancelled; a retry of the whole grid runs both"}
    today = TodaysOrigins(shell.workspace, "toy", shell.cells(grid))
    assert (today.state(mean.id), today.state(first.id)) == ("blocked", "cancelled")


def test_a_report_names_the_cell_that_is_waited_for() -> None:
    waits = "cell 01234567, whose weights it begins with, is failed"
    run = Run("c" * 16, "0", "blocked", waits=waits)
    content: Any = SimpleNamespace(settings=[Setting("a", {}, (run,))])
    [group] = missing_groups(content, "toy", ("echolm",), "local")
    assert (group.reason, group.command) == (f"it is blocked: {waits}", "")


def test_a_smoke_run_begins_with_the_smoke_run_of_its_first_stage(shell: Shell) -> None:
    grid = shell.stages(epochs=3)
    chosen = ("--set", "epochs=1", "--where", "head=mean", "--dry-run", "--json")
    planned = json.loads(shell.inside("launch", grid, *chosen).out)
    assert planned["states"] == {"pending": 1, "waiting": 1}
    assert (len(planned["units"]), len(planned["units_later"])) == (1, 1)
    own = {cell.id for cell in shell.cells(grid)}
    assert own.isdisjoint(planned["units"][0]) and own.isdisjoint(planned["units_later"][0])
    costs = [(row["stage"], row["label"], row["cells"]) for row in planned["cost"]["rows"]]
    assert costs == [("pretraining", "all", 1), ("downstream", "all", 1), ("all", "all", 2)]
    by_head = shell.inside("launch", grid, "--dry-run", "--by", "head").out
    assert "stage        head  cells  GPU-hours" in by_head and "pretraining  -     1 " in by_head
    refused = shell.inside("launch", grid, "--by", "head")
    assert refused.status == 2 and "--by: goes with --dry-run" in refused.err


def test_what_a_selection_waits_for_and_leaves_out_is_named(shell: Shell) -> None:
    grid = shell.stages()
    done = shell.inside("launch", grid, "--where", "subgrid=then", "--dry-run")
    assert "would run 0 in 0 units" in done.out and "2 cells waiting" in done.err, done
    said = shell.inside("status", grid, "--where", "subgrid=then")
    assert "to train first what cells wait for" in said.err


def test_an_edited_stage_is_explained(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = shell.stages(heads=("mean",))
    assert launch(shell, grid, monkeypatch).done
    then, first = shell.cells(grid)
    stored = result(shell.record(then))
    edited = shell.stages(heads=("mean",), objective={"name": "recall", "acts": "slow"})
    new, new_first = shell.cells(edited)
    assert new.id != then.id and shell.states(edited) == ["waiting", "pending"]
    monkeypatch.setenv("TEST_DELAY", str(shell.root / "none"))
    loaded = load_grid(str(edited))
    save_cells(loaded, shell.workspace)
    said = shell.inside("grid", "explain", new.id)
    assert f"cell {then.id} is the same but for its weights" in said.out, said
    assert f"run:{first.id} then, run:{new_first.id} now" in said.out
    assert "objective.acts" in said.out
    assert result(shell.record(then)) == stored


def test_other_data_of_a_stage_are_explained(
    shell: Shell, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = shell.stages(heads=("mean",))
    assert launch(shell, grid, monkeypatch).done
    then, first = shell.cells(grid)
    link = shell.workspace.store("tiny")
    link.unlink()
    shutil.copytree(tiny / "store", link)
    info: dict[str, Any] = json.loads((link / "store.json").read_text())
    (link / "store.json").write_text(json.dumps({**info, "fingerprint": "0" * 64}))
    assert shell.states(grid) == ["waiting", "pending"], "both are of other data now"
    said = shell.inside("grid", "explain", then.id)
    assert f"the weights are those of cell {first.id}, of which the data changed" in said.out, said


def unit(cell: str, after: str = "") -> Unit:
    """A unit of one cell that begins from another."""
    weights = f"run:{after:0>16}" if after else "random"
    id = f"{cell:0>16}"
    return Unit((id,), {id: json.dumps({"weights": weights})})


def test_pools_come_in_the_order_of_the_stages() -> None:
    big, small = Resources(threads=2), Resources()
    a, b, c, d, e = unit("a"), unit("b", "a"), unit("c", "b"), unit("d", "c"), unit("e")
    jobs = [Job(Path(), "toy", (d, b, e), small), Job(Path(), "toy", (c, a), big)]
    order = []
    left = jobs
    while left:
        job, left = next_pool(left)
        order.append((job.resources.threads, [one.id[-1] for one in job.units]))
    assert order == [(1, ["e"]), (2, ["a"]), (1, ["b"]), (2, ["c"]), (1, ["d"])]


def test_one_pool_has_all_stages_of_its_shape() -> None:
    a, b, c = unit("a"), unit("b", "a"), unit("c", "b")
    job, left = next_pool([Job(Path(), "toy", (c, a, b))])
    assert job.units == (c, a, b) and left == []


def test_resources_of_a_block_give_way_to_what_was_typed(shell: Shell) -> None:
    base = {"data": "tiny", "task": "landmarks", "encoder": "tiny-r3d", "trainable": "k0"}
    wide = {"base": {**base, "head": "mlp"}, "axes": {"seed": [0]}}
    grid = shell.stages(wide={**wide, "resources": {"gpus": 8, "minutes": 90, "slots": 1}})
    [cell] = load_grid(str(grid)).where(["subgrid=wide"])
    asked = LaunchOptions().of_block(cell.resources)
    assert asked.stated == {"gpus": 8, "minutes": 90, "slots": 1}
    typed = LaunchOptions(gpus=0, minutes=5, slots=3).of_block(cell.resources)
    assert typed.stated == {"gpus": 0, "minutes": 5, "slots": 3}
    assert LaunchOptions(ranks=2).of_block(cell.resources).stated["ranks"] == 2
    assert "gpus" not in LaunchOptions(ranks=2).of_block(cell.resources).stated


def test_arithmetic_is_typed_else_the_block_s_else_the_last_submission_s(shell: Shell) -> None:
    grid = shell.stages(first={"resources": {"precision": "bf16", "gpus": 1}})
    [cell] = load_grid(str(grid)).where(["subgrid=first"])
    last = BlockResources(precision="tf32", compile=True, ranks=3)
    of_block = LaunchOptions(last=last).of_block(cell.resources)
    assert of_block.stated == {"precision": "bf16", "gpus": 1, "compile": True}
    typed = LaunchOptions(precision="fp32", compile=False, last=last).of_block(cell.resources)
    assert typed.stated == {"precision": "fp32", "gpus": 1, "compile": False}
    plain = LaunchOptions(last=last).of_block(BlockResources())
    assert plain.stated == {"precision": "tf32", "compile": True, "ranks": 3}
    needs = LocalPlace(shell.workspace, LaunchOptions()).resources(of_block)
    assert needs.arithmetic == Arithmetic("bf16", compile=True)
    assert Resources().arithmetic == Arithmetic()


def test_only_what_is_started_is_followed(shell: Shell) -> None:
    statuses = shell.standings(shell.stages())
    first = statuses[2].cell.id
    assert following(statuses, ()) == []
    assert [status.waits_for for status in following(statuses, {first})] == [first] * 2


def test_keep_none_is_refused_where_a_stage_begins_with_the_weights(shell: Shell) -> None:
    """Typed at a launch or a dry run, and before anything is written."""
    grid = shell.stages()
    for words in (["--dry-run"], []):
        done = shell.inside("launch", grid, "--keep", "none", *words)
        assert done.status == 1 and "--keep none: cell" in done.err
        assert "begins with them; leave --keep out and write resources: {keep: none}" in done.err
    assert not shell.workspace.runs.exists()


def test_a_block_that_no_other_begins_from_keeps_no_weights(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stage before it does, and half of the bits are enough to begin with."""
    blocks = {"then": {"resources": {"keep": "none"}}, "first": {"resources": {"keep": "half"}}}
    grid = shell.stages(**blocks)
    assert launch(shell, grid, monkeypatch).done
    mean, mlp, first = (shell.record(cell).summary() or {} for cell in shell.cells(grid))
    assert (mean["keep"], mlp["keep"], first["keep"]) == ("none", "none", "half")
    assert mean["first_weights"] == "half" and "best.safetensors" not in mean["files"]
    cell = shell.cells(grid)[0].id
    with pytest.raises(EchoLMError, match=f"train the cell again: echolm train {cell}"):
        shell.record(shell.cells(grid)[0]).file("best.safetensors")
