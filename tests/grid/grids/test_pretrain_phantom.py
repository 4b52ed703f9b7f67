"""The grid ``pretrain-phantom``: which cell begins with which weights. Nothing is trained."""

from __future__ import annotations

import shlex
from pathlib import Path

from grid.definition.grid import load_grid

NAME = "pretrain-phantom"
SHIPPED = Path(__file__).parents[3] / "grid" / "grids" / f"{NAME}.yaml"


def test_downstream_seed_i_begins_from_pretraining_seed_i() -> None:
    grid = load_grid(NAME)
    pretrained = grid.where(["subgrid=pretraining"])
    upstream = {cell.config.seed: f"run:{cell.id}" for cell in pretrained}
    assert sorted(upstream) == [0, 1, 2]
    settings = set()
    for cell in grid.where(["table=volumes,landmarks"]):
        labels = cell.coordinates
        settings.add((labels["measure"], labels["start"], labels["trainable"]))
        begins = upstream[cell.config.seed] if labels["start"] == "pretrained" else "random"
        assert str(cell.config.weights) == begins
        assert labels["seed"] == str(cell.config.seed)
    rows = [("random", "k0"), ("pretrained", "k0"), ("pretrained", "k2"), ("pretrained", "all")]
    measures = ("EDV", "landmarks")
    assert settings == {(measure, *row) for measure in measures for row in rows}
    assert len(grid.where(["table=volumes,landmarks"])) == 3 * len(settings)


def test_the_file_says_how_its_store_is_made() -> None:
    prefix = "#   echolm "
    lines = [line for line in SHIPPED.read_text().splitlines() if line.startswith(prefix)]
    phantom, prepare, launch = (shlex.split(line.removeprefix(prefix)) for line in lines)
    assert launch == ["launch", NAME, "--tables"]
    assert phantom[:3] == ["data", "phantom", "echonet-dynamic"]
    assert prepare[:4] == ["data", "prepare", "echonet-dynamic", phantom[3]]
    stores = {cell.config.data.name for cell in load_grid(NAME).cells}
    assert stores == {prepare[prepare.index("--name") + 1]}
