"""Copies of grids: word for word, or with other seeds; cells that stay the same keep their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from echolm.cli.grid import _numbers
from echolm.errors import EchoLMError
from echolm.text import ranges
from grid.definition.copy import copy_grid, with_seeds
from grid.definition.grid import load_grid, shipped_grids


def ids(name: str | Path) -> set[str]:
    return {cell.id for cell in load_grid(str(name)).cells}


@pytest.mark.parametrize("name", shipped_grids())
def test_a_copy_is_the_grid_under_another_name(name: str, tmp_path: Path) -> None:
    source = load_grid(name)
    copied = copy_grid(source, tmp_path / "new" / "mine.yaml")
    schema, _, rest = shipped_grids()[name].read_bytes().partition(b"\n")
    assert schema.startswith(b"# yaml-language-server: ") and copied.path.read_bytes() == rest
    assert copied.name == "mine"
    assert ids(copied.path) == {cell.id for cell in source.cells}
    assert list(copied.tables) == list(source.tables)


@pytest.mark.parametrize("name", shipped_grids())
def test_further_seeds_leave_the_cells_that_were_there(name: str, tmp_path: Path) -> None:
    source = load_grid(name)
    copied = copy_grid(source, tmp_path / "more.yaml", range(5))
    source_ids = {cell.id for cell in source.cells}
    assert source_ids < ids(copied.path)
    new = {cell.coordinates["seed"] for cell in copied.cells if cell.id not in source_ids}
    assert new <= {"0", "1", "2", "3", "4"} and {"3", "4"} <= new
    by_rest: dict[tuple[Any, ...], set[str]] = {}
    for cell in copied.cells:
        rest = tuple(sorted(item for item in cell.coordinates.items() if item[0] != "seed"))
        by_rest.setdefault(rest, set()).add(cell.coordinates["seed"])
    assert {len(seeds) for seeds in by_rest.values()} <= {1, 5}, (
        "every value has all seeds, or is one that draws nothing"
    )
    of_pretraining = {cell.upstream.coordinates["seed"] for cell in copied.cells if cell.upstream}
    assert of_pretraining in (set(), {"0"}, {"0", "1", "2", "3", "4"}), "one, or each seed its own"
    assert "*" not in copied.path.read_text(), "no aliases: the file is to be read and edited"


def test_seeds_that_set_more_than_their_number_are_refused() -> None:
    """Else what they set would be lost without a word."""

    def seed(number: int, lr: float) -> dict[str, Any]:
        return {"label": str(number), "set": {"seed": number, "optimizer.lr": lr}}

    assert with_seeds({"axes": {"seed": [seed(0, 0.1), seed(1, 0.1)]}}, [5, 7], "g.yaml") == {
        "axes": {"seed": [seed(5, 0.1), seed(7, 0.1)]}
    }
    with pytest.raises(EchoLMError, match="g.yaml: axes.seed: what its values set differs by more"):
        with_seeds({"axes": {"seed": [seed(0, 0.1), seed(1, 0.2)]}}, [5, 7], "g.yaml")


def test_one_seed_everywhere_becomes_several() -> None:
    assert with_seeds({"axes": {"head": ["mlp"], "seed": [0]}}, [0, 1], "g.yaml") == {
        "axes": {"head": ["mlp"], "seed": [0, 1]}
    }
    with pytest.raises(EchoLMError, match="g.yaml: has no axis 'seed'"):
        with_seeds({"axes": {"head": ["mlp"]}}, [0, 1], "g.yaml")


def test_nothing_is_written_over_or_half(tmp_path: Path) -> None:
    (tmp_path / "there.yaml").write_text("mine")
    bare = tmp_path / "bare.yaml"
    bare.write_text(
        yaml.safe_dump(
            {
                "base": {
                    "data": "tiny",
                    "task": "landmarks",
                    "encoder": "tiny-r3d",
                    "trainable": "all",
                },
                "axes": {"head": ["mlp"]},
            }
        )
    )
    for source, target, message in (
        ("demo", "there.yaml", "is there already"),
        ("demo", "demo.txt", "name it demo.txt.yaml"),
        ("demo", "a b.yaml", "cannot be a name"),
        (str(bare), "new.yaml", "has no axis 'seed'"),
    ):
        with pytest.raises(EchoLMError, match=message):
            copy_grid(load_grid(source), tmp_path / target, [0, 1, 2])
    assert (tmp_path / "there.yaml").read_text() == "mine" and {
        path.name for path in tmp_path.iterdir()
    } == {"there.yaml", "bare.yaml"}


@given(st.sets(st.integers(0, 40), min_size=1))
def test_ranges_are_read_as_they_are_written(numbers: set[int]) -> None:
    assert _numbers(ranges(numbers)) == sorted(numbers)
    assert ranges([0, 1, 2, 5]) == "0-2,5"


@pytest.mark.parametrize(
    "seeds",
    [
        [{"label": "0", "set": {"seed": 0, "epochs": 1}}],
        [0, {"label": "1", "set": {"seed": 1, "epochs": 2}}],
    ],
)
def test_seeds_of_which_one_does_not_tell_what_follows_them_are_refused(seeds: list[Any]) -> None:
    with pytest.raises(EchoLMError, match="g.yaml: axes.seed: "):
        with_seeds({"axes": {"seed": seeds}}, [5, 7], "g.yaml")
