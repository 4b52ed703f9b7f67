"""The table of a grid that defines none: a row for each setting, the metrics of its task."""

from __future__ import annotations

from collections.abc import Iterable

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError
from echolm.tasks import Goal
from grid.definition.expand import located
from grid.definition.extra_tables import GridWithTables, TaggedCell
from grid.definition.table_cells import cells_of_table, telling_axes
from grid.definition.tables import SEED, ColumnDefinition, TableDefinition, TableGrid
from grid.statistics import STATISTICS

NAME = "results"
"""What the table is called."""


def with_default_table(
    grid: TableGrid, examples: Iterable[FinetuneConfig | PretrainConfig]
) -> TableGrid:
    """Return a grid with a table of all its cells, unless it defines tables.

    Its rows are the axes in which cells differ. In a grid of one setting they are the setting's
    encoder, freezing and head.

    Args:
        grid: the grid.
        examples: a run of each of its tasks.

    Returns:
        The grid as it is where no table can be made: it has several tasks, the task describes no
        metric, or cells of one seed do not differ in any axis.
    """
    if grid.tables:
        return grid
    by_goal = {goal_key(config): config for config in examples}
    if len(by_goal) != 1:
        return grid
    [example] = by_goal.values()
    columns = _columns(example.goal)
    if not columns:
        return grid
    cells = []
    added_axes: set[str] = set()
    for cell in grid.cells:
        labels = located(cell.coordinates, example)
        added_axes.update(labels.keys() - cell.coordinates.keys())
        cells.append(TaggedCell(cell.id, labels, (NAME,)))
    rows = telling_axes(cells)
    if not rows:
        rows = [axis for axis in cells[0].coordinates if axis != SEED]
    title = grid.title or f"grid {grid.name}"
    table = TableDefinition(title=title, rows=tuple(rows), columns=columns)
    with_table = GridWithTables(
        grid.name, grid.title, cells, {NAME: table}, grid.typed, frozenset(added_axes)
    )
    try:
        cells_of_table(with_table, NAME)
    except EchoLMError:
        return grid
    return with_table


def goal_key(config: FinetuneConfig | PretrainConfig) -> str:
    """Return what tells the goals of runs apart, as text."""
    return config.goal.model_dump_json()


def _columns(goal: Goal) -> tuple[ColumnDefinition, ...]:
    """Return a column for each metric that a task describes, of each of its slots.

    A metric with the name of a statistic is that statistic of truth and prediction, with its unit
    in the heading.
    """
    columns = []
    for metric, facts in goal.describe().items():
        for slot in goal.slots:
            if metric in STATISTICS:
                label = ""
                if facts.get("unit"):
                    label = " ".join(word for word in (metric, slot, f"({facts['unit']})") if word)
                columns.append(ColumnDefinition(statistic=metric, slot=slot, label=label))
            else:
                columns.append(ColumnDefinition(metric=metric, slot=slot))
    return tuple(columns)
