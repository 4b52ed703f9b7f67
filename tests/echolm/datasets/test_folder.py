"""One's own files: any column of ``labels.csv`` is a value, every file and row is accounted for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from echolm.datasets import DATASETS, scan_dataset
from echolm.datasets.folder import OwnFiles
from echolm.datasets.labels_table import IDS, STORE_COLUMNS
from echolm.datasets.phantom.generate import write_mjpeg
from echolm.datasets.phantom.own_files import write_h264
from echolm.datasets.scan import Scan
from echolm.errors import EchoLMError
from echolm.media.read import read_video
from echolm.stores.clips import FIXED
from echolm.stores.prepare_clips import prepare

PLAIN = """file,patient,split,study,view,ef,sex
a.avi,P1,train,S1,4CH,55.5,F
sub/b.mp4,P2,VAL,,4CH,,M
c.png,P3,test,S3,,30,
"""


def write(root: Path, labels: str, files: tuple[str, ...] | None = None) -> Path:
    """A folder with its table. ``files`` are empty; None: those of the table."""
    if files is None:
        files = tuple(line.split(",")[0] for line in labels.splitlines()[1:])
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    (root / "labels.csv").write_text(labels)
    return root


def problems(scan: Scan) -> list[str]:
    return [str(problem) for problem in scan.problems]


def fatal_reason(root: Path) -> str:
    """What the scan of a folder raises."""
    with pytest.raises(EchoLMError) as raised:
        scan_dataset("folder", root)
    return str(raised.value)


def test_rows_are_items_and_columns_are_values(tmp_path: Path) -> None:
    scan = scan_dataset("folder", write(tmp_path, PLAIN))
    assert (scan.problems, scan.fatal, scan.synthetic) == ([], [], False)
    assert [item.sample for item in scan.items] == ["a.avi", "c.png", "sub/b.mp4"]
    assert [item.split for item in scan.items] == ["train", "test", "val"]
    assert [item.study for item in scan.items] == ["S1", "S3", None]
    assert [item.values for item in scan.items] == [
        {"view": "4CH", "ef": 55.5, "sex": "F"},
        {"view": None, "ef": 30.0, "sex": None},
        {"view": "4CH", "ef": None, "sex": "M"},
    ]
    for item in scan.items:
        assert item.path == tmp_path / item.sample and item.files == ()
        assert item.frame_count is None
        assert item.reading.any_codec and item.reading.colour == "gray"
    assert OwnFiles().remarks(scan) == [
        "columns read as numbers: ef",
        "columns read as text: view, sex",
        "colours are read as gray (luma by ITU-R BT.601)",
    ]


def test_rows_of_one_sample_are_one_item_in_their_order(tmp_path: Path) -> None:
    labels = "sample,file,patient,split,ef\nX,2.png,P,train,\nY,3.png,Q,val,1\nX,1.png,P,train,60\n"
    files = ("1.png", "2.png", "3.png")
    first, second = scan_dataset("folder", write(tmp_path, labels, files)).items
    assert [path.name for path in first.files] == ["2.png", "1.png"]
    assert first.path == first.files[0] and first.values == {"ef": 60.0}
    assert second.files == () and second.path.name == "3.png"


def test_without_splits_they_are_drawn_by_patient_and_said(tmp_path: Path) -> None:
    rows = "".join(f"{number}.png,P{number // 2}\n" for number in range(40))
    root = write(tmp_path, f"file,patient\n{rows}")
    scan = scan_dataset("folder", root)
    assert scan.splits == {"train": 24, "val": 8, "test": 8} and not scan.fatal
    splits: dict[str, set[str]] = {}
    for item in scan.items:
        splits.setdefault(item.patient, set()).add(item.split)
    assert all(len(of_patient) == 1 for of_patient in splits.values())
    assert OwnFiles().remarks(scan)[0] == (
        "labels.csv has no column split: splits are drawn by patient "
        "(split_seed=0, val=0.2, test=0.2)"
    )
    other = DATASETS.parse({"name": "folder", "split_seed": 1, "val": 0.3, "test": 0}).scan(root)
    assert other.splits == {"train": 28, "val": 12, "test": 0}


def test_splits_of_the_table_are_not_drawn(tmp_path: Path) -> None:
    dataset = DATASETS.parse({"name": "folder", "split_seed": 1})
    with pytest.raises(EchoLMError, match="labels.csv: has a column split, so nothing is drawn by"):
        dataset.scan(write(tmp_path, PLAIN))


COLUMN_CASES: dict[str, tuple[list[str], str, list[Any]]] = {
    "numbers": (["1", "2.5", " -3e1 "], "number", [1.0, 2.5, -30.0]),
    "numbers and nothing": (["1", "", ""], "number", [1.0, None, None]),
    "text": (["a", "1", "c"], "text", ["a", "1", "c"]),
    "nothing": (["", "", ""], "text", [None, None, None]),
    "decimal commas": (['"1,5"', '"2,5"', '"3,5"'], "text", ["1,5", "2,5", "3,5"]),
}


@pytest.mark.parametrize("name", COLUMN_CASES)
def test_a_column_is_numbers_or_text(tmp_path: Path, name: str) -> None:
    cells, kind, expected = COLUMN_CASES[name]
    rows = "".join(f"{number}.avi,P{number},{cell}\n" for number, cell in enumerate(cells))
    scan = scan_dataset("folder", write(tmp_path, f"file,patient,x\n{rows}"))
    assert [item.values["x"] for item in scan.items] == expected
    assert scan.facts["numbers" if kind == "number" else "texts"] == ["x"]


def test_cells_that_are_no_numbers_in_a_column_of_numbers_are_named(tmp_path: Path) -> None:
    cells = ["50", "60", "n/a", "55", "inf", "61"]
    rows = "".join(f"{number}.avi,P{number},{cell}\n" for number, cell in enumerate(cells))
    root = write(tmp_path, f"file,patient,ef\n{rows}")
    scan = scan_dataset("folder", root)
    assert len(scan.items) == 4
    advice = "correct it, leave it empty, or read the column as text (text=ef)"
    assert problems(scan) == [
        f"labels.csv:{line}: {file}: ef is {cell!r}, not a number, as 4 of the column's 6 cells "
        f"are; {advice}"
        for line, file, cell in ((4, "2.avi", "n/a"), (6, "4.avi", "inf"))
    ]
    as_text = DATASETS.parse({"name": "folder", "text": "ef"}).scan(root)
    assert [item.values["ef"] for item in as_text.items] == cells and not as_text.problems


def test_ed_and_es_are_whole_frame_numbers(tmp_path: Path) -> None:
    labels = "file,patient,ed,es\na.avi,P,3,17.0\nb.avi,Q,3.5,4\nc.avi,R,-1,4\n"
    scan = scan_dataset("folder", write(tmp_path, labels))
    [item] = scan.items
    assert item.values == {"ed": 3, "es": 17} and type(item.values["es"]) is int
    assert problems(scan) == [
        "labels.csv:3: b.avi: ed is '3.5', not a whole number",
        "labels.csv:4: c.avi: ed is '-1'; frames are counted from 0",
    ]


BAD_ROWS: dict[str, tuple[str, str]] = {
    "no file": (",P,train", "labels.csv:2: file is empty"),
    "a file that is not there": ("x.avi,P,train", "labels.csv:2: x.avi: no file x.avi in the"),
    "a name in capitals": (
        "OK.avi,P,train",
        "labels.csv:2: OK.avi: no file OK.avi; there is ok.avi",
    ),
    "a folder": ("sub,P,train", "labels.csv:2: sub: no file sub in the dataset's folder"),
    "a path from the root": ("/etc/x,P,train", "labels.csv:2: /etc/x: file is '/etc/x'; valid: a"),
    "a path above": (
        "../x.avi,P,train",
        "labels.csv:2: ../x.avi: file is '../x.avi'; valid: a path",
    ),
    "a path of Windows": ("sub\\x.avi,P,train", "file is 'sub\\\\x.avi'; write the path with /"),
    "no patient": ("ok.avi,,train", "labels.csv:2: ok.avi: patient is empty"),
    "a patient that cannot be printed": ("ok.avi,P\x1b[1m,train", "patient is 'P\\x1b[1m'"),
    "no split": ("ok.avi,P,", "labels.csv:2: ok.avi: split is ''; valid: train, val, test"),
    "another split": ("ok.avi,P,dev", "labels.csv:2: ok.avi: split is 'dev'; valid: train, val"),
    "cells too many": ("ok.avi,P,train,4,5", "labels.csv:2: ok.avi: has 5 cells where the header"),
    "cells too few": ("ok.avi,P", "labels.csv:2: ok.avi: has 2 cells where the header has 3"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_costs_its_item_alone(tmp_path: Path, name: str) -> None:
    row, reason = BAD_ROWS[name]
    files = ("ok.avi", "sub/x.avi", "good.avi")
    labels = f"file,patient,split\n{row}\ngood.avi,G,train\n"
    scan = scan_dataset("folder", write(tmp_path, labels, files))
    assert [item.sample for item in scan.items] == ["good.avi"]
    of_row = [line for line in problems(scan) if line.startswith("labels.csv:2")]
    assert len(of_row) == 1 and reason in of_row[0]


def test_a_file_in_two_rows_is_told(tmp_path: Path) -> None:
    labels = "file,patient,sample\na.avi,P,x\n./a.avi,P,y\n"
    scan = scan_dataset("folder", write(tmp_path, labels, ("a.avi",)))
    assert problems(scan) == ["labels.csv:3: y: file a.avi stands in row 2 already"]


def test_rows_of_one_sample_that_disagree_are_told(tmp_path: Path) -> None:
    labels = (
        "file,patient,split,sample,ef\n"
        "1.png,P,train,x,50\n2.png,P,train,x,51\n"
        "3.png,P,train,y,50\n4.png,P,test,y,50\n"
        "5.png,P,train,z,50\n6.png,Q,train,z,50\n"
        "7.png,P,train,ok,50\n8.png,P,train,ok,50.0\n"
    )
    scan = scan_dataset("folder", write(tmp_path, labels))
    assert [item.sample for item in scan.items] == ["ok"]
    assert problems(scan) == [
        "labels.csv:3: x: ef is 51.0 here and 50.0 in row 2 of the same sample",
        "labels.csv:5: y: split is 'test' here and 'train' in row 4 of the same sample",
        "labels.csv:7: z: patient is 'Q' here and 'P' in row 6 of the same sample",
    ]


def test_a_sample_with_a_bad_row_is_no_item(tmp_path: Path) -> None:
    labels = "file,patient,sample\n1.png,P,x\n2.png,P,x\n3.png,P,y\n"
    scan = scan_dataset("folder", write(tmp_path, labels, ("1.png", "3.png")))
    assert [item.sample for item in scan.items] == ["y"]
    assert problems(scan) == ["labels.csv:3: x: no file 2.png in the dataset's folder"]


def test_files_that_no_row_names_are_told(tmp_path: Path) -> None:
    files = ("a.avi", "sub/b.mp4", "c.png", "sub/more.avi", "v.mhd", "v.raw", ".hidden")
    root = write(tmp_path, f"{PLAIN}v.mhd,P1,train,,,,\n", files)
    assert problems(scan_dataset("folder", root)) == ["sub/more.avi: no row of labels.csv names it"]


def test_patients_in_two_splits_and_studies_of_two_patients_are_fatal(tmp_path: Path) -> None:
    labels = (
        "file,patient,split,study\na.avi,P,train,S\nb.avi,P,test,S\nc.avi,Q,val,1\nd.avi,R,val,1\n"
    )
    assert scan_dataset("folder", write(tmp_path, labels)).fatal == [
        "labels.csv: patient P is in train (a.avi) and test (b.avi)",
        "labels.csv: study 1 is of patients Q (c.avi) and R (d.avi); give each study a name of "
        "its own",
    ]


def test_a_folder_without_a_usable_row_is_fatal(tmp_path: Path) -> None:
    labels = "file,patient\nx.avi,P\n"
    assert scan_dataset("folder", write(tmp_path, labels, ())).fatal == ["no clip is usable"]


BAD_TABLES: dict[str, tuple[str, str]] = {
    "no rows": ("file,patient\n", "labels.csv: has no rows; write one for each file"),
    "an empty file": ("", "lacks column file, patient"),
    "semicolons": ("file;patient\na.avi;P\n", "lacks column file, patient"),
    "no patients": ("file,split\na.avi,train\n", "lacks column patient; needed: file,patient"),
    "a column twice": ("file,patient,ef,ef\na.avi,P,1,2\n", "repeats column ef"),
    "a column of the store": ("file,patient,frames\na.avi,P,1\n", "has column frames, which is a"),
    "a column of points": (
        "file,patient,landmarks_x\na.avi,P,1\n",
        "has column landmarks_x, which",
    ),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_a_bad_table_is_one_error(tmp_path: Path, name: str) -> None:
    labels, reason = BAD_TABLES[name]
    message = fatal_reason(write(tmp_path, labels, ("a.avi",)))
    assert reason in message and "labels.csv" in message and "\n" not in message


def test_a_folder_without_a_table_says_how_to_write_one(tmp_path: Path) -> None:
    assert "no labels.csv here; write one: a header file,patient,split" in fatal_reason(tmp_path)


def test_text_must_name_a_column(tmp_path: Path) -> None:
    dataset = DATASETS.parse({"name": "folder", "text": ["age"]})
    with pytest.raises(EchoLMError, match="no column 'age' to read as text; .* view, ef, sex"):
        dataset.scan(write(tmp_path, PLAIN))


def test_no_value_takes_the_name_of_a_column_of_the_store() -> None:
    assert set(IDS) - {"file"} | set(STORE_COLUMNS) == set(FIXED)


CELLS = st.sampled_from(["", "1", "2.5", "nan", "x", "a.avi", "b.avi", "train", "val", "P", '"'])


@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=6), max_size=5))
@settings(max_examples=60, suppress_health_check=[*HealthCheck])
def test_any_table_gives_items_problems_or_one_error(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    lines = [",".join(row) for row in rows]
    labels = "\n".join(["file,patient,split,sample,x", *lines])
    try:
        scan = scan_dataset("folder", write(root, labels, ("a.avi", "b.avi")))
    except EchoLMError as error:
        assert "labels.csv" in str(error)
        return
    used = {path.name for item in scan.items for path in item.all_files}
    told = {problem.file for problem in scan.problems}
    in_rows = {row[0] for row in rows}
    for file in ("a.avi", "b.avi"):
        assert file in used or file in told or file in in_rows


# the phantom and clip stores


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own") / "phantom"
    OwnFiles().generate_phantom(root, items=6, seed=2)
    return root


def test_the_phantom_has_three_kinds_of_files(phantom: Path) -> None:
    scan = scan_dataset("folder", phantom)
    assert len(scan.items) == 6 and not scan.problems and not scan.fatal and scan.synthetic
    assert all(scan.splits.values())
    kinds = [item.path.suffix for item in scan.items]
    assert kinds == [".avi", ".mp4", ".png"] * 2
    for item in scan.items:
        volumes = item.values
        assert volumes["ef"] == pytest.approx(
            100 * (volumes["edv"] - volumes["esv"]) / volumes["edv"], abs=0.01
        )
        frames = read_video(item.path, any_codec=True).frames
        assert frames.shape[1:] == (112, 112) and frames.max() > 100


def test_the_same_seed_gives_the_same_files(phantom: Path, tmp_path: Path) -> None:
    OwnFiles().generate_phantom(tmp_path, items=6, seed=2)
    files = [path for path in phantom.rglob("*") if path.is_file()]
    assert len(files) == 2 + 2 * (1 + 1 + 16)
    for path in files:
        assert path.read_bytes() == (tmp_path / path.relative_to(phantom)).read_bytes(), path


def test_h264_of_the_phantom_is_nearly_what_was_drawn(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :96]
    pictures = np.stack(
        [120 + 90 * np.sin((x + 3 * time) / 9) * np.cos(y / 7) for time in range(9)]
    )
    pictures = pictures.astype(np.uint8)
    write_h264(tmp_path / "x.mp4", pictures, 50)
    video = read_video(tmp_path / "x.mp4", any_codec=True)
    assert video.frames.shape == pictures.shape and video.fps == 50
    assert np.abs(video.frames.astype(int) - pictures).mean() < 2


def write_every_kind(root: Path) -> list[np.ndarray]:
    """A folder of an AVI, an MP4, a DICOM file and two PNGs, and the frames of each item."""
    rng = np.random.default_rng(0)
    clip = rng.integers(0, 256, (5, 32, 48), np.uint8)
    write_mjpeg(root / "a.avi", clip, 50)
    write_h264(root / "b.mp4", clip, 50)
    dcmread(str(get_testdata_file("examples_ybr_color.dcm"))).save_as(root / "c.dcm")
    colours = rng.integers(0, 256, (32, 48, 3), np.uint8)
    Image.fromarray(colours).save(root / "d1.png")
    Image.fromarray(clip[0]).save(root / "d2.png")
    labels = "file,patient,sample,ef\na.avi,1,a,50\nb.mp4,2,b,51\nc.dcm,3,c,52\n"
    (root / "labels.csv").write_text(f"{labels}d1.png,4,d,53\nd2.png,4,d,53\n")
    luma = np.rint(colours @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return [
        read_video(root / "a.avi").frames,
        read_video(root / "b.mp4", any_codec=True).frames,
        read_video(root / "c.dcm").frames,
        np.stack([luma, clip[0]]),
    ]


def test_a_store_holds_files_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    expected = write_every_kind(tmp_path / "own")
    store = prepare(
        "folder", tmp_path / "own", tmp_path / "store", "all", workers=1, progress=False
    )
    assert [item.sample for item in store.items] == ["a", "b", "c", "d"]
    for row, frames in enumerate(expected):
        item = store.items[row]
        assert item.frames.tolist() == list(range(len(frames)))
        assert np.array_equal(store.read(row, np.arange(len(frames))), frames)
        assert item.values["ef"] == 50.0 + row


def test_uniform_frames_of_files_whose_length_no_table_says(phantom: Path, tmp_path: Path) -> None:
    store = prepare("folder", phantom, tmp_path / "store", "uniform-16", workers=1, progress=False)
    for row, item in enumerate(scan_dataset("folder", phantom).items):
        paths = item.all_files
        frames = np.concatenate([read_video(path, any_codec=True).frames for path in paths])
        wanted = sorted({number * (len(frames) - 1) // 15 for number in range(16)})
        assert store.items[row].frames.tolist() == wanted
        assert np.array_equal(store.read(row, np.array(wanted)), frames[wanted])
