"""The local launcher: whole grids on warm workers, in real processes.

Results depend on nothing but the cell.
"""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from pathlib import Path

import pytest
from launch_support import Reference, Shell, ended, result, until

from cluster.local import LocalExecutor, slow_imports
from echolm.errors import EchoLMError
from grid.definition.grid import Cell, load_grid
from grid.plan import save_cells, unit_of
from grid.units import Job, Limits, Report, Resources
from tests import warm

SMALL = {"name": "mlp", "width": 16}
BLANK = {"encoder": "none", "trainable": "k0"}
"""No network to import: where only processes matter."""


def launch(
    shell: Shell,
    grid: Path,
    limits: Limits,
    devices: tuple[str, ...] = ("cpu",),
    units: list[list[Cell]] | None = None,
) -> tuple[list[str], list[Report]]:
    """Launch every cell of a grid by the executor in this process, each alone if nothing is said.

    Returns process ids and reports.
    """
    reports: list[Report] = []
    save_cells(load_grid(str(grid)), shell.workspace)
    groups = units or [[cell] for cell in shell.cells(grid)]
    together = tuple(unit_of(group) for group in groups)
    job = Job(shell.workspace.root, grid.stem, together, Resources())
    with warm.workers():
        started = LocalExecutor(list(devices)).launch(job, limits, reports.append)
    return started, reports


def deaths(reports: list[Report]) -> list[tuple[str, bool]]:
    """The cells whose process died, and whether they got another try, in order."""
    died = [report for report in reports if report.event == "died"]
    return [(report.cell, report.facts["again"]) for report in died]


def test_workers_import_once_for_all_what_networks_need(shell: Shell) -> None:
    """Of torchvision's networks and torch-geometric's heads; other networks need nothing."""
    finetune = {"encoder": ["tiny-mvit", "tiny-r3d"], "head": ["mlp", "gatv2"]}
    needed = {
        shell.grid(finetune, name="both"): ["torch_geometric", "torchvision"],
        shell.grid({"encoder": ["tiny-r3d"]}, name="plain", head="gcn"): [],
        shell.grid({"encoder": ["tiny-videomae"]}, name="fused", fusion="mean-std", head="mlp"): [],
        shell.stages("stages"): [],
    }
    for grid, packages in needed.items():
        units = [unit_of([cell]) for cell in shell.cells(grid)]
        assert slow_imports(units) == packages, grid.name


