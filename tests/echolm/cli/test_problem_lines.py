"""Lines about problems: all of a few, and one for each reason of many."""

from __future__ import annotations

from echolm.cli.problem_lines import MOST_LINES, problem_lines
from echolm.datasets.scan import Problem


def skipped(count: int) -> list[Problem]:
    return [Problem(f"{number}.dcm", None, str(number), "a still") for number in range(count)]


def test_a_few_have_a_line_each() -> None:
    lines = problem_lines(skipped(MOST_LINES))
    assert len(lines) == MOST_LINES and lines[-1] == "19.dcm: 19: a still"


def test_many_have_a_line_for_each_reason() -> None:
    lines = problem_lines([*skipped(4_000), Problem("t.csv", 7, "", "is empty"), *skipped(1)])
    assert lines == [
        "0.dcm: 0: a still (and 4,000 more for this reason)",
        "t.csv:7: is empty",
        "--json lists each of them",
    ]


def test_reasons_that_differ_are_all_told() -> None:
    problems = [Problem("t.csv", row, "", f"{row} is wrong") for row in range(50)]
    assert problem_lines(problems) == [str(problem) for problem in problems]
