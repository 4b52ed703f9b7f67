"""Say below a table what its numbers are.

These are the kind of ±, over how many patients and seeds it is, which kind of data it is of, what
is bold, what marks mean, and what the published numbers beside them are. The caption has the most
important of these in a few lines, and the notes have the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from grid.definition.tables import PublishedSource
from grid.statistics import KINDS, RULE, Estimate, bold_caption
from grid.statistics.baseline import MEAN_CONTOUR
from grid.statistics.far_behind import FAR_BEHIND
from grid.tables.assess import NOT_BETTER
from grid.tables.claims import claims_line
from grid.tables.published import PublishedNumber
from grid.tables.render import wording
from grid.tables.table import Table, Value

NO_RUN = "No run was collected yet."
NO_RUN_COUNTS = "No run that was collected counts any more."
DIVERGED_SENTENCE = (
    f"{wording.DIVERGED_MARK} a run among its seeds diverged, so it is never bold; see the notes."
)
FAR_BEHIND_SENTENCE = (
    f"{wording.FAR_BEHIND_MARK} a seed is {FAR_BEHIND} (worse than it by more than two of its"
    " standard deviations over patients): it counts in the number, which is never bold; see the"
    " notes."
)
SEEN_SENTENCE = "an encoder has seen the test data in pretraining; see the notes."
LONGEST = 330
"""Characters of title and caption together: three lines of a page."""
ALL_ROWS = "All rows"
FIRST_CLAUSE = re.compile(r"(.{30,}?)[;:.](?:\s|$)")
"""The first clause of a sentence that says what the ± is."""


@dataclass(frozen=True)
class TableText:
    """What is said of a table's numbers.

    Args:
        caption: the most important of it.
        notes: sentences that have no room in the caption.
    """

    caption: str
    notes: list[str]


@dataclass(frozen=True)
class _Statement:
    """A sentence about a table.

    Args:
        short: for the caption.
        more: for the notes, beside ``short`` in the caption. Empty where there is no more to say.
        whole: for the notes, where ``short`` has no room in the caption. Empty: ``short`` is all.
    """

    short: str
    more: str = ""
    whole: str = ""


def caption(table: Table) -> str:
    """Return the caption below the table: at most three lines, together with its title."""
    return table_text(table).caption


def table_text(table: Table) -> TableText:
    """Say what the numbers of a table are, the most important of it in the caption."""
    filled = [value for value in table.values if value.seeds]
    if filled:
        statements = _own_statements(table, filled)
    else:
        is_outdated = any(value.refused for value in table.values)
        statements = [_Statement(NO_RUN_COUNTS if is_outdated else NO_RUN)]
    published = wording.published_numbers(table.values)
    later: list[str] = []
    if table.published and published:
        synthetic = any(value.synthetic for value in filled)
        statements.append(_Statement(_published_sentence(table.published, published)))
        later += _not_comparable(table, table.published, synthetic)
        later += _verdict_sentences(table)
    room = LONGEST - len(table.title)
    sentences: list[str] = []
    notes: list[str] = []
    for statement in statements:
        room -= len(statement.short) + 1
        if room >= 0 or not sentences:
            sentences.append(statement.short)
            if statement.more:
                notes.append(statement.more)
        else:
            notes.append(statement.whole or statement.short)
    units = _units(table)
    if units:
        later.append(units)
    claims = claims_line(table)
    if claims:
        later.append(claims)
    return TableText(" ".join(sentences), [*notes, *later])


def mark_sentences(table: Table) -> list[str]:
    """Explain the marks behind values, of those that occur."""
    lines = []
    if any(value.incomplete for value in table.values):
        lines.append(f"{wording.INCOMPLETE_MARK} some seeds are missing.")
    lines += _diverged(table)
    not_better = [value for value in table.values if value.not_better]
    if not_better:
        words = f"{NOT_BETTER} {wording.constants_of(not_better)}"
        source = "of the training data" if MEAN_CONTOUR in words else "from the training data"
        lines.append(f"{wording.NOT_BETTER_MARK} {words} {source}, which looks at no image.")
    if any(value.seen for value in table.values):
        lines.append(f"{wording.SEEN_MARK} {SEEN_SENTENCE}")
    if wording.labels_differ(table):
        lines.append(f"{wording.PATIENTS_MARK} interval over patients only.")
    return lines


def _own_statements(table: Table, filled: list[Value]) -> list[_Statement]:
    """Describe the numbers of the grid's own runs, the most important first."""
    statements = _spread(table, wording.estimates(filled))
    statements.append(_Statement("Test split."))
    for sentence in (*_synthetic(table), *_random_weights(table), *_arithmetic(table)):
        statements.append(_Statement(sentence))
    if any(value.bold for value in filled):
        whole = bold_caption(wording.seeds_counted(filled))
        head, _, method = whole.partition(" (")
        statements.append(_Statement(f"{head}.", f"Bold: {method.removesuffix(').')}.", whole))
    return statements


def _units(table: Table) -> str:
    """Say the units of columns whose headings do not say them, in a table of several units."""
    if len(set(table.units) - {""}) < 2:
        return ""
    texts = []
    for column, unit in zip(table.columns, table.units, strict=True):
        if unit and f"({unit})" not in column.heading:
            texts.append(f"{column.heading} in {unit}")
    return f"Units: {'; '.join(texts)}." if texts else ""


