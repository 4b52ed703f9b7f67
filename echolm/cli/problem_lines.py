"""Lines about the problems of a dataset, short even where it has half a million files."""

from __future__ import annotations

from collections.abc import Sequence

from echolm.datasets.scan import Problem

MOST_LINES = 20
"""Lines up to which each problem has its own."""


def problem_lines(problems: Sequence[Problem]) -> list[str]:
    """Say what is wrong, a line for each problem.

    Of many problems those with the same reason share a line, which names the first of them.
    """
    if len(problems) <= MOST_LINES:
        return [str(problem) for problem in problems]
    by_reason: dict[str, list[Problem]] = {}
    for problem in problems:
        by_reason.setdefault(problem.reason, []).append(problem)
    lines = []
    for alike in by_reason.values():
        line = str(alike[0])
        if len(alike) > 1:
            line += f" (and {len(alike) - 1:,} more for this reason)"
        lines.append(line)
    if len(lines) < len(problems):
        lines.append("--json lists each of them")
    return lines
