"""The landmark paper's grid.

Every cell of its tables and figures, each once, and every printed number at its place.
"""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace

import pytest

from echolm.config import FinetuneConfig
from grid.definition.grid import Cell, Grid, load_grid
from grid.definition.table_cells import baseline_cells
from grid.tables import published
from grid.tables.build import build
from grid.tables.table import Table, Value

TABLES = ("table-2", "table-3", "table-4", "figure-2", "figure-a1")
SEEDS = ("0", "1", "2")


FURTHER = "further-encoders"
"""The table of encoders that the paper does not have."""


@pytest.fixture(scope="module")
def whole() -> Grid:
    return load_grid("nldl2026")


@pytest.fixture(scope="module")
def grid(whole: Grid) -> Grid:
    """What is the paper's own."""
    tables = {name: table for name, table in whole.tables.items() if name != FURTHER}
    cells = [cell for cell in whole.cells if FURTHER not in cell.tables]
    return replace(whole, cells=cells, tables=tables)


@pytest.fixture(scope="module")
def tables(grid: Grid) -> dict[str, Table]:
    return {name: build(grid, name, None) for name in grid.tables}


def of(grid: Grid, table: str) -> list[Cell]:
    return [cell for cell in grid.cells if table in cell.tables]


def settings(cell: Cell) -> tuple[str, ...]:
    """A cell's labels but the seed."""
    return tuple(
        cell.coordinates[axis]
        for axis in ("encoder", "trainable", "head", "augmentation", "fraction")
    )


def printed_values(table: Table) -> list[Value]:
    """Those of the grid's rows and of the paper's alone."""
    return [*table.values, *(value for row in table.paper_rows for value in row.values)]


def is_baseline(cell: Cell) -> bool:
    """Whether it is the mean contour."""
    return cell.coordinates["head"] == "mean"


def config(cell: Cell) -> FinetuneConfig:
    assert isinstance(cell.config, FinetuneConfig)
    return cell.config


def test_further_encoders_stand_apart(whole: Grid, grid: Grid) -> None:
    """By the paper's recipe, in a table of their own, without a published number."""
    further = of(whole, FURTHER)
    assert len(further) == 2 * 3 * 2 * 2 * 3 == len(whole.cells) - len(grid.cells)
    assert {cell.tables for cell in further} == {(FURTHER,)}
    assert {cell.coordinates["encoder"] for cell in further} == {"echo-vision-fm", "echofm-l"}
    assert whole.tables[FURTHER].published is None
    [recipe] = {
        (own.optimizer, own.schedule, own.batch_size, own.epochs)
        for own in map(config, (*further, of(grid, "table-3")[0]))
    }
    assert recipe[2:] == (20, 100)