def _spread(table: Table, numbers: list[Estimate]) -> list[_Statement]:
    """Say what the ± is, and over how many patients and seeds."""
    if not numbers:
        return []
    patients = {number.patients for number in numbers}
    seeds = {number.seeds for number in numbers}
    patient_count = wording.counted_range(patients, "patient")
    seed_count = wording.counted_range(seeds, "seed")
    sentence = KINDS[table.kind].caption(patient_count, seed_count)
    if table.kind == "std-over-seeds" and 1 in seeds and len(seeds) > 1:
        sentence += " A value with 1 seed has no ±."
    first = FIRST_CLAUSE.match(sentence)
    if first is None or len(first[0].rstrip()) == len(sentence):
        return [_Statement(sentence)]
    return [_Statement(f"{first[1]}.", sentence, sentence)]


def _diverged(table: Table) -> list[str]:
    """Explain the marks of runs that diverged or are far behind, where they are used."""
    lines = []
    if any(value.diverged for value in table.values):
        lines.append(DIVERGED_SENTENCE)
    if any(value.far_behind for value in table.values):
        lines.append(FAR_BEHIND_SENTENCE)
    return lines


def _synthetic(table: Table) -> list[str]:
    """Say which rows are from synthetic data."""
    rows = _rows_with(table, "synthetic")
    if rows == ALL_ROWS:
        exception = " but the published ones" if table.published else ""
        return [f"All numbers{exception} are from {wording.PHANTOM}."]
    if rows:
        return [f"{rows} are from {wording.PHANTOM}; see the notes."]
    return []


def _random_weights(table: Table) -> list[str]:
    """Say which rows began with random weights though their encoders have published ones."""
    rows = _rows_with(table, "random_weights")
    if rows == ALL_ROWS:
        return [f"{ALL_ROWS} are of {wording.RANDOM_WEIGHTS}, not of published ones."]
    if rows:
        return [f"{rows} are of {wording.RANDOM_WEIGHTS}, not of published ones; see the notes."]
    return []


def _arithmetic(table: Table) -> list[str]:
    """Say in how many rows runs were computed in different ways, as in bf16 and in fp32."""
    rows_with_runs = different = 0
    all_ways: set[str] = set()
    for row in table.rows:
        ways = {source.arithmetic for value in row.values for source in value.sources}
        rows_with_runs += bool(ways)
        if len(ways) > 1:
            different += 1
            all_ways |= ways
    if not different:
        return []
    mixed = wording.listed(sorted(all_ways))
    return [f"{different} of {rows_with_runs} rows mix runs computed in {mixed}."]


def _rows_with(table: Table, attribute: str) -> str:
    """Return how many rows with runs have an attribute of ``Value``.

    Returns:
        ``2 of 4 rows``, ``ALL_ROWS`` where all values have it, or '' where none has.
    """
    rows_with_runs = rows_with_it = 0
    have_all = True
    for row in table.rows:
        have = [getattr(value, attribute) for value in row.values if value.seeds]
        if have:
            rows_with_runs += 1
            if any(have):
                rows_with_it += 1
            if not all(have):
                have_all = False
    if have_all:
        return ALL_ROWS
    if not rows_with_it:
        return ""
    return f"{rows_with_it} of {rows_with_runs} rows"


def _published_sentence(source: PublishedSource, numbers: list[PublishedNumber]) -> str:
    """Say where the published numbers are from, and what their ± is."""
    facts = [source.place]
    for kind in dict.fromkeys(number.kind for number in numbers):
        facts.append(f"± is the {kind}" if kind else "without ±")
    facts += dict.fromkeys(number.note for number in numbers if number.note)
    return f"Lines that begin with '{wording.PAPER}': {'; '.join(facts)}."


def _not_comparable(table: Table, source: PublishedSource, synthetic: bool) -> list[str]:
    """Say why the published numbers are not comparable with the grid's own, where they are not.

    Args:
        table: the table.
        source: where the numbers are from.
        synthetic: whether some of the grid's own numbers are from synthetic data.
    """
    stand_ins = _stand_ins(table, source)
    if stand_ins:
        pairs = [f"{theirs} (beside {ours})" for ours, theirs in stand_ins.items()]
        return [
            f"The published numbers are of {wording.listed(pairs)} on patients, so not comparable."
        ]
    if synthetic:
        return [f"The published numbers are not comparable with {wording.PHANTOM}."]
    return []


def _stand_ins(table: Table, source: PublishedSource) -> dict[str, str]:
    """Find the table's labels that stand in for others of the paper.

    Returns:
        Our label -> the paper's.
    """
    shown: set[tuple[str, str]] = set()
    for place, _ in table.located_values:
        shown.update(place.items())
    stand_ins = {}
    for axis, labels in source.labels.items():
        for ours, theirs in labels.items():
            if (axis, ours) in shown:
                stand_ins[ours] = theirs
    return stand_ins


def _verdict_sentences(table: Table) -> list[str]:
    """State the rule of the verdicts, where it was used."""
    verdicts = [value.verdict for value in table.values if value.verdict]
    if not verdicts or wording.one_outcome(table):
        return []
    test_sets = dict.fromkeys(verdict.test_set for verdict in verdicts if verdict.test_set)
    sentence = f"Beside each published number stands whether it was reproduced. {RULE}"
    if test_sets:
        sentence += f" Their test set beside ours: {'; '.join(test_sets)}."
    return [sentence]
