"""How much a grid will write: weights, predictions, checkpoints, and whether it fits."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from launch_support import Shell

from cluster import disk
from cluster.disk import ROW_BYTES, DiskForecast, cells_at_once, forecast_disk
from cluster.place import LaunchOptions
from echolm.heads import HEADS
from echolm.record import RunStatus
from echolm.states import RunState
from echolm.training import footprint as counting
from echolm.training.footprint import SHIPPED, footprint
from echolm.workspace import Workspace
from grid.definition.grid import Cell, load_grid
from grid.definition.schema import BlockResources
from grid.plan import CellStatus, cell_statuses
from grid.units import Unit
from tests.footprints import shapes

Usage = namedtuple("Usage", "total used free")


def pending(cells: list[Cell]) -> list[CellStatus]:
    return [CellStatus(cell, RunStatus(RunState.PENDING)) for cell in cells]


def cells_of(grid: str) -> list[Cell]:
    return load_grid(grid).cells


def room(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every disk have so much room."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(free, 0, free))


def test_a_cell_is_counted_with_what_its_launch_keeps(tmp_path: Path) -> None:
    cells = cells_of("nldl2026-phantom")[:3]
    sizes = [footprint(cell.config).weights for cell in cells]
    workspace = Workspace(tmp_path)

    def weights(**options: Any) -> int:
        return forecast_disk(workspace, pending(cells), LaunchOptions(**options)).weights

    assert weights() == sum(sizes) and weights(keep="none") == 0
    assert weights(keep="half") == sum(size // 2 for size in sizes)
    blocks = [Cell(**{**vars(cell), "resources": BlockResources(keep="none")}) for cell in cells]
    told = forecast_disk(workspace, pending(blocks))
    assert told.weights == 0 and told.checkpoints > 0
    assert forecast_disk(workspace, pending(blocks), LaunchOptions(keep="best")).weights > 0


def test_what_is_complete_is_not_to_be_written(shell: Shell) -> None:
    grid = shell.stages()
    statuses = shell.standings(grid)
    before = forecast_disk(shell.workspace, statuses)
    done = [CellStatus(status.cell, RunStatus(RunState.COMPLETE)) for status in statuses]
    after = forecast_disk(shell.workspace, done)
    assert (before.cells, after.cells) == (3, 0)
    assert (after.weights, after.predictions, after.checkpoints) == (0, 0, 0)
    assert after.lines() == after.warnings() == []


def test_predictions_of_the_splits_that_are_read(shell: Shell) -> None:
    """A pretraining writes none. Those of complete runs are measured."""
    grid = shell.stages()
    statuses = shell.standings(grid)
    splits = json.loads((shell.workspace.store("tiny") / "store.json").read_text())["splits"]
    rows = splits["val"] + splits["test"]
    assert forecast_disk(shell.workspace, statuses).predictions == 2 * rows * ROW_BYTES
    assert forecast_disk(shell.workspace, statuses[2:]).predictions == 0
    shell("launch", grid, "--no-collect")
    mean, mlp, _ = shell.cells(grid)
    size = shell.record(mean).file("predictions.parquet").stat().st_size
    [complete] = cell_statuses([mean], shell.workspace)
    told = forecast_disk(shell.workspace, [complete, *pending([mlp])])
    assert told.predictions == int(rows * (size / rows))


def test_each_shape_of_a_large_grid_is_built_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10,000 cells of all shapes of the paper's grid, whatever their seeds and data."""
    cells = cells_of("nldl2026-phantom")
    many = (cells * (10_000 // len(cells) + 1))[:10_000]
    built: list[str] = []

    def count(config: Any, *others: Any, **named: Any) -> Any:
        built.append(str(config.encoder.name))
        return disk.Footprint(len(built), 10)

    monkeypatch.setattr(disk, "footprint", count)
    told = forecast_disk(Workspace(tmp_path), pending(many), at_once=4)
    assert told.cells == 10_000 and told.shapes == len(built) < 40
    assert told.checkpoints <= 4 * told.largest


def test_a_network_that_cannot_be_built_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*parts: Any, **named: Any) -> None:
        raise RuntimeError("a plugin")

    monkeypatch.setattr(disk, "footprint", broken)
    told = forecast_disk(Workspace(tmp_path), pending(cells_of("demo")[:2]))
    assert told.unknown == 2 and told.weights == 0
    assert any("not counted: the weights of 2 cells" in line for line in told.lines())


def test_without_data_no_network_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes with EchoLM is known without. What does not is left out, and that is told."""
    monkeypatch.setattr(counting, "_footprint", None)
    demo = cells_of("demo")[0]
    other = replace(
        demo,
        config=demo.config.model_copy(update={"head": HEADS.parse({"name": "mlp", "width": 17})}),
    )
    for cell, unknown in ((demo, 0), (other, 1)):
        told = forecast_disk(Workspace(tmp_path), pending([cell]))
        assert (told.unknown, told.weights > 0) == (unknown, not unknown)


def test_what_comes_with_echolm_is_what_is_counted_today() -> None:
    """Of some shapes; ``python -m tests.footprints`` counts all again."""
    runs = shapes()
    known = json.loads(SHIPPED.read_text())
    both = sorted(known.keys() & runs.keys())
    assert len(both) > 40
    for name in both[::16]:
        counted = footprint(runs[name], shipped=False)
        assert known[name] == [counted.weights, counted.checkpoint]


def test_it_is_said_when_it_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = pending(cells_of("demo")[:2])
    needed = forecast_disk(Workspace(tmp_path), statuses).needed
    room(needed, monkeypatch)
    assert forecast_disk(Workspace(tmp_path), statuses).warnings() == []
    room(needed - 1, monkeypatch)
    [warning] = forecast_disk(Workspace(tmp_path / "not" / "there"), statuses).warnings()
    assert "would be written: make room, keep less (--keep half, --keep none)" in warning


def test_lines() -> None:
    told = DiskForecast(
        cells=3,
        weights=1_130_000_000,
        predictions=723_000,
        at_once=2,
        checkpoints=8_100_000_000,
        largest=4_050_000_000,
        free=2_000_000_000_000,
        place="/work",
        uncounted=1,
    )
    assert told.lines() == [
        "to write: 1.1 GB of weights, about 723 kB of predictions; in training, with 2 cells at"
        " once, up to 8.1 GB of checkpoints; 2 TB free on the disk of /work",
        "not counted: the predictions of 1 cell, whose store is not here",
    ]
    assert told.plain()["needed"] == told.needed and told.fits


def test_the_largest_units_count_at_once() -> None:
    units = [Unit(tuple("abc"[:size])) for size in (1, 3, 2)]
    assert [cells_at_once(units, slots) for slots in (1, 2, 5)] == [3, 5, 6]


class TestCommands:
    """status and launch --dry-run, as text and as JSON."""

    @pytest.mark.parametrize("words", [["status"], ["launch", "--dry-run"]], ids=" ".join)
    def test_both_say_how_much_and_warn(
        self, words: list[str], shell: Shell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        grid = shell.stages()
        room(1000, monkeypatch)
        command, *options = words
        done = shell.inside(command, grid, *options)
        assert "to write: " in done.out and "1 kB free on the disk of" in done.out
        assert "would be written: make room" in done.err
        facts = json.loads(shell.inside(command, grid, *options, "--json").out)["disk"]
        assert facts["cells"] == 3 and facts["free"] == 1000 and not facts["fits"]
        assert facts["needed"] == facts["weights"] + facts["predictions"] + facts["checkpoints"]
        assert not list(shell.workspace.cache.glob("*footprints.json"))

    def test_status_of_a_launched_grid_remembers_what_it_counted(self, shell: Shell) -> None:
        grid = shell.stages()
        (shell.workspace.grids / "toy").mkdir(parents=True)
        shell.inside("status", grid)
        assert len(list(shell.workspace.cache.glob("*footprints.json"))) == 1
