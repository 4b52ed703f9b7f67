"""A finished table as plain data: numbers with their provenance, before any rendering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from grid.statistics import Diverged, Number, Resampled, Standing, Verdict
from grid.tables.definition import ColumnDefinition, FigureDefinition, PublishedSource
from grid.tables.published import Published

ABSENT = "-"
"""The label of a cell on an axis that it does not have, and the text of a value that the grid has no cell for."""
LOCAL = "local"
"""Where a grid is run when nothing is known of that; also ``slurm`` and ``ray``."""


@dataclass(frozen=True)
class Missing:
    """A seed without a number, why, and the command of EchoLM for that: launch, retry, collect or status. Without a command
    the reason says what to do.

    ``diverged``: its training ended with a loss that is not finite, so there is no number.
    """

    seed: str
    cell: str
    reason: str
    remedy: str = "launch"
    diverged: bool = False


@dataclass(frozen=True)
class Source:
    """The run behind a number, of one seed: its cell, its run in MLflow, its fingerprint and the commit of its code.

    ``logs`` are the paths of its log files, relative to the workspace, the newest attempt last; none where its record is not at hand. ``value``: what
    the column's statistic is for this run alone.
    """

    seed: str
    cell: str
    run: str
    fingerprint: str = ""
    commit: str = ""
    logs: tuple[str, ...] = ()
    value: float | None = None


@dataclass(frozen=True)
class Value:
    """One place of a table. ``number`` is None without any run, or where ``refused`` says why its runs make no number.

    ``sources`` are the runs behind it, by seed; ``notes`` say what is unusual about it. ``published`` is the paper's number
    for this place, ``verdict`` what the rule makes of it. ``standing``: how it stands in its column (bold or not).
    ``diverged``: runs among its seeds that failed to train: the number is marked, and counts those that have predictions.
    ``baseline``: what the mean contour reaches on its patients, where it is held against it; ``not_better``: whether the number
    is no better, which is told and changes nothing else. ``resampled``: its rows, for whoever compares.
    """

    number: Number | None
    sources: tuple[Source, ...] = ()
    missing: tuple[Missing, ...] = ()
    synthetic: bool = False
    notes: tuple[str, ...] = ()
    published: Published | None = None
    standing: Standing | None = None
    diverged: tuple[Diverged, ...] = ()
    verdict: Verdict | None = None
    refused: str = ""
    baseline: float | None = None
    not_better: bool = False
    resampled: Resampled | None = field(default=None, repr=False, compare=False)

    @property
    def seeds(self) -> tuple[str, ...]:
        """The seeds that have a run."""
        return tuple(source.seed for source in self.sources)

    @property
    def cells(self) -> tuple[str, ...]:
        """Their cells."""
        return tuple(source.cell for source in self.sources)

    @property
    def runs(self) -> tuple[str, ...]:
        """Their runs in MLflow."""
        return tuple(source.run for source in self.sources)

    @property
    def bold(self) -> bool:
        """Whether it is the best of its column, or not significantly worse."""
        return self.standing is not None and self.standing.bold

    @property
    def expected(self) -> int:
        """Number of seeds that the grid has for this place; 0: it has no such cell."""
        return len(self.seeds) + len(self.missing)

    @property
    def incomplete(self) -> bool:
        """Whether it has some of its seeds, not all."""
        return bool(self.seeds and self.missing)


@dataclass(frozen=True)
class Row:
    """One row: its labels on the table's axes, one value a column."""

    labels: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Table:
    """``kind`` is the name of the kind of ± of its own numbers (see ``grid.statistics.KINDS``).

    ``where``: the conditions (``axis=label``) by which a command selects the table's cells in its grid. ``typed``: the grid
    as commands name it, by its name or the path of its file; ``program``: the words that commands begin with; ``on``: where the
    grid is run; ``root``: the workspace, to which paths of logs are relative. ``quoted``: rows of the paper without cells of the
    grid, whose values are published ones alone. ``unheld``: axis -> labels of the baselines that values would be held against,
    and that have no run.
    """

    grid: str
    name: str
    title: str
    axes: tuple[str, ...]
    columns: tuple[ColumnDefinition, ...]
    rows: tuple[Row, ...]
    kind: str
    published: PublishedSource | None = None
    figure: FigureDefinition | None = None
    where: tuple[str, ...] = ()
    typed: str = ""
    program: tuple[str, ...] = ("echolm",)
    on: str = LOCAL
    root: Path = Path()
    quoted: tuple[Row, ...] = ()
    unheld: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def values(self) -> list[Value]:
        """The values of all rows."""
        return [value for row in self.rows for value in row.values]

    @property
    def places(self) -> list[tuple[dict[str, str], Value]]:
        """The values of all rows, each with its ``place``."""
        return [
            (self.place(row, column), value)
            for row in self.rows
            for column, value in zip(self.columns, row.values, strict=True)
        ]

    def place(self, row: Row, column: ColumnDefinition) -> dict[str, str]:
        """Axis -> label of a value: those of its row, then those of its column."""
        return {**dict(zip(self.axes, row.labels, strict=True)), **column.where}