class TestResults:
    """One cell, one result: slots, order, worker and company change nothing."""

    def test_two_slots_one_slot_and_no_launcher_give_the_same(
        self, shell: Shell, tmp_path: Path, tiny: Path, reference: Reference
    ) -> None:
        seeds = list(range(10))
        augmentations = {"augmentation": "bhoodoo2026", "epochs": 1}
        grid = shell.grid({"head": [SMALL], "seed": seeds}, **augmentations)
        done = shell("launch", grid, "--slots", 2, "--no-collect")
        assert done.status == 0, done.err
        assert done.out.splitlines()[-1] == "toy: 10 cells: 10 complete"
        counts = re.findall(r"^\[ *(\d+)/10\]", done.err, re.MULTILINE)
        assert sorted(map(int, counts)) == list(range(1, 11))
        assert shell.attempts(grid) == [1] * 10
        files = sorted(shell.workspace.runs.rglob("*"))
        again = shell("launch", grid, "--slots", 2, "--no-collect")
        assert (again.status, again.err) == (0, "")
        assert "running 0 in 0 units" in again.out
        assert sorted(shell.workspace.runs.rglob("*")) == files, "a second launch runs nothing"

        other = Shell(tmp_path / "other", tiny / "store")
        turned = other.grid({"head": [SMALL], "seed": seeds[::-1]}, **augmentations)
        started, reports = launch(other, turned, Limits(slots=1))
        assert len(started) == 1, "one warm worker for all cells"
        ends = [report.cell for report in reports if report.event == "ended"]
        assert ends == [cell.id for cell in other.cells(turned)]

        cells = shell.cells(grid)
        metrics = set()
        for cell in cells:
            here = result(shell.record(cell))
            assert here == result(other.record(cell))
            metrics.add(str(here[0]))
        for cell in (cells[0], cells[-1]):
            assert result(shell.record(cell)) == reference(cell)
        assert len(metrics) == 10, "seeds differ"

    def test_a_cohort_gives_what_its_cells_give_alone(
        self, shell: Shell, reference: Reference
    ) -> None:
        grid = shell.grid({"trainable": ["k0", "k1"], "head": [SMALL, "slow", "gcn"]})
        plan = json.loads(shell("launch", grid, "--dry-run", "--json").out)
        assert [len(unit) for unit in plan["units"]] == [6]
        assert shell("launch", grid, "--no-collect").status == 0
        for cell in shell.cells(grid):
            metrics, *_ = result(shell.record(cell))
            assert metrics == pytest.approx(reference(cell)[0], rel=1e-4)

    def test_two_launches_at_once_do_nothing_twice(self, shell: Shell) -> None:
        shell.slow(60)
        grid = shell.grid({"head": ["slow"], "seed": [0, 1, 2, 3]}, **BLANK)
        first = shell.cells(grid)[0]
        one = shell.start("launch", grid, "--slots", 1, "--no-collect")
        until(lambda: shell.trains(first), "the first cell trains")
        quick = shell.environment() | {"TEST_DELAY": "nowhere"}
        two = shell("launch", grid, "--slots", 1, "--no-collect", env=quick)
        assert two.status == 1
        assert f"1 cell still running elsewhere ({first.id[:8]})" in two.err
        assert two.out.splitlines()[-1] == "toy: 4 cells: 3 complete, 1 running"
        shell.slow(0)
        assert ended(one).status == 0
        assert shell.attempts(grid) == [1] * 4
        assert shell.states(grid) == ["complete"] * 4

    def test_launches_that_start_together_share_the_work(self, shell: Shell) -> None:
        grid = shell.grid({"head": ["slow"], "seed": list(range(6))}, **BLANK)
        shell.slow(0.05)
        launches = [shell.start("launch", grid, "--slots", 1, "--no-collect") for _ in range(2)]
        one, two = (ended(process) for process in launches)
        assert 0 in (one.status, two.status), (one, two)
        errors = one.err + two.err
        assert "Traceback" not in errors and "Error" not in errors
        assert shell.states(grid) == ["complete"] * 6
        assert shell.attempts(grid) == [1] * 6

    def test_a_definition_that_changed_gives_the_tables_their_new_form(self, shell: Shell) -> None:
        """A launch without anything to run still stores what was asked for."""
        grid = shell.grid({"head": ["mean"]}, epochs=1, **BLANK)
        assert shell("launch", grid, "--no-collect").status == 0
        grid.write_text(grid.read_text() + "title: new\n")
        assert "running 0" in shell("launch", grid, "--no-collect").out
        stored = json.loads((shell.workspace.grids / "toy" / "cells.json").read_text())
        assert stored["title"] == "new"

    def test_the_folder_one_launches_from_does_not_matter(self, shell: Shell) -> None:
        for name in ("cluster", "torch", "grid", "json"):
            (shell.root / f"{name}.py").write_text("raise SystemExit('the wrong module')")
        grid = shell.grid({"head": ["mean"]}, epochs=1, **BLANK)
        assert launch(shell, grid, Limits())[1][-1].facts["state"] == "complete"


