"""Commands about a table, as they are printed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from grid.tables.missing import conditions, grid_command, narrowed
from grid.tables.table import Table


def typed(table: Table, places: Mapping[str, Sequence[str]], verb: str = "launch") -> str:
    """The command ``verb`` for the table's cells at ``places``, axis -> labels."""
    command = grid_command(verb, table.reference, table.place)
    return table.spell(narrowed(command, conditions(table, places)))
