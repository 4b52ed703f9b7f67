"""The reader: every irregularity of the tables is one line with file, row and reason, and never a crash."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echolm.data.echonet_dynamic import scan
from echolm.data.scan import Scan, SourceItem
from echolm.data.scan import scan as scan_by_name
from echolm.errors import EchoLMError

Data = Any
FILES, TRACINGS = "FileList.csv", "VolumeTracings.csv"


def of(found: Scan, sample: str) -> SourceItem:
    return next(item for item in found.items if item.sample == sample)


def test_a_sound_data_set(dataset: Data) -> None:
    found = scan_by_name("echonet-dynamic", dataset.write())
    assert [item.sample for item in found.items] == ["0XA1", "0XA2", "0XA3", "0XA4"]
    assert found.splits == {"train": 2, "val": 1, "test": 1}
    assert (found.problems, found.fatal, found.synthetic, found.es_traced_first) == ([], [], False, 0)
    item = of(found, "0XA2")
    assert (item.patient, item.study, item.split, item.frame_count) == ("0XA2", None, "val", 12)
    assert item.path == dataset.root / "Videos" / "0XA2.avi"
    labels = {name: value for name, value in item.values.items() if not name.startswith("landmarks")}
    assert labels == {
        "ed": 2, "es": 9, "es_before_ed": False, "fps": 50.0, "ef": 60.0, "esv": 40.0, "edv": 100.0
    }  # fmt: skip
    assert item.values["landmarks_ed"].shape == item.values["landmarks_es"].shape == (40, 2)
    assert item.values["landmarks_ed"][0].tolist() == [35, 21]


def test_names_headers_and_splits_may_be_written_differently(dataset: Data) -> None:
    plain = scan(dataset.write())
    for row in dataset.files:
        row["FileName"] += ".avi"
        row["Split"] = row["Split"].lower()
    for row in dataset.tracings:
        row["FileName"] = row["FileName"].removesuffix(".avi")
        row["Frame"] = f"{row['Frame']}.0"
    dataset.file_columns.reverse()
    dataset.tracing_columns = [*reversed(dataset.tracing_columns), "Extra"]
    found = scan(dataset.write(encoding="utf-8-sig"))
    assert [(item.sample, item.split) for item in found.items] == [(item.sample, item.split) for item in plain.items]
    assert not found.problems


def test_ed_by_area_when_es_is_traced_first(dataset: Data) -> None:
    dataset.add("0XB1", ed=9, es=2)
    dataset.tracings = dataset.tracings[:-42] + dataset.tracings[-21:] + dataset.tracings[-42:-21]
    found = scan(dataset.write())
    values = of(found, "0XB1").values
    assert (values["ed"], values["es"], values["es_before_ed"]) == (9, 2, True)
    assert found.es_traced_first == 1


def test_patients(dataset: Data) -> None:
    dataset.file_columns.append("Patient")
    for row, patient in zip(dataset.files, ("P1", "P2", "P3", "P1"), strict=True):
        row["Patient"] = patient
    assert [item.patient for item in scan(dataset.write()).items] == ["P1", "P2", "P3", "P1"]
    dataset.files[1]["Patient"] = "P1"
    dataset.files[2]["Patient"] = ""
    found = scan(dataset.write())
    assert found.fatal == [f"{FILES}: patient P1 is in train (0XA1) and val (0XA2)"]
    assert [str(problem) for problem in found.problems] == [f"{FILES}:4: 0XA3: Patient is empty"]


def set_file(column: str, value: Any) -> Callable[[Data], None]:
    return lambda dataset: dataset.files[1].update({column: value})


def set_tracing(row: int, column: str, value: Any) -> Callable[[Data], None]:
    """``row`` counts the rows of 0XA2: its lines start at 44."""
    return lambda dataset: dataset.tracings[42 + row].update({column: value})


def duplicate(dataset: Data) -> None:
    dataset.files.append(dict(dataset.files[1], FileName="0XA2.avi"))


def no_video(dataset: Data) -> None:
    (dataset.root / "Videos" / "0XA2.avi").unlink()


def link_to_itself(dataset: Data) -> None:
    no_video(dataset)
    (dataset.root / "Videos" / "0XA2.avi").symlink_to("0XA2.avi")


def drop_tracing(start: int, stop: int) -> Callable[[Data], None]:
    def damage(dataset: Data) -> None:
        del dataset.tracings[42 + start : 42 + stop]

    return damage


def flatten(dataset: Data) -> None:
    for row in dataset.tracings[42:63]:
        row.update(X1=50, X2=50)


@pytest.mark.parametrize(
    ("damage", "file", "row", "reason"),
    [
        (set_file("EF", "nan"), FILES, 3, "EF is 'nan', not a number"),
        (set_file("ESV", "n/a"), FILES, 3, "ESV is 'n/a', not a number"),
        (set_file("EDV", ""), FILES, 3, "EDV is '', not a number"),
        (set_file("FPS", "inf"), FILES, 3, "FPS is 'inf', not a number"),
        (set_file("FPS", "0"), FILES, 3, "FPS is '0'; it must be above 0"),
        (set_file("NumberOfFrames", "12.5"), FILES, 3, "NumberOfFrames is '12.5', not a whole number"),
        (set_file("NumberOfFrames", "0"), FILES, 3, "NumberOfFrames is '0'; it must be above 0"),
        (set_file("Split", "VALID"), FILES, 3, "Split is 'VALID'; valid: TRAIN, VAL, TEST"),
        (set_file("Split", ""), FILES, 3, "Split is ''; valid: TRAIN, VAL, TEST"),
        (duplicate, FILES, 6, "the name stands in row 3 already; none of its rows is used"),
        (no_video, FILES, 3, "no video Videos/0XA2.avi"),
        (link_to_itself, FILES, 3, "no video Videos/0XA2.avi (Too many levels of symbolic links)"),
        (set_file("NumberOfFrames", "1e12"), FILES, 3, "NumberOfFrames is '1e12'; valid: 1 to 100000"),
        (set_file("NumberOfFrames", "1e300"), FILES, 3, "NumberOfFrames is '1e300', not a whole number"),
        (set_file("FrameWidth", "1000000000"), FILES, 3, "FrameWidth is '1000000000'; valid: 1 to 65535"),
        (set_tracing(30, "X1", "1e39"), TRACINGS, 74, "X1 is 1e+39, far outside the picture of 112 pixels; valid: -112 to 224"),
        (drop_tracing(0, 42), FILES, 3, "needs exactly two traced frames, has 0 (none)"),
        (drop_tracing(0, 21), TRACINGS, 44, "needs exactly two traced frames, has 1 (9)"),
        (drop_tracing(41, 42), TRACINGS, 65, "frame 9 is traced by 20 rows, not 21"),
        (set_tracing(7, "Frame", 3), TRACINGS, 44, "needs exactly two traced frames, has 3 (2, 3, 9)"),
        (set_tracing(30, "X1", "NaN"), TRACINGS, 74, "X1 is 'NaN', not a number"),
        (set_tracing(30, "Y2", "abc"), TRACINGS, 74, "Y2 is 'abc', not a number"),
        (set_tracing(30, "Frame", "9.5"), TRACINGS, 74, "Frame is '9.5', not a whole number"),
        (set_file("NumberOfFrames", 9), TRACINGS, 65, "traced frame 9 is outside the video's 9 frames"),
        (flatten, TRACINGS, 44, "the contour of frame 2 encloses no area"),
    ],
)
def test_an_unusable_item_is_one_line(
    dataset: Data, damage: Callable[[Data], None], file: str, row: int, reason: str
) -> None:
    damage(dataset)
    found = scan(dataset.write())
    assert [str(problem) for problem in found.problems] == [f"{file}:{row}: 0XA2: {reason}"]
    assert [item.sample for item in found.items] == ["0XA1", "0XA3", "0XA4"] and not found.fatal


@pytest.mark.parametrize("name", ["", ".", "..", "../0XA1", "a\\b", ".avi", "a\nb", "\x1b[2J"])
def test_a_name_that_is_no_file_name(dataset: Data, name: str) -> None:
    dataset.files[1]["FileName"] = name
    found = scan(dataset.write())
    assert any(problem.row in (3, 4) and "is not the name of a file" in problem.reason for problem in found.problems)
    assert [problem.reason for problem in found.problems if problem.file == TRACINGS] == [f"is not in {FILES}"]
    assert all(str(problem).isprintable() for problem in found.problems)


def test_rows_of_the_wrong_length(dataset: Data) -> None:
    root = dataset.write()
    for table in (FILES, TRACINGS):
        lines = (root / table).read_text().splitlines()
        lines[2] += ",1"
        (root / table).write_text("\n".join(lines + ["", ""]))
    found = scan(root)
    assert [str(problem) for problem in found.problems] == [
        f"{FILES}:3: 0XA2: has 10 cells where the header has 9",
        f"{TRACINGS}:3: 0XA1: has 7 cells where the header has 6",
    ]


def test_nothing_usable_is_fatal(dataset: Data) -> None:
    dataset.tracings.clear()
    assert scan(dataset.write()).fatal == ["no video is usable"]


@pytest.mark.parametrize("table", [FILES, TRACINGS])
def test_a_wrong_header_names_the_column(dataset: Data, table: str) -> None:
    root = dataset.write()
    path = root / table
    path.write_text(path.read_text().replace("FileName", "Filename", 1))
    with pytest.raises(EchoLMError, match=rf"{table}: its header .* lacks column FileName; needed: FileName,"):
        scan(root)
    path.write_text("")
    with pytest.raises(EchoLMError, match="lacks column"):
        scan(root)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("table", [FILES, TRACINGS])
def test_utf_16_is_named(dataset: Data, table: str, encoding: str) -> None:
    path = dataset.write() / table
    path.write_bytes(path.read_text().encode(encoding))
    with pytest.raises(EchoLMError, match=rf"{table}: is UTF-16; save it as CSV in UTF-8 \(iconv -f UTF-16") as caught:
        scan(dataset.root)
    assert str(caught.value).isprintable()


def test_bytes_that_are_no_utf_8_text_are_named_with_their_line(dataset: Data) -> None:
    path = dataset.write(encoding="utf-8-sig") / FILES
    whole = path.read_bytes()
    for damaged, says in (
        (whole.replace(b"0XA2", "Müller".encode("cp1252")), r"FileList.csv:3: is not UTF-8 \(a byte is 0xfc\); save it"),
        (whole.replace(b"0XA3", b"0X\0A"), r"FileList.csv:4: is no text \(a byte is 0\): damaged, or not a CSV file"),
    ):
        path.write_bytes(damaged)
        with pytest.raises(EchoLMError, match=says):
            scan(dataset.root)


def test_a_header_is_shown_in_part_and_harmless(dataset: Data) -> None:
    path = dataset.write() / FILES
    path.write_text("\x1b[2J" + "x" * 10_000)
    with pytest.raises(EchoLMError, match=r"its header \(\\x1b\[2Jx+\.\.\.\) lacks") as caught:
        scan(dataset.root)
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


@pytest.mark.parametrize("missing", [FILES, TRACINGS, "Videos"])
def test_a_missing_file_says_what_a_data_set_holds(dataset: Data, missing: str) -> None:
    root = dataset.write()
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(EchoLMError, match=f"no {missing} here; give the folder that holds FileList.csv"):
        scan(root)


def test_an_unknown_data_set_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match="did you mean 'echonet-dynamic'"):
        scan_by_name("echonet-dynamics", tmp_path)


@given(garbage=st.binary(max_size=300), table=st.sampled_from([FILES, TRACINGS]), keep=st.integers(0, 4000))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_crash_the_reader(dataset: Data, garbage: bytes, table: str, keep: int) -> None:
    path = dataset.write() / table
    path.write_bytes(path.read_bytes()[:keep] + garbage)
    try:
        found = scan(dataset.root)
    except EchoLMError:
        return
    assert len(found.items) <= 4 and all(problem.reason for problem in found.problems)


def test_identity_follows_tables_and_videos(dataset: Data) -> None:
    first = scan(dataset.write()).identity
    assert scan(dataset.root).identity == first
    video = dataset.root / "Videos" / "0XA1.avi"
    video.write_bytes(video.read_bytes() + b"\0")
    second = scan(dataset.root).identity
    dataset.files[0]["EF"] = 61
    assert len({first, second, scan(dataset.write()).identity}) == 3