class TestCells:
    """Which runs the grid holds."""

    def test_cells_of_each_table(self, grid: Grid) -> None:
        expected = {
            "table-2": 4 * 2 * 2,
            "table-3": 3 * 2 * 2 + 2 * 2 * 2,
            "table-4": 8,
            "figure-2": 6 * 7,
            "figure-a1": 4 * 2 * 7,
        }
        assert tuple(grid.tables) == TABLES
        assert {name: len(of(grid, name)) for name in TABLES} == {
            name: 3 * count for name, count in expected.items()
        }

    def test_what_several_tables_need_is_one_cell(self, grid: Grid) -> None:
        assert (
            len(grid.cells) == 3 * 119 + 7
            and len({settings(cell) for cell in grid.cells}) == 119 + 7
        )
        assert Counter(settings(cell) for cell in grid.cells).most_common(1)[0][1] == 3
        best = ("echoprime", "all", "gcn", "bhoodoo2026", "100%")
        assert {cell.tables for cell in grid.cells if settings(cell) == best} == {
            ("table-3", "figure-2", "figure-a1")
        }
        tenth = ("echoprime", "all", "gcn", "bhoodoo2026", "10%")
        assert {frozenset(cell.tables) for cell in grid.cells if settings(cell) == tenth} == {
            frozenset({"table-4", "figure-2", "figure-a1"})
        }

    def test_every_cell_feeds_a_table_and_has_all_axes(self, grid: Grid) -> None:
        assert [bool(cell.tables) for cell in grid.cells] == [
            not is_baseline(cell) for cell in grid.cells
        ]
        axes = {"encoder", "trainable", "augmentation", "head", "fraction", "seed"}
        assert {frozenset(cell.coordinates) for cell in grid.cells} == {frozenset(axes)}

    def test_seeds_are_independent_replicates(self, grid: Grid) -> None:
        for cell in grid.cells:
            seed = int(cell.coordinates["seed"])
            assert (config(cell).seed, config(cell).order, config(cell).view) == (seed, seed, seed)
            assert config(cell).data.subset_seed == 0, "subsets do not follow the seed"

    def test_labels_say_what_the_run_is(self, grid: Grid) -> None:
        for cell in grid.cells:
            own, labels = config(cell), cell.coordinates
            assert (
                f"{100 * own.data.fraction:g}%" == labels["fraction"]
                and str(own.trainable) == labels["trainable"]
            )
            assert (own.encoder.name, own.head.name, own.augmentation.name) == (
                labels["encoder"],
                labels["head"],
                labels["augmentation"],
            )

    def test_the_recipe(self, grid: Grid) -> None:
        for cell in grid.cells:
            own = config(cell)
            assert (own.data.name, own.task.name, own.fusion.name) == (
                "echonet-dynamic",
                "landmarks",
                "pooled",
            )
            assert own.optimizer.model_dump() == {
                "name": "adam",
                "lr": 5e-4,
                "betas": (0.9, 0.999),
                "weight_decay": 0.0,
                "clip": None,
                "decay": "all",
                "layer_decay": 1.0,
            }
            assert {
                "name": "plateau",
                "reduce": 0.5,
                "patience": 5,
            }.items() <= own.schedule.model_dump().items()
            epochs = 1 if is_baseline(cell) else 100
            assert (own.batch_size, own.epochs, own.views, own.task.select) == (
                20,
                epochs,
                "fresh",
                ("loss", "min"),
            )

    def test_each_encoder_starts_from_its_published_weights(self, grid: Grid) -> None:
        assert {
            (config(cell).encoder.name, str(config(cell).weights))
            for cell in grid.cells
            if not is_baseline(cell)
        } == {
            ("resnet18-2d", "published:imagenet"),
            ("vit-b-16", "published:imagenet"),
            ("r3d-18", "published:kinetics400"),
            ("mvit-v2-s", "published:kinetics400"),
            ("echoprime", "published:echoprime"),
            ("panecho", "published:panecho"),
        }

    def test_blocks_that_train(self, grid: Grid) -> None:
        """k = n: the last n blocks alone. The paper's k = 16 is everything, of every encoder."""
        for cell in grid.cells:
            own, label = config(cell), cell.coordinates["trainable"]
            blocks = own.encoder.blocks
            number = int(label[1:]) if label != "all" else None
            expected = (
                set(range(blocks + 2))
                if number is None
                else set(range(blocks + 1 - number, blocks + 1))
            )
            assert own.trainable.positions(blocks) == expected
        panecho = {
            cell.coordinates["trainable"]
            for cell in grid.cells
            if cell.coordinates["encoder"] == "panecho"
        }
        assert panecho == {"k0", "all"}

    @pytest.mark.parametrize("name", ["nldl2026", "nldl2026-phantom"])
    def test_every_value_has_the_mean_contour_of_its_own_training_data(self, name: str) -> None:
        """A row of no table, but what the runs of all tables are held against."""
        grid = load_grid(name)
        for table in grid.tables:
            fractions = {
                cell.coordinates["fraction"] for cell in grid.cells if table in cell.tables
            }
            found = {cell.coordinates["fraction"]: cell for cell in baseline_cells(grid, table)}
            assert fractions <= set(found) and not any(cell.tables for cell in found.values())
        assert {config(cell).encoder.name for cell in found.values()} == {"none"}

    def test_where(self, grid: Grid) -> None:
        assert len(grid.where(["table=table-4", "encoder=panecho", "trainable=k0"])) == 3
        assert len(grid.where(["fraction=0.5%,1%"])) == 6 * 2 * 3 + 2
        assert (
            len(
                grid.where(
                    ["augmentation=bhoodoo2026", "head=gcn", "fraction=100%", "trainable=k6"]
                )
            )
            == 2 * 3
        )


