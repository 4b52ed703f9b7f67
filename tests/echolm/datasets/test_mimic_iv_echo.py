"""MIMIC-IV-ECHO: splits by subject, every file accounted for, LVEF by study, and its phantom."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from echolm.cli import main
from echolm.datasets import DATASETS, scan_dataset
from echolm.datasets.csv_columns import read_columns
from echolm.datasets.csv_rows import read_rows
from echolm.datasets.mimic_iv_echo import MimicIvEcho
from echolm.datasets.phantom.mimic_iv_echo import _draw_subjects, generate_phantom
from echolm.datasets.scan import Scan
from echolm.errors import EchoLMError
from echolm.media.dicom import read_dicom
from echolm.media.reading import AS_GRAY, Skipped
from echolm.stores import decode
from echolm.stores.check_videos import check_dataset
from echolm.stores.prepare_clips import prepare
from tests.echolm.datasets.mimic_layout import (
    MEASURED,
    RECORDS,
    STUDIES,
    Mimic,
    twelve_subjects,
    write_csv,
)

NAME = "mimic-iv-echo"
SEED = 8
"""Of the draw by which each split has some of the twelve subjects."""
SIZE = 64
"""Height of the phantom's pictures, in pixels."""


def dataset(**choices: Any) -> MimicIvEcho:
    parsed = DATASETS.parse({"name": NAME, **choices})
    assert isinstance(parsed, MimicIvEcho)
    return parsed


def reasons(scan: Scan) -> dict[str, str]:
    """Why files are left out, by their sample ids or, without one, by the table's line."""
    return {problem.sample or str(problem): problem.reason for problem in scan.problems}


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> Mimic:
    """300 files of 12 subjects: stills, gray, colour, truncated, 16 bits."""
    return twelve_subjects(tmp_path_factory.mktemp("mimic"))


@pytest.fixture
def small(tmp_path: Path) -> Mimic:
    """Six gray clips of three subjects, four studies."""
    mimic = Mimic(tmp_path / "small")
    for subject, study in (
        (10000001, 90000001),
        (10000001, 90000001),
        (10000001, 90000002),
        (10000002, 90000003),
        (10000002, 90000003),
        (10000003, 90000004),
    ):
        mimic.add(subject, study)
    mimic.write()
    return mimic


# splits


def test_no_subject_is_in_two_splits(twelve: Mimic) -> None:
    scan = scan_dataset(dataset(split_seed=SEED), twelve.root)
    assert len(scan.items) == 300 and not scan.problems
    splits: dict[str, set[str]] = {}
    for item in scan.items:
        splits.setdefault(item.patient, set()).add(item.split)
        assert item.frame_count is None and item.study is not None
    assert len(splits) == 12 and all(len(of_one) == 1 for of_one in splits.values())
    assert min(scan.splits.values()) > 0


def test_a_draw_depends_on_the_subject_and_the_seed_alone(small: Mimic) -> None:
    before = {item.sample: item.split for item in scan_dataset(NAME, small.root).items}
    for number in range(20):
        small.add(10000004 + number, 91000000 + number)
    small.write()
    after = {item.sample: item.split for item in scan_dataset(NAME, small.root).items}
    assert len(after) == 26 and {name: after[name] for name in before} == before
    drawn = [dataset().draw_split(str(number)) for number in range(10_000_000, 10_004_000)]
    other = [dataset(split_seed=1).draw_split(str(n)) for n in range(10_000_000, 10_004_000)]
    shares = {split: count / 4000 for split, count in Counter(drawn).items()}
    assert shares == pytest.approx({"train": 0.7, "val": 0.1, "test": 0.2}, abs=0.025)
    assert 0.3 < np.mean([a != b for a, b in zip(drawn, other, strict=True)]) < 0.6


@given(subject=st.integers(10_000_000, 20_000_000), val=st.floats(0, 0.4), test=st.floats(0, 0.4))
@settings(max_examples=50)
def test_a_larger_share_of_val_takes_subjects_from_train_alone(
    subject: int, val: float, test: float
) -> None:
    small = dataset(val=val / 2, test=test).draw_split(str(subject))
    large = dataset(val=val, test=test).draw_split(str(subject))
    assert large == small or (small, large) == ("train", "val")


