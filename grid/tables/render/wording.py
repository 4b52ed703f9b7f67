"""Say in the same words what every rendering of a table says.

These are numbers, marks, the lines with the paper's numbers, notes, and what to type next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from echolm.text import true_minus
from grid.definition.tables import ColumnDefinition
from grid.statistics import FEWEST_SEEDS, Comparison, Estimate
from grid.statistics.far_behind import FAR_BEHIND
from grid.tables.assess import NOT_BETTER
from grid.tables.missing import baseline_command, gaps, grid_command
from grid.tables.published import PublishedNumber
from grid.tables.seen_data import SEEN
from grid.tables.table import ABSENT, Table, TableRow, Value
from grid.tables.undecided_verdicts import undecided

MISSING = "missing"
DIVERGED = "diverged"
UNDEFINED = "undefined"
REFUSED = "not averaged"
PHANTOM = "synthetic data (phantom)"
RANDOM_WEIGHTS = "random weights"
DENIED = (
    f"not bold by patients alone (under {FEWEST_SEEDS} seeds on one side):"
    " another training might not be worse than the best"
)
PAPER = "paper"
"""Marks a line with published numbers."""

# Signs that mean nothing in Markdown, so that they can stand behind bold text.
INCOMPLETE_MARK = "§"
DIVERGED_MARK = "†"
NOT_BETTER_MARK = "¶"
PATIENTS_MARK = "‡"
FAR_BEHIND_MARK = "‖"
SEEN_MARK = "◇"

MARKED_TOPICS = (
    ("far behind", FAR_BEHIND, FAR_BEHIND_MARK),
    ("diverged", "diverged", DIVERGED_MARK),
    (SEEN, f"{SEEN} the test data in pretraining", SEEN_MARK),
)
"""Words of notes on marked values, what these are about, and the mark. They are grouped by it."""

Position = tuple[int, int]
"""Index of a row and of a column of a table."""


@dataclass(frozen=True)
class TableNote:
    """A sentence on some values of a table.

    Args:
        place: names the values. Empty for all of the table.
        text: the sentence.
    """

    place: str
    text: str

    def __str__(self) -> str:
        if self.place:
            return f"{self.place}: {self.text}"
        return self.text


@dataclass(frozen=True)
class MissingLine:
    """A line on what a table lacks.

    Args:
        text: which seeds of which values are missing, and why.
        command: what to type to fill the gap. Empty where no command helps.
    """

    text: str
    command: str


def number(value: Value, digits: int) -> str:
    """Spell a value of a table.

    Returns:
        ``91.20 ± 3.10``, or ``missing``, or ``diverged`` where all seeds diverged, or
        ``not averaged``, or ``-`` for a place without a cell.
    """
    if value.number is not None:
        if value.undefined and not value.diverged:
            return UNDEFINED
        return true_minus(value.number.text(digits))
    if value.refused:
        return REFUSED
    if not value.expected:
        return ABSENT
    if all(seed.diverged for seed in value.missing):
        return DIVERGED
    return MISSING


def published(value: Value, digits: int) -> str:
    """Spell the paper's number, or ``-`` without one."""
    if value.published is None:
        return ABSENT
    text = f"{value.published.value:.{digits}f}"
    if value.published.spread is not None:
        text += f" ± {value.published.spread:.{digits}f}"
    return true_minus(text)


def number_range(numbers: Iterable[int]) -> str:
    """Spell the smallest and the largest number: ``1,264``, ``2-3``, or ``0`` for no number."""
    ordered = sorted(numbers)
    if not ordered:
        return "0"
    smallest, largest = f"{ordered[0]:,}", f"{ordered[-1]:,}"
    if smallest == largest:
        return smallest
    return f"{smallest}-{largest}"


def counted_range(numbers: Iterable[int], noun: str) -> str:
    """Spell a range with its noun: ``1,264 patients``, ``1 seed``, ``2-3 seeds``."""
    text = number_range(numbers)
    if text == "1":
        return f"1 {noun}"
    return f"{text} {noun}s"


