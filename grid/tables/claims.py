"""The claims of superiority that tables make, and that papers make beside them.

In each column whose better direction is known, the best value is held against every other
(``grid.statistics.claims``). Values that are not averaged, or have a run that diverged, make none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from echolm.commands import Command
from echolm.text import counted
from grid.definition.tables import ColumnDefinition
from grid.statistics import Better, Resampled
from grid.statistics.claims import (
    LEVEL,
    SuperiorityClaim,
    claim,
    claim_of,
    false_claim_of_means,
    tie_groups,
)
from grid.statistics.published import patients_of
from grid.tables.table import Table, TableRow, Value

CORRELATION = 0.5
"""Stands for the correlation of two published values over patients where no run measures it."""


@dataclass(frozen=True)
class PublishedClaim:
    """A claim that a paper's numbers make.

    Attributes:
        claim: the claim, by the closed form: one training each.
        measured: whether the correlation was measured on our runs of both. Else it is assumed.
    """

    claim: SuperiorityClaim
    measured: bool


@dataclass(frozen=True)
class ColumnClaims:
    """The claims of one column.

    Attributes:
        heading: of the column.
        digits: after the decimal point.
        claims: the best value against each other one, the least supported first.
        groups: labels of the values that cannot be told apart, the best group first.
        published: the same of the paper's numbers.
        left_out: labels of rows that make no claim, and why.
        synthetic: whether a value is of phantom data.
    """

    heading: str
    digits: int
    claims: tuple[SuperiorityClaim, ...]
    groups: tuple[tuple[str, ...], ...]
    published: tuple[PublishedClaim, ...]
    left_out: tuple[str, ...]
    synthetic: bool


def table_claims(
    table: Table, seeds: bool = True, correlation: float = CORRELATION
) -> list[ColumnClaims]:
    """Return the claims of each column of a table whose better direction is known.

    Args:
        table: the table.
        seeds: False: of the trained networks as they are.
        correlation: assumed of two published values where no run of ours measures it, -1 to 1.
    """
    columns = []
    for number, column in enumerate(table.columns):
        direction = column.direction
        if not direction:
            continue
        for test_set, rows in _by_test_set(table, number).items():
            claims = _column_claims(
                replace(table, rows=rows), number, column, direction, seeds, correlation
            )
            if test_set:
                claims = replace(claims, heading=f"{claims.heading} ({test_set})")
            columns.append(claims)
    return columns


def _by_test_set(table: Table, number: int) -> dict[str, tuple[TableRow, ...]]:
    """Return the rows of each test set in a column. Without a name where there is only one."""
    rows: dict[str, list[TableRow]] = {}
    for row in table.rows:
        rows.setdefault(row.values[number].test_set, []).append(row)
    if len(rows) == 1:
        return {"": table.rows}
    return {test_set: tuple(own) for test_set, own in rows.items()}


def judged_claims(table: Table) -> list[tuple[ColumnDefinition, list[SuperiorityClaim]]]:
    """Return the claims of each column as the table itself judged them, for what is bold.

    They need no draws, so they are there for a table of any size. ``table_claims`` has the same
    probabilities.
    """
    columns = []
    for number, column in enumerate(table.columns):
        claims = []
        for row in table.rows:
            standing = row.values[number].standing
            if standing is not None and standing.comparison is not None:
                claims.append(claim_of(standing.comparison))
        if claims:
            columns.append((column, sorted(claims, key=lambda one: -one.false)))
    return columns


def claims_line(table: Table) -> str:
    """Return a sentence on the table's claims, for below it. Empty where it makes none."""
    claims: list[SuperiorityClaim] = []
    for _, of_column in judged_claims(table):
        claims += of_column
    if not claims:
        return ""
    unsupported = sum(not one.supported for one in claims)
    basis = "patients"
    if all(one.counts_seeds for one in claims):
        basis = "patients and seeds"
    return (
        f"Claims: of {counted(len(claims), 'claim')} that the best of a column is better than"
        f" another, {unsupported} may be false with a probability of {100 * LEVEL:g} % or more"
        f" (over {basis}). They are listed by: {table.spell(Command('claims', table.reference))}"
    )


