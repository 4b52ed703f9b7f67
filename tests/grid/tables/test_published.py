"""Published numbers as printed, and which of our places each belongs to."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from echolm.errors import EchoLMError
from grid.definition.tables import ColumnDefinition, PublishedSource
from grid.tables import published
from grid.tables.published import find, paper_rows, published_numbers, published_papers

PLACE = {
    "encoder": "echoprime",
    "trainable": "k2",
    "augmentation": "bhoodoo2026",
    "head": "gcn",
    "fraction": "10%",
    "seed": "0",
}
ED = ColumnDefinition(metric="dice", slot="ED")


def look(
    table: str, place: dict[str, str], column: ColumnDefinition = ED, **labels: dict[str, str]
) -> Any:
    source = PublishedSource(paper="bhoodoo2026", table=table, labels=labels)
    return find(published_numbers(source), source, column, place)


def test_every_row_of_the_file_is_a_number_of_its_table() -> None:
    with open(published.FOLDER / "bhoodoo2026.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for table, count in Counter(row["table"] for row in rows).items():
        numbers = published_numbers(PublishedSource(paper="bhoodoo2026", table=table))
        printed = [
            (float(row["value"]), float(row["spread"]) if row["spread"] else None)
            for row in rows
            if row["table"] == table
        ]
        assert [(number.value, number.spread) for number in numbers] == printed
        assert len(numbers) == count


@pytest.mark.parametrize(
    ("table", "change", "words"),
    [
        (
            "2",
            {"encoder": "vit-b-16", "trainable": "all", "augmentation": "none"},
            "the one exception that the text grants",
        ),
        ("2", {"encoder": "mvit-v2-s", "trainable": "all"}, "0.08 below the best foundation model"),
        ("3", {"trainable": "all"}, "0.08 above the same network from Kinetics weights"),
        ("3", {"trainable": "k0"}, "augmentation makes it worse"),
        ("3", {"encoder": "panecho", "trainable": "k0"}, "the heads tie"),
        ("4", {}, "82-84 % of the gain"),
        ("figure a.1", {}, "GPU memory"),
        (
            "2",
            {"encoder": "deeplabv3-resnet50", "trainable": "all", "head": "segmentation"},
            "92.7 and 90.3",
        ),
    ],
)
def test_a_contradiction_stands_beside_its_numbers(
    table: str, change: dict[str, str], words: str
) -> None:
    """And not beside all of the table's, unless it is about them all."""
    place = {**PLACE, **change}
    assert any(words in text for text in look(table, place).contradictions)
    held = [
        any(words in text for text in number.contradictions)
        for number in published_numbers(PublishedSource(paper="bhoodoo2026", table=table))
    ]
    assert all(held) if table == "figure a.1" else 1 <= sum(held) <= 8


@pytest.mark.parametrize(
    ("table", "change", "metric", "slot", "expected"),
    [
        ("4", {}, "dice", "ED", (87.81, 5.56)),
        ("4", {}, "dice", "ES", (83.96, 7.29)),
        ("4", {"trainable": "k0"}, "dice", "ED", (74.91, 10.92)),
        (
            "3",
            {"trainable": "all", "augmentation": "none", "head": "mlp"},
            "mke",
            "ES",
            (2.52, 0.95),
        ),
        (
            "2",
            {"encoder": "vit-b-16", "trainable": "all", "augmentation": "none"},
            "dice",
            "ES",
            (85.72, 6.44),
        ),
        (
            "figure 2",
            {"encoder": "resnet18-2d", "trainable": "all", "fraction": "0.5%"},
            "dice",
            "ED",
            (74.34, None),
        ),
        (
            "figure a.1",
            {"encoder": "mvit-v2-s", "trainable": "k12", "fraction": "100%"},
            "dice",
            "ED",
            (88.9, None),
        ),
    ],
)
def test_a_place_finds_the_number_that_the_paper_prints_for_it(
    table: str, change: dict[str, str], metric: str, slot: str, expected: tuple[float, float | None]
) -> None:
    number = look(table, PLACE | change, ColumnDefinition(metric=metric, slot=slot))
    assert (number.value, number.spread) == expected
    assert number.kind == ("std over 1264 test videos" if expected[1] else "")


def test_a_test_set_is_judged_by_what_is_known_of_it() -> None:
    """Ids where they are known.

    Else the data set and how many, which its row says, or the paper's notes.
    """
    number, figure = look("4", PLACE), look("figure 2", PLACE | {"trainable": "all"})
    assert number.patients == figure.patients == 1264
    assert number.kind
    assert not figure.kind
    ids = [f"p{at}" for at in range(1264)]
    assert number.same_test_set({"echonet-dynamic"}, ids) == (
        True,
        "same number of patients (1,264)",
    )
    assert number.same_test_set({"echonet-dynamic"}, ids[1:]) == (
        False,
        "another test set (1,264 patients, ours 1,263)",
    )
    assert not number.same_test_set({"camus"}, ids)[0]
    assert not number.same_test_set({"echonet-dynamic", "camus"}, ids)[0]
    known = replace(
        number, patients_sha256=hashlib.sha256("\n".join(sorted(ids)).encode()).hexdigest()
    )
    assert known.same_test_set({"echonet-dynamic"}, ids[::-1]) == (
        True,
        "the same patients, by their ids",
    )
    assert known.same_test_set({"echonet-dynamic"}, [*ids[1:], "q"]) == (
        False,
        "another test set, by the ids of its patients",
    )
    assert replace(number, patients=0).same_test_set({"echonet-dynamic"}, ids) == (
        False,
        "another test set, as far as is known",
    )