def listed(texts: Iterable[str]) -> str:
    """Join texts to ``a``, ``a and b`` or ``a, b and c``."""
    *others, last = texts
    if not others:
        return last
    return f"{', '.join(others)} and {last}"


def marks(value: Value, labels_differ: bool) -> str:
    """Return the marks behind a value.

    ``§`` is incomplete, ``†`` has a diverged run, ``‖`` has one far behind its best seed, ``¶`` is
    not better than a constant prediction, ``◇`` is of an encoder that has seen the test data in
    pretraining, and ``‡`` is an interval over patients only among others.

    Args:
        value: the value.
        labels_differ: what ``labels_differ`` says of the value's table.
    """
    text = ""
    if value.incomplete:
        text += INCOMPLETE_MARK
    if value.diverged:
        text += DIVERGED_MARK
    if value.far_behind:
        text += FAR_BEHIND_MARK
    if value.not_better:
        text += NOT_BETTER_MARK
    if value.seen:
        text += SEEN_MARK
    if labels_differ and value.number and value.number.label:
        text += PATIENTS_MARK
    return text


def constants_of(values: Iterable[Value]) -> str:
    """Return what the constant predictions are called that some values are held against."""
    return " or ".join(sorted({value.constant for value in values if value.expected}))


def estimates(values: Iterable[Value]) -> list[Estimate]:
    """Return the numbers of the values that have one."""
    return [value.number for value in values if value.number and value.number.kind]


def published_numbers(values: Iterable[Value]) -> list[PublishedNumber]:
    """Return the published numbers beside some values."""
    return [value.published for value in values if value.published]


def outcomes(table: Table) -> set[str]:
    """Return the outcomes of the verdicts on published numbers."""
    return {value.verdict.outcome for value in table.values if value.verdict}


def headings(table: Table) -> list[str]:
    """Return the headings of the columns."""
    return [column.heading for column in table.columns]


def labels_differ(table: Table) -> bool:
    """Check whether some numbers have a label that sets them apart from the others.

    It reads all values of the table, so a rendering asks once a table, not once a value.
    """
    labels = {number.label for number in estimates(table.values)}
    return len(labels) > 1


def seeds_counted(values: Iterable[Value]) -> set[bool]:
    """Tell whether the comparisons with the best count seeds: all of them, none, or some."""
    counted = set()
    for value in values:
        comparison = _comparison(value)
        if comparison:
            counted.add(comparison.crossed)
    return counted


def _comparison(value: Value) -> Comparison | None:
    """Return the comparison of a value with the best of its column."""
    if value.standing is None:
        return None
    return value.standing.comparison


def headed(table: Table, row: TableRow) -> Iterable[tuple[ColumnDefinition, Value]]:
    """Pair the columns of a table with the values of a row."""
    return zip(table.columns, row.values, strict=True)


def has_paper(row: TableRow) -> bool:
    """Check whether the paper has a number for the row."""
    return bool(published_numbers(row.values))


def paper_labels(table: Table, row: TableRow) -> list[str]:
    """Label the line with the paper's numbers.

    Returns:
        ``paper`` in the first column, and the paper's labels where ours stand in for others.
    """
    paper_words = []
    for axis, label in zip(table.axes, row.labels, strict=True):
        paper_label = label
        if table.published:
            paper_label = table.published.label(axis, label)
        paper_words.append("" if paper_label == label else paper_label)
    first, *others = paper_words
    if first:
        return [f"{PAPER}: {first}", *others]
    return [PAPER, *others]


def quoted_labels(row: TableRow) -> list[str]:
    """Label a row that only the paper has."""
    return [f"{PAPER}: {row.labels[0]}", *row.labels[1:]]


def one_outcome(table: Table) -> bool:
    """Check whether no published number is comparable, so that saying it once is enough.

    It reads all values of the table, so a rendering asks once a table, not once a value.
    """
    return outcomes(table) == {"not comparable"}