class TestLayout:
    """The tables' rows and columns, as the paper has them."""

    def test_table_2(self, tables: dict[str, Table]) -> None:
        table = tables["table-2"]
        assert table.axes == ("encoder", "augmentation", "head")
        assert [column.heading for column in table.columns] == [
            "Dice ED (%)",
            "Dice ES (%)",
            "MKE ED (px)",
            "MKE ES (px)",
        ]
        encoders = ["resnet18-2d", "r3d-18", "vit-b-16", "mvit-v2-s"]
        assert [row.labels for row in table.rows] == [
            (e, a, h) for e in encoders for a in ("bhoodoo2026", "none") for h in ("gcn", "mlp")
        ]

    def test_table_3(self, tables: dict[str, Table]) -> None:
        table = tables["table-3"]
        assert (
            table.axes == ("encoder", "trainable", "augmentation", "head") and len(table.rows) == 20
        )
        assert list(dict.fromkeys(row.labels[:2] for row in table.rows)) == [
            ("echoprime", "k0"),
            ("echoprime", "k2"),
            ("echoprime", "all"),
            ("panecho", "k0"),
            ("panecho", "all"),
        ]

    def test_table_4_has_no_cell_for_panecho_at_two_blocks(self, tables: dict[str, Table]) -> None:
        table = tables["table-4"]
        assert [row.labels for row in table.rows] == [("k0",), ("k2",), ("all",)]
        headings = [
            f"{encoder} {phase}"
            for encoder in ("echoprime", "mvit-v2-s", "panecho")
            for phase in ("ED", "ES")
        ]
        assert [column.heading for column in table.columns] == headings
        assert [[value.expected for value in row.values] for row in table.rows] == [
            [3] * 6,
            [3] * 4 + [0] * 2,
            [3] * 6,
        ]

    def test_figure_2(self, tables: dict[str, Table]) -> None:
        table = tables["figure-2"]
        assert [column.heading for column in table.columns] == [
            "0.5%",
            "1%",
            "2%",
            "10%",
            "25%",
            "50%",
            "100%",
        ]
        assert len(table.rows) == 6 and {value.expected for value in table.values} == {3}

    def test_figure_a1(self, tables: dict[str, Table]) -> None:
        table = tables["figure-a1"]
        assert [column.heading for column in table.columns] == [
            "k0",
            "k1",
            "k2",
            "k6",
            "k9",
            "k12",
            "all",
        ]
        fractions, encoders = ("100%", "25%", "10%", "2%"), ("echoprime", "mvit-v2-s")
        assert [row.labels for row in table.rows] == [
            (fraction, encoder) for fraction in fractions for encoder in encoders
        ]

    def test_every_cell_stands_in_its_tables(self, grid: Grid, tables: dict[str, Table]) -> None:
        for name, table in tables.items():
            columns = (
                2
                if name == "table-4"
                else len(table.columns)
                if name in ("table-2", "table-3")
                else 1
            )
            shown = Counter(item.cell for value in table.values for item in value.missing)
            assert shown == {cell.id: columns for cell in of(grid, name)}


class TestPublished:
    """The paper's numbers beside ours."""

    def test_counts(self, tables: dict[str, Table]) -> None:
        found = {
            name: sum(value.published is not None for value in table.values)
            for name, table in tables.items()
        }
        assert found == {
            "table-2": 64,
            "table-3": 80,
            "table-4": 16,
            "figure-2": 41,
            "figure-a1": 56,
        }

    def test_the_one_value_that_the_paper_does_not_give(self, tables: dict[str, Table]) -> None:
        without = [
            (name, *place.values())
            for name, table in tables.items()
            for place, value in table.located_values
            if value.expected and value.published is None
        ]
        assert without == [("figure-2", "panecho", "50%")]

    def test_every_row_of_the_file_stands_at_one_place(self, tables: dict[str, Table]) -> None:
        """But the abstract's rounded number.

        The quoted segmentation model, which is no cell of the grid, has a line of its own.
        """
        with open(published.FOLDER / "bhoodoo2026.csv", encoding="utf-8", newline="") as file:
            rows = [row for row in csv.DictReader(file) if row["table"] != "abstract"]
        names = {table.published.table: name for name, table in tables.items() if table.published}
        printed = Counter((names[row["table"]], float(row["value"]), row["spread"]) for row in rows)
        shown = Counter(
            (
                name,
                value.published.value,
                "" if value.published.spread is None else f"{value.published.spread:g}",
            )
            for name, table in tables.items()
            for value in printed_values(table)
            if value.published
        )
        assert shown == Counter(
            {(n, v, f"{float(s):g}" if s else ""): c for (n, v, s), c in printed.items()}
        )
        assert len(rows) == 257 + 2
        used = [
            id(value.published)
            for table in tables.values()
            for value in printed_values(table)
            if value.published
        ]
        assert len(used) == len(set(used)) == 257 + 2, "no printed number stands at two places"


class TestPhantom:
    """The small grid: the same axes and tables with tiny encoders."""

    def test_the_same_shape(self, grid: Grid, tables: dict[str, Table]) -> None:
        small = load_grid("nldl2026-phantom")
        assert list(small.tables) == list(grid.tables)
        assert {frozenset(cell.coordinates) for cell in small.cells} == {
            frozenset(cell.coordinates) for cell in grid.cells
        }
        for name, table in tables.items():
            mine = build(small, name, None)
            assert mine.axes == table.axes
            headings = [column.heading for column in table.columns]
            if name != "table-4":
                assert [column.heading for column in mine.columns] == [
                    h for h in headings if h in {c.heading for c in mine.columns}
                ]

    def test_tiny_encoders_on_the_phantom_from_random_weights(self) -> None:
        cells = load_grid("nldl2026-phantom").cells
        assert {
            (config(c).encoder.name, config(c).data.name, str(config(c).weights))
            for c in cells
            if not is_baseline(c)
        } == {
            (encoder, "echonet-dynamic-phantom", "random") for encoder in ("tiny-r3d", "tiny-mvit")
        }
        assert len(cells) == 96 + 3

    def test_a_published_number_below_every_row(self) -> None:
        small = load_grid("nldl2026-phantom")
        for name in small.tables:
            table = build(small, name, None)
            assert all(value.published for value in table.values if value.expected)
