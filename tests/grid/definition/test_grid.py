"""Which cells a grid file gives, and which of them a condition selects."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import yaml
from definition_support import BASE, TABLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.identity import cell_id
from grid.definition.grid import RESERVED, Grid, load_grid, shipped_grids


def labels(grid: Grid, where: list[str] | None = None) -> list[str]:
    """The cells' labels, in order, joined by spaces."""
    return [" ".join(cell.coordinates.values()) for cell in grid.where(where or [])]


class TestCells:
    """Which cells a definition gives."""

    def test_the_product_of_the_axes_the_last_fastest(self, load: Any) -> None:
        grid = load()
        assert labels(grid) == ["mlp 0", "mlp 1", "gcn 0", "gcn 1"]
        assert [list(cell.coordinates) for cell in grid.cells] == [["head", "seed"]] * 4
        assert (grid.name, grid.title, grid.cells[0].tables, grid.cells[0].subgrids) == (
            "my-grid",
            "",
            (),
            (),
        )

    def test_a_cell_is_the_run_that_its_labels_say(self, load: Any) -> None:
        for cell in load().cells:
            config = parse_config(
                {**BASE, "head": cell.coordinates["head"], "seed": int(cell.coordinates["seed"])}
            )
            assert (cell.config, cell.id) == (config, cell_id(config))

    def test_without_axes_it_is_one_cell(self, load: Any) -> None:
        [cell] = load(yaml.safe_dump({"base": BASE})).cells
        assert cell.coordinates == {} and cell.config == parse_config(BASE)

    @pytest.mark.parametrize(
        ("rules", "left"),
        [
            ([{"head": "gcn"}], ["mlp 0", "mlp 1"]),
            ([{"head": "gcn", "seed": 1}], ["mlp 0", "mlp 1", "gcn 0"]),
            ([{"head": ["gcn", "mlp"], "seed": [1]}], ["mlp 0", "gcn 0"]),
            ([{"head": "gcn", "seed": 0}, {"head": "mlp", "seed": 1}], ["mlp 0", "gcn 1"]),
        ],
    )
    def test_exclude(self, load: Any, rules: list[Any], left: list[str]) -> None:
        assert labels(load(exclude=rules)) == left

    def test_include_adds_cells_after_the_product(self, load: Any) -> None:
        extra = [
            {"head": "mean", "trainable": "k0", "epochs": 1},
            {"head": ["mlp", "gcn"], "seed": [7, 8]},
        ]
        grid = load(include=extra)
        assert labels(grid)[4:] == ["mean k0 1", "mlp 7", "mlp 8", "gcn 7", "gcn 8"]
        assert (grid.cells[4].config.epochs, grid.cells[4].config.seed) == (1, 0)

    def test_include_of_a_cell_that_is_there_adds_nothing(self, load: Any) -> None:
        assert len(load(include=[{"head": "gcn", "seed": 1}]).cells) == 4

    def test_include_takes_labels_of_an_axis_and_components(self, load: Any) -> None:
        modes = [
            {"label": "short", "set": {"epochs": 1, "batch_size": 2}},
            {"label": "long", "set": {"epochs": 9}},
        ]
        wide = {"label": "wide", "set": {"head": {"name": "mlp", "width": 512}}}
        grid = load(
            axes={"mode": modes},
            include=[
                {"mode": "short", "head": wide},
                {"mode": "long", "head": {"name": "gcn", "channels": [4]}},
            ],
        )
        added = [cell for cell in grid.cells if "head" in cell.coordinates]
        assert [cell.coordinates for cell in added] == [
            {"mode": "short", "head": "wide"},
            {"mode": "long", "head": "gcn"},
        ]
        assert (
            added[0].config.model_dump()["head"]["width"] == 512 and added[0].config.batch_size == 2
        )
        assert added[1].config.model_dump()["head"]["channels"] == (4,)

    def test_include_takes_the_value_of_an_axis_as_its_label(self, load: Any) -> None:
        axes = {"trainable.readout": [True, False], "data.fraction": [0.5, 1]}
        grid = load(
            base={**BASE, "trainable": {"blocks": 1}},
            axes=axes,
            include=[{"trainable.readout": True, "data.fraction": 1, "seed": 4}],
        )
        assert labels(grid) == ["true 0.5", "true 1", "false 0.5", "false 1", "true 1 4"]
        assert grid.cells[-1].config.trainable.readout and grid.cells[-1].config.data.fraction == 1

    def test_labelled_values_set_any_fields(self, load: Any) -> None:
        grid = load(
            axes={
                "regime": [
                    {"label": "frozen", "set": {"trainable": "k0", "optimizer.lr": 0.01}},
                    {"label": "full", "set": {"trainable": "all"}},
                ]
            },
            base={**BASE, "optimizer": {"name": "adam"}},
        )
        frozen, full = grid.cells
        assert (frozen.coordinates, str(frozen.config.trainable), frozen.config.optimizer.lr) == (
            {"regime": "frozen"},
            "k0",
            0.01,
        )
        assert (full.coordinates, str(full.config.trainable), full.config.optimizer.lr) == (
            {"regime": "full"},
            "all",
            5e-4,
        )

    def test_dotted_axes_set_nested_fields_and_leave_the_rest(self, load: Any) -> None:
        base = {**BASE, "optimizer": {"name": "adam", "weight_decay": 0.1}}
        grid = load(base=base, axes={"optimizer.lr": ["1e-3", 0.1], "data.fraction": [0.5]})
        assert labels(grid) == ["1e-3 0.5", "0.1 0.5"]
        assert [(c.config.optimizer.lr, c.config.optimizer.weight_decay) for c in grid.cells] == [
            (0.001, 0.1),
            (0.1, 0.1),
        ]
        assert all(
            c.config.data.name == "phantom" and c.config.data.fraction == 0.5 for c in grid.cells
        )
        assert base == {**BASE, "optimizer": {"name": "adam", "weight_decay": 0.1}}

    def test_a_dotted_axis_refines_a_component_that_is_not_written(self, load: Any) -> None:
        written = load(base={**BASE, "optimizer": "adam"}, axes={"optimizer.lr": [0.1]})
        left_out = load(axes={"optimizer.lr": [0.1]})
        assert [cell.id for cell in left_out.cells] == [cell.id for cell in written.cells]

    def test_a_dotted_axis_refines_a_component_of_another_axis(self, load: Any) -> None:
        grid = load(
            axes={"optimizer": ["adam", {"name": "sgd", "momentum": 0}], "optimizer.lr": [0.1]}
        )
        adam, sgd = (cell.config.optimizer for cell in grid.cells)
        assert (adam.name, adam.lr, adam.betas) == ("adam", 0.1, (0.9, 0.999))
        assert (sgd.name, sgd.lr, sgd.momentum) == ("sgd", 0.1, 0.0)

    def test_a_cell_does_not_depend_on_what_else_is_in_the_grid(self, load: Any) -> None:
        alone = load(axes={"seed": [1]}, base={**BASE, "head": "gcn"}).cells[0]
        assert alone.id == load().cells[3].id

    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.sets(st.sampled_from(["mlp", "gcn", "mean"]), min_size=1),
        st.sets(st.integers(0, 9), min_size=1, max_size=4),
        st.lists(
            st.fixed_dictionaries({"head": st.just("mlp"), "seed": st.integers(0, 9)}), max_size=3
        ),
    )
    def test_ids_are_distinct_and_order_of_values_is_only_order(
        self, load: Any, heads: set[str], seeds: set[int], out: list[Any]
    ) -> None:
        rules = [rule for rule in out if "mlp" in heads and rule["seed"] in seeds]
        expected = {
            (h, str(s))
            for h, s in itertools.product(heads, seeds)
            if {"head": h, "seed": s} not in rules
        }
        axes = {"head": sorted(heads), "seed": sorted(seeds)}
        if not expected:
            return
        grid = load(axes=axes, exclude=rules)
        backwards = load(
            axes={"seed": axes["seed"][::-1], "head": axes["head"][::-1]}, exclude=rules
        )
        assert {(c.coordinates["head"], c.coordinates["seed"]) for c in grid.cells} == expected
        assert len({c.id for c in grid.cells}) == len(grid.cells)
        assert {c.id: c.coordinates for c in grid.cells} == {
            c.id: c.coordinates for c in backwards.cells
        }