def count_columns(table: Table) -> dict[str, list[str]]:
    """Return further columns with the numbers of patients and of seeds, where rows differ in them.

    Seeds are also counted where a value is incomplete.

    Returns:
        Heading -> the texts of all rows.
    """
    columns = {}
    patients, seeds = [], []
    for row in table.rows:
        patients.append(number_range(number.patients for number in estimates(row.values)))
        seeds.append(_seed_count([value for value in row.values if value.expected]))
    if len(set(patients) - {"0"}) > 1:
        columns["Patients"] = patients
    if len(set(seeds)) > 1 or any(value.missing for value in table.values):
        columns["Seeds"] = seeds
    return columns


def _seed_count(values: list[Value]) -> str:
    """Spell how many seeds some values have: ``3``, or ``1-3 of 3`` where some are missing."""
    collected = number_range(len(value.seeds) for value in values)
    if not any(value.missing for value in values):
        return collected
    expected = number_range(value.expected for value in values)
    return f"{collected} of {expected}"


def missing_lines(table: Table) -> list[MissingLine]:
    """List what a table lacks, each gap with the command that fills it."""
    lines = []
    for gap in gaps(table):
        lines.append(MissingLine(str(gap), table.spell(gap.command)))
    return lines


def collect_command(table: Table, lines: Iterable[MissingLine]) -> str:
    """Spell the command to type after those of ``lines``, or "" where they have none."""
    if any(line.command for line in lines):
        return table.spell(grid_command("collect", table.reference))
    return ""


def fill_commands(table: Table, value: Value) -> str:
    """Spell the commands that fill what one value lacks, or "" for a complete one."""
    commands: dict[str, None] = {}
    for seed in value.missing:
        text = table.spell(seed.command)
        if text:
            commands[text] = None
    return "; ".join(commands)


@dataclass(frozen=True)
class NoteContext:
    """What the notes on a value depend on, looked up once a table.

    Args:
        mixed_data: whether some data of the table are synthetic and others are not.
        mixed_weights: whether some values are of random weights and others are not.
        mixed_comparisons: whether some comparisons count seeds and others do not.
    """

    mixed_data: bool
    mixed_weights: bool
    mixed_comparisons: bool


def note_context(table: Table) -> NoteContext:
    """Look up what the notes on all values of a table depend on."""
    return NoteContext(
        mixed_data=any(not value.synthetic for value in table.values if value.seeds),
        mixed_weights=any(not value.random_weights for value in table.values if value.seeds),
        mixed_comparisons=len(seeds_counted(table.values)) > 1,
    )


def notes(table: Table, leave_out: Collection[str] = ()) -> list[TableNote]:
    """Tell what is unusual about values, each once for all places that it holds for.

    Args:
        table: the table.
        leave_out: texts of notes that are told elsewhere.
    """
    context = note_context(table)
    positions: dict[str, list[Position]] = defaultdict(list)
    for row_index, row in enumerate(table.rows):
        for column_index, value in enumerate(row.values):
            for text in value_notes(value, context):
                if text not in leave_out:
                    positions[text].append((row_index, column_index))
    table_notes = _missing_baseline_note(table)
    for text, places in positions.items():
        table_notes += _placed(table, places, text)
    for reason in undecided(table):
        table_notes.append(TableNote(reason.places, reason.text(table.program)))
    return table_notes


def value_notes(value: Value, context: NoteContext) -> list[str]:
    """Tell what is unusual about one value.

    Args:
        value: the value.
        context: of its table.
    """
    texts = [*value.notes, *_mixed_arithmetic(value)]
    if value.refused:
        texts.append(value.refused)
    if value.synthetic and context.mixed_data:
        texts.append(PHANTOM)
    if value.random_weights and context.mixed_weights:
        texts.append(RANDOM_WEIGHTS)
    if value.number:
        texts += value.number.notes
        if value.standing and value.standing.reason:
            texts.append(value.standing.reason)
    comparison = _comparison(value)
    by_patients = comparison is not None and not comparison.crossed
    if context.mixed_comparisons and by_patients and not value.bold:
        texts.append(DENIED)
    return [true_minus(text) for text in texts]


