"""Where cells stand, which of them share a unit, and what a launch stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from echolm.attempt import Attempt
from echolm.clips import CLIPS
from echolm.config import PretrainConfig, parse_config
from echolm.errors import EchoLMError
from echolm.identity import cell_id
from echolm.record import RunStatus
from echolm.stores.clips import SCHEMA
from echolm.training.prepare import prepare_run
from echolm.workspace import Workspace
from grid import find
from grid.definition.grid import Cell, Grid, load_grid
from grid.find import find_cell
from grid.plan import CellStatus, cell_statuses, cohort_key, needs_run, save_cells, unit_of, units
from grid.stored_configs import launched_config, unit_config
from grid.units import Unit

BASE: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "k1",
    "head": "mlp",
    "weights": "file:/w.pt",
    "optimizer": "adam",
}


@pytest.fixture(params=["plain", 'it\'s "a"\nünï work space'])
def workspace(tmp_path: Path, request: pytest.FixtureRequest) -> Workspace:
    return Workspace(tmp_path / request.param)


@pytest.fixture
def grid(tmp_path: Path) -> Grid:
    path = tmp_path / "toy.yaml"
    base = {**BASE, "weights": "random"}
    tables = {"main": {"title": "t", "rows": ["head"], "columns": [{"metric": "dice"}]}}
    path.write_text(
        yaml.safe_dump(
            {"base": base, "axes": {"head": ["mlp", "gcn"], "seed": [0, 1, 2]}, "tables": tables}
        )
    )
    return load_grid(str(path))


def write_store(workspace: Workspace, fingerprint: str = "a" * 64) -> None:
    """What a clip store says of itself; planning needs no frames."""
    workspace.store("phantom").mkdir(parents=True, exist_ok=True)
    (workspace.store("phantom") / "store.json").write_text(
        json.dumps({"schema": SCHEMA, "fingerprint": fingerprint})
    )


def hold(cell: Cell, workspace: Workspace) -> Attempt:
    run = prepare_run(cell.config, workspace)
    run.record.create(run.identity)
    return Attempt.acquire(run.record)


def key(**changes: Any) -> str | None:
    values = {**BASE, **changes}
    if values.get("kind") == "pretrain":
        return cohort_key(PretrainConfig.model_construct())
    return cohort_key(parse_config(values))


class TestCohorts:
    """Cells may share a trunk when every batch that goes through it is the same."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"head": "gcn"},
            {"trainable": "k0"},
            {"trainable": "k4"},
            {"trainable": {"blocks": 0, "readout": True}},
            {"optimizer": "sgd"},
            {"schedule": "cosine"},
            {"epochs": 3},
            {"weights": "file:/w.pt"},
            {"order_seed": 0},
        ],
    )
    def test_may_share(self, changes: dict[str, Any]) -> None:
        assert key() is not None and key(**changes) == key()

    @pytest.mark.parametrize(
        "changes",
        [
            {"data": "other"},
            {"data": {"name": "phantom", "fraction": 0.5}},
            {"data": {"name": "phantom", "subset_seed": 1}},
            {"encoder": "tiny-mvit"},
            {"encoder": {"name": "tiny-r3d", "batch_norm": "frozen"}},
            {"weights": "file:/v.pt"},
            {"weights": "random"},
            {"augmentation": "bhoodoo2026"},
            {"batch_size": 19},
            {"views": 2},
            {"seed": 1},
            {"order_seed": 1},
            {"view_seed": 1},
            {"trainable": "all"},
            {"kind": "pretrain"},
        ],
    )
    def test_may_not_share(self, changes: dict[str, Any]) -> None:
        assert key(**changes) != key()

    @pytest.mark.parametrize(
        "changes",
        [
            {"trainable": "all"},
            {"trainable": {"blocks": "all", "stem": True}},
            {"kind": "pretrain"},
        ],
    )
    def test_without_a_frozen_trunk_there_is_nothing_to_share(
        self, changes: dict[str, Any]
    ) -> None:
        assert key(**changes) is None

    def test_seeds_share_only_views_and_order_that_are_held_constant_and_weights_that_are_given(
        self,
    ) -> None:
        held = {"order_seed": 5, "view_seed": 5}
        assert key(seed=1, **held) == key(seed=2, **held) != key(seed=1)
        assert key(seed=1, **held, weights="random") != key(seed=2, **held, weights="random")
        assert key(seed=5) == key(seed=1, **held), "equal order and views, however they are written"

    def test_clips_are_told_apart(self) -> None:
        def clip_key(clip: Any) -> str | None:
            config = parse_config(BASE)
            return cohort_key(config.model_copy(update={"clip": CLIPS.parse(clip)}))

        clips = ["ed-to-es", "uniform", {"name": "window"}, {"name": "window", "period": 2}]
        assert len({clip_key(clip) for clip in clips}) == 4
        assert clip_key("ed-to-es") == key()

    def test_an_encoder_without_blocks_is_a_trunk(self) -> None:
        assert key(encoder="none", trainable="k0") is not None


