"""Values in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from echolm.text import counted, duration, last_line, last_line_of, printable, ranges, suggest


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "0 cells"),
        (1, "1 cell"),
        (1.0, "1 cell"),
        (2, "2 cells"),
        (4.0, "4 cells"),
        (0.5, "0.5 cells"),
        (1264, "1,264 cells"),
    ],
)
def test_a_number_with_its_noun(number: float, words: str) -> None:
    assert counted(number, "cell") == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (89.4, "89 s"),
        (90, "2 min"),
        (720, "12 min"),
        (5399, "90 min"),
        (5400, "1.5 h"),
        (12600, "3.5 h"),
    ],
)
def test_a_duration_has_the_unit_that_suits_it(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([], ""),
        ([7], "7"),
        ([0, 1, 2, 3, 7], "0-3,7"),
        ([3, 1, 2, 2, 9, 8], "1-3,8-9"),
    ],
)
def test_neighbouring_numbers_are_a_range(numbers: list[int], words: str) -> None:
    assert ranges(numbers) == words


def test_a_name_that_is_not_valid_gets_a_suggestion() -> None:
    assert suggest("aple", ["pear", "apple"]) == "did you mean 'apple'? valid: apple, pear"
    assert suggest("x", ["pear", "apple"]) == "valid: apple, pear"
    assert suggest("x", []) == "valid: (none)"


def test_what_a_terminal_would_obey_is_spelled() -> None:
    assert printable("Größe \x1b[31mred\n") == "Größe \\x1b[31mred\\n"
    assert printable("bell \x07, \u202e turned") == "bell \\x07, \\u202e turned"


def test_the_last_line_of_a_log_is_the_last_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == "its log is empty"
    assert last_line(log, "no log") == "no log"
    log.write_bytes(b"\n  \n")
    assert last_line(log) == "its log is empty"
    log.write_bytes(b"first\n  KeyError: 'ed' \xff \n\n   \n")
    assert last_line(log) == "KeyError: 'ed' \N{REPLACEMENT CHARACTER}"


def test_the_last_line_of_a_text() -> None:
    assert last_line_of("one\ntwo\n\n", "nothing") == "two"
    assert last_line_of(" \n", "nothing") == "nothing"