class TestDeaths:
    """A worker that dies costs one attempt of its cell."""

    def test_a_killed_worker_is_replaced_and_its_cell_continues(
        self, shell: Shell, reference: Reference
    ) -> None:
        grid = shell.grid({"head": ["slow"], "seed": [0, 1, 2]}, epochs=4)
        shell.slow(3, from_step=7)
        process = shell.start("launch", grid, "--slots", 2, "--no-collect")
        victim, *others = shell.cells(grid)
        until(lambda: shell.epochs(victim) >= 2, "two epochs")
        shell.worker_of(victim).kill()
        shell.slow(0)
        done = ended(process)
        assert done.status == 0, done.err
        assert re.search(
            rf"{victim.id[:8]}  worker died .*killed by SIGKILL; it starts again", done.err
        )
        assert shell.attempts(grid) == [2, 1, 1]
        assert shell.record(victim).events(2)[0]["epoch"] >= 1, "it went on from its checkpoint"
        for cell in (victim, *others):
            assert result(shell.record(cell)) == reference(cell)

    def test_a_cell_that_always_kills_its_worker_is_given_up(self, shell: Shell) -> None:
        kinds = []
        for seed, head in enumerate(("dies", "slow", "mean")):
            kinds.append({"label": head, "set": {"head": head, "seed": seed}})
        grid = shell.grid({"kind of cell": kinds}, epochs=1, **BLANK)
        done = shell("launch", grid, "--slots", 2, "--no-collect")
        assert done.status == 1
        assert done.err.count("killed by SIGABRT; it starts again") == 2
        [log] = re.findall(r"given up after 3 times; its log: (.*)\)", done.err)
        assert "faulty_heads.py" in Path(log).read_text(), "where it died"
        assert shell.states(grid) == ["interrupted", "complete", "complete"]

    def test_deaths_count_between_epochs(
        self, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A cell survives more deaths than there are restarts, as long as it gets on."""
        monkeypatch.setenv("ECHOLM_PLUGINS", "faulty_heads")
        monkeypatch.setenv("TEST_DELAY", shell.environment()["TEST_DELAY"])
        grid = shell.grid({"head": ["slow"]}, epochs=3, **BLANK)
        [cell] = shell.cells(grid)
        shell.slow(3, from_step=4)

        def kill_twice() -> None:
            for epochs in (1, 2):
                until(lambda epochs=epochs: shell.epochs(cell) >= epochs, f"epoch {epochs}")
                shell.worker_of(cell).kill()
            shell.slow(0)

        killing = threading.Thread(target=kill_twice)
        killing.start()
        _, reports = launch(shell, grid, Limits(restarts=1))
        killing.join()
        assert shell.attempts(grid) == [3]
        assert deaths(reports) == [(cell.id, True), (cell.id, True)]
        assert reports[-1].facts["state"] == "complete"

    def test_company_of_a_cell_that_kills_its_worker_runs_without_it(
        self, shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("TEST_HEALED")
        monkeypatch.setenv("ECHOLM_PLUGINS", "faulty_heads")
        grid = shell.grid({"head": ["dies", "slow", "mean"]}, epochs=1, **BLANK)
        cells = shell.cells(grid)
        started, reports = launch(shell, grid, Limits(restarts=0), units=[cells])
        tried_alone = [(cell.id, True) for cell in cells]
        assert deaths(reports) == [*tried_alone, (cells[0].id, False)]
        assert len(started) == 3
        assert shell.states(grid) == ["interrupted", "complete", "complete"]

    def test_only_the_cells_of_a_cohort_that_have_not_ended_run_again(self, shell: Shell) -> None:
        """A member that has failed stays failed when its company dies later."""
        grid = shell.grid({"head": ["fails", "slow"]}, epochs=4, **BLANK)
        shell.slow(3, from_step=4)
        process = shell.start("launch", grid, "--slots", 1, "--no-collect")
        failing, slow = shell.cells(grid)
        until(lambda: shell.epochs(slow) >= 1, "an epoch")
        shell.worker_of(slow).kill()
        shell.slow(0)
        done = ended(process)
        assert done.status == 1
        assert shell.states(grid) == ["failed", "complete"]
        assert shell.attempts(grid) == [1, 2], "what failed was not tried again"

    def test_a_worker_that_is_told_to_stop_is_replaced(
        self, shell: Shell, reference: Reference
    ) -> None:
        """SIGTERM, from whoever cleans up a machine: the cell goes on in a new worker."""
        grid = shell.grid({"head": ["slow"], "seed": [0, 1]}, epochs=3, **BLANK)
        shell.slow(3, from_step=4)
        process = shell.start("launch", grid, "--slots", 1, "--no-collect")
        first, second = shell.cells(grid)
        until(lambda: shell.epochs(first) >= 1, "an epoch")
        shell.worker_of(first).terminate()
        shell.slow(0)
        done = ended(process)
        assert done.status == 0, done.err
        assert "stopped by a signal; it starts again" in done.err
        assert shell.attempts(grid) == [2, 1]
        assert shell.record(first).events(1)[-1]["event"] == "interrupted"
        assert result(shell.record(first)) == reference(first)

    def test_workers_that_cannot_start_are_an_error_and_end_the_launch(self, shell: Shell) -> None:
        grid = shell.grid({"head": [SMALL]})
        with pytest.raises(EchoLMError, match=r"no worker starts: .*cuda.*log"):
            launch(shell, grid, Limits(restarts=0), ("cuda:31",))

    def test_a_slot_that_cannot_start_leaves_its_work_to_the_others(self, shell: Shell) -> None:
        grid = shell.grid({"head": ["mean"], "seed": [0, 1, 2]}, epochs=1, **BLANK)
        started, reports = launch(shell, grid, Limits(slots=2, restarts=0), ("cuda:31", "cpu"))
        assert len(started) == 2
        ends = [report.facts["state"] for report in reports if report.event == "ended"]
        assert ends == ["complete"] * 3


class TestFailures:
    """A failing cell is recorded; the others go on; retry runs it again."""

    def test_fail_look_heal_retry(self, shell: Shell, reference: Reference) -> None:
        wild = {"label": "wild", "set": {"optimizer": {"name": "adam", "lr": 1.0e30}}}
        grid = shell.grid({"head": ["fails", SMALL], "optimizer": ["adam", wild]}, **BLANK)
        broken, _, _, diverging = shell.cells(grid)
        done = shell("launch", grid, "--slots", 1, "--no-collect")
        assert done.status == 1
        assert done.out.splitlines()[-1] == "toy: 4 cells: 1 complete, 3 failed"
        assert shell.attempts(grid) == [1] * 4

        status = json.loads(shell("status", grid, "--json").out)
        assert status["states"] == {"complete": 1, "failed": 3}
        reasons = {cell["cell"]: cell["what"] for cell in status["cells"]}
        assert "this head is broken" in reasons[broken.id]
        assert "Diverged" in reasons[diverging.id]
        text = shell("status", grid)
        assert re.search(rf"{broken.id[:8]}  failed .*this head is broken", text.out)
        assert "echolm retry" in text.err and "echolm logs" in text.err

        log = shell("logs", broken.id[:10])
        assert log.status == 0
        for words in ("Traceback", "RuntimeError: this head is broken", "faulty_heads.py"):
            assert words in log.out
        assert "Diverged" in shell("logs", diverging.id).out

        cancelled = shell("cancel", grid)
        assert cancelled.out == "toy: 0 cells cancelled\n", "what has ended stays as it is"
        again = shell("launch", grid, "--no-collect")
        assert again.status == 1
        assert shell.attempts(grid) == [1] * 4, "a launch leaves failed cells alone"

        shell.healed.touch()
        where = ("--where", "optimizer=wild", "--where", "head=mlp")
        one = shell("retry", grid, *where, "--no-launch", "--json")
        assert json.loads(one.out) == {"grid": "toy", "retried": [diverging.id]}
        assert Counter(shell.states(grid)) == {"failed": 2, "complete": 1, "pending": 1}
        retried = shell("retry", grid, "--where", "optimizer=adam", "--slots", 1, "--no-collect")
        assert retried.status == 0, retried.err
        assert shell.attempts(grid) == [2, 1, 1, 1], "retry runs no other cells"
        assert result(shell.record(broken)) == reference(broken)


class TestOutage:
    """What goes away is waited for."""

    def test_an_empty_workspace_is_left_empty(self, tmp_path: Path) -> None:
        """It may be the mount point of a disk that is not there."""
        shell = Shell(tmp_path, None)
        grid = shell.grid({"head": ["mean"]}, **BLANK)
        for _ in range(2):
            done = shell.inside("launch", grid, "--no-collect")
            assert done.status == 1 and "no clip store here" in done.err
            assert not shell.workspace.root.exists() or not list(shell.workspace.root.iterdir())
            shell.workspace.root.mkdir(exist_ok=True)

    def test_a_store_that_stays_away_ends_the_launch_and_no_cell(self, shell: Shell) -> None:
        """One wait for all cells, and the next launch goes on."""
        grid = shell.grid({"head": ["slow"], "seed": [0, 1, 2]}, epochs=2, **BLANK)
        shell.slow(3, from_step=4)
        store = shell.workspace.store("tiny")
        environment = shell.environment() | {"ECHOLM_OUTAGE_S": "1"}
        process = shell.start("launch", grid, "--slots", 1, "--no-collect", env=environment)
        first = shell.cells(grid)[0]
        until(lambda: shell.saved(first) >= 1, "an epoch")
        store.rename(store.with_name("away"))
        done = ended(process)
        store.with_name("away").rename(store)
        assert done.status == 1 and "Traceback" not in done.err, done
        assert done.err.count(f"the store {store} is not there; waiting") == 1, done.err
        assert "nothing more is started: " in done.err
        assert shell.states(grid) == ["interrupted", "pending", "pending"]
        shell.slow(0)
        assert shell("launch", grid, "--no-collect").status == 0
        assert shell.attempts(grid) == [2, 1, 1]


class TestCancel:
    """Cancelled cells stop at their next step, or are not started; retry lets them continue."""

    def test_cancel_and_retry(self, shell: Shell, reference: Reference) -> None:
        grid = shell.grid({"head": ["slow"], "seed": [0, 1, 2]}, epochs=4, **BLANK)
        shell.slow(3, from_step=4)
        process = shell.start("launch", grid, "--slots", 1, "--no-collect")
        first, *others = shell.cells(grid)
        until(lambda: shell.epochs(first) >= 1, "an epoch")
        cancelled = shell("cancel", grid, "--json")
        assert json.loads(cancelled.out) == {
            "grid": "toy",
            "cancelled": [cell.id for cell in shell.cells(grid)],
            "jobs": [],
        }
        done = ended(process)
        assert done.status == 1
        assert shell.states(grid) == ["cancelled"] * 3
        assert shell.record(first).events(1)[-1]["event"] == "cancelled"
        assert list(shell.record(first).attempt_path(1).glob("checkpoint-*.pt"))
        assert not [cell for cell in others if shell.epochs(cell)], "what waited was not started"

        shell.slow(0)
        assert "running 0" in shell("launch", grid, "--no-collect").out
        assert shell("retry", grid, "--no-collect").status == 0
        for cell in shell.cells(grid):
            assert result(shell.record(cell)) == reference(cell)


class TestTables:
    """``launch --tables``: one command from cells to their tables."""

    def test_the_tables_stand_at_the_end(self, shell: Shell) -> None:
        grid = shell.grid({"head": ["mean"], "seed": [0, 1]}, epochs=1, **BLANK)
        done = shell("launch", grid, "--tables")
        assert done.status == 0, done.err
        counts, shown = done.out.split("toy: 2 cells: 2 complete\n")
        assert "Dice" not in counts
        assert shown == shell.inside("tables", grid).out

    def test_without_a_run_there_is_no_table(self, tmp_path: Path) -> None:
        shell = Shell(tmp_path, None)
        grid = shell.grid({"head": ["mean"]}, epochs=1, **BLANK)
        done = shell.inside("launch", grid, "--tables")
        assert done.status == 1 and "no clip store here" in done.err
        assert done.out.splitlines()[-1] == "toy: 1 cell: 1 pending"

    @pytest.mark.parametrize("option", [["--dry-run"], ["--json"], ["--no-collect"]])
    def test_where_nothing_was_collected_it_is_refused(
        self, shell: Shell, option: list[str]
    ) -> None:
        grid = shell.grid({"head": ["mean"]}, epochs=1, **BLANK)
        done = shell.inside("launch", grid, "--tables", *option)
        assert done.status == 2 and "--tables: not with" in done.err
