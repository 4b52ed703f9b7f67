"""Two values by their labels: found or told what to add.

Seeds to run, and the commands for that.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dice_rows import dice_at_ed

from echolm.errors import EchoLMError
from grid.definition.tables import TableDefinition
from grid.statistics import compare, seeds_needed
from grid.tables.build import build
from grid.tables.compare import column_of, pair, selected
from grid.tables.comparison_text import remarks
from grid.tables.seeds_to_add import (
    SeedsToAdd,
    check_plannable,
    seed_steps,
    why_copy_lacks_seeds,
)
from grid.tables.table import LOCAL

A, B = "encoder=tiny-r3d,head=mlp", "encoder=tiny-mvit,head=mlp"


def test_cells_that_differ_in_their_seed_alone(grid: Any) -> None:
    found = selected(grid, "head=gcn,encoder=tiny-r3d")
    assert [cell.id for cell in found.cells] == [
        "tiny-r3d.gcn.0",
        "tiny-r3d.gcn.1",
        "tiny-r3d.gcn.2",
    ]
    assert found.seeds == ("0", "1", "2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "head=gcn",
            "fits 6 cells that differ in more than their seed; add encoder=tiny-mvit|tiny-r3d",
        ),
        ("hea=gcn", "'hea' cannot tell values apart; did you mean 'head'"),
        ("seed=0", "'seed' cannot tell values apart; valid: augmentation, encoder, head"),
        ("head=gnc", "no cell has head=gnc; did you mean 'gcn'"),
        ("head", "write axis=label,axis=label"),
        ("head=gcn,mlp", "write axis=label,axis=label"),
        ("head=gcn,head=mlp", "axis head is named twice"),
    ],
)
def test_a_selection_that_is_not_one_value_says_what_to_type(
    grid: Any, text: str, message: str
) -> None:
    with pytest.raises(EchoLMError) as error:
        selected(grid, text)
    assert message in str(error.value)


def test_the_pair_has_the_numbers_of_the_table(grid: Any, results: Any, complete: Any) -> None:
    chosen = selected(grid, A), selected(grid, B)
    column = column_of(grid, chosen, "mke ED")
    first, second = (side.resampled for side in pair(grid, results.folder, *chosen, column))
    values = [row.values[2].number for row in build(grid, "main", results.folder).rows]
    assert first.estimate == values[0].estimate  # type: ignore[union-attr]
    assert second.estimate == values[2].estimate  # type: ignore[union-attr]
    assert compare(first, second).difference == pytest.approx(first.estimate - second.estimate)
    assert column_of(grid, chosen).heading == "Dice ED (%)"
    assert column_of(grid, chosen, "Dice ES (%)").slot == "ES"
    with pytest.raises(EchoLMError, match="valid: dice ED, dice ES, mke ED"):
        column_of(grid, chosen, "dice EX")


def test_a_column_of_one_label_is_compared_by_what_it_shows(grid: Any) -> None:
    """Its label may name the label: a comparison of other cells is not headed so."""
    columns = [
        {"metric": "dice", "slot": "ED", "where": {"encoder": encoder}, "label": encoder}
        for encoder in ("tiny-r3d", "tiny-mvit")
    ]
    grid.tables["main"] = TableDefinition.model_validate(
        {"title": "T", "rows": ["head"], "columns": columns}
    )
    chosen = selected(grid, B), selected(grid, "encoder=tiny-mvit,head=gcn")
    assert (
        column_of(grid, chosen).heading == column_of(grid, chosen, "dice ED").heading == "dice ED"
    )
    with pytest.raises(EchoLMError, match="--column 'tiny-r3d'"):
        column_of(grid, chosen, "tiny-r3d")


def test_a_value_without_runs_says_how_to_get_them(grid: Any, results: Any) -> None:
    results.run("tiny-r3d.mlp.0")
    chosen = selected(grid, A), selected(grid, B)
    with pytest.raises(
        EchoLMError,
        match=(
            "echolm launch small --on local --where encoder=tiny-mvit --where head=mlp, then: "
            "echolm collect small"
        ),
    ):
        pair(grid, results.folder, *chosen, column_of(grid, chosen))
    with pytest.raises(EchoLMError, match="are the same cells"):
        pair(grid, results.folder, chosen[0], chosen[0], column_of(grid, chosen))


@pytest.mark.parametrize(
    ("states", "message"),
    [
        (
            "failed",
            (
                "the run failed; type: echolm retry 'my grids/small.yaml' {}, then: echolm "
                "collect 'my grids/small.yaml'"
            ),
        ),
        (
            "running",
            (
                "the run is not complete yet; type: echolm status 'my grids/small.yaml' {}, "
                "then: echolm collect 'my grids/small.yaml'"
            ),
        ),
        ("complete", "the run was not collected; type: echolm collect 'my grids/small.yaml'"),
        (
            "failed pending",
            "the run failed; no complete run was collected; type: echolm retry 'my "
            "grids/small.yaml' {}, "
            "then: echolm launch 'my grids/small.yaml' --on local {}, then: echolm collect "
            "'my grids/small.yaml'",
        ),
    ],
)
def test_a_value_without_runs_gets_the_commands_that_its_states_need(
    grid: Any, results: Any, states: str, message: str
) -> None:
    """As a shell reads them."""
    results.run("tiny-r3d.mlp.0")
    grid.typed = "my grids/small.yaml"
    chosen, own = (
        (selected(grid, A), selected(grid, B)),
        dict(zip("012", (states.split() * 3)[:3], strict=True)),
    )
    with pytest.raises(EchoLMError) as error:
        pair(grid, results.folder, *chosen, column_of(grid, chosen), lambda cell: own[cell[-1]])
    where = "--where encoder=tiny-mvit --where head=mlp"
    assert str(error.value) == f"'{B}': {message.format(where, where)}"


def test_runs_that_make_no_number_are_not_launched_again(
    grid: Any, results: Any, complete: Any
) -> None:
    results.run("tiny-mvit.mlp.1", end=1, patients=23)
    chosen = selected(grid, A), selected(grid, B)
    with pytest.raises(EchoLMError, match="average only runs of one store$"):
        pair(grid, results.folder, *chosen, column_of(grid, chosen))


def one_column(grid: Any) -> None:
    """Dice at ED alone: all that ``sides`` has predictions of."""
    main = grid.tables["main"]
    grid.tables["main"] = main.model_copy(update={"columns": main.columns[:1]})


@pytest.fixture
def sides(grid: Any, results: Any) -> Any:
    """``sides(values)`` makes a comparison.

    Both values when the runs of the first have these means over 40 patients, those of the second
    90.
    """

    def make(*values: float, synthetic: bool = False) -> Any:
        one_column(grid)
        random, results.runs = np.random.default_rng(1), []
        for encoder, means in (("tiny-r3d", values), ("tiny-mvit", (90.0, 90.1, 89.9))):
            for seed, mean in enumerate(means):
                results.run(
                    f"{encoder}.mlp.{seed}",
                    table=dice_at_ed(random.normal(mean, 4, 40)),
                    synthetic=synthetic,
                    problem="odd" if mean == 89.9 else None,
                )
        chosen = selected(grid, A), selected(grid, B)
        return pair(grid, results.folder, *chosen, column_of(grid, chosen))

    return make


def test_a_seed_far_behind_does_not_hide_in_a_comparison(sides: Any) -> None:
    found = sides(90.0, 20.0, 90.2)
    assert [run.seed for run in found[0].far_behind] == ["1"]
    assert not found[0].diverged
    assert not found[1].far_behind
    text = "\n".join(remarks(found))
    assert f"{A}: seed 1 is far behind its best seed" in text
    assert "counted in the number" in text
    assert "from 2 of 3 seeds" in text
    assert f"{B}: seed 2: odd." in text
    assert "not adjusted for others" in text
    assert "phantom" not in text
    check_plannable(found)


def test_a_run_that_diverged_in_another_column_of_the_table_is_diverged(
    grid: Any, results: Any, complete: Any
) -> None:
    table = complete["tiny-r3d.mlp.1"]
    worse = pa.array(
        [
            float("nan") if slot == "ED" and at == 0 else value
            for at, (value, slot) in enumerate(
                zip(table["dice"].to_pylist(), table["slot"].to_pylist(), strict=True)
            )
        ]
    )
    results.run(
        "tiny-r3d.mlp.1",
        end=1,
        table=table.set_column(table.column_names.index("dice"), "dice", worse),
    )
    chosen = selected(grid, A), selected(grid, B)
    for heading in ("Dice ES (%)", "mke ED"):
        found = pair(grid, results.folder, *chosen, column_of(grid, chosen, heading))
        assert [run.seed for run in found[0].diverged] == ["1"]
        assert not found[1].diverged
    assert "seed 1 diverged (in dice ED: " in found[0].failed


def test_both_are_held_against_the_baseline_of_their_table(
    grid: Any, results: Any, sides: Any, cell: Any
) -> None:
    """Which may be one of them."""
    grid.cells.append(cell("mean", {"encoder": "none", "head": "mean", "seed": "0"}, ("main",)))
    grid.tables["main"] = grid.tables["main"].model_copy(update={"baseline": {"head": "mean"}})
    sides(90.0, 90.2, 90.4)
    results.run("mean", table=dice_at_ed(np.full(40, 100.0)))
    chosen = selected(grid, A), selected(grid, "head=mean")
    found = pair(grid, results.folder, *chosen, column_of(grid, chosen))
    assert remarks(found)[0] == f"{A}: not better than the mean contour (100.00)."
    assert not found[0].diverged
    assert not found[1].notes
    check_plannable(found)


def test_a_sound_comparison_says_only_what_p_is_of(sides: Any) -> None:
    found = sides(90.0, 90.2, 90.4)
    check_plannable(found)
    assert [note for note in remarks(found) if "odd" not in note] == [
        "Every p is of this comparison alone, not adjusted for others: a table's bold print is."
    ]
    assert any(
        f"{A} and {B}: synthetic data (phantom)" in note
        for note in remarks(sides(90.0, 90.2, 90.4, synthetic=True))
    )


def test_a_mean_that_is_not_defined_is_refused_with_its_cell(sides: Any) -> None:
    with pytest.raises(
        EchoLMError, match="cell tiny-r3d.mlp.1: seed 1 diverged .* is nan.*lower learning rate"
    ):
        sides(90.0, float("nan"), 90.2)


def test_a_training_that_ended_without_predictions_is_told_of(grid: Any, results: Any) -> None:
    for seed in "02":
        results.run(f"tiny-r3d.mlp.{seed}")
    chosen = selected(grid, A), selected(grid, B)
    with pytest.raises(
        EchoLMError,
        match=(
            "cells tiny-mvit.mlp.0, tiny-mvit.mlp.1, tiny-mvit.mlp.2: seeds 0, 1, 2 diverged "
            ".*no other run was collected.*lower learning rate"
        ),
    ):
        pair(grid, results.folder, *chosen, column_of(grid, chosen), state=lambda cell: "diverged")
    for seed in "012":
        results.run(f"tiny-mvit.mlp.{seed}")
    found = pair(
        grid, results.folder, *chosen, column_of(grid, chosen), state=lambda cell: "diverged"
    )
    assert f"{A}: seed 1 diverged" in remarks(found)[0]
    assert "not in the number" in remarks(found)[0]
    with pytest.raises(EchoLMError, match="cell tiny-r3d.mlp.1: seed 1 diverged"):
        check_plannable(found)


@pytest.fixture
def two_seeds(grid: Any, results: Any) -> Any:
    """``two_seeds(state)``: the seeds 0 and 1 of both values have runs.

    What is needed, and its steps.
    """

    def make(state: Any = None, more: tuple[int, int] | None = None) -> Any:
        one_column(grid)
        random = np.random.default_rng(0)
        for number, encoder in enumerate(("tiny-r3d", "tiny-mvit")):
            for seed in range(2):
                table = dice_at_ed(random.normal(90 + number, 4, 30))
                results.run(f"{encoder}.mlp.{seed}", table=table)
        chosen = selected(grid, A), selected(grid, B)
        sides = pair(grid, results.folder, *chosen, column_of(grid, chosen), state)
        needed = seeds_needed(sides[0].resampled, sides[1].resampled)
        assert needed.outcome == "unknown"
        assert needed.more == (1, 1)
        needed = replace(needed, more=more or needed.more)
        return seed_steps(grid, list(zip(chosen, sides, strict=True)), needed, LOCAL)

    return make


def plain(step: SeedsToAdd) -> tuple[str, list[str], tuple[str, ...]]:
    return step.command.verb, list(step.command.where), step.new


def test_seeds_to_run_are_first_those_that_the_grid_has(grid: Any, two_seeds: Any) -> None:
    where = ["encoder=tiny-r3d", "head=mlp", "seed=2"]
    assert plain(two_seeds()[0]) == ("launch", where, ())
    assert plain(two_seeds(more=(2, 0))[0]) == ("launch", [*where[:2], "seed=2-3"], ("3",))
    grid.cells = [cell for cell in grid.cells if not cell.id.endswith("2")]
    assert plain(two_seeds()[0]) == ("launch", where, ("2",)), "the grid must get it first"


@pytest.mark.parametrize(
    ("state", "remedy"),
    [("failed", "retry"), ("cancelled", "retry"), ("running", "status"), ("complete", "collect")],
)
def test_a_seed_is_brought_by_the_command_that_its_state_needs(
    two_seeds: Any, state: str, remedy: str
) -> None:
    where = ["encoder=tiny-r3d", "head=mlp"]
    # A collect takes the whole grid.
    selection = [] if remedy == "collect" else [*where, "seed=2"]
    assert list(map(plain, two_seeds(lambda cell: state, (2, 0)))) == [
        (remedy, selection, ()),
        ("launch", [*where, "seed=3"], ("3",)),
    ]


def test_a_copy_that_keeps_the_one_seed_of_a_block_is_told(
    grid: Any, two_seeds: Any, tmp_path: Path
) -> None:
    grid.typed = str(tmp_path / "small.yaml")
    wanted = two_seeds(more=(2, 0))
    common = (
        "base: {data: tiny, task: landmarks, trainable: k0, augmentation: none, epochs: 1}\n"
        "subgrids:\n"
    )
    block = "  {name}: {{axes: {{encoder: [{encoder}], head: [mlp], seed: {seeds}}}}}\n"
    other = block.format(name="other", encoder="tiny-mvit", seeds=[0, 1])
    for seeds, found in (
        ([0, 1, 2], []),
        (
            [0],
            [f"{A}: by the grid's definition it has 3 seeds, which a copy with more seeds keeps"],
        ),
    ):
        Path(grid.typed).write_text(
            common + other + block.format(name="own", encoder="tiny-r3d", seeds=seeds)
        )
        assert why_copy_lacks_seeds(grid, wanted, {0, 1, 2, 3}) == found
    Path(grid.typed).write_text(
        common.partition("subgrids")[0] + "axes: {encoder: [tiny-r3d], head: [mlp]}\n"
    )
    assert "has no axis 'seed'" in why_copy_lacks_seeds(grid, wanted, {0, 1, 2, 3})[0]
    assert not why_copy_lacks_seeds(grid, wanted, set())
