"""Grids whose cells begin with the weights of other cells."""

from __future__ import annotations

from typing import Any

import pytest
from stage_definitions import FIRST, THEN, WHOLE, of, stages

from echolm.errors import EchoLMError
from grid.definition.grid import Grid


def part(grid: Grid, name: str) -> list[Any]:
    """The cells of a part."""
    return [cell for cell in grid.cells if name in cell.subgrids]


def test_a_reference_is_the_cell_that_it_names(load: Any) -> None:
    grid = load(stages(of({"head": "gcn", "seed": 1})))
    [named] = grid.where(["subgrid=first", "head=gcn", "seed=1"])
    for cell in part(grid, "then"):
        assert str(cell.config.weights) == f"run:{named.id}"
        assert cell.upstream == named
    assert all(cell.upstream is None for cell in part(grid, "first"))
    assert [cell.subgrids for cell in grid.cells[:3]] == [("then",)] * 3, "the file's order"


def test_a_label_of_a_reference_on_an_axis_can_be_typed(load: Any) -> None:
    then = {
        "base": {"trainable": "k0"},
        "axes": {"weights": ["random", of({"head": "mlp", "seed": 0})]},
    }
    grid = load({"axes": {}, "subgrids": {"first": FIRST, "then": then}})
    [cell] = grid.where(["weights=first mlp 0"])
    assert cell.upstream and cell.upstream.coordinates == {"head": "mlp", "seed": "0"}


def test_a_value_of_an_axis_may_set_it_among_other_fields(load: Any) -> None:
    values = []
    for seed in (0, 1):
        fields = {"seed": seed, "weights": of({"head": "mlp", "seed": seed})}
        values.append({"label": f"s{seed}", "set": fields})
    then = {"base": {"trainable": "k0"}, "axes": {"start": values}}
    grid = load({"axes": {}, "subgrids": {"then": then, "first": FIRST}})
    for cell, seed in zip(part(grid, "then"), "01", strict=True):
        assert cell.upstream.coordinates["seed"] == seed


def test_stages_follow_each_other(load: Any) -> None:
    last = {
        "base": {"trainable": "k0", "weights": of({"seed": 2}, "middle")},
        "axes": {"head": ["gcn"]},
    }
    middle = {
        "base": {**WHOLE, "weights": of({"head": "mlp", "seed": 0})},
        "axes": {"seed": [2]},
    }
    grid = load({"axes": {}, "subgrids": {"last": last, "middle": middle, "first": FIRST}})
    [cell] = part(grid, "last")
    assert cell.upstream.subgrids == ("middle",)
    assert cell.upstream.upstream.subgrids == ("first",)


def test_an_edited_stage_makes_other_cells_of_what_follows(load: Any) -> None:
    reference = of({"head": "mlp", "seed": 0})
    before = load(stages(reference))
    edited = {**FIRST, "base": {**WHOLE, "epochs": 3}}
    after = load(stages(reference, first=edited))
    for first, second in zip(part(before, "then"), part(after, "then"), strict=True):
        assert first.coordinates == second.coordinates and first.id != second.id


