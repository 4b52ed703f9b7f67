"""A finished table as plain data: numbers with their provenance, before any rendering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from echolm.arithmetic import PLAIN
from echolm.commands import Command
from grid.definition.figures import TableFigure
from grid.definition.subgroups import AXIS, group_name
from grid.definition.tables import ABSENT as ABSENT
from grid.definition.tables import ColumnDefinition, FigureDefinition, PublishedSource
from grid.statistics import (
    Comparison,
    DivergedRun,
    Estimate,
    FarBehindRun,
    Resampled,
    Significance,
    Verdict,
)
from grid.statistics.baseline import MEAN_CONTOUR
from grid.tables.published import PublishedNumber

LOCAL = "local"
"""Where a grid is run when nothing is known of that. Other places are ``slurm`` and ``ray``."""


@dataclass(frozen=True)
class Missing:
    """A seed without a number.

    Attributes:
        seed: the seed.
        cell: the id of its cell.
        reason: why there is no number.
        command: what brings it: launch, retry, collect or status. Without one the reason says what
            to do.
        diverged: its training ended with a loss that is not finite, so there is no number.
    """

    seed: str
    cell: str
    reason: str
    command: Command | None = None
    diverged: bool = False

    @property
    def remedy(self) -> str:
        """The verb of the command. Empty without one."""
        return self.command.verb if self.command else ""


@dataclass(frozen=True)
class ValueSource:
    """The run behind a number, of one seed.

    Attributes:
        seed: its seed.
        cell: the id of its cell.
        run: its run in MLflow.
        fingerprint: its fingerprint.
        commit: the commit of its code.
        logs: the paths of its log files, relative to the workspace, the newest attempt last. None
            where its record is not at hand.
        arithmetic: how it was computed, in words.
        value: what the column's statistic is for this run alone.
    """

    seed: str
    cell: str
    run: str
    fingerprint: str = ""
    commit: str = ""
    logs: tuple[str, ...] = ()
    arithmetic: str = PLAIN
    value: float | None = None


@dataclass(frozen=True)
class Value:
    """One place of a table.

    Attributes:
        number: None without any run, or where ``refused`` says why its runs make no number.
        sources: the runs behind it, by seed.
        missing: its seeds without a number.
        synthetic: whether a run is on phantom data.
        random_weights: whether a run began with random weights though its encoder has published
            ones.
        seen: whether an encoder has seen the test data in pretraining. A note says which.
        notes: what is unusual about it.
        published: the paper's number for this place.
        standing: how it stands in its column (bold or not).
        diverged: runs among its seeds that diverged. The number is marked, and counts those that
            have predictions: it is no finite number then.
        far_behind: runs that are far behind the best of its seeds. The number is marked, and
            counts them.
        verdict: what the rule makes of the paper's number.
        refused: why its runs make no number.
        baseline: what a constant prediction reaches on its patients, where it is held against it.
        constant: what that prediction is called.
        not_better: whether the number is no better than that, which is told and changes nothing
            else.
        undefined: seeds for whose predictions the statistic is undefined.
        test_set: tells it from values of other test samples in its column: the dataset and the
            subgroup. Values that share it are compared.
        resampled: its rows, for whoever compares.
    """

    number: Estimate | None
    sources: tuple[ValueSource, ...] = ()
    missing: tuple[Missing, ...] = ()
    synthetic: bool = False
    random_weights: bool = False
    seen: bool = False
    notes: tuple[str, ...] = ()
    published: PublishedNumber | None = None
    standing: Significance | None = None
    diverged: tuple[DivergedRun, ...] = ()
    far_behind: tuple[FarBehindRun, ...] = ()
    verdict: Verdict | None = None
    refused: str = ""
    baseline: float | None = None
    not_better: bool = False
    constant: str = MEAN_CONTOUR
    undefined: tuple[str, ...] = ()
    test_set: str = ""
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
        """Number of seeds that the grid has for this place. 0 when it has no such cell."""
        return len(self.seeds) + len(self.missing)

    @property
    def incomplete(self) -> bool:
        """Whether it has some of its seeds, not all."""
        return bool(self.seeds and self.missing)


@dataclass(frozen=True)
class RowInteraction:
    """How the difference from the reference row changes between two groups, in one column.

    Attributes:
        comparison: the difference of the differences. None where there is none.
        adjusted: its p by Holm, over all of the table.
        reason: why there is none.
        patients: the number of those in either group.
    """

    comparison: Comparison | None
    adjusted: float = float("nan")
    reason: str = ""
    patients: int = 0


@dataclass(frozen=True)
class InteractionRow:
    """The interactions of a row of the table, of one group.

    Attributes:
        labels: of the row, without the subgroup.
        reference: the labels of the row that it is held against.
        group: one group, as in ``sex M``.
        reference_group: the group whose difference is subtracted.
        values: an interaction a column.
    """

    labels: tuple[str, ...]
    reference: tuple[str, ...]
    group: str
    reference_group: str
    values: tuple[RowInteraction, ...]

    @property
    def groups(self) -> str:
        """Both groups: ``sex M - sex F``."""
        return f"{self.group} - {self.reference_group}"


@dataclass(frozen=True)
class TableRow:
    """One row: its labels on the table's axes, one value a column."""

    labels: tuple[str, ...]
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        grid: the name of its grid.
        name: its own name.
        title: its title.
        axes: the axes whose labels stand before each row.
        columns: its columns.
        rows: its rows.
        kind: the name of the kind of ± of its own numbers (see ``grid.statistics.KINDS``).
        published: where the published numbers beside them are from.
        figure: how it is drawn.
        figures: further figures of it, by name.
        where: the conditions (``axis=label``) by which a command selects its cells in the grid.
        reference: how a command names the grid: its name, or the path of its file.
        program: the words that a printed command begins with.
        place: where the grid is run.
        root: the workspace, to which paths of logs are relative.
        paper_rows: rows of the paper without cells of the grid. Their values are published ones
            alone.
        missing_baselines: axis -> labels of the baselines that values would be held against, and
            that have no run.
        units: of each column. Empty where it is not known.
        interaction: axis -> label of the rows that others are held against in ``interactions``.
        interactions: how differences from these rows change between subgroups.
    """

    grid: str
    name: str
    title: str
    axes: tuple[str, ...]
    columns: tuple[ColumnDefinition, ...]
    rows: tuple[TableRow, ...]
    kind: str
    published: PublishedSource | None = None
    figure: FigureDefinition | None = None
    figures: Mapping[str, TableFigure] = field(default_factory=dict)
    where: tuple[str, ...] = ()
    reference: str = ""
    program: tuple[str, ...] = ("echolm",)
    place: str = LOCAL
    root: Path = Path()
    paper_rows: tuple[TableRow, ...] = ()
    missing_baselines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: tuple[str, ...] = ()
    interaction: Mapping[str, str] = field(default_factory=dict)
    interactions: tuple[InteractionRow, ...] = ()

    def of_columns(self, headings: Sequence[str]) -> Table:
        """Return the table with some of its columns, in their order there. Interactions stay out.

        Args:
            headings: of the columns.
        """
        chosen = []
        for index, column in enumerate(self.columns):
            if column.heading in headings:
                chosen.append(index)
        return replace(
            self,
            columns=tuple(self.columns[index] for index in chosen),
            rows=_of_columns(self.rows, chosen),
            paper_rows=_of_columns(self.paper_rows, chosen),
            units=tuple(self.units[index] for index in chosen if self.units),
            interaction={},
            interactions=(),
        )

    @property
    def values(self) -> list[Value]:
        """The values of all rows."""
        return [value for row in self.rows for value in row.values]

    @property
    def located_values(self) -> list[tuple[dict[str, str], Value]]:
        """The values of all rows, each with its ``coordinates``."""
        located = []
        for row in self.rows:
            for column, value in zip(self.columns, row.values, strict=True):
                located.append((self.coordinates(row, column), value))
        return located

    def coordinates(self, row: TableRow, column: ColumnDefinition) -> dict[str, str]:
        """Return axis -> label of a value: those of its row, then those of its column.

        They select its cells in the grid. Of which subgroup it is, they do not say.
        """
        labels = dict(zip(self.axes, row.labels, strict=True))
        labels.pop(AXIS, None)
        return {**labels, **column.where}

    def subgroup(self, row: TableRow, column: ColumnDefinition) -> str:
        """Return which subgroup a value is of, ``""`` for everybody in a table without any."""
        labels = dict(zip(self.axes, row.labels, strict=True))
        parts = (labels.get(AXIS, ""), group_name(column.subgroup))
        return ", ".join(part for part in parts if part)

    def spell(self, command: Command | None) -> str:
        """Spell a command as one types it about this table's workspace. No command gives ''."""
        return command.text(self.program) if command else ""


def _of_columns(rows: Sequence[TableRow], chosen: Sequence[int]) -> tuple[TableRow, ...]:
    """Return rows with some of their values, by index."""
    kept = []
    for row in rows:
        kept.append(replace(row, values=tuple(row.values[index] for index in chosen)))
    return tuple(kept)