def _column_claims(
    table: Table,
    number: int,
    column: ColumnDefinition,
    direction: Better,
    seeds: bool,
    correlation: float,
) -> ColumnClaims:
    """Return the claims of the column with this number."""
    labels: list[str] = []
    values: list[Resampled] = []
    left_out = []
    synthetic = False
    for row in table.rows:
        value = row.values[number]
        name = ", ".join(row.labels)
        reason = _why_no_claim(value, values)
        if reason:
            left_out.append(f"{name}: {reason}")
        elif value.resampled is not None:
            labels.append(name)
            values.append(value.resampled)
            synthetic = synthetic or value.synthetic
    groups = tie_groups(values, direction, seeds)
    return ColumnClaims(
        heading=column.heading,
        digits=column.digits,
        claims=tuple(_own_claims(values, direction, seeds)),
        groups=tuple(tuple(labels[index] for index in group) for group in groups),
        published=tuple(_published_claims(table, number, direction, correlation)),
        left_out=tuple(left_out),
        synthetic=synthetic,
    )


def _why_no_claim(value: Value, others: Sequence[Resampled]) -> str:
    """Say why a value makes no claim. Empty where it makes one, or the grid has no such cell."""
    if value.resampled is None:
        if not value.expected:
            return ""
        return value.refused or "no run"
    if value.diverged or value.far_behind:
        return "a run of it is marked"
    if not np.isfinite(value.resampled.estimate):
        return "not a number"
    if others and not np.array_equal(others[0].runs.patients, value.resampled.runs.patients):
        return "other test patients"
    return ""


def _own_claims(
    values: Sequence[Resampled], direction: Better, seeds: bool
) -> list[SuperiorityClaim]:
    """Return the claims of the best value, the least supported first."""
    if len(values) < 2:
        return []
    estimates = [value.estimate for value in values]
    best = int(np.argmax(estimates) if direction == "higher" else np.argmin(estimates))
    claims = []
    for index, value in enumerate(values):
        if index != best:
            claims.append(claim(values[best], value, direction, seeds))
    return sorted(claims, key=lambda one: -one.false)


@dataclass(frozen=True)
class _Printed:
    """A published value that the closed form can be asked about."""

    name: str
    value: float
    std: float
    cases: int
    ours: Resampled | None


def _published_claims(
    table: Table, number: int, direction: Better, correlation: float
) -> list[PublishedClaim]:
    """Return the claims of a paper's best number in a column, the least supported first.

    The closed form needs the std over patients and their number, so values without are left out.
    """
    printed = _printed_values(table, number)
    if len(printed) < 2:
        return []
    sign = 1 if direction == "higher" else -1
    best = max(printed, key=lambda one: sign * one.value)
    claims = []
    for other in printed:
        if other is best or other.cases != best.cases:
            continue
        measured = _measured_correlation(best, other, direction)
        used = correlation if measured is None else measured
        advantage = abs(best.value - other.value)
        false = false_claim_of_means(advantage, best.std, other.std, used, best.cases)
        one = SuperiorityClaim(
            best.name, other.name, advantage, false, best.cases, correlation=used
        )
        claims.append(PublishedClaim(one, measured is not None))
    return sorted(claims, key=lambda one: -one.claim.false)


def _printed_values(table: Table, number: int) -> list[_Printed]:
    """Return the published values of a column with their std over patients."""
    printed = []
    for row in (*table.paper_rows, *table.rows):
        value = row.values[number]
        published = value.published
        if published is None or published.spread is None:
            continue
        cases = patients_of(published.kind)
        if cases < 2:
            continue
        ours = None if value.synthetic else value.resampled
        name = ", ".join(row.labels)
        printed.append(_Printed(name, published.value, published.spread, cases, ours))
    return printed


def _measured_correlation(first: _Printed, second: _Printed, direction: Better) -> float | None:
    """Return the correlation over patients of our runs of both. None without runs on patients."""
    if first.ours is None or second.ours is None:
        return None
    if not np.array_equal(first.ours.runs.patients, second.ours.runs.patients):
        return None
    return claim(first.ours, second.ours, direction).correlation


def claims_document(table: Table, columns: Sequence[ColumnClaims]) -> dict[str, Any]:
    """Return a table's claims as JSON holds them."""
    listed = []
    for column in columns:
        published = []
        for one in column.published:
            published.append({**_facts(one.claim), "correlation_measured": one.measured})
        listed.append(
            {
                "column": column.heading,
                "synthetic": column.synthetic,
                "claims": [_facts(one) for one in column.claims],
                "groups": column.groups,
                "published": published,
                "left_out": column.left_out,
            }
        )
    return {"table": table.name, "title": table.title, "level": LEVEL, "columns": listed}


def _facts(one: SuperiorityClaim) -> dict[str, Any]:
    return {
        "better": one.better,
        "worse": one.worse,
        "advantage": one.advantage,
        "false": one.false if np.isfinite(one.false) else None,
        "supported": one.supported,
        "patients": one.patients,
        "seeds": one.seeds,
        "correlation": one.correlation,
        "patient_share": one.patient_share,
        "seed_share": one.seed_share,
    }