@pytest.mark.parametrize(
    "choices", [{"val": 0.6, "test": 0.4}, {"val": -0.1}, {"stills": "maybe"}, {"colour": "keep"}]
)
def test_choices_that_are_none(choices: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        dataset(**choices)


# every file is accounted for


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("stills", "colour"), [("skip", "skip"), ("keep", "gray")])
def test_all_files_are_stored_or_left_out_with_a_reason(
    stills: str, colour: str, twelve: Mimic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = dataset(stills=stills, colour=colour, split_seed=SEED)
    store = prepare(
        chosen,
        twelve.root,
        tmp_path / "store",
        clips="uniform-16",
        workers=1,
        progress=False,
        skip_unreadable=True,
        size=8,
    )
    stored = {item.sample for item in store.items}
    left_out = {}
    for row, _ in read_rows(tmp_path / "store/problems.csv", ("sample", "reason")):
        left_out[row["sample"]] = row["reason"]
    assert stored.isdisjoint(left_out) and stored | set(left_out) == set(twelve.kinds)
    used = {"gray"}
    used |= {"still"} if stills == "keep" else set()
    used |= {"colour"} if colour == "gray" else set()
    assert {twelve.kinds[sample] for sample in stored} == used
    words = {
        "still": "a still image, skipped: stills=skip",
        "colour": "pictures in colour, skipped: colour=skip",
        "truncated": "",
        "16 bits": "is MONOCHROME2 with 16 bits",
    }
    for sample, reason in left_out.items():
        kind = twelve.kinds[sample]
        assert kind not in used and words[kind] in reason and reason, (kind, reason)
    split_of = {item.patient: item.split for item in store.items}
    assert all(split_of[item.patient] == item.split for item in store.items)

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a second preparation reads a file")

    monkeypatch.setattr(decode, "read_video", refuse)
    monkeypatch.setattr(decode, "count_frames", refuse)
    again = prepare(
        chosen,
        twelve.root,
        tmp_path / "store",
        clips="uniform-16",
        workers=1,
        progress=False,
        skip_unreadable=True,
        size=8,
    )
    assert again.info == store.info


@pytest.mark.filterwarnings("ignore")
def test_a_check_names_what_cannot_be_used(twelve: Mimic) -> None:
    scan = check_dataset(dataset(), twelve.root, progress=False)
    usable = {item.sample for item in scan.items}
    assert {twelve.kinds[sample] for sample in usable} == {"gray"}
    skipped = {problem.sample for problem in scan.skipped}
    assert {twelve.kinds[sample] for sample in skipped} == {"still", "colour"}
    wrong = {twelve.kinds[sample] for sample in reasons(scan)}
    assert not wrong & {"gray", "still", "colour"}, "what a choice leaves out is no problem"
    assert usable | skipped | set(reasons(scan)) == set(twelve.kinds)


def test_rows_and_files_that_do_not_fit_are_named(small: Mimic) -> None:
    rows = small.rows
    (small.root / rows[1][3]).unlink()
    rows.append(list(rows[0]))
    rows.append(["10000001", "90000001", "", "files/p10/../../away/90000001_0009.dcm"])
    rows.append(["10000001", "90000001", "", "/etc/passwd"])
    rows.append(["10000003", "90000004", "", rows[3][3].replace("_0001", "_0007")])
    rows.append(["", "90000001", "", "files/p10/p10000001/s90000001/90000001_0010.dcm"])
    extra = small.root / "files/p10/p10000003/s90000004/90000004_0044.dcm"
    extra.write_bytes(b"x")
    lonely = small.root / "files/p10/p10000009/s90000099/90000099_0001.dcm"
    lonely.parent.mkdir(parents=True)
    lonely.write_bytes(b"x")
    (small.root / "files/p10/index.html").write_text("x")
    small.write()
    with open(small.root / RECORDS, "a", encoding="utf-8") as file:
        file.write("\n10000001,90000001\n10000001,90000001,x,files/p10/missing.dcm\n")
    scan = scan_dataset(NAME, small.root)
    told = [str(problem) for problem in scan.problems]
    assert len(scan.items) == 5 and scan.facts["not_dicom"] == 1
    for expected in (
        f"{RECORDS}:3: 90000001_0002: no file files/p10/p10000001/s90000001/90000001_0002.dcm",
        f"{RECORDS}:8: 90000001_0001: the file stands in row 2 already; that row is used",
        f"{RECORDS}:9: 90000001_0009: dicom_filepath is 'files/p10/../../away/90000001_0009.dcm'; "
        "valid: paths below files/, such as 'files/p10/...'",
        f"{RECORDS}:10: passwd: dicom_filepath is '/etc/passwd'; valid: paths below files/, such "
        "as 'files/p10/...'",
        f"{RECORDS}:11: 90000003_0007: subject_id is 10000003, but its file lies in p10000002/: "
        "the rows may have slipped",
        f"{RECORDS}:12: 90000001_0010: subject_id is empty",
        f"{RECORDS}:14: has 2 cells where the header has 4",
        f"{RECORDS}:15: missing: no file files/p10/missing.dcm",
        f"{extra.relative_to(small.root)}: 90000004_0044: is not listed in {RECORDS}",
        f"{lonely.relative_to(small.root)}: 90000099_0001: is not listed in {RECORDS}",
    ):
        assert expected in told, (expected, told)
    assert len(told) == 10


def test_subjects_that_slipped_by_a_row_are_refused(small: Mimic) -> None:
    subjects = [row[0] for row in small.rows]
    for row, subject in zip(small.rows, [subjects[-1], *subjects[:-1]], strict=True):
        row[0] = subject
    small.write()
    scan = scan_dataset(NAME, small.root)
    assert all("the rows may have slipped" in reason for reason in reasons(scan).values())
    right = {row[3] for row, subject in zip(small.rows, subjects, strict=True) if row[0] == subject}
    assert {item.path.relative_to(small.root).as_posix() for item in scan.items} == right
    assert len(scan.items) + len(scan.problems) == 6


def test_a_study_of_two_subjects_is_refused(small: Mimic) -> None:
    small.add(10000009, 90000004)
    small.write()
    scan = scan_dataset(NAME, small.root)
    assert len(scan.items) == 5
    for reason in reasons(scan).values():
        assert reason == (
            "study 90000004 is of subjects 10000003 and 10000009; none of its rows is used"
        )


def test_a_folder_that_cannot_be_listed_is_told(small: Mimic) -> None:
    folder = small.root / "files/p10/p10000003/s90000004"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("a file where a folder was")
    scan = scan_dataset(NAME, small.root)
    assert reasons(scan)["90000004_0001"] == (
        "no file files/p10/p10000003/s90000004/90000004_0001.dcm (Not a directory)"
    )
    assert len(scan.items) == 5


@pytest.mark.parametrize("name", [RECORDS, "files"])
def test_what_must_be_there(name: str, small: Mimic) -> None:
    (small.root / name).rename(small.root / "away")
    with pytest.raises(EchoLMError, match=f"no {name} here; give the folder that holds {RECORDS}"):
        scan_dataset(NAME, small.root)


def test_the_identity_is_of_what_was_read(small: Mimic) -> None:
    identity = scan_dataset(NAME, small.root).identity
    assert scan_dataset(NAME, small.root).identity == identity
    assert scan_dataset(dataset(split_seed=1), small.root).identity != identity
    assert scan_dataset(dataset(colour="gray"), small.root).identity != identity
    small.measure({90000001: "55"})
    measured = scan_dataset(NAME, small.root).identity
    assert measured != identity
    (small.root / small.rows[0][3]).unlink()
    assert scan_dataset(NAME, small.root).identity not in (identity, measured)


# LVEF


def values(scan: Scan) -> dict[str | None, Any]:
    return {item.study: dict(item.values) for item in scan.items}


def test_a_study_has_the_lvef_of_its_measurement(small: Mimic) -> None:
    small.measure({90000001: "55", 90000003: "62.5"})
    scan = scan_dataset(NAME, small.root)
    assert values(scan) == {
        "90000001": {"ef": 55.0},
        "90000002": {},
        "90000003": {"ef": 62.5},
        "90000004": {},
    }
    assert scan.facts["studies_with_ef"] == 2 and scan.facts["ef_from"] == {"lvef": 2}
    [sentence] = [text for text in dataset().remarks(scan) if "LVEF" in text]
    assert sentence == ("2 of 4 studies have LVEF (ef), matched by echo-study-list.csv: 2 by lvef")


def measurements(mimic: Mimic, *rows: str) -> Scan:
    """Scan with other measurements: measurement, code, result and unit a row."""
    mimic.measure({})
    lines = ["measurement_id,measurement,result,unit", *rows, ""]
    (mimic.root / MEASURED).write_bytes(gzip.compress("\n".join(lines).encode()))
    return scan_dataset(NAME, mimic.root)


def test_reported_lvef_comes_first_and_what_is_no_percentage_is_counted(small: Mimic) -> None:
    scan = measurements(
        small,
        "7000.0,biplane_lvef,40,%",
        "7000,LVEF,45,%",
        "7000,lvef_upper,100,%",
        "7001,lvef,many,%",
        "7001,lvef_3d,51,percent",
        "7002,lvef,0.55,fraction",
        "7003,lvef,30,%",
        "7003,lvef,60,%",
        "9999,lvef,60,%",
    )
    assert values(scan) == {
        "90000001": {"ef": 45.0},
        "90000002": {"ef": 51.0},
        "90000003": {},
        "90000004": {},
    }
    assert scan.facts["ef_from"] == {"lvef": 1, "lvef_3d": 1} and scan.facts["ef_unusable"] == 4


def test_a_wide_table_of_studies_is_read(small: Mimic) -> None:
    rows = [["study_id", "LVEF"], ["90000001", "48"], ["90000004", "61%"], ["90000002", ""]]
    write_csv(small.root / "structured_measurement.csv", rows)
    assert values(scan_dataset(NAME, small.root)) == {
        "90000001": {"ef": 48.0},
        "90000002": {},
        "90000003": {},
        "90000004": {"ef": 61.0},
    }


def test_why_no_study_has_lvef_is_said(small: Mimic) -> None:
    def lacking() -> str:
        scan = scan_dataset(NAME, small.root)
        assert not any(item.values for item in scan.items) and len(scan.items) == 6
        [sentence] = [text for text in dataset().remarks(scan) if "LVEF" in text]
        return sentence

    assert "no file has LVEF (ef): there is no structured-measurement.csv.gz" in lacking()
    small.measure({90000001: "55"})
    write_csv(small.root / STUDIES, [["subject_id", "study_id", "note_id"], ["1", "2", "3"]])
    assert "no study_id, and echo-study-list.csv no measurement_id to match it by" in lacking()
    small.measure({90000001: "55"}, code="lvedd")
    assert "has LVEF neither as measurement lvef, biplane_lvef, lvef_3d" in lacking()
    small.measure({90000001: "no"})
    assert "has LVEF neither" in lacking()


def test_a_damaged_table_of_measurements_is_an_error(small: Mimic) -> None:
    small.measure({90000001: "55"})
    path = small.root / MEASURED
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(EchoLMError, match=f"{MEASURED}: cannot be read"):
        scan_dataset(NAME, small.root)


# tables by column


@given(
    st.lists(
        st.sampled_from(["a,b", " a , b ", "", "a", "a,b,c", '"a,b",c', '"a",', "ä,ö"]), max_size=12
    )
)
@settings(max_examples=60)
def test_columns_are_those_of_the_reader_by_row(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("columns") / "t.csv"
    path.write_text("\n".join(["\ufeffx,y", *lines]), encoding="utf-8")
    columns = read_columns(path, ("x",), ("y", "z"))
    found = {}
    for row, cells in enumerate(zip(columns.texts("x"), columns.texts("y"), strict=True)):
        if any(cells):
            found[columns.line(row)] = cells
    expected = {}
    for number, line in enumerate(lines, 2):
        if line in ("a,b", " a , b "):
            expected[number] = ("a", "b")
        elif line in ('"a,b",c', '"a",', "ä,ö"):
            cells = {'"a,b",c': ("a,b", "c"), '"a",': ("a", ""), "ä,ö": ("ä", "ö")}[line]
            expected[number] = cells
    odd = [line for line, _ in columns.odd]
    assert found == expected
    assert odd == [number for number, line in enumerate(lines, 2) if line in ("a", "a,b,c")]


# the phantom


@pytest.mark.filterwarnings("ignore")
def test_the_phantom_is_the_layout_and_is_made_again_byte_for_byte(tmp_path: Path) -> None:
    for name in ("one", "two"):
        generate_phantom(tmp_path / name, 4, seed=3, clips_per_patient=2, size=SIZE)
    content = {}
    for path in sorted((tmp_path / "one").rglob("*")):
        if path.is_file():
            content[path.relative_to(tmp_path / "one")] = path.read_bytes()
    for path, first in content.items():
        assert (tmp_path / "two" / path).read_bytes() == first, path
    scan = scan_dataset(NAME, tmp_path / "one")
    assert scan.synthetic and not scan.problems and len(scan.items) == 8
    gray, skipped = [], []
    for item in scan.items:
        try:
            gray.append(read_dicom(item.path, reading=item.reading))
        except Skipped as reason:
            skipped.append(str(reason))
    assert len(gray) == 4 and all(len(video.frames) >= 28 for video in gray)
    assert sum("stills=skip" in reason for reason in skipped) == 2
    assert sum("colour=skip" in reason for reason in skipped) == 2
    assert len(read_dicom(scan.items[0].path, reading=AS_GRAY).frames) >= 28
    assert 15 <= scan.items[0].values["ef"] <= 78


@pytest.mark.filterwarnings("ignore")
def test_a_stopped_phantom_is_continued_and_a_whole_one_is_kept(tmp_path: Path) -> None:
    generate_phantom(tmp_path / "whole", 2, seed=1, size=SIZE)
    generate_phantom(tmp_path / "stopped", 2, seed=1, size=SIZE)
    expected = (tmp_path / "whole" / RECORDS).read_bytes()
    (tmp_path / "stopped" / RECORDS).unlink()
    path = next((tmp_path / "stopped").rglob("*_0002.dcm"))
    path.unlink()
    generate_phantom(tmp_path / "stopped", 2, seed=1, size=SIZE)
    assert (tmp_path / "stopped" / RECORDS).read_bytes() == expected and path.exists()
    with pytest.raises(EchoLMError, match="is not an empty folder"):
        dataset().generate_phantom(tmp_path / "whole", 2, seed=1)


def test_every_split_of_a_phantom_has_subjects() -> None:
    for count in (3, 12, 40):
        drawn = Counter(dataset().draw_split(name) for name in _draw_subjects(count, 0))
        assert sum(drawn.values()) == count and min(drawn[s] for s in ("train", "val", "test")) > 0


@pytest.mark.filterwarnings("ignore")
def test_what_the_choices_leave_out_does_not_fail_a_strict_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("echolm.stores.prepare_clips.LINE_SECONDS", 0.0)
    root = tmp_path / "phantom"
    generate_phantom(root, 2, seed=1, size=SIZE)
    words = ["data", "check", NAME, str(root), "--strict"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert "left out by the dataset's choices:" in done.stdout
    assert "2 files usable" in done.stdout
    assert "problems: 0, left out by choice: 4" in done.stdout
    told = json.loads(CliRunner().invoke(main, [*words, "--json"]).stdout)
    assert (len(told["skipped"]), told["problems"]) == (4, [])
    prepare(dataset(), root, tmp_path / "store", clips="uniform-16", workers=1, size=8)
    assert "decoding: 6 of 6 files" in capfd.readouterr().err
    next(root.rglob("*.dcm")).write_bytes(b"no dicom")
    assert CliRunner().invoke(main, words).exit_code == 3
