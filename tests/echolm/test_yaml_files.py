"""YAML files are read as a person reads them, or refused."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from echolm.errors import EchoLMError
from echolm.yaml_files import dump_yaml, load_yaml, parse_yaml

MISREAD = {
    "00": ("0", "write 0, or '00' in quotes for a text"),
    "08": ("text", "write 8, or '08' in quotes for a text"),
    "010": ("8", "write 10, or '010' in quotes for a text"),
    "-012": ("-10", "write -12, or '-012' in quotes for a text"),
    "+07": ("7", "write 7, or '+07' in quotes for a text"),
    "0_1": ("1", "write 1, or '0_1' in quotes for a text"),
    "1:30": ("90", "write a number without colons, or '1:30' in quotes for a text"),
    "1:30:00": ("5400", "write a number without colons, or '1:30:00' in quotes for a text"),
    "1:30.5": ("90.5", "write a number without colons, or '1:30.5' in quotes for a text"),
    "1_0": ("10", "write 10, or '1_0' in quotes for a text"),
    "1_000.5": ("1000.5", "write 1000.5, or '1_000.5' in quotes for a text"),
    "0x1_0": ("16", "write 0x10, or '0x1_0' in quotes for a text"),
    "2024-01-31": ("a date", "write '2024-01-31' in quotes"),
    "2024-13-45": ("a date", "write '2024-13-45' in quotes"),
    "2024-01-31 10:00:00": ("a date", "write '2024-01-31 10:00:00' in quotes"),
}
PLACES = {
    "a value": "first: 1\nfield: {}\n",
    "in a list": "first: 1\nlist: [1, {}]\n",
    "in a block": "first:\n- {}\n",
    "a key": "first: 1\n{}: 1\n",
    "in a flow mapping": "first:\n  inner: {{a: {}}}\n",
}
LINES = dict.fromkeys(PLACES, 2)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", MISREAD)
def test_what_yaml_reads_otherwise_is_refused(text: str, place: str) -> None:
    content = PLACES[place].format(text)
    if place == "a key" and ":" in text and " " in text:
        content = f"first: 1\n? {text}\n"
    reads, remedy = MISREAD[text]
    with pytest.raises(EchoLMError) as caught:
        parse_yaml(content, "g.yaml")
    assert str(caught.value) == f"g.yaml: line 2: YAML reads {text} as {reads}; {remedy}"
    for quote in "'\"":
        quoted = parse_yaml(content.replace(text, f"{quote}{text}{quote}"), "g.yaml")
        assert text in str(quoted)


@given(st.integers(-(10**12), 10**12))
@example(0)
def test_whole_numbers_are_themselves(number: int) -> None:
    assert parse_yaml(f"seed: {number}", "x") == {"seed": number}
    padded = f"{'-' if number < 0 else ''}0{abs(number)}"
    with pytest.raises(EchoLMError, match=f"reads {padded} as"):
        parse_yaml(f"seed: [{padded}]", "x")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_with_a_point_are_themselves(number: float) -> None:
    text = yaml.safe_dump(number).partition("\n")[0]
    assert parse_yaml(f"lr: {text}", "x") == {"lr": number}


@pytest.mark.parametrize(
    "text",
    ["0", "-0", "0.5", "1.0e-4", "1e-3", "k0", "0-4", "v1.2", "10.0.0.1:6379", "host:22", "a_1"]
    + ["run:0123456789012345", "0x1F", "007bond", "~", "true", "1:75", ""],
)
def test_ordinary_words_and_numbers_are_read(text: str) -> None:
    assert parse_yaml(f"field: {text}", "x") == yaml.safe_load(f"field: {text}")


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"])) | st.from_regex(
    r"[-+]?[0-9][0-9_:.]{0,6}", fullmatch=True
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(DATA)
@example({"label": "08", "010": ["0_8", "1:30", "2024-01-31", "no"]})
def test_what_is_written_is_read_as_it_was(data: Any) -> None:
    assert parse_yaml(dump_yaml(data), "x") == data


def test_every_kind_of_file_is_read_by_it(tmp_path: Path) -> None:
    """Grids, runs, searches, tables and profiles have one reader."""
    from cluster.profile import load_profile
    from echolm.config import load_config
    from grid.definition.extra_tables import read_tables
    from grid.definition.grid import load_grid
    from grid.search.definition import load_search

    path = tmp_path / "file.yaml"
    path.write_text("base: {}\ntime_minutes: 1:30:00\n")
    for read in (
        load_profile,
        load_config,
        read_tables,
        lambda file: load_grid(str(file)),
        lambda file: load_search(str(file)),
    ):
        with pytest.raises(EchoLMError, match=r"file.yaml: line 2: YAML reads 1:30:00 as 5400"):
            read(path)


@pytest.mark.parametrize("content", ["a: 2024-99-99T99:99:99Z", "a: " + "9" * 5000])
def test_no_value_ends_in_a_traceback(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(content)
    try:
        value = load_yaml(path)["a"]
    except EchoLMError as error:
        assert str(path) in str(error)
    else:
        assert not isinstance(value, datetime.date)
