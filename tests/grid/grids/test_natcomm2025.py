"""The grid of Echo-Vision-FM: its counts, and one place for each published number."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import pytest

from cluster.cost_table import cost_table, planned_cell
from cluster.data_sizes import DataSizes
from cluster.device_rate import DeviceRate
from cluster.forecast import forecast
from echolm.config import PretrainConfig
from echolm.workspace import Workspace
from grid.definition.claimed_rows import claimed_place
from grid.definition.grid import Grid, load_grid
from grid.definition.table_cells import cells_of_table
from grid.definition.tables import TableDefinition
from grid.plan import cell_statuses, units
from grid.tables import published
from grid.tables.published import PublishedNumber, find, paper_rows, published_numbers

PAPER = [f"table-{number}" for number in range(1, 7)]
TABLES = {
    "paper": PAPER,
    "released": [f"{name}-released" for name in PAPER],
    "equal": ["table-1-equal", "table-2-equal"],
}


@pytest.fixture(scope="module")
def natcomm() -> Grid:
    return load_grid("natcomm2025")


def places(grid: Grid, name: str) -> list[tuple[str, PublishedNumber]]:
    """The published numbers of a table, each with the row and column that it stands in."""
    definition: TableDefinition = grid.tables[name]
    assert definition.published is not None
    numbers = published_numbers(definition.published)
    found = []
    for labels, columns in cells_of_table(grid, name).items():
        for column, cells in zip(definition.columns, columns, strict=True):
            if not cells:
                continue
            coordinates = next(iter(cells.values())).coordinates
            number = find(numbers, definition.published, column, coordinates)
            if number is not None:
                found.append((f"{labels} {column.heading}", number))
    rows = paper_rows(numbers, definition.published, definition.rows, definition.columns)
    for row in rows:
        found += [(f"alone {row.labels}", number) for number in row.numbers if number is not None]
    return found


@pytest.mark.parametrize("recipe", ["paper", "released"])
def test_a_recipe_has_94_cells_a_seed_and_8_pretrainings(natcomm: Grid, recipe: str) -> None:
    cells = [cell for cell in natcomm.cells if cell.coordinates["recipe"] == recipe]
    kinds = Counter(
        (isinstance(cell.config, PretrainConfig), cell.coordinates["seed"]) for cell in cells
    )
    assert kinds == {(True, "0"): 8, (False, "0"): 94, (False, "1"): 94, (False, "2"): 94}


def test_at_an_equal_learning_rate_only_the_baselines_are_cells_of_their_own(natcomm: Grid) -> None:
    equal = [cell for cell in natcomm.cells if cell.coordinates["recipe"] == "equal"]
    assert len(equal) == 3 * 6 * 9, "six baselines on nine targets, three seeds"
    for name in ("table-1-equal", "table-2-equal"):
        rates = set()
        for columns in cells_of_table(natcomm, name).values():
            for cells in columns:
                rates |= {cell.config.optimizer.lr for cell in cells.values()}  # type: ignore[attr-defined]
        assert rates == {1e-4}
    assert {cell.config.optimizer.lr for cell in natcomm.cells} == {1e-4, 1e-5}


@pytest.mark.parametrize("recipe", TABLES)
def test_each_published_number_has_exactly_one_place(natcomm: Grid, recipe: str) -> None:
    with open(published.FOLDER / "zhang2025.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 281
    for name in TABLES[recipe]:
        table = name.split("-")[1]
        here = places(natcomm, name)
        times = Counter(id(number) for _, number in here)
        assert set(times.values()) == {1}, name
        printed = [float(row["value"]) for row in rows if row["table"] == table]
        assert sorted(number.value for _, number in here) == sorted(printed), name


def test_numbers_stand_in_the_papers_layout(natcomm: Grid) -> None:
    def value(name: str, place: str) -> float:
        [number] = [number for where, number in places(natcomm, name) if where == place]
        return number.value

    assert value("table-1", "('Echo-Vision-FM', 'STF-Net') EchoNet EF MAE (%)") == 3.87
    assert value("table-1", "('ViViT', 'none') CAMUS EDV R²") == 0.29
    assert value("table-2-equal", "('VideoMAE', 'STF-Net') TMED-2 macro F1") == 0.616
    assert value("table-3-released", "('Echo-Vision-FM', 'none') Bias (%)") == -3.29
    assert value("table-4", "('85%',) RMSE") == 0.06
    assert value("table-5-released", "('25%',) EF k0 MAE (%)") == 8.42
    assert value("table-6", "('1%',) EF R²") == -2.231


def test_its_cost_is_told_by_stage_and_recipe_without_data(natcomm: Grid, tmp_path: Path) -> None:
    """The hours of pretraining by hand: FLOPs of three passes, at 62 TFLOP/s."""
    statuses = cell_statuses(natcomm.cells, Workspace(tmp_path / "none"))
    planned = units(statuses)
    rate = DeviceRate(62.0)
    cost = cost_table(Workspace(tmp_path / "none"), statuses, planned, gpu=rate, on_cpus=True)
    rows = {(row.stage, row.label): row for row in cost.rows}
    assert {key: row.cells for key, row in rows.items()} == {
        ("pretraining", "paper"): 8,
        ("pretraining", "released"): 8,
        ("downstream", "paper"): 3 * 94,
        ("downstream", "equal"): 3 * 54,
        ("downstream", "released"): 3 * 94,
        ("all", "paper"): 290,
        ("all", "equal"): 162,
        ("all", "released"): 290,
        ("all", "all"): 742,
    }
    encoder, tokens, width = 360_689_172_480, 1568, 384
    decoder = 4 * tokens * (24 * width**2 + 4 * tokens * width)
    visible = [0.5, 0.3, 0.2, 0.15, 0.1, 0.25 * 0.15, 0.5 * 0.15, 0.75 * 0.15]
    parts = [1.0] * 5 + [0.25, 0.5, 0.75]
    clips = 525_328 - round(0.1 * 525_328) - round(0.2 * 525_328)
    flops = sum(visible) * encoder + sum(parts) * decoder
    hours = rows["pretraining", "paper"].gpu_hours
    assert hours is not None
    assert hours.mid == pytest.approx(3 * flops * clips * 30 / 62e12 / 3600, rel=1e-4)
    assert (hours.low, hours.high) == (pytest.approx(hours.mid / 2), pytest.approx(hours.mid * 2))
    total = rows["all", "all"].gpu_hours
    assert total is not None
    known = forecast(
        [[planned_cell(status, DataSizes(Workspace(tmp_path)))] for status in statuses],
        list,
        slots=1,
        gpus=1,
        device=rate,
    )
    assert known.gpu_hours is not None and total.mid == pytest.approx(known.gpu_hours.mid)
    assert cost.header == ["stage", "recipe", "cells", "GPU-hours", "CPU-hours"]
    assert (
        "echonet-dynamic-videos 7,465 (of 10,030 published), camus 400 (of 500" in cost.assumed[0]
    )
    assert "62 TFLOP/s as stated, within a factor of 2; on CPUs at 0.05" in cost.assumed[1]


def test_its_claims_are_on_the_cells_of_each_recipe_s_table(natcomm: Grid) -> None:
    """Those of Echo-Vision-FM are cells of the recipe paper also under equal."""
    assert list(natcomm.claims) == ["echo-pretraining", "stf-net", "all-baselines"]
    claim = natcomm.claims["echo-pretraining"]
    assert list(claim.tables) == ["paper", "released", "equal"]
    paper, released, equal = (claimed_place(natcomm, claim, label) for label in claim.tables)
    assert paper.better == equal.better != released.better
    for recipe, place in (("paper", paper), ("released", released), ("equal", equal)):
        assert {cell.coordinates["recipe"] for cell in place.than[0].cells} == {recipe}
        assert len(place.than[0].cells) == 3, "a cell a seed"
