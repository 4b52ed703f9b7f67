"""A table that is judged in blocks says what it says in one piece, and reads each file once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dice_rows import dice_at_ed

from grid.definition.tables import TableDefinition
from grid.statistics import RESAMPLES
from grid.tables import blocks, predictions
from grid.tables.build import build
from grid.tables.render.data import plain
from grid.tables.render.markdown import markdown

COLUMNS = [
    {"metric": "dice", "label": "Dice"},
    {"metric": "mke", "label": "MKE"},
    {"metric": "dice", "statistic": "median", "label": "Median", "better": "higher"},
    {"metric": "dice", "statistic": "std", "label": "Std"},
]


@pytest.fixture
def mixed(grid: Any, results: Any) -> Any:
    """Values that are compared, incomplete, far behind, not finite, and of other patients."""
    grid.tables["main"] = TableDefinition.model_validate(
        {"title": "T", "rows": ["encoder", "head"], "columns": COLUMNS}
    )
    for index, cell in enumerate(grid.cells):
        if cell.id == "tiny-mvit.gcn.2":
            continue
        random = np.random.default_rng(index)
        patients = 36 if cell.id.startswith("tiny-mvit.mlp") else 40
        dice = np.linspace(80, 99, patients) + random.normal(0, 0.5, patients)
        if cell.id == "tiny-r3d.gcn.1":
            dice -= 50
        if cell.id == "tiny-mvit.gcn.0":
            dice[3] = np.nan
        mke = random.uniform(1, 3, patients) + 5 * (patients == 36)
        results.run(cell.id, table=dice_at_ed(dice, mke=mke))
    return grid


def close(one: Any, other: Any) -> bool:
    """Equal but for the last digits of numbers: a product in parts may sum in another order."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float):
        return bool(one == pytest.approx(other, rel=1e-9))
    return bool(one == other)


@pytest.mark.parametrize("values", [1, 3, 7])
@pytest.mark.parametrize("kind", ["crossed-95", "bootstrap-90", "std-over-seeds"])
def test_blocks_change_nothing(
    mixed: Any, results: Any, values: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``values``: that fit into a block."""
    whole = build(mixed, "main", results.folder, kind)
    assert any(value.far_behind for value in whole.values)
    assert any(value.diverged for value in whole.values)
    monkeypatch.setattr(blocks, "HELD_DRAWS", 4 * values * RESAMPLES)
    parts = build(mixed, "main", results.folder, kind)
    assert close(plain(parts), plain(whole))
    assert markdown(parts) == markdown(whole)
    assert [value.standing and value.standing.reason for value in parts.values] == [
        value.standing and value.standing.reason for value in whole.values
    ]


def test_a_table_in_blocks_holds_no_draws(
    mixed: Any, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = build(mixed, "main", results.folder)
    assert all(value.resampled is not None for value in whole.values if value.number)
    monkeypatch.setattr(blocks, "HELD_DRAWS", RESAMPLES)
    parts = build(mixed, "main", results.folder)
    compared = 0
    for value in parts.values:
        assert value.resampled is None
        if value.standing is not None and value.standing.comparison is not None:
            compared += 1
            assert not len(value.standing.comparison.uncertainty.draws)
    assert compared


def test_the_file_of_a_run_is_read_once_for_all_columns_and_seeds(
    mixed: Any, results: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = predictions.read_known_columns

    def counted(path: Any, needed: Any, wanted: Any) -> Any:
        read.append(path.name)
        return original(path, needed, wanted)

    monkeypatch.setattr(predictions, "read_known_columns", counted)
    build(mixed, "main", results.folder)
    runs = {f"{run['fingerprint'][:16]}.parquet" for run in results.runs}
    assert sorted(name for name in read if name in runs) == sorted(runs)


def test_runs_of_one_test_set_share_their_samples(mixed: Any, results: Any) -> None:
    first, second, *_ = (row.values for row in build(mixed, "main", results.folder).rows)
    assert first[0].resampled.runs.samples is second[1].resampled.runs.samples
    assert first[0].resampled.runs.owner is second[1].resampled.runs.owner
