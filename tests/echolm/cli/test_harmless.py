"""What people and servers wrote orders no terminal: titles, axes, labels, names, errors."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from echolm.cli import main
from echolm.cli.hints import warn
from echolm.cli.terminal import rich_table, say, table_lines
from echolm.commands import Hint
from echolm.text import harmless, harmless_json, one_line, true_minus

ORDERS = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2066\x85\u2028\x00"
GRID = """
title: {title}
base: {{data: phantom, task: landmarks, encoder: tiny-r3d, epochs: 1}}
axes:
  head: [mlp, gcn]
  seed: [0, 1]
tables:
  {name}:
    title: {title}
    rows: [head]
    columns:
      - {{metric: dice, slot: ED, label: {title}}}
"""


def obeyed(text: str) -> set[str]:
    """The characters that a terminal obeys, or that turn its order round."""
    kinds = ("Cc", "Cf", "Zl", "Zp", "Cs")
    return {sign for sign in text if unicodedata.category(sign) in kinds and sign not in "\n\t"}


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A grid's file whose title, table and column hold orders."""
    text = json.dumps(f"x {ORDERS} y")
    path = tmp_path / "hostile.yaml"
    path.write_text(GRID.format(title=text, name=text), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "words",
    [
        ("tables", "FILE"),
        ("tables", "FILE", "--format", "csv"),
        ("tables", "FILE", "--format", "latex"),
        ("tables", "FILE", "--format", "html"),
        ("tables", "FILE", "--json"),
        ("grid", "show", "FILE"),
        ("grid", "show", "FILE", "--json"),
        ("status", "FILE", "--all"),
        ("report", "FILE"),
        ("compare", "FILE", "head=mlp", "head=gcn"),
        ("seeds-needed", "FILE", "head=mlp", "head=gcn"),
    ],
)
def test_no_command_prints_an_order(hostile: Path, tmp_path: Path, words: tuple[str, ...]) -> None:
    typed = [str(hostile) if word == "FILE" else word for word in words]
    done = CliRunner().invoke(main, ["-w", str(tmp_path / "work"), *typed])
    assert not isinstance(done.exception, Exception) or isinstance(done.exception, SystemExit)
    assert done.output
    assert not obeyed(done.output)
    for page in (tmp_path / "work").rglob("*.html"):
        assert not obeyed(page.read_text(encoding="utf-8"))


@given(st.text())
def test_printed_lines_and_tables_hold_no_order(text: str) -> None:
    assert not obeyed(harmless(text))
    assert not obeyed(one_line(text))
    assert "\n" not in one_line(text)
    lines = table_lines([text, "n"], [[text, 1], ["a", 2]])
    assert len(lines) == 3
    assert not obeyed("".join(lines))
    for column in rich_table([text], [[text]]).columns:
        assert not obeyed(str(column.header) + "".join(str(cell) for cell in column.cells))


@given(
    st.text(alphabet=st.characters(exclude_categories=["Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"]))
)
def test_what_is_harmless_stays(text: str) -> None:
    assert harmless(text) == text


@given(st.text())
def test_json_means_the_same(text: str) -> None:
    document = json.dumps({"a": [text]}, ensure_ascii=False, indent=1)
    assert json.loads(harmless_json(document)) == {"a": [text]}
    assert not obeyed(harmless_json(document))


def test_a_hint_and_a_line_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    say(f"run {ORDERS}\nsecond\tline")
    assert not obeyed(out := capsys.readouterr().out)
    assert out.endswith("\nsecond\tline\n")
    with click.Context(main):
        warn([ORDERS, Hint(ORDERS)])
    assert not obeyed(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("-1.50 ± 0.25", "−1.50 ± 0.25"),
        ("0.10 [-0.30, 0.50]", "0.10 [−0.30, 0.50]"),
        ("(-2 to -1)", "(−2 to −1)"),
        ("-inf", "−inf"),
        ("|-3.00 - 2.00| = 5.00", "|−3.00 - 2.00| = 5.00"),
        ("r3d-18, k-1, 2026-01-02, seeds 0-2, --seed 1, lr=-1", None),
    ],
)
def test_a_minus_stands_before_numbers_alone(text: str, shown: str | None) -> None:
    assert true_minus(text) == (text if shown is None else shown)