class TestUnits:
    """Units are cohorts, divided so that all slots have something to do."""

    def standings(self, *changes: dict[str, Any]) -> list[CellStatus]:
        configs = [parse_config({**BASE, **change}) for change in changes]
        return [
            CellStatus(Cell(cell_id(config), {}, config), RunStatus("pending"))
            for config in configs
        ]

    def test_cohorts_are_divided_among_slots_and_no_further(self) -> None:
        standings = self.standings(*({"epochs": n} for n in range(1, 20)))
        ids = [s.cell.id for s in standings]
        assert [unit.cells for unit in units(standings)] == [
            tuple(ids[:8]),
            tuple(ids[8:16]),
            tuple(ids[16:]),
        ]
        assert [len(unit.cells) for unit in units(standings, slots=1)] == [19]
        assert [len(unit.cells) for unit in units(standings, slots=2)] == [10, 9]
        assert [len(unit.cells) for unit in units(standings, slots=19)] == [8, 8, 3]
        assert units(standings)[1].id == ids[8]

    def test_only_what_may_share_is_together_and_everything_is_somewhere(self) -> None:
        standings = self.standings(
            {"head": "mlp"},
            {"seed": 1},
            {"trainable": "all"},
            {"head": "gcn"},
            {"trainable": "all", "seed": 1},
        )
        a, b, c, d, e = (s.cell.id for s in standings)
        assert [unit.cells for unit in units(standings)] == [(a, d), (b,), (c,), (e,)]

    def test_nothing(self) -> None:
        assert units([]) == []