def _mixed_arithmetic(value: Value) -> list[str]:
    """Say which seeds of a value were computed how, where they differ in it."""
    seeds: dict[str, list[str]] = {}
    for source in value.sources:
        seeds.setdefault(source.arithmetic, []).append(source.seed)
    if len(seeds) < 2:
        return []
    parts = []
    for way, names in sorted(seeds.items()):
        parts.append(f"{'seed' if len(names) == 1 else 'seeds'} {', '.join(names)} in {way}")
    return [f"computed differently: {'; '.join(parts)}"]


def _missing_baseline_note(table: Table) -> list[TableNote]:
    """Tell that the baseline of a table has no run."""
    if not table.missing_baselines:
        return []
    parts = []
    for axis, labels in table.missing_baselines.items():
        parts.append(f"{axis} {'/'.join(labels)}")
    baselines = ", ".join(parts)
    words = constants_of(table.values)
    reason = f"the baseline ({baselines}) has no run, so what is {NOT_BETTER} {words} is not told"
    command = table.spell(baseline_command(table))
    return [TableNote("", f"{reason}; type: `{command}`")]


def paper_notes(table: Table) -> list[TableNote]:
    """Tell where the paper contradicts itself about its numbers.

    What holds for all published numbers comes first, without a place.
    """
    positions: dict[str, list[Position]] = defaultdict(list)
    published_count = 0
    for row_index, row in enumerate(table.rows):
        for column_index, value in enumerate(row.values):
            if value.published:
                published_count += 1
                for text in value.published.contradictions:
                    positions[text].append((row_index, column_index))
    general, placed = [], []
    for text, places in positions.items():
        if len(places) == published_count:
            general.append(TableNote("", text))
        else:
            placed += _placed(table, places, text)
    return [*general, *_quoted_notes(table, {note.text for note in general}), *placed]


def contradictions(number: PublishedNumber | None, general: set[str]) -> list[str]:
    """Tell where the paper contradicts itself about one number.

    Args:
        number: the published number.
        general: contradictions that concern all of the table. They are left out.
    """
    if number is None:
        return []
    sentences = []
    for text in number.contradictions:
        if text not in general:
            sentences.append(f"On the published number: {text}.")
    return sentences


def _quoted_notes(table: Table, known: set[str]) -> list[TableNote]:
    """Tell of rows of the paper alone how their numbers were obtained, and contradictions."""
    row_notes = []
    for row in table.paper_rows:
        texts: dict[str, None] = {}
        for number in published_numbers(row.values):
            texts |= dict.fromkeys((number.note, *number.contradictions))
        for text in texts:
            if text and text not in known:
                row_notes.append(TableNote(f"{PAPER}: {row.labels[0]}", text))
    return row_notes


def verdict_notes(table: Table) -> list[TableNote]:
    """List the published numbers that differ from ours, with the arithmetic."""
    verdicts = []
    for row in table.rows:
        for column, value in headed(table, row):
            if value.verdict and value.verdict.outcome == "differs":
                place = ", ".join([*row.labels, column.heading])
                verdicts.append(TableNote(place, true_minus(value.verdict.text)))
    return verdicts


def _placed(table: Table, positions: Sequence[Position], text: str) -> list[TableNote]:
    """Make one note for all rows that a text holds for in the same columns."""
    columns_of_rows: dict[int, list[int]] = defaultdict(list)
    for row_index, column_index in positions:
        columns_of_rows[row_index].append(column_index)
    rows_of_headings: dict[str, list[int]] = defaultdict(list)
    for row_index, columns in columns_of_rows.items():
        expected = [value for value in table.rows[row_index].values if value.expected]
        headings = ""
        if len(columns) < len(expected):
            headings = ", ".join(table.columns[index].heading for index in columns)
        rows_of_headings[headings].append(row_index)
    placed = []
    for headings, rows in rows_of_headings.items():
        labels = "; ".join(", ".join(table.rows[index].labels) for index in rows)
        every_row = len(rows) == len(table.rows) and len(rows) > 1
        if not headings:
            place = labels
        elif every_row:
            place = headings
        else:
            place = f"{labels}, {headings}"
        placed.append(TableNote(place, text))
    return placed
