"""Places of a table while they are judged, and the draws of many of them, block by block.

The draws of all values of a large table do not fit into memory. So they are made again for some
places at a time, each time the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from grid.definition.tables import ColumnDefinition
from grid.statistics import (
    RESAMPLES,
    Bounds,
    DivergedRun,
    FarBehindRun,
    Resampled,
    Runs,
    Significance,
    Statistic,
    resample,
)
from grid.statistics.baseline import MEAN_CONTOUR
from grid.tables.published import PublishedNumber
from grid.tables.table import Missing, Value, ValueSource

HELD_DRAWS = 16_000_000
"""How many draws are held at once (128 MB). A table with more of them is judged in blocks."""
NO_DRAWS = np.empty(0)


@dataclass(frozen=True)
class PendingValue:
    """A place before it is judged. What is not said here is as in ``Value``.

    Attributes:
        runs: its rows. None without any, or where ``refused`` says why they make no number.
        refused: why its runs make no number.
        sources: the runs behind it, by seed.
        missing: its seeds without a number.
        synthetic: whether a run is on phantom data.
        random_weights: whether a run began with random weights though its encoder has published
            ones.
        seen: whether an encoder has seen the test data in pretraining. A note says which.
        data: the names of the data that its runs are of.
        notes: what is unusual about it.
        published: the paper's number for this place.
        baseline: what a constant prediction reaches.
        constant: what that prediction is called.
        test_set: the dataset and the subgroup.
        cost: what its runs cost, the mean over seeds, in a column of a cost.
    """

    runs: Runs | None
    refused: str
    sources: tuple[ValueSource, ...]
    missing: tuple[Missing, ...]
    synthetic: bool
    data: frozenset[str]
    notes: tuple[str, ...]
    published: PublishedNumber | None
    baseline: float | None = None
    random_weights: bool = False
    seen: bool = False
    constant: str = MEAN_CONTOUR
    test_set: str = ""
    cost: float | None = None


@dataclass(eq=False)
class TablePlace:
    """A place of the table while it is judged, step by step.

    Attributes:
        column: its column.
        better: the better direction of its column. Empty where it is not known.
        bounds: which values of its column are possible.
        pending: what was read.
        stand_in: for what labels of the paper its labels stand in, in words.
        resampled: its rows, resampled. Without draws in a table that is judged in blocks.
        diverged: runs that diverged.
        far_behind: runs that are far behind the best of its seeds.
        standing: how it stands in its column.
        value: the finished value, but for its standing.
    """

    column: ColumnDefinition
    better: Literal["higher", "lower", ""]
    bounds: Bounds
    pending: PendingValue
    stand_in: str
    resampled: Resampled | None = None
    diverged: tuple[DivergedRun, ...] = ()
    far_behind: tuple[FarBehindRun, ...] = ()
    standing: Significance | None = None
    value: Value | None = None

    @property
    def compared_with(self) -> tuple[str, str]:
        """Its column and its test set. Places that share both are compared."""
        return self.column.heading, self.pending.test_set

    @property
    def is_sound(self) -> bool:
        """Whether no run of it diverged or is far behind."""
        return not self.diverged and not self.far_behind


@dataclass
class BestOfColumn:
    """The best value of a column.

    Attributes:
        place: its place.
        value: its rows, with draws.
        compared: how many values of the column are numbers.
    """

    place: TablePlace
    value: Resampled
    compared: int


@dataclass
class DrawBlock:
    """Places whose draws are held at once. ``held``: until the table is finished."""

    statistic: Statistic
    bounds: Bounds
    places: Sequence[TablePlace]
    held: bool

    def first_look(self) -> Iterator[tuple[TablePlace, Resampled]]:
        """Yield each place with its rows, with draws where a diverged run cannot be told without.

        They stay at the place, with draws where these are held.
        """
        runs = _runs_of(self.places)
        draws = RESAMPLES
        if not self.held and self.statistic.per_patient(runs[0]) is not None:
            draws = 0
        resampled = resample(runs, self.statistic, draws, bounds=self.bounds)
        for place, value in zip(self.places, resampled, strict=True):
            place.resampled = value
            if not self.held:
                place.resampled = replace(value, draws=NO_DRAWS, per_patient=None)
            yield place, value

    def resampled(self) -> Iterator[tuple[TablePlace, Resampled]]:
        """Yield each place with its draws."""
        if self.held:
            for place in self.places:
                if place.resampled is not None:
                    yield place, place.resampled
            return
        resampled = resample(_runs_of(self.places), self.statistic, bounds=self.bounds)
        yield from zip(self.places, resampled, strict=True)


@dataclass
class DrawGroup:
    """Places of one statistic and of the same patients, whose draws are one product.

    Attributes:
        statistic: the statistic.
        bounds: which of its values are possible.
        places: the places. They have rows.
        is_held: whether the draws of the whole table are held.
    """

    statistic: Statistic
    bounds: Bounds
    places: list[TablePlace]
    is_held: bool = True

    def blocks(self) -> Iterator[DrawBlock]:
        """Yield the places in blocks. All of them are one where draws are held."""
        if self.is_held:
            yield DrawBlock(self.statistic, self.bounds, self.places, held=True)
            return
        block: list[TablePlace] = []
        count = 0
        for place in self.places:
            draws = _draws_of([place])
            if block and count + draws > HELD_DRAWS:
                yield DrawBlock(self.statistic, self.bounds, block, held=False)
                block = []
                count = 0
            block.append(place)
            count += draws
        yield DrawBlock(self.statistic, self.bounds, block, held=False)

    def resample_best(self, bests: Mapping[tuple[str, str], BestOfColumn]) -> None:
        """Give draws to the best of each column that is among these places."""
        if self.is_held:
            return
        mine = [best for best in bests.values() if best.place in self.places]
        if mine:
            runs = _runs_of([best.place for best in mine])
            resampled = resample(runs, self.statistic, bounds=self.bounds)
            for best, value in zip(mine, resampled, strict=True):
                best.value = value


def groups_of(places: Sequence[TablePlace], hold: bool) -> list[DrawGroup]:
    """Group the places that have rows by statistic and patients."""
    groups: dict[object, DrawGroup] = {}
    with_rows = [place for place in places if place.pending.runs is not None]
    for place, runs in zip(with_rows, _runs_of(with_rows), strict=True):
        statistic = place.column.made()
        key = statistic, place.bounds, runs.patients.tobytes()
        groups.setdefault(key, DrawGroup(statistic, place.bounds, [])).places.append(place)
    if not hold and _draws_of(with_rows) > HELD_DRAWS:
        for group in groups.values():
            group.is_held = False
    return list(groups.values())


def _runs_of(places: Sequence[TablePlace]) -> list[Runs]:
    return [place.pending.runs for place in places if place.pending.runs is not None]


def _draws_of(places: Sequence[TablePlace]) -> int:
    """Count the numbers that the draws of some places are, with those of their means."""
    return sum((len(runs.seeds) + 1) * RESAMPLES for runs in _runs_of(places))
