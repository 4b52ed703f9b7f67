"""From rows to judged numbers: ±, what is bold, what has diverged or is of no use, and the verdict on published numbers.

All values of a table are resampled together, so that any two of them are paired by patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from grid.statistics import (
    Diverged,
    Kind,
    Number,
    Resampled,
    Runs,
    Standing,
    Verdict,
    diverged,
    not_better,
    ours,
    resample,
    standings,
    theirs,
    told,
    verdict,
)  # fmt: skip
from grid.statistics.kinds import Interval
from grid.tables.definition import ColumnDefinition, TableDefinition
from grid.tables.published import Published
from grid.tables.table import Missing, Source, Value

Place = tuple[int, int]
"""Row and column."""
LOST = "its training ended with a loss that is not finite"
NOT_BETTER = "not better than the mean contour"


@dataclass(frozen=True)
class Draft:
    """A place before it is judged: ``runs`` are its rows, None without any or where ``refused`` says why they make no number;
    ``data`` the names of the data that its runs are of; ``baseline`` what the mean contour reaches. The rest as in
    ``Value``."""

    runs: Runs | None
    refused: str
    sources: tuple[Source, ...]
    missing: tuple[Missing, ...]
    synthetic: bool
    data: frozenset[str]
    notes: tuple[str, ...]
    published: Published | None
    baseline: float | None = None


def judged(
    definition: TableDefinition, labels: Sequence[tuple[str, ...]], drafts: Sequence[Sequence[Draft]], used: Kind, elsewhere: Mapping[str, str]
) -> list[tuple[Value, ...]]:
    """The values of all rows; EchoLMError when the kind of ± does not exist for a statistic. ``elsewhere``: cell -> where in other
    tables its run diverged, and why."""
    resampled = _resampled(definition.columns, drafts)
    columns = definition.columns
    failed = _failed(columns, drafts, resampled, elsewhere)
    stand = _standings(columns, len(labels), {place: value for place, value in resampled.items() if not failed[place]})
    found = []
    for row, own in enumerate(labels):
        values = []
        for at, (column, draft) in enumerate(zip(columns, drafts[row], strict=True)):
            place, stand_in = (row, at), _stand_in(definition, own, column)
            values.append(_value(draft, resampled.get(place), column, used, failed[place], stand.get(place), stand_in))
        found.append(tuple(values))
    return found


def _resampled(columns: Sequence[ColumnDefinition], drafts: Sequence[Sequence[Draft]]) -> dict[Place, Resampled]:
    """Every place with rows, in shared resamples: those of one statistic and of the same patients in one go."""
    groups: dict[tuple[object, bytes], list[tuple[Place, Runs]]] = {}
    for row, places in enumerate(drafts):
        for at, draft in enumerate(places):
            if draft.runs is not None:
                key = columns[at].made(), draft.runs.patients.tobytes()
                groups.setdefault(key, []).append(((row, at), draft.runs))
    found: dict[Place, Resampled] = {}
    for group in groups.values():
        places, runs = zip(*group, strict=True)
        found.update(zip(places, resample(runs, columns[places[0][1]].made()), strict=True))
    return found


def _standings(columns: Sequence[ColumnDefinition], rows: int, resampled: Mapping[Place, Resampled]) -> dict[Place, Standing]:
    """How each value stands in its column, for columns whose better direction is known. A value with a diverged run is not
    among ``resampled``: one failed seed widens its interval so far that it would be bold beside anything."""
    known = [(at, column.direction) for at, column in enumerate(columns)]
    directed = [(at, better) for at, better in known if better]
    found = standings([([resampled.get((row, at)) for row in range(rows)], better) for at, better in directed])
    return {(row, at): own[row] for (at, _), own in zip(directed, found, strict=True) for row in range(rows)}


def _stand_in(definition: TableDefinition, labels: Sequence[str], column: ColumnDefinition) -> str:
    """``tiny-r3d stands in for r3d-18``, where a published number is of something else; ""."""
    source = definition.published
    place = {**dict(zip(definition.rows, labels, strict=True)), **column.where}
    pairs = [(own, source.label(axis, own)) for axis, own in place.items()] if source else []
    return ", ".join(f"{own} stands in for {label}" for own, label in pairs if own != label)


def _value(
    draft: Draft, value: Resampled | None, column: ColumnDefinition, used: Kind, failed: tuple[Diverged, ...],
    standing: Standing | None, stand_in: str,
) -> Value:  # fmt: skip
    bare = Value(
        None, draft.sources, draft.missing, draft.synthetic, (*draft.notes, *_notes(value, failed, column.digits)), draft.published,
        diverged=failed, refused=draft.refused,
    )  # fmt: skip
    if value is None:
        return bare
    useless = bool(column.direction and draft.baseline is not None and not_better(value, column.direction, draft.baseline))
    return replace(
        bare,
        notes=(*bare.notes, *([f"{NOT_BETTER} ({draft.baseline:.{column.digits}f})"] if useless else [])),
        baseline=draft.baseline,
        not_better=useless,
        number=_number(value, used),
        sources=tuple(replace(source, value=float(own)) for source, own in zip(draft.sources, value.full, strict=True)),
        standing=Standing(False) if failed else standing,
        verdict=_verdict(draft, value, failed, stand_in, column.digits) if draft.published else None,
        resampled=value,
    )


def _number(value: Resampled, used: Kind) -> Number:
    return used.of(value) if isinstance(used, Interval) else used.number(value.runs, value.statistic)


def _failed(
    columns: Sequence[ColumnDefinition], drafts: Sequence[Sequence[Draft]], resampled: Mapping[Place, Resampled], known: Mapping[str, str]
) -> dict[Place, tuple[Diverged, ...]]:
    """The diverged runs of every place. A run that diverged in one column, or in another table, is diverged wherever the table has it."""
    own = {place: _diverged(value, columns[place[1]]) for place, value in sorted(resampled.items(), key=lambda pair: pair[0])}
    elsewhere: dict[str, str] = {}
    for (row, at), runs in own.items():
        cells = {source.seed: source.cell for source in drafts[row][at].sources}
        for run in runs if _tells_of_runs(resampled[row, at]) else ():
            elsewhere.setdefault(cells[run.seed], f"in {columns[at].heading}: {run.reason}")
    elsewhere = {**known, **elsewhere}
    found = {(row, at): _lost(draft) for row, places in enumerate(drafts) for at, draft in enumerate(places)}
    for (row, at), runs in own.items():
        flagged = {run.seed for run in runs}
        values = zip(drafts[row][at].sources, resampled[row, at].full.tolist(), strict=True)
        others = [Diverged(one.seed, value, elsewhere[one.cell]) for one, value in values if one.cell in elsewhere and one.seed not in flagged]
        found[row, at] = (*runs, *others, *found[row, at])
    return found


def failures(column: ColumnDefinition, cells: Mapping[str, str], value: Resampled) -> dict[str, str]:
    """Cell -> why its run diverged, by one value whose seeds have these ``cells``."""
    return {cells[run.seed]: run.reason for run in _diverged(value, column)} if _tells_of_runs(value) else {}


def _tells_of_runs(value: Resampled) -> bool:
    """Not where a statistic is undefined for all of them: the AUC of one class says nothing about a training."""
    return value.per_patient is not None or bool(np.isfinite(value.full).any())


def _diverged(value: Resampled, column: ColumnDefinition) -> tuple[Diverged, ...]:
    if column.direction:
        return tuple(diverged(value, column.direction, column.digits))
    return tuple(run for run in diverged(value, "higher") if not np.isfinite(run.value))


def _lost(draft: Draft) -> tuple[Diverged, ...]:
    """Trainings that ended with a loss that is not finite: there is nothing of them to count."""
    return tuple(Diverged(item.seed, float("nan"), LOST) for item in draft.missing if item.diverged)


def _notes(value: Resampled | None, failed: Sequence[Diverged], digits: int) -> list[str]:
    """Each diverged run; and whether the number counts them, and what it would be without."""
    counted = [run for run in failed if value and run.seed in value.runs.seeds]
    lost = [run for run in failed if run not in counted]
    found = [f"{told(lost)}{'; not in the number' if value else ''}"] if lost else []
    return [*found, *_counted(value, counted, digits)] if value else found


def _counted(value: Resampled, failed: Sequence[Diverged], digits: int) -> list[str]:
    if not failed:
        return []
    seeds = {run.seed for run in failed}
    others = [own for seed, own in zip(value.runs.seeds, value.full.tolist(), strict=True) if seed not in seeds]
    without = f"; without: {np.mean(others):.{digits}f} from {len(others)} of {value.seeds} seeds" if others else ""
    return [f"{told(failed)}; counted in the number{without}"]


def _verdict(draft: Draft, value: Resampled, failed: Sequence[Diverged], stand_in: str, digits: int) -> Verdict | None:
    published = draft.published
    if published is None:
        return None
    if stand_in and not draft.synthetic:
        return Verdict("not comparable", f"not comparable: {stand_in}")
    same, known = published.same_test_set(draft.data, value.runs.patients.tolist())
    printed = theirs(published.value, published.spread, published.kind, published.note)
    return verdict(printed, ours(value, failed, draft.synthetic), same, known, digits)