class TestSubgrids:
    """Named parts; the grid is their union."""

    SUBGRIDS = {
        "heads": {"base": {"epochs": 100}, "axes": {"head": ["mlp", "gcn"]}, "tables": ["one"]},
        "seeds": {"base": {"epochs": 100}, "axes": {"seed": [0, 1]}, "tables": ["two", "one"]},
        "short": {"axes": {"head": ["mlp"]}},
    }

    def test_union_with_merged_tags(self, load: Any) -> None:
        grid = load(
            yaml.safe_dump(
                {
                    "base": {**BASE, "epochs": 2},
                    "subgrids": self.SUBGRIDS,
                    "tables": {"one": TABLE, "two": TABLE},
                },
                sort_keys=False,
            )
        )
        found = [(c.coordinates, c.config.epochs, c.tables, c.subgrids) for c in grid.cells]
        assert found == [
            ({"seed": "0", "head": "mlp"}, 100, ("one", "two"), ("heads", "seeds")),
            ({"head": "gcn"}, 100, ("one",), ("heads",)),
            ({"seed": "1"}, 100, ("two", "one"), ("seeds",)),
            ({"head": "mlp"}, 2, (), ("short",)),
        ]
        assert labels(grid, ["subgrid=seeds"]) == ["0 mlp", "1"]
        assert (
            len(grid.where(["table=one"])) == 3
            and len(grid.where(["table=two", "subgrid=heads"])) == 1
        )

    def test_the_grids_own_axes_feed_all_tables(self, load: Any) -> None:
        grid = load(
            tables={"one": TABLE, "two": TABLE},
            subgrids={"more": {"axes": {"head": ["mean"]}, "tables": ["two"]}},
        )
        assert [(c.tables, c.subgrids) for c in grid.cells] == [(("one", "two"), ())] * 4 + [
            (("two",), ("more",))
        ]

    def test_include_feeds_the_tables_of_its_block(self, load: Any) -> None:
        assert load(tables={"one": TABLE}, include=[{"head": "mean"}]).cells[-1].tables == ("one",)