ITSELF = {"base": {"weights": of({}, "a")}, "axes": {"seed": [0]}}
OTHER = {"base": {"trainable": "k0", "weights": of({}, "b")}, "axes": {"seed": [0]}}
BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "several": (stages(of({"head": "mlp"})), ["2 cells", "seed=0", "seed=1", "begins from one"]),
    "no such part": (stages(of({}, "frist")), ["'frist' is not a subgrid", "'first'"]),
    "no such axis": (stages(of({"haed": "mlp"})), ["'haed' is not an axis", "did you mean 'head'"]),
    "no such label": (stages(of({"seed": 7})), ["axis seed has no value '7'", "valid: 0, 1"]),
    "left out": (
        stages(
            of({"head": "mlp", "seed": 1}),
            first={**FIRST, "exclude": [{"head": "mlp", "seed": 1}]},
        ),
        ["no cell is first head=mlp seed=1"],
    ),
    "a word too much": (stages({"of": "first", "were": {}}), ["subgrids.then: weights", "were"]),
    "no parts": (
        {"base": {"weights": of({})}, "axes": {"seed": [0]}},
        ["no subgrids", "write both stages as subgrids"],
    ),
    "itself": ({"axes": {}, "subgrids": {"a": ITSELF}}, ["a -> a", "circle"]),
    "each other": (
        {"axes": {}, "subgrids": {"a": OTHER, "b": ITSELF}},
        ["subgrids a -> b -> a", "none could be trained first"],
    ),
    "another encoder": (
        stages(
            of({"head": "mlp", "seed": 0}),
            first={**FIRST, "base": {**WHOLE, "encoder": "tiny-mvit"}},
        ),
        ["trains encoder tiny-mvit", "this run has tiny-r3d"],
    ),
    "not a whole encoder": (
        stages(of({"head": "mlp", "seed": 0}), first={**FIRST, "base": {"trainable": "k1"}}),
        ["trains k1 of its encoder", "trainable: all"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_reference_that_names_no_single_cell_is_one_clear_error(load: Any, case: str) -> None:
    values, words = BAD[case]
    with pytest.raises(EchoLMError) as raised:
        load(values)
    text = str(raised.value)
    assert len(text.splitlines()) == 1 and "my-grid.yaml" in text
    for word in words:
        assert word in text, text


def test_a_reference_outside_a_grid_says_what_to_write() -> None:
    from echolm.config import parse_config

    values = {"data": "d", "task": "landmarks", "encoder": "tiny-r3d", "head": "mlp"}
    with pytest.raises(EchoLMError, match="in a grid's file alone; elsewhere write run:CELL"):
        parse_config({**values, "trainable": "k0", "weights": of({})})


def test_a_batch_that_must_be_whole_is_refused_on_several_ranks(load: Any) -> None:
    """By whichever component, when the grid is read."""
    frozen = {"trainable": "k0", "encoder": {"name": "tiny-r3d", "batch_norm": "frozen"}}
    blocks = {
        "encoder tiny-r3d with batch_norm: batch": {"trainable": "all"},
        "fusion stf-net with statistics": {**frozen, "fusion": "stf-net"},
        "head linear-bn with statistics": {**frozen, "head": "linear-bn"},
    }
    for reason, base in blocks.items():
        block = {"base": base, "axes": {"seed": [0]}}
        for asked in ({"gpus": 2}, {"ranks": 4}):
            ranks = next(iter(asked.values()))
            with pytest.raises(EchoLMError, match=f"seed=0: {reason}.* are {ranks} ranks; valid"):
                load({"axes": {}, "subgrids": {"a": {**block, "resources": asked}}})
        load({"axes": {}, "subgrids": {"a": {**block, "resources": {"gpus": 1}}}})
    plain = {"base": frozen, "axes": {"seed": [0]}, "resources": {"gpus": 2}}
    load({"axes": {}, "subgrids": {"a": plain}})


def test_resources_of_a_block_stand_over_those_of_the_grid(load: Any) -> None:
    encoder = {"name": "tiny-r3d", "batch_norm": "frozen"}
    first = {**FIRST, "base": {**WHOLE, "encoder": encoder}}
    parts = {"first": {**first, "resources": {"gpus": 8}}, "then": THEN}
    grid = load({"axes": {}, "subgrids": parts, "resources": {"gpus": 1, "minutes": 30}})
    assert part(grid, "first")[0].resources.stated == {"gpus": 8, "minutes": 30}
    assert part(grid, "then")[0].resources.stated == {"gpus": 1, "minutes": 30}
    plain = load({"axes": {}, "subgrids": {"first": first, "then": THEN}})
    assert [cell.id for cell in plain.cells] == [cell.id for cell in grid.cells]


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"gpu": 8}, "gpu"),
        ({"slots": 0}, "slots"),
        ({"gpus": 8, "ranks": 2}, "leave ranks out"),
    ],
)
def test_resources_that_cannot_be_are_refused(
    load: Any, resources: dict[str, Any], words: str
) -> None:
    with pytest.raises(EchoLMError, match=words):
        load({"resources": resources})


class TestKeep:
    """What blocks say of weights, which others may begin with."""

    def test_weights_that_are_not_kept_are_no_stage(self, load: Any) -> None:
        first = {**FIRST, "resources": {"keep": "none"}}
        definition = stages(of({"head": "gcn", "seed": 1}))
        definition["subgrids"]["first"] = first
        with pytest.raises(EchoLMError) as caught:
            load(definition)
        for words in (
            "begins with the weights of cell",
            "whose block says keep: none",
            "keep: best",
        ):
            assert words in str(caught.value)

    def test_a_cell_of_two_blocks_keeps_what_either_asks_for(self, load: Any) -> None:
        for one, other, kept in (
            ("none", "half", "half"),
            ("half", "best", "best"),
            ("none", None, "best"),
            ("none", "none", "none"),
            (None, None, None),
        ):
            blocks = {}
            for name, keep in (("a", one), ("b", other)):
                resources = {"keep": keep} if keep else {}
                blocks[name] = {"axes": {"seed": [0]}, "resources": resources}
            grid = load({"axes": {}, "subgrids": blocks})
            assert [cell.resources.keep for cell in grid.cells] == [kept]

    def test_it_moves_no_key(self, load: Any) -> None:
        plain = stages(of({"head": "gcn", "seed": 1}))
        keeping = stages(of({"head": "gcn", "seed": 1}))
        keeping["subgrids"]["then"]["resources"] = {"keep": "none", "checkpoint_minutes": 5}
        assert [cell.id for cell in load(plain).cells] == [cell.id for cell in load(keeping).cells]