def test_a_field_that_the_paper_leaves_empty_fits_any_label() -> None:
    place = PLACE | {"trainable": "all", "fraction": "2%"}
    found = [look("figure 2", place | {"augmentation": label}) for label in ("bhoodoo2026", "none")]
    assert [number.value for number in found] == [77.33, 77.33]


@pytest.mark.parametrize(
    "change",
    [{"encoder": "tiny-r3d"}, {"trainable": "k6"}, {"fraction": "100%"}, {"head": "gatv2"}],
)
def test_another_place_finds_nothing(change: dict[str, str]) -> None:
    assert look("4", PLACE | change) is None


@pytest.mark.parametrize("axis", ["encoder", "trainable", "augmentation", "head", "fraction"])
def test_a_cell_without_an_axis_that_the_number_names_finds_nothing(axis: str) -> None:
    assert look("4", {name: label for name, label in PLACE.items() if name != axis}) is None


def test_another_metric_or_slot_finds_nothing() -> None:
    assert look("4", PLACE, ColumnDefinition(metric="mke", slot="ED")) is None
    assert look("4", PLACE, ColumnDefinition(metric="dice")) is None


def test_a_mean_stands_beside_no_other_statistic() -> None:
    """Neither where the grid has cells nor in a row of the paper alone."""
    columns = [
        ED,
        *(ColumnDefinition(metric="dice", slot="ED", statistic=name) for name in ("std", "median")),
    ]
    assert [column.quantity for column in columns] == ["dice", "std dice", "median dice"]
    assert [look("4", PLACE, column) is not None for column in columns] == [True, False, False]
    source = PublishedSource(
        paper="bhoodoo2026", table="2", alone=({"encoder": "deeplabv3-resnet50"},)
    )
    [row] = paper_rows(published_numbers(source), source, ["encoder"], columns)
    assert [number and number.value for number in row.numbers] == [92.78, None, None]


def test_labels_that_stand_in_for_the_papers() -> None:
    place = PLACE | {"encoder": "tiny-mvit", "fraction": "a tenth"}
    assert (
        look("4", place, encoder={"tiny-mvit": "echoprime"}, fraction={"a tenth": "10%"}).value
        == 87.81
    )
    assert look("4", place, encoder={"tiny-mvit": "panecho"}, fraction={"a tenth": "10%"}) is None


@pytest.mark.parametrize(
    ("paper", "table", "message"),
    [
        (
            "bhodoo2026",
            "2",
            "published.paper: no numbers of 'bhodoo2026'; did you mean 'bhoodoo2026'",
        ),
        (
            "bhoodoo2026",
            "figure 3",
            "published.table: bhoodoo2026 has no table 'figure 3'; did you mean 'figure 2'",
        ),
        ("../published/bhoodoo2026", "2", "published.paper: no numbers of"),
    ],
)
def test_what_is_not_there_is_told(paper: str, table: str, message: str) -> None:
    with pytest.raises(EchoLMError, match=message):
        published_numbers(PublishedSource(paper=paper, table=table))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A paper of one's own: ``x``, with the numbers of one table."""
    (tmp_path / "x.words.csv").write_text(
        "column,word,axis,label\nencoder,*,encoder,*\nfreezing,full,trainable,all\n"
        "metric,*,metric,*\n"
    )
    (tmp_path / "x.csv").write_text(
        "table,encoder,freezing,metric,value,spread,spread_kind,note\n1,a,full,dice,90,,,\n"
        "1,a,,dice,80,1,std,\n2,a,half,dice,90,,,\n"
    )
    monkeypatch.setattr(published, "FOLDER", tmp_path)
    published._read.cache_clear()
    yield tmp_path
    published._read.cache_clear()


def test_a_word_without_a_meaning_and_two_rows_for_one_place_are_errors(folder: Path) -> None:
    assert published_papers() == ["x"]
    with pytest.raises(
        EchoLMError,
        match="x.csv: table 2: freezing is 'half', which x.words.csv does not have; valid: full",
    ):
        published_numbers(PublishedSource(paper="x", table="2"))
    lines = (folder / "x.csv").read_text().splitlines()
    (folder / "x.csv").write_text("\n".join(lines[:3]))
    source = PublishedSource(paper="x", table="1")
    column = ColumnDefinition(metric="dice")
    assert (
        find(published_numbers(source), source, column, {"encoder": "a", "trainable": "k1"}).value
        == 80
    )  # type: ignore[union-attr]
    with pytest.raises(EchoLMError, match="x.csv: table 1: 2 rows fit encoder=a trainable=all"):
        find(published_numbers(source), source, column, {"encoder": "a", "trainable": "all"})
