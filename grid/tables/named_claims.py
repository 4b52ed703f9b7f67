"""The claims that a grid names, held against its runs: where they hold and where they do not.

A claim is judged in each of its tables, on the cells that the table shows. Both values are drawn
together, over patients and seeds, as ``echolm compare`` does it. A claim *holds* where the 95 %
interval of the difference lies on its side of 0, and is *reversed* where it lies on the other one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from echolm.errors import EchoLMError
from echolm.text import counted
from echolm.workspace import Workspace
from grid.definition.claimed_rows import ClaimedRow, claimed_place
from grid.definition.claims import ClaimDefinition
from grid.definition.tables import ColumnDefinition, TableGrid
from grid.statistics import Comparison, compare
from grid.tables.compare import Compared, Selected, pair
from grid.tables.origins import TodaysOrigins
from grid.tables.render.wording import PHANTOM
from grid.tables.store_facts import keep_store_facts

HOLDS, UNDECIDED, REVERSED, UNKNOWN = "holds", "undecided", "reversed", "not known"
WEAKEST_FIRST = (REVERSED, UNDECIDED, UNKNOWN, HOLDS)
"""Verdicts on single pairs. The first that any pair has is the verdict on a claim of several."""
VERDICTS = {"better": HOLDS, "worse": REVERSED}
"""Word of a comparison -> verdict. Any other word leaves the claim undecided."""


@dataclass(frozen=True)
class ClaimedPair:
    """A claim's better value against one of the others, in one table.

    Attributes:
        other: the name of the other value.
        verdict: ``HOLDS``, ``UNDECIDED``, ``REVERSED`` or ``UNKNOWN``.
        advantage: by how much the value is better, in the claimed direction. None: not known.
        low: the lower end of its interval.
        high: its upper end.
        comparison: of both. None: not known.
        why: why it is not known.
        remarks: what is unusual about the runs.
        synthetic: whether a run is of phantom data.
    """

    other: str
    verdict: str
    advantage: float | None = None
    low: float | None = None
    high: float | None = None
    comparison: Comparison | None = None
    why: str = ""
    remarks: tuple[str, ...] = ()
    synthetic: bool = False

    @property
    def basis(self) -> str:
        """What its interval is over: ``1,277 patients and 3 seeds each``. Empty: not known."""
        if self.comparison is None:
            return ""
        first, second = self.comparison.seeds
        seeds = f"{counted(first, 'seed')} each"
        if first != second:
            seeds = f"{first} and {second} seeds"
        patients = counted(self.comparison.patients, "patient")
        if self.comparison.crossed:
            return f"{patients} and {seeds}"
        return f"{patients} alone ({seeds})"


@dataclass(frozen=True)
class ClaimVerdict:
    """A claim in one of its tables.

    Attributes:
        label: of the table, such as the recipe.
        table: its name.
        digits: of the column.
        better: the name of the value that is said to be better.
        pairs: that value against each other one.
        cells: all cells that are compared.
    """

    label: str
    table: str
    digits: int
    better: str
    pairs: tuple[ClaimedPair, ...]
    cells: frozenset[str]

    @property
    def verdict(self) -> str:
        """The verdict on the claim: that of its weakest pair."""
        return self.deciding.verdict

    @property
    def deciding(self) -> ClaimedPair:
        """The weakest pair. Of equal verdicts it is the one with the lowest interval."""

        def weakness(one: ClaimedPair) -> tuple[int, float]:
            return WEAKEST_FIRST.index(one.verdict), 0.0 if one.low is None else one.low

        return min(self.pairs, key=weakness)

    @property
    def numbers(self) -> str:
        """The difference of the weakest pair with its interval, or why it is not known."""
        one = self.deciding
        if one.advantage is None or one.low is None or one.high is None:
            return "; ".join(dict.fromkeys(pair.why for pair in self.pairs if pair.why))
        names = ""
        if len(self.pairs) > 1:
            names = f"least against {one.other}: "
            holding = sum(pair.verdict == HOLDS for pair in self.pairs)
            if holding < len(self.pairs):
                names = f"holds against {holding} of {len(self.pairs)}, {names}"
        digits = self.digits
        return (
            f"{names}{one.advantage:+.{digits}f}, {one.low:+.{digits}f} to {one.high:+.{digits}f}"
        )


@dataclass(frozen=True)
class JudgedClaim:
    """A claim with what the runs say of it.

    Attributes:
        name: of the claim.
        definition: the claim.
        verdicts: one a table, in the order of the definition.
    """

    name: str
    definition: ClaimDefinition
    verdicts: tuple[ClaimVerdict, ...]

    @property
    def head(self) -> str:
        """The claim and the column that it is judged by."""
        return f"{self.definition.says} in {self.definition.column}"

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Each verdict that there is, and the rest of its words: under what, by how much."""
        by_cells: dict[frozenset[str], list[ClaimVerdict]] = {}
        for one in self.verdicts:
            by_cells.setdefault(one.cells, []).append(one)
        labels: dict[tuple[str, str], list[str]] = {}
        for equal in by_cells.values():
            key = equal[0].verdict, self._facts_of(equal)
            labels.setdefault(key, []).extend(one.label for one in equal)
        parts = []
        for word in (HOLDS, UNDECIDED, REVERSED, UNKNOWN):
            texts = []
            for (verdict, facts), under in labels.items():
                if verdict == word:
                    texts.append(f"{_joined(under)} ({facts})")
            if texts:
                parts.append((word, f"under {self.definition.by} {' and '.join(texts)}"))
        return parts

    def _facts_of(self, equal: Sequence[ClaimVerdict]) -> str:
        """Return the numbers of verdicts on the same cells."""
        facts = [equal[0].numbers]
        if len(equal) > 1 and equal[0].deciding.basis:
            facts.insert(0, "the same cells")
        if len(self._bases) > 1 and equal[0].deciding.basis:
            facts.append(f"over {equal[0].deciding.basis}")
        return "; ".join(facts)

    @property
    def tail(self) -> str:
        """What the intervals are over, and what a reader must know. Empty where nothing is."""
        facts = []
        if len(self._bases) == 1:
            facts.append(f"95 % intervals over {self._bases[0]}")
        elif self._bases:
            facts.append("95 % intervals")
        pairs = [one for verdict in self.verdicts for one in verdict.pairs]
        remarks = dict.fromkeys(remark for one in pairs for remark in one.remarks)
        facts += remarks
        if any(one.synthetic for one in pairs):
            facts.append(PHANTOM)
        return "; ".join(facts)

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        verdicts = ", ".join(f"{word} {rest}" for word, rest in self.parts)
        tail = f"; {self.tail}" if self.tail else ""
        return f"{self.head}: {verdicts}{tail}."

    @property
    def _bases(self) -> list[str]:
        """What the deciding intervals are over, each once."""
        bases = dict.fromkeys(one.deciding.basis for one in self.verdicts)
        bases.pop("", None)
        return list(bases)

    def facts(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        verdicts = []
        for verdict in self.verdicts:
            pairs = [_pair_facts(one) for one in verdict.pairs]
            verdicts.append(
                {
                    self.definition.by: verdict.label,
                    "table": verdict.table,
                    "verdict": verdict.verdict,
                    "better": verdict.better,
                    "pairs": pairs,
                }
            )
        return {
            "claim": self.name,
            "says": self.definition.says,
            "column": self.definition.column,
            "by": self.definition.by,
            "verdicts": verdicts,
            "text": self.sentence,
        }


def judge_claims(
    workspace: Workspace, grid: TableGrid, results: Path | None, place: str
) -> list[JudgedClaim]:
    """Judge every claim that a grid names.

    Args:
        workspace: the workspace.
        grid: the grid.
        results: the folder that was collected.
        place: where the grid is run.
    """
    if not grid.claims:
        return []
    today = TodaysOrigins(workspace, grid.name, grid.cells)
    if results is not None:
        keep_store_facts(workspace, grid.name, results)
    return judged_claims_of(grid, results, today, place)


def judged_claims_of(
    grid: TableGrid, results: Path | None, today: TodaysOrigins | None = None, place: str = "local"
) -> list[JudgedClaim]:
    """Judge every claim that a grid names, by collected files. ``today`` is as for ``build``."""
    judged = []
    for name, claim in grid.claims.items():
        verdicts = []
        for label, table in claim.tables.items():
            found = claimed_place(grid, claim, label)
            pairs = []
            for other in found.than:
                sides = (found.better, other)
                pairs.append(_pair(grid, results, found.column, sides, today, place))
            rows = (found.better, *found.than)
            verdicts.append(
                ClaimVerdict(
                    label=label,
                    table=table,
                    digits=found.column.digits,
                    better=found.better.name,
                    pairs=tuple(pairs),
                    cells=frozenset(cell.id for row in rows for cell in row.cells),
                )
            )
        judged.append(JudgedClaim(name, claim, tuple(verdicts)))
    return judged


def claims_rule() -> str:
    """Say what the verdicts on named claims mean."""
    return (
        "A claim holds where the paired 95 % interval of the difference, over patients and seeds,"
        " lies above 0 (+: better, as claimed), is reversed where it lies below, and undecided"
        " where it does not exclude 0. Of several pairs the least supported one decides."
    )


def _pair(
    grid: TableGrid,
    results: Path | None,
    column: ColumnDefinition,
    rows: tuple[ClaimedRow, ClaimedRow],
    today: TodaysOrigins | None,
    place: str,
) -> ClaimedPair:
    """Hold one value against another."""
    better, other = rows
    selected = [Selected(row.name, row.labels, row.cells) for row in rows]
    try:
        state = today.state if today else None
        sides = pair(grid, results, selected[0], selected[1], column, state, place, today)
    except EchoLMError as error:
        return ClaimedPair(other.name, UNKNOWN, why=error.message)
    comparison = compare(sides[0].resampled, sides[1].resampled, ranked=False)
    sign = 1 if column.direction == "higher" else -1
    ends = sorted((sign * comparison.low, sign * comparison.high))
    word = comparison.word(column.direction or None)
    return ClaimedPair(
        other=other.name,
        verdict=VERDICTS.get(word, UNDECIDED),
        advantage=sign * comparison.difference,
        low=ends[0],
        high=ends[1],
        comparison=comparison,
        remarks=tuple(_remarks(sides)),
        synthetic=any(side.synthetic for side in sides),
    )


def _joined(labels: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    if len(labels) == 1:
        return labels[0]
    return f"{', '.join(labels[:-1])} and {labels[-1]}"


def _remarks(sides: Sequence[Compared]) -> list[str]:
    """Return which seeds are missing, and which runs are marked."""
    remarks = []
    for side in sides:
        if side.missing:
            seeds = ", ".join(item.seed for item in side.missing)
            remarks.append(f"{side.name} without seed {seeds}")
        for seed in _marked(side):
            remarks.append(f"seed {seed} of {side.name} is marked (diverged or far behind)")
    return remarks


def _marked(side: Compared) -> list[str]:
    seeds = [run.seed for run in side.diverged]
    seeds += [run.seed for run in side.far_behind]
    return list(dict.fromkeys(seeds))


def _pair_facts(one: ClaimedPair) -> Mapping[str, Any]:
    comparison = one.comparison
    return {
        "than": one.other,
        "verdict": one.verdict,
        "advantage": one.advantage,
        "low": one.low,
        "high": one.high,
        "p": comparison.p if comparison else None,
        "patients": comparison.patients if comparison else None,
        "seeds": comparison.seeds if comparison else None,
        "over_seeds": comparison.crossed if comparison else None,
        "why": one.why or None,
        "remarks": list(one.remarks),
        "synthetic": one.synthetic,
    }
