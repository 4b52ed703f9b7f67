"""Comparisons in words: aligned lines that begin with a verdict, remarks, and JSON data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grid.definition.tables import ColumnDefinition
from grid.statistics import Comparison, CrossedBootstrap
from grid.statistics.comparison import EQUAL, p_text
from grid.tables.compare import Compared, Pair
from grid.tables.render.wording import PHANTOM

Line = tuple[str, str]
"""What stands at the left, and the text beside it."""


def comparison_lines(pair: Pair, comparison: Comparison) -> list[Line]:
    """Return a comparison as lines, the verdict first."""
    column = pair.column
    word = comparison.word(column.direction or None)
    lines = [(word, _verdict_text(column, comparison, word))]
    if word == "undefined":
        return lines
    lines.append(("difference", comparison.difference_text(column.digits)))
    for side in pair.sides:
        number = CrossedBootstrap().of(side.resampled)
        seeds = "seed" if number.seeds == 1 else "seeds"
        label = f", {number.label}" if number.label else ""
        lines.append((side.name, f"{number.text(column.digits)} ({number.seeds} {seeds}{label})"))
    if comparison.wilcoxon is not None:
        text = f"{p_text(comparison.wilcoxon)} over patients, networks as trained"
        lines.append(("Wilcoxon", text))
    if comparison.margin is not None and comparison.equivalence is not None:
        low, high = comparison.equivalence
        shown = "equal" if comparison.equivalent else "not shown to be equal"
        interval = f"90 % interval {low:+.{column.digits}f} to {high:+.{column.digits}f}"
        lines.append((f"within ±{comparison.margin:g}", f"{shown} ({interval})"))
    if comparison.claim:
        lines.append(("claim", comparison.claim))
    return lines


def remarks(sides: Sequence[Compared]) -> list[str]:
    """Return what a reader must know beside a comparison.

    Runs that diverged or are far behind, seeds that are not in it, other notes on either value,
    synthetic data, and that every p is of it alone.
    """
    texts = value_remarks(sides)
    texts.append(
        "Every p is of this comparison alone, not adjusted for others: a table's bold print is."
    )
    return texts


def value_remarks(sides: Sequence[Compared]) -> list[str]:
    """Return what a reader must know of values, whatever is made of them."""
    texts = []
    for side in sides:
        texts += [f"{side.name}: {note}." for note in side.notes]
        texts += _missing_remarks(side)
    synthetic = [side.name for side in sides if side.synthetic]
    if synthetic:
        texts.append(f"{' and '.join(synthetic)}: {PHANTOM}, which says nothing about patients.")
    return texts


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON data."""
    return {
        "first": comparison.first,
        "second": comparison.second,
        "statistic": comparison.statistic,
        "difference": comparison.difference,
        "low": comparison.low,
        "high": comparison.high,
        "p": comparison.p,
        "wilcoxon": comparison.wilcoxon,
        "patients": comparison.patients,
        "seeds": comparison.seeds,
        "crossed": comparison.crossed,
        "claim": comparison.claim,
    }


def flags(sides: Sequence[Compared]) -> dict[str, Any]:
    """Return what sets values apart from sound ones of patients, as JSON data."""
    diverged = []
    far_behind = []
    for side in sides:
        diverged.append([run.seed for run in side.diverged])
        far_behind.append([run.seed for run in side.far_behind])
    synthetic = [side.synthetic for side in sides]
    return {"diverged": diverged, "far_behind": far_behind, "synthetic": synthetic}


def _verdict_text(column: ColumnDefinition, comparison: Comparison, word: str) -> str:
    """Return what the verdict is of."""
    difference = f"{comparison.first} - {comparison.second}"
    text = f"{column.heading}: {difference}"
    if word == EQUAL:
        return f"{text}, ±{comparison.margin:g}"
    return text


def _missing_remarks(side: Compared) -> list[str]:
    """Return which seeds are not in a value, and why."""
    seeds: dict[str, list[str]] = {}
    for item in side.missing:
        seeds.setdefault(item.reason, []).append(item.seed)
    texts = []
    for reason, names in seeds.items():
        noun = "seed" if len(names) == 1 else "seeds"
        texts.append(f"{side.name}: without {noun} {', '.join(names)}: {reason}.")
    return texts
