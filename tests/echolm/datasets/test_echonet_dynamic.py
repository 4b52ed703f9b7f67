"""The reader: each irregularity of the tables is one line with file, row and reason, no crash.

What is wrong with a row of the file list leaves a video out. What is wrong with its tracing leaves
out its landmarks alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echolm.datasets import scan_dataset
from echolm.datasets.echonet_dynamic import EchoNetDynamic
from echolm.datasets.scan import Scan, SourceItem
from echolm.errors import EchoLMError
from echolm.identity import canonical_json

Data = Any
FILES, TRACINGS = "FileList.csv", "VolumeTracings.csv"


def of(scan: Scan, sample: str) -> SourceItem:
    return next(item for item in scan.items if item.sample == sample)


def test_a_sound_data_set(dataset: Data) -> None:
    scan = scan_dataset("echonet-dynamic", dataset.write())
    assert [item.sample for item in scan.items] == ["0XA1", "0XA2", "0XA3", "0XA4"]
    assert scan.splits == {"train": 2, "val": 1, "test": 1}
    assert (scan.problems, scan.fatal, scan.synthetic, scan.facts["es_traced_first"]) == (
        [],
        [],
        False,
        0,
    )
    item = of(scan, "0XA2")
    assert (item.patient, item.study, item.split, item.frame_count) == ("0XA2", None, "val", 12)
    assert item.path == dataset.root / "Videos" / "0XA2.avi"
    labels = {
        name: value for name, value in item.values.items() if not name.startswith("landmarks")
    }
    assert labels == {
        "ed": 2,
        "es": 9,
        "es_before_ed": False,
        "fps": 50.0,
        "ef": 60.0,
        "esv": 40.0,
        "edv": 100.0,
    }
    assert item.values["landmarks_ed"].shape == item.values["landmarks_es"].shape == (40, 2)
    assert item.values["landmarks_ed"][0].tolist() == [35, 21]


def test_names_headers_and_splits_may_be_written_differently(dataset: Data) -> None:
    plain = EchoNetDynamic().scan(dataset.write())
    for row in dataset.files:
        row["FileName"] += ".avi"
        row["Split"] = row["Split"].lower()
    for row in dataset.tracings:
        row["FileName"] = row["FileName"].removesuffix(".avi")
        row["Frame"] = f"{row['Frame']}.0"
    dataset.file_columns.reverse()
    dataset.tracing_columns = [*reversed(dataset.tracing_columns), "Extra"]
    scan = EchoNetDynamic().scan(dataset.write(encoding="utf-8-sig"))
    assert [(item.sample, item.split) for item in scan.items] == [
        (item.sample, item.split) for item in plain.items
    ]
    assert not scan.problems


def test_ed_by_area_when_es_is_traced_first(dataset: Data) -> None:
    dataset.add("0XB1", ed=9, es=2)
    dataset.tracings = dataset.tracings[:-42] + dataset.tracings[-21:] + dataset.tracings[-42:-21]
    scan = EchoNetDynamic().scan(dataset.write())
    values = of(scan, "0XB1").values
    assert (values["ed"], values["es"], values["es_before_ed"]) == (9, 2, True)
    assert scan.facts["es_traced_first"] == 1


def test_patients(dataset: Data) -> None:
    dataset.file_columns.append("Patient")
    for row, patient in zip(dataset.files, ("P1", "P2", "P3", "P1"), strict=True):
        row["Patient"] = patient
    assert [item.patient for item in EchoNetDynamic().scan(dataset.write()).items] == [
        "P1",
        "P2",
        "P3",
        "P1",
    ]
    dataset.files[1]["Patient"] = "P1"
    dataset.files[2]["Patient"] = ""
    scan = EchoNetDynamic().scan(dataset.write())
    assert scan.fatal == [f"{FILES}: patient P1 is in train (0XA1) and val (0XA2)"]
    assert [str(problem) for problem in scan.problems] == [f"{FILES}:4: 0XA3: Patient is empty"]


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


ROWS = [
    (set_file("EF", "nan"), 3, "EF is 'nan', not a number"),
    (set_file("ESV", "n/a"), 3, "ESV is 'n/a', not a number"),
    (set_file("EDV", ""), 3, "EDV is '', not a number"),
    (set_file("FPS", "inf"), 3, "FPS is 'inf', not a number"),
    (set_file("FPS", "0"), 3, "FPS is '0'; it must be above 0"),
    (set_file("NumberOfFrames", "12.5"), 3, "NumberOfFrames is '12.5', not a whole number"),
    (set_file("NumberOfFrames", "0"), 3, "NumberOfFrames is '0'; it must be above 0"),
    (set_file("Split", "VALID"), 3, "Split is 'VALID'; valid: TRAIN, VAL, TEST"),
    (set_file("Split", ""), 3, "Split is ''; valid: TRAIN, VAL, TEST"),
    (duplicate, 6, "the name stands in row 3 already; none of its rows is used"),
    (no_video, 3, "no video Videos/0XA2.avi"),
    (link_to_itself, 3, "no video Videos/0XA2.avi (Too many levels of symbolic links)"),
    (set_file("NumberOfFrames", "1e12"), 3, "NumberOfFrames is '1e12'; valid: 1 to 100000"),
    (set_file("NumberOfFrames", "1e300"), 3, "NumberOfFrames is '1e300', not a whole number"),
    (set_file("FrameWidth", "1000000000"), 3, "FrameWidth is '1000000000'; valid: 1 to 65535"),
]


@pytest.mark.parametrize(("damage", "row", "reason"), ROWS)
def test_an_unusable_item_is_one_line(
    dataset: Data, damage: Callable[[Data], None], row: int, reason: str
) -> None:
    damage(dataset)
    scan = EchoNetDynamic().scan(dataset.write())
    assert [str(problem) for problem in scan.problems] == [f"{FILES}:{row}: 0XA2: {reason}"]
    assert [item.sample for item in scan.items] == ["0XA1", "0XA3", "0XA4"]
    assert not scan.notes and not scan.fatal


BEYOND = "X1 is 1e+39, far outside the picture of 112 pixels; valid: -112 to 224"
TWO = "needs exactly two traced frames, has"
NOT_TRACED = [
    (drop_tracing(0, 42), FILES, 3, f"{TWO} 0 (none)"),
    (drop_tracing(0, 21), TRACINGS, 44, f"{TWO} 1 (9)"),
    (drop_tracing(41, 42), TRACINGS, 65, "frame 9 is traced by 20 rows, not 21"),
    (set_tracing(7, "Frame", 3), TRACINGS, 44, f"{TWO} 3 (2, 3, 9)"),
]
WRONGLY_TRACED = [
    (set_tracing(30, "X1", "1e39"), 74, BEYOND),
    (set_tracing(30, "X1", "NaN"), 74, "X1 is 'NaN', not a number"),
    (set_tracing(30, "Y2", "abc"), 74, "Y2 is 'abc', not a number"),
    (set_tracing(30, "Frame", "9.5"), 74, "Frame is '9.5', not a whole number"),
    (set_file("NumberOfFrames", 9), 65, "traced frame 9 is outside the video's 9 frames"),
    (flatten, 44, "the contour of frame 2 encloses no area"),
]


@pytest.mark.parametrize(("damage", "row", "reason"), WRONGLY_TRACED)
def test_a_wrong_tracing_makes_a_video_unusable(
    dataset: Data, damage: Callable[[Data], None], row: int, reason: str
) -> None:
    """Nobody knows what else of the video is wrong."""
    damage(dataset)
    scan = EchoNetDynamic().scan(dataset.write())
    assert [str(problem) for problem in scan.problems] == [f"{TRACINGS}:{row}: 0XA2: {reason}"]
    assert [item.sample for item in scan.items] == ["0XA1", "0XA3", "0XA4"]
    assert not scan.notes and not scan.fatal


@pytest.mark.parametrize(("damage", "file", "row", "reason"), NOT_TRACED)
def test_a_video_that_is_not_traced_is_one_note(
    dataset: Data, damage: Callable[[Data], None], file: str, row: int, reason: str
) -> None:
    """The video has its targets all the same."""
    damage(dataset)
    scan = EchoNetDynamic().scan(dataset.write())
    assert [str(note) for note in scan.notes] == [f"{file}:{row}: 0XA2: {reason}"]
    assert scan.splits == {"train": 2, "val": 1, "test": 1}
    assert not scan.problems and not scan.fatal
    assert of(scan, "0XA2").values == {"ef": 60.0, "esv": 40.0, "edv": 100.0, "fps": 50.0}
    assert "with landmarks: 3 videos (2 train, 0 val, 1 test)" in EchoNetDynamic().remarks(scan)


@pytest.mark.parametrize("name", ["", ".", "..", "../0XA1", "a\\b", ".avi", "a\nb", "\x1b[2J"])
def test_a_name_that_is_no_file_name(dataset: Data, name: str) -> None:
    dataset.files[1]["FileName"] = name
    scan = EchoNetDynamic().scan(dataset.write())
    assert any(
        problem.row in (3, 4) and "is not the name of a file" in problem.reason
        for problem in scan.problems
    )
    assert [problem.reason for problem in scan.problems if problem.file == TRACINGS] == [
        f"is not in {FILES}"
    ]
    assert all(str(problem).isprintable() for problem in scan.problems)


def test_rows_of_the_wrong_length(dataset: Data) -> None:
    root = dataset.write()
    for table in (FILES, TRACINGS):
        lines = (root / table).read_text().splitlines()
        lines[2] += ",1"
        (root / table).write_text("\n".join(lines + ["", ""]))
    scan = EchoNetDynamic().scan(root)
    assert sorted(str(problem) for problem in scan.problems) == [
        f"{FILES}:3: 0XA2: has 10 cells where the header has 9",
        f"{TRACINGS}:3: 0XA1: has 7 cells where the header has 6",
    ]
    assert not scan.notes


@given(
    empty=st.integers(0, 3),
    cells=st.integers(0, 4),
    blank=st.sampled_from(["", " "]),
    table=st.sampled_from([FILES, TRACINGS]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_empty_columns_at_the_right_are_nobodys(
    dataset: Data, empty: int, cells: int, blank: str, table: str
) -> None:
    """In the header, in the rows, or in both, as spreadsheets write them."""
    path = dataset.write() / table
    header, *rows = path.read_text().splitlines()
    wider = [header + f",{blank}" * empty, *(row + f",{blank}" * cells for row in rows)]
    path.write_text("\n".join(wider))
    scan = EchoNetDynamic().scan(dataset.root)
    assert len(scan.items) == 4 and not scan.problems


def test_columns_that_nobody_reads_may_be_called_anything(dataset: Data) -> None:
    path = dataset.write() / FILES
    lines = path.read_text().splitlines()
    cells = [",Note,Note,"] + [",7,8,9"] * 4
    path.write_text("\n".join(line + more for line, more in zip(lines, cells, strict=True)))
    scan = EchoNetDynamic().scan(dataset.root)
    assert len(scan.items) == 4 and not scan.problems
    numbered = [f",{lines[0]}", *(f"{number},{row}" for number, row in enumerate(lines[1:]))]
    path.write_text("\n".join(numbered))
    assert len(EchoNetDynamic().scan(dataset.root).items) == 4


@pytest.mark.parametrize("name", ["EF", "Patient"])
def test_a_name_that_is_read_and_stands_twice_is_an_error(dataset: Data, name: str) -> None:
    path = dataset.write() / FILES
    lines = path.read_text().splitlines()
    repeated = [f",{name},Patient"] + [",1,P"] * 4
    path.write_text("\n".join(line + more for line, more in zip(lines, repeated, strict=True)))
    with pytest.raises(EchoLMError, match=rf"its header \(.*\) repeats column {name}; needed: "):
        EchoNetDynamic().scan(dataset.root)


@pytest.mark.parametrize("listed", ["0XA2", "0XA2.avi", "0XA2.AVI"])
@pytest.mark.parametrize("suffix", [".AVI", ".Avi"])
def test_the_case_of_a_files_ending_does_not_matter(
    dataset: Data, listed: str, suffix: str
) -> None:
    video = dataset.root / "Videos" / "0XA2.avi"
    video.rename(video.with_suffix(suffix))
    dataset.files[1]["FileName"] = listed
    scan = EchoNetDynamic().scan(dataset.write())
    assert of(scan, "0XA2").path.name == f"0XA2{suffix}" and not scan.problems


def test_names_that_differ_in_case_are_named(dataset: Data) -> None:
    videos = dataset.root / "Videos"
    (videos / "0XA2.avi").rename(videos / "0xa2.AVI")
    (videos / "0XA3.avi").rename(videos / "0XA3.AVI")
    (videos / "0XA3.AvI").write_bytes(b"")
    scan = EchoNetDynamic().scan(dataset.write())
    assert [str(problem) for problem in scan.problems] == [
        f"{FILES}:3: 0XA2: no video Videos/0XA2.avi; there is 0xa2.AVI: rename it, or write it so "
        "in a row",
        f"{FILES}:4: 0XA3: no video Videos/0XA3.avi; there is 0XA3.AVI, 0XA3.AvI: rename it, or "
        "write it so in a row",
    ]


def test_nothing_usable_is_fatal(dataset: Data) -> None:
    for row in dataset.files:
        row["Split"] = "?"
    assert EchoNetDynamic().scan(dataset.write()).fatal == ["no video is usable"]


def test_without_any_tracing_all_videos_are_items(dataset: Data) -> None:
    dataset.tracings.clear()
    scan = EchoNetDynamic().scan(dataset.write())
    assert len(scan.items) == len(scan.notes) == 4 and not scan.fatal and not scan.problems


def test_a_video_that_no_row_names_is_told(dataset: Data) -> None:
    videos = dataset.root / "Videos"
    (videos / "0XB9.avi").write_bytes(b"x")
    (videos / ".DS_Store").write_bytes(b"x")
    scan = EchoNetDynamic().scan(dataset.write())
    assert [str(problem) for problem in scan.problems] == [
        f"Videos/0XB9.avi: 0XB9: is not in {FILES}"
    ]


@pytest.mark.parametrize("table", [FILES, TRACINGS])
def test_a_wrong_header_names_the_column(dataset: Data, table: str) -> None:
    root = dataset.write()
    path = root / table
    path.write_text(path.read_text().replace("FileName", "Filename", 1))
    with pytest.raises(
        EchoLMError, match=rf"{table}: its header .* lacks column FileName; needed: FileName,"
    ):
        EchoNetDynamic().scan(root)
    path.write_text("")
    with pytest.raises(EchoLMError, match="lacks column"):
        EchoNetDynamic().scan(root)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("table", [FILES, TRACINGS])
def test_utf_16_is_named(dataset: Data, table: str, encoding: str) -> None:
    path = dataset.write() / table
    path.write_bytes(path.read_text().encode(encoding))
    with pytest.raises(
        EchoLMError, match=rf"{table}: is UTF-16; save it as CSV in UTF-8 \(iconv -f UTF-16"
    ) as caught:
        EchoNetDynamic().scan(dataset.root)
    assert str(caught.value).isprintable()


def test_bytes_that_are_no_utf_8_text_are_named_with_their_line(dataset: Data) -> None:
    path = dataset.write(encoding="utf-8-sig") / FILES
    whole = path.read_bytes()
    for damaged, says in (
        (
            whole.replace(b"0XA2", "Müller".encode("cp1252")),
            r"FileList.csv:3: is not UTF-8 \(a byte is 0xfc\); save it",
        ),
        (
            whole.replace(b"0XA3", b"0X\0A"),
            r"FileList.csv:4: is no text \(a byte is 0\): damaged, or not a CSV file",
        ),
    ):
        path.write_bytes(damaged)
        with pytest.raises(EchoLMError, match=says):
            EchoNetDynamic().scan(dataset.root)


def test_a_header_is_shown_in_part_and_harmless(dataset: Data) -> None:
    path = dataset.write() / FILES
    path.write_text("\x1b[2J" + "x" * 10_000)
    with pytest.raises(EchoLMError, match=r"its header \(\\x1b\[2Jx+\.\.\.\) lacks") as caught:
        EchoNetDynamic().scan(dataset.root)
    assert len(str(caught.value)) < 600 and str(caught.value).isprintable()


@pytest.mark.parametrize("missing", [FILES, TRACINGS, "Videos"])
def test_a_missing_file_says_what_a_data_set_holds(dataset: Data, missing: str) -> None:
    root = dataset.write()
    (root / missing).rename(root / "elsewhere")
    with pytest.raises(
        EchoLMError, match=f"no {missing} here; give the folder that holds FileList.csv"
    ):
        EchoNetDynamic().scan(root)


def test_an_unknown_data_set_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match="did you mean 'echonet-dynamic'"):
        scan_dataset("echonet-dynamics", tmp_path)


@given(
    garbage=st.binary(max_size=300),
    table=st.sampled_from([FILES, TRACINGS]),
    keep=st.integers(0, 4000),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_crash_the_reader(dataset: Data, garbage: bytes, table: str, keep: int) -> None:
    path = dataset.write() / table
    path.write_bytes(path.read_bytes()[:keep] + garbage)
    try:
        scan = EchoNetDynamic().scan(dataset.root)
    except EchoLMError:
        return
    assert len(scan.items) <= 4 and all(problem.reason for problem in scan.problems)


def test_identity_follows_tables_and_videos(dataset: Data) -> None:
    first = EchoNetDynamic().scan(dataset.write()).identity
    assert EchoNetDynamic().scan(dataset.root).identity == first
    video = dataset.root / "Videos" / "0XA1.avi"
    video.write_bytes(video.read_bytes() + b"\0")
    second = EchoNetDynamic().scan(dataset.root).identity
    dataset.files[0]["EF"] = 61
    assert len({first, second, EchoNetDynamic().scan(dataset.write()).identity}) == 3


def former_identity(scan: Scan) -> str:
    """The identity by the rule of the versions whose items all had landmarks, written out."""
    digests = {
        name: hashlib.sha256((scan.root / name).read_bytes()).hexdigest()
        for name in (FILES, TRACINGS)
    }
    videos = [
        [item.path.name, item.path.stat().st_size] for item in scan.items if "ed" in item.values
    ]
    content = canonical_json({"tables": digests, "videos": videos})
    return hashlib.sha256(content.encode()).hexdigest()


def test_the_identity_of_earlier_versions_is_known(dataset: Data) -> None:
    whole = EchoNetDynamic().scan(dataset.write())
    assert whole.identity == former_identity(whole) and whole.former_identities == ()
    del dataset.tracings[:42]
    scan = EchoNetDynamic().scan(dataset.write())
    assert scan.former_identities == (former_identity(scan),) != (scan.identity,)
