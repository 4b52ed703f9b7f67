"""The claims that tables make, and those of a paper beside them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy import stats

from grid.statistics.claims import claim
from grid.tables.claims import claims_document, claims_line, judged_claims, table_claims

LEVELS = {
    "tiny-r3d.mlp": (0.0, 0.1, -0.1),
    "tiny-r3d.gcn": (0.05, -0.05, 0.1),
    "tiny-mvit.mlp": (-4.0, -4.2, -3.9),
    "tiny-mvit.gcn": (-4.1, -4.0, -4.0),
}


def test_the_best_of_a_column_is_held_against_every_other(table: Any) -> None:
    built = table(LEVELS)
    [column] = table_claims(built)
    assert column.heading == "Dice" and not column.published and not column.left_out
    assert {one.better for one in column.claims} == {"tiny-r3d, gcn"}
    assert [one.worse for one in column.claims][0] == "tiny-r3d, mlp", "the least supported first"
    assert [one.supported for one in column.claims] == [False, True, True]
    groups = [set(group) for group in column.groups]
    assert groups == [
        {"tiny-r3d, mlp", "tiny-r3d, gcn"},
        {"tiny-mvit, mlp", "tiny-mvit, gcn"},
    ]


def test_a_line_counts_the_claims_that_may_be_false(table: Any) -> None:
    line = claims_line(table(LEVELS))
    assert line.startswith(
        "Claims: of 3 claims that the best of a column is better than another, 1 may be"
    )
    assert "(over patients and seeds)" in line and line.endswith("echolm claims small")


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_line_the_report_and_the_command_have_the_same_probabilities(
    table: Any, seeds: int
) -> None:
    built = table({row: shifts[:seeds] for row, shifts in LEVELS.items()})
    [column] = table_claims(built)
    [(_, judged)] = judged_claims(built)
    assert [(one.worse, one.false) for one in column.claims] == [
        (one.worse, pytest.approx(one.false, rel=1e-9)) for one in judged
    ]


def test_one_seed_says_nothing_of_other_trainings(table: Any) -> None:
    built = table({row: shifts[:1] for row, shifts in LEVELS.items()})
    [column] = table_claims(built)
    assert not any(one.counts_seeds for one in column.claims)
    assert "(over patients)" in claims_line(built)


def test_without_seeds_it_is_the_paired_t_test(table: Any) -> None:
    built = table(LEVELS)
    [column] = table_claims(built, seeds=False)
    values = {", ".join(row.labels): row.values[0].resampled for row in built.rows}
    for one in column.claims:
        own, other = (values[name].per_patient.mean(0) for name in (one.better, one.worse))
        expected = stats.ttest_rel(own, other, alternative="greater").pvalue
        assert one.false == pytest.approx(expected, abs=1e-9)


def test_values_that_make_no_claim_are_told(table: Any) -> None:
    built = table({**LEVELS, "tiny-mvit.gcn": (-4.0, -4.1, -60.0)})
    [column] = table_claims(built)
    assert column.left_out == ("tiny-mvit, gcn: a run of it is marked",)
    assert "tiny-mvit, gcn" not in {name for group in column.groups for name in group}


def test_a_column_without_a_direction_claims_nothing(table: Any) -> None:
    built = table(LEVELS, column={"metric": "dice", "statistic": "std"})
    assert table_claims(built) == [] and claims_line(built) == ""


def test_claims_of_a_paper_are_the_closed_form() -> None:
    """NLDL 2026, Table 4: std over 1,264 test videos, one training each."""
    from grid.definition.grid import load_grid
    from grid.tables.build import build

    name = "table-4"
    built = build(load_grid("nldl2026"), name, None)
    columns = table_claims(built, correlation=0.3)
    claims = [one for column in columns for one in column.published]
    assert claims and not any(one.measured for one in claims)
    numbers = {}
    for row in (*built.paper_rows, *built.rows):
        for column, value in zip(built.columns, row.values, strict=True):
            if value.published is not None:
                numbers[column.heading, ", ".join(row.labels)] = value.published
    for column in columns:
        for published in column.published:
            one = published.claim
            best, other = (numbers[column.heading, name] for name in (one.better, one.worse))
            variance = best.spread**2 + other.spread**2 - 0.6 * best.spread * other.spread
            t = (best.value - other.value) * np.sqrt(1264 / variance)
            assert one.false == pytest.approx(stats.t.sf(t, 1263), abs=1e-9)
            assert (one.patients, one.correlation) == (1264, 0.3)


def test_the_document_is_json_and_says_what_is_printed(table: Any) -> None:
    built = table(LEVELS, synthetic=True)
    columns = table_claims(built)
    document = json.loads(json.dumps(claims_document(built, columns), allow_nan=False))
    [column] = document["columns"]
    assert column["synthetic"] is True
    assert [one["false"] for one in column["claims"]] == [one.false for one in columns[0].claims]
    values = [row.values[0].resampled for row in built.rows]
    assert column["claims"][0]["false"] == claim(values[1], values[0], "higher").false