class TestSurvey:
    """How every cell stands."""

    def test_without_data_the_problem_names_the_store(
        self, grid: Grid, workspace: Workspace
    ) -> None:
        standings = cell_statuses(grid.cells, workspace)
        assert [s.cell for s in standings] == grid.cells
        assert {s.state.name for s in standings} == {"pending"}
        assert all(
            s.run is None
            and str(workspace.store("phantom")) in s.problem
            and "echolm data prepare" in s.problem
            for s in standings
        )

    def test_every_state(self, grid: Grid, workspace: Workspace) -> None:
        write_store(workspace)
        complete, failed, running, cancelled, interrupted, _ = grid.cells
        attempt = hold(complete, workspace)
        attempt.publish({}, [])
        attempt.release()
        hold(failed, workspace).release("failed")
        live = hold(running, workspace)
        (workspace.runs / cancelled.id).mkdir()
        (workspace.runs / cancelled.id / "cancelled").touch()
        hold(interrupted, workspace).release("interrupted")
        standings = cell_statuses(grid.cells, workspace)
        assert [s.state.name for s in standings] == [
            "complete",
            "failed",
            "running",
            "cancelled",
            "interrupted",
            "pending",
        ]
        assert [needs_run(s) for s in standings] == [False, False, False, False, True, True]
        assert all(s.run and s.record and not s.problem for s in standings)
        live.release("interrupted")

    def test_a_run_of_other_data_is_pending_again(self, grid: Grid, workspace: Workspace) -> None:
        write_store(workspace)
        hold(grid.cells[0], workspace).release("failed")
        write_store(workspace, "b" * 64)
        assert cell_statuses(grid.cells[:1], workspace)[0].state.name == "pending"

    def test_when_the_data_are_gone_the_newest_record_counts(
        self, grid: Grid, workspace: Workspace
    ) -> None:
        write_store(workspace)
        hold(grid.cells[0], workspace).release("failed", error="why")
        (workspace.store("phantom") / "store.json").unlink()
        [standing] = cell_statuses(grid.cells[:1], workspace)
        assert (standing.state.name, standing.state.evidence["error"], standing.run) == (
            "failed",
            "why",
            None,
        )
        assert "phantom" in standing.problem

    def test_missing_weights_are_named(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("ECHOLM_WEIGHTS", raising=False)
        write_store(workspace)
        config = parse_config({**BASE, "encoder": "r3d-18", "weights": "published:kinetics400"})
        [standing] = cell_statuses([Cell(cell_id(config), {}, config)], workspace)
        assert (
            "r3d_18" in standing.problem
            and str(workspace.weights) in standing.problem
            and "licence" in standing.problem
        )

    def test_a_holder_out_of_sight_is_tried_by_a_launch(
        self, grid: Grid, workspace: Workspace
    ) -> None:
        """After a restart of the machine nobody else would ever judge its heartbeat."""
        write_store(workspace)
        attempt = hold(grid.cells[0], workspace)
        holder = attempt.path / "holder.json"
        assert not needs_run(cell_statuses(grid.cells[:1], workspace)[0])
        holder.write_text(json.dumps({**json.loads(holder.read_text()), "boot": "before"}))
        [standing] = cell_statuses(grid.cells[:1], workspace)
        assert standing.state.name == "running" and needs_run(standing)
        attempt.release("interrupted")

    def test_looking_makes_nothing(self, grid: Grid, workspace: Workspace) -> None:
        cell_statuses(grid.cells, workspace)
        assert not workspace.root.exists()


class TestLaunched:
    """cells.json: what was launched, resolved."""

    def test_stored_cells_have_the_same_ids(self, grid: Grid, workspace: Workspace) -> None:
        path = save_cells(grid, workspace)
        stored = json.loads(path.read_text())
        assert list(stored["cells"]) == [cell.id for cell in grid.cells]
        for cell in grid.cells:
            config = launched_config(workspace, grid.name, cell.id)
            assert (cell_id(config), config) == (cell.id, cell.config)
            entry = stored["cells"][cell.id]
            assert (entry["coordinates"], entry["tables"], entry["subgrids"]) == (
                cell.coordinates,
                ["main"],
                [],
            )
        assert stored["tables"]["main"]["rows"] == ["head"]

    def test_a_unit_carries_its_configurations(self, grid: Grid, workspace: Workspace) -> None:
        """One that an earlier version wrote does not: its cells are looked up."""
        unit = unit_of(grid.cells)
        for cell in grid.cells:
            assert unit_config(unit, cell.id, workspace, grid.name) == cell.config
        assert not workspace.root.exists(), "nothing is read"
        earlier = Unit(unit.cells)
        with pytest.raises(EchoLMError, match="holds no cell"):
            unit_config(earlier, grid.cells[0].id, workspace, grid.name)
        save_cells(grid, workspace)
        for cell in grid.cells:
            assert unit_config(earlier, cell.id, workspace, grid.name) == cell.config

    def test_the_file_is_kept_unless_it_came_with_echolm(
        self, tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shipped = load_grid("demo")
        assert (
            "path" not in json.loads(save_cells(shipped, workspace).read_text())
            and shipped.typed == "demo"
        )
        monkeypatch.chdir(tmp_path)
        Path("own.yaml").write_bytes(shipped.path.read_bytes())
        own = load_grid("own.yaml")
        assert own.typed == "own.yaml"
        assert json.loads(save_cells(own, workspace).read_text())["path"] == str(
            tmp_path / "own.yaml"
        )

    def test_stored_twice_is_stored_once(self, grid: Grid, workspace: Workspace) -> None:
        assert save_cells(grid, workspace).read_bytes() == save_cells(grid, workspace).read_bytes()
        assert [path.name for path in (workspace.grids / "toy").iterdir()] == ["cells.json"]

    def test_what_was_not_launched_is_named(self, grid: Grid, workspace: Workspace) -> None:
        with pytest.raises(EchoLMError, match="holds no cell abc; launch it: echolm launch toy"):
            launched_config(workspace, "toy", "abc")
        path = save_cells(grid, workspace)
        with pytest.raises(EchoLMError, match="holds no cell abc"):
            launched_config(workspace, "toy", "abc")
        path.write_text("{")
        with pytest.raises(EchoLMError, match="damaged"):
            launched_config(workspace, "toy", "abc")


class TestFindCell:
    """A cell by its id or the start of it."""

    def test_in_shipped_grids(self, workspace: Workspace) -> None:
        for cell in load_grid("demo").cells:
            assert find_cell(cell.id, workspace) == (cell.id, cell.config)
            assert find_cell(cell.id[:8], workspace)[0] == cell.id

    def test_of_a_launched_cell_without_reading_the_shipped_grids(
        self, grid: Grid, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """To read all of them takes seconds, before each command that is given a cell."""
        save_cells(grid, workspace)
        monkeypatch.setattr(find, "load_grid", None)
        find._configs_of_shipped_grids.cache_clear()
        for cell in grid.cells:
            assert find_cell(cell.id, workspace) == (cell.id, cell.config)

    def test_in_launched_grids_and_in_records(self, grid: Grid, workspace: Workspace) -> None:
        write_store(workspace)
        run = prepare_run(grid.cells[1].config, workspace)
        run.record.create(run.identity)
        assert find_cell(grid.cells[1].id[:10], workspace) == (
            grid.cells[1].id,
            grid.cells[1].config,
        )
        with pytest.raises(EchoLMError, match="is not a cell"):
            find_cell(grid.cells[0].id, workspace)
        save_cells(grid, workspace)
        for cell in grid.cells:
            assert find_cell(cell.id, workspace) == (cell.id, cell.config)

    def test_a_start_of_several_lists_them(self, workspace: Workspace) -> None:
        with pytest.raises(
            EchoLMError, match=r"'' is the start of \d+ cells; valid: [0-9a-f]{16}, "
        ) as caught:
            find_cell("", workspace)
        assert load_grid("demo").cells[0].id in str(caught.value)

    @pytest.mark.parametrize("text", ["zzzz", "*", "../..", "a b", "\n", "0" * 16, "ü"])
    def test_what_is_no_cell_says_where_to_look(self, workspace: Workspace, text: str) -> None:
        with pytest.raises(EchoLMError, match="is not a cell; echolm grid show GRID lists cells"):
            find_cell(text, workspace)