class TestWhere:
    """--where AXIS=LABEL[,LABEL]."""

    @pytest.mark.parametrize(
        ("conditions", "left"),
        [
            ([], ["mlp 0", "mlp 1", "gcn 0", "gcn 1", "mean"]),
            (["head=gcn"], ["gcn 0", "gcn 1"]),
            (["head=gcn,mean"], ["gcn 0", "gcn 1", "mean"]),
            (["head=gcn", "seed=1"], ["gcn 1"]),
            (["seed=0,1"], ["mlp 0", "mlp 1", "gcn 0", "gcn 1"]),
            (["head=gcn", "head=mlp"], []),
        ],
    )
    def test_all_conditions_and_any_of_their_labels(
        self, load: Any, conditions: list[str], left: list[str]
    ) -> None:
        assert labels(load(include=[{"head": "mean"}]), conditions) == left

    def test_a_range_of_integers_unless_it_is_a_label(self, load: Any) -> None:
        grid = load(
            axes={
                "head": ["mlp"],
                "seed": [*range(12), 610],
                "k": [{"label": "3-5", "set": {"epochs": 1}}, {"label": "4", "set": {"epochs": 2}}],
            }
        )
        assert [cell.coordinates["seed"] for cell in grid.where(["seed=2-9,11", "k=4"])] == [
            *map(str, range(2, 10)),
            "11",
        ]
        assert {cell.coordinates["k"] for cell in grid.where(["k=3-5"])} == {"3-5"}
        with pytest.raises(
            EchoLMError, match="--where seed=9-610: not all of them are there; valid: 0-11,610"
        ):
            grid.where(["seed=9-610"])

    @pytest.mark.parametrize(
        ("condition", "fragments"),
        [
            (
                "heda=gcn",
                [
                    "--where heda=...",
                    "grid my-grid has no such axis",
                    "did you mean 'head'",
                    "valid: head, seed, subgrid, table",
                ],
            ),
            ("head=gnc", ["--where head=gnc", "did you mean 'gcn'", "valid: gcn, mlp"]),
            ("seed=0,2", ["--where seed=2", "valid: 0, 1"]),
            ("seed=0-2", ["--where seed=0-2", "not all of them are there", "valid: 0-1"]),
            ("seed=1-0", ["--where seed=1-0", "valid: 0-1"]),
            ("head=0-1", ["--where head=0-1", "valid: gcn, mlp"]),
            ("epochs=100", ["no such axis"]),
            ("head", ["axis=label"]),
            ("head=", ["axis=label"]),
            ("table=one", ["--where table=one", "valid: (none)"]),
        ],
    )
    def test_mistakes(self, load: Any, condition: str, fragments: list[str]) -> None:
        with pytest.raises(EchoLMError) as caught:
            load().where([condition])
        assert [fragment for fragment in fragments if fragment not in str(caught.value)] == [], str(
            caught.value
        )


@pytest.mark.parametrize("name", list(shipped_grids()))
def test_shipped_grids_load_by_name(name: str) -> None:
    grid = load_grid(name)
    assert grid.name == name and grid.cells and grid.title
    assert all(cell.id == cell_id(cell.config) for cell in grid.cells)
    assert [cell.id for cell in grid.cells] == [cell.id for cell in load_grid(str(grid.path)).cells]


def test_ten_thousand_cells_expand(load: Any) -> None:
    axes = {
        "encoder": [
            "tiny-r3d",
            "tiny-mvit",
            "r3d-18",
            "mvit-v2-s",
            {"label": "r3d-18 bn", "set": {"encoder": {"name": "r3d-18", "batch_norm": "frozen"}}},
        ],
        "trainable": ["k0", "k1", "k2", "k3", "all"],
        "head": ["mlp", "gcn"],
        "augmentation": ["none", "bhoodoo2026"],
        "data.fraction": [0.01, 0.02, 0.05, 0.1, 1.0],
        "seed": list(range(20)),
    }
    grid = load(base={**BASE, "weights": "random"}, axes=axes)
    assert len({cell.id for cell in grid.cells}) == 10_000


def test_no_grid_is_collected_where_the_runs_of_no_grid_are() -> None:
    from grid.tracking.reader import SINGLE_RUNS

    assert RESERVED == SINGLE_RUNS
