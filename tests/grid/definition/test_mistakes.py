"""What each mistake in a grid file is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from definition_support import BASE, TABLE

from echolm.errors import EchoLMError
from grid.definition.grid import load_grid

LABELLED = {"label": "a", "set": {"epochs": 1}}
MISTAKES: dict[str, tuple[Any, list[str]]] = {
    "unknown section": (
        {"axis": {}},
        ["unknown field 'axis'", "did you mean 'axes'", "valid: axes, base, claims, exclude"],
    ),
    "unknown section of a subgrid": (
        {"subgrids": {"s": {"axs": {}}}},
        ["subgrids.s: ", "'axs'", "did you mean 'axes'"],
    ),
    "axis that is no field": (
        {"axes": {"heda": ["mlp"]}},
        ["axes.heda", "no field 'heda'", "did you mean 'head'", "{label: ..., set: {...}}"],
    ),
    "axis without values": (
        {"axes": {"head": []}},
        ["axes.head: an axis needs at least one value"],
    ),
    "axis that is no list": ({"axes": {"head": "mlp"}}, ["axes.head: ", "valid: a list", "'mlp'"]),
    "axis of another type": ({"axes": ["head"]}, ["axes: ", "valid: a mapping"]),
    "value twice": (
        {"axes": {"seed": [0, 1, 0]}},
        ["axes.seed: two values are labelled '0'", "{label: ..., set: {seed: ...}}"],
    ),
    "two components of one name": (
        {"axes": {"head": [{"name": "mlp", "width": 1}, {"name": "mlp", "width": 2}]}},
        ["axes.head: two values are labelled 'mlp'"],
    ),
    "two cells of one name": (
        {"include": [{"head": {"name": "mlp", "width": 9}, "seed": 0}]},
        ["two different cells have the labels head=mlp seed=0"],
    ),
    "two values that are one": (
        {"axes": {"epochs": [1, {"label": "one", "set": {"epochs": 1}}], "seed": [0]}},
        ["axes.epochs: 1 and one give one and the same cell", "leave one out"],
    ),
    "two order seeds that are one": (
        {"axes": {"seed": [3], "order_seed": [{"label": "same", "set": {}}, 3]}},
        ["axes.order_seed: same and 3 give one and the same cell"],
    ),
    "value of the axis that is included again": (
        {"include": [{"head": {"label": "MLP", "set": {"head": "mlp"}}, "seed": 0}]},
        ["axes.head: mlp and MLP give one and the same cell"],
    ),
    "range of seeds backwards": (
        {"axes": {"seed": "4-0"}},
        ["axes: seed: '4-0' is not a range: write the smaller number first"],
    ),
    "range of a billion seeds": ({"axes": {"seed": ["0-999999999"]}}, ["at most 1,000 numbers"]),
    "seeds twice": ({"axes": {"seed": ["0-4", 3]}}, ["axes.seed: two values are labelled '3'"]),
    "range with zeros": (
        {"axes": {"seed": ["00-04"]}},
        ["seed: '00-04' is not valid; ", "a whole number"],
    ),
    "range of no seed": (
        {"axes": {"epochs": ["1-3"]}},
        ["epochs: '1-3' is not valid; ", "a whole number"],
    ),
    "excluded range backwards": (
        {"exclude": [{"seed": "1-0"}]},
        ["exclude[0]: seed: '1-0' is not a range"],
    ),
    "unknown component": (
        {"axes": {"head": ["mlp", "gnc"]}},
        ["cell head=gnc: head: unknown head 'gnc'", "did you mean 'gcn'"],
    ),
    "wrong type": (
        {"axes": {"epochs": ["ten"]}},
        ["cell epochs=ten: epochs: 'ten' is", "whole number"],
    ),
    "cell that cannot be built": (
        {"axes": {"trainable": ["k1", "k9"]}},
        ["cell trainable=k9: trainable.blocks: 9", "has 4", "k0 to k4, all"],
    ),
    "unknown field in base": (
        {"base": {**BASE, "epoch": 3}},
        ["unknown field 'epoch'", "did you mean 'epochs'"],
    ),
    "base without a field": (
        {"base": {"data": "d"}},
        ["task: is missing", "encoder: is missing"],
    ),
    "dotted field of a plain one": (
        {"base": {**BASE, "seed": 1}, "axes": {"seed.x": [1]}},
        ["seed.x: seed is 1, which has no fields of its own"],
    ),
    "dotted field that is unknown": (
        {"axes": {"data.fracton": [1]}},
        ["cell data.fracton=1: data: unknown field 'fracton'", "did you mean 'fraction'"],
    ),
    "labelled value with an unknown field": (
        {"axes": {"mode": [{"label": "a", "set": {"epoch": 1}}]}},
        ["axes.mode: set.epoch", "did you mean 'epochs'"],
    ),
    "label that is no text": (
        {"axes": {"mode": [{**LABELLED, "label": 1}]}},
        ["axes.mode: label: ", "valid: a text"],
    ),
    "labelled value that sets no mapping": (
        {"axes": {"mode": [{"label": "a", "set": 3}]}},
        ["axes.mode: set: ", "valid: a mapping"],
    ),
    "exclude of no axis": (
        {"exclude": [{"head": "mlp"}, {"sed": 0}]},
        ["exclude[1]: 'sed' is not an axis", "did you mean 'seed'", "valid: head, seed"],
    ),
    "exclude of no value": (
        {"exclude": [{"head": ["mlp", "gnc"]}]},
        ["exclude[0]: axis head has no value 'gnc'", "did you mean 'gcn'", "valid: gcn, mlp"],
    ),
    "exclude of nothing": ({"exclude": [{}]}, ["exclude[0]: an empty rule", "valid: axis: label"]),
    "exclude of everything": (
        {"exclude": [{"head": ["mlp", "gcn"]}]},
        ["no cells; every combination of the axes is excluded"],
    ),
    "exclude that is no list": ({"exclude": {"head": "mlp"}}, ["exclude: ", "valid: a list"]),
    "exclude beside subgrids alone": (
        {"axes": {}, "exclude": [{"head": "mlp"}], "subgrids": {"s": {"axes": {"head": ["mlp"]}}}},
        ["exclude[0]: 'head' is not an axis"],
    ),
    "include of no field": (
        {"include": [{"heda": "mlp"}]},
        ["include[0].heda: a run has no field 'heda'", "did you mean 'head'"],
    ),
    "include of no value": (
        {"include": [{"head": []}]},
        ["include[0].head: needs at least one value"],
    ),
    "include that is no mapping": ({"include": ["gcn"]}, ["include.0: ", "valid: a mapping"]),
    "unknown table": (
        {
            "tables": {"main": TABLE},
            "subgrids": {"s": {"axes": {"head": ["mean"]}, "tables": ["mian"]}},
        },
        ["subgrids.s: tables: 'mian' is not defined", "did you mean 'main'"],
    ),
    "mistake in a table": (
        {"tables": {"main": {"title": "x", "rows": ["head"]}}},
        ["tables.main.columns: ", "is missing"],
    ),
    "mistake in a subgrid's cell": (
        {"subgrids": {"s": {"axes": {"head": ["gnc"]}}}},
        ["subgrids.s: cell head=gnc: head: "],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_the_file_the_entry_and_what_is_valid(
    mistake: str, load: Any, tmp_path: Path
) -> None:
    changes, fragments = MISTAKES[mistake]
    with pytest.raises(EchoLMError) as caught:
        load(changes)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "my-grid.yaml") + ": ")
    assert [fragment for fragment in fragments if fragment not in message] == [], message


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("", "a grid definition is a mapping with 'axes'; this is NoneType"),
        ("- head\n", "a grid definition is a mapping with 'axes'; this is list"),
        ("axes: {head: [mlp]}\nbase: {}\naxes: {seed: [0]}\n", "'axes' is given twice"),
        ("axes: {head: [mlp], seed: [0], head: [gcn]}\n", "'head' is given twice"),
        ("axes: {head: [mlp", "not valid YAML"),
        ("axes: {1: [mlp]}\n", "axes.1"),
    ],
)
def test_a_file_that_is_no_definition_is_named(
    load: Any, tmp_path: Path, text: str, fragment: str
) -> None:
    with pytest.raises(EchoLMError) as caught:
        load(text)
    assert str(tmp_path / "my-grid.yaml") in str(caught.value) and fragment in str(caught.value)


@pytest.mark.parametrize(
    "stem", ["my grid", "grid;x", "größe", "-grid", ".grid", "a,b", "a=b", "a`b", "a\nb"]
)
def test_a_name_that_cannot_be_tracked_or_typed_is_refused(
    load: Any, tmp_path: Path, stem: str
) -> None:
    path = load().path.rename(tmp_path / f"{stem}.yaml")
    with pytest.raises(EchoLMError) as caught:
        load_grid(str(path))
    assert f"{path}: " in str(caught.value) and "valid: letters, digits, '.', '_' and '-'" in str(
        caught.value
    )


@pytest.mark.parametrize("stem", ["g", "nldl2026-phantom", "My_grid.v2", "2026"])
def test_a_name_of_letters_digits_and_marks_is_fine_in_any_folder(
    load: Any, tmp_path: Path, stem: str
) -> None:
    (tmp_path / "it's a folder").mkdir()
    assert (
        load_grid(str(load().path.rename(tmp_path / "it's a folder" / f"{stem}.yaml"))).name == stem
    )


def test_a_grid_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        EchoLMError, match="no grid 'dmeo'; did you mean 'demo'.*or give the path of a .yaml file"
    ):
        load_grid("dmeo")
    with pytest.raises(EchoLMError, match="nowhere.yaml: cannot be read: No such file"):
        load_grid(str(tmp_path / "nowhere.yaml"))
