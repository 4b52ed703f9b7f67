"""Claims of a paper that a grid can be asked about: which value is said to be better than which.

They are read from the section ``claims`` of a grid's YAML file, and are about rows of its tables.
So a claim is held against the cells that a table shows.
"""

from __future__ import annotations

from pydantic import Field

from echolm.registry import Frozen


class ClaimDefinition(Frozen):
    """One claim: a row of a table is better than other rows, in one column.

    Attributes:
        says: the claim in words.
        better: axis of the tables' rows -> label. It names the row that is said to be better.
        than: the same of each row that it is said to be better than.
        column: the heading of the tables' column that it is about.
        by: what the tables differ in, such as ``recipe``.
        tables: label of that -> table. The claim is judged in each.
    """

    says: str = Field(min_length=1)
    better: dict[str, str] = Field(min_length=1)
    than: tuple[dict[str, str], ...] = Field(min_length=1)
    column: str
    by: str
    tables: dict[str, str] = Field(min_length=1)
