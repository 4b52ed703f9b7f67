"""List the claims of superiority that the tables make, with the probability that each is false."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grid.statistics.claims import LEVEL, SuperiorityClaim
from grid.tables.claims import judged_claims
from grid.tables.table import Table

SURE = 0.001
"""Probabilities below this are not told apart."""


@dataclass(frozen=True)
class ClaimLine:
    """A claim in words.

    Args:
        text: which value is claimed to be better than which.
        advantage: by how much.
        false: with which probability that is false.
        shares: what the variance comes from.
        supported: whether it is false with a small probability.
    """

    text: str
    advantage: str
    false: str
    shares: str
    supported: bool


@dataclass(frozen=True)
class ClaimColumn:
    """The claims of a column of a table. ``title`` names both."""

    title: str
    lines: list[ClaimLine]


def claim_columns(tables: Sequence[Table]) -> list[ClaimColumn]:
    """Return the claims of all columns that make any, the least supported first."""
    columns = []
    for table in tables:
        for column, claims in judged_claims(table):
            lines = [_line(one, column.digits) for one in claims]
            columns.append(ClaimColumn(f"{table.title}: {column.heading}", lines))
    return columns


def claims_rule() -> str:
    """Say what the probability is."""
    return (
        "In each column the best value is held against every other. The probability that it is"
        " not better in truth is over patients and, from three seeds on, over trainings: each has"
        f" its part of the variance. A claim is supported when it is below {100 * LEVEL:g} %."
        " The closed form for published numbers is that of arXiv 2505.04720."
    )


def _line(one: SuperiorityClaim, digits: int) -> ClaimLine:
    shares = "patients only"
    if one.counts_seeds:
        patients, seeds = 100 * one.patient_share, 100 * one.seed_share
        shares = f"patients {patients:.0f} %, seeds {seeds:.0f} %"
    return ClaimLine(
        text=f"{one.better} > {one.worse}",
        advantage=f"{one.advantage:.{digits}f}",
        false=_probability(one.false),
        shares=shares,
        supported=one.supported,
    )


def _probability(false: float) -> str:
    if not np.isfinite(false):
        return "not known"
    if false < SURE:
        return f"< {100 * SURE:g} %"
    return f"{100 * false:.1f} %"
