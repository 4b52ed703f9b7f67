"""The grids of foundation models: one recipe for all, and the same form in small."""

from __future__ import annotations

import pytest

from echolm.config import FinetuneConfig
from grid.definition.grid import Grid, load_grid
from grid.definition.table_cells import cells_of_table

NAMES = ("foundation-models", "foundation-models-phantom")
ADAPTATIONS = {"frozen linear", "frozen ridge", "last two blocks", "all"}


@pytest.fixture(scope="module", params=NAMES)
def grid(request: pytest.FixtureRequest) -> Grid:
    return load_grid(request.param)


def test_every_encoder_is_adapted_in_the_same_ways(grid: Grid) -> None:
    """Equal learning rates, epochs, batches and heads: no encoder is tuned alone."""
    recipes: dict[tuple[str, str], set[str]] = {}
    adaptations: dict[str, set[str]] = {}
    for cell in grid.cells:
        own, labels = cell.config, cell.coordinates
        if not isinstance(own, FinetuneConfig) or labels["encoder"] == "constant":
            continue
        adaptations.setdefault(labels["encoder"], set()).add(labels["adaptation"])
        fields = own.model_dump(exclude={"encoder", "weights", "seed"})
        recipes.setdefault((labels["adaptation"], labels["measure"]), set()).add(str(fields))
    assert len(adaptations) == 6 and set(map(frozenset, adaptations.values())) == {
        frozenset(ADAPTATIONS)
    }
    assert {len(found) for found in recipes.values()} == {1}
    assert len(recipes) == 4 * 4 - 1, "ridge gives no classes"


def test_columns_have_their_cells_and_what_they_cost(grid: Grid) -> None:
    [name] = grid.tables
    rows = cells_of_table(grid, name)
    assert len(rows) == 6 * 4 + 1
    costs = [column.cost for column in grid.tables[name].columns if column.cost]
    assert costs == ["parameters", "trainable_parameters", "flops", "seconds"]
    for labels, columns in rows.items():
        empty = [not cells for cells in columns]
        assert empty == [False] * 4 + [labels[1] == "frozen ridge"] + [False] * 4


def test_the_phantom_begins_from_its_own_pretraining() -> None:
    grid = load_grid("foundation-models-phantom")
    begins = {}
    for cell in grid.cells:
        if cell.upstream is not None:
            begins[cell.coordinates["encoder"]] = cell.upstream.coordinates["method"]
    assert begins == {
        "tiny-echo-vision-fm": "masked autoencoder",
        "tiny-echofm": "EchoFM",
        "tiny-videomae": "other pictures",
    }
