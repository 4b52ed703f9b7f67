"""EchoNet-Pediatric: two views, ten folds, polygons, phases that are not traced."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from shapely import Polygon

from echolm.cli import main
from echolm.datasets import DATASETS, scan_dataset
from echolm.datasets.phantom.echonet_pediatric import generate_pediatric
from echolm.datasets.polygon_tracings import PolygonRows, traced_areas
from echolm.datasets.scan import Scan
from echolm.datasets.volume_tracings import TracingError
from echolm.errors import EchoLMError
from echolm.geometry import rasterise
from echolm.media.read import read_video
from echolm.stores.prepare_clips import prepare
from tests.echolm.datasets.pediatric_files import Pediatric, ten_folds

NAME = "echonet-pediatric"


@pytest.fixture
def files(tmp_path: Path) -> Pediatric:
    return ten_folds(tmp_path / "source")


def scan(root: Path, **choices: Any) -> Scan:
    return DATASETS.parse({"name": NAME, **choices}).scan(root)


def test_a_sound_data_set(files: Pediatric) -> None:
    found = scan_dataset(NAME, files.write())
    assert not found.problems and not found.notes and not found.fatal and not found.synthetic
    assert found.splits == {"train": 8, "val": 1, "test": 1}
    item = found.items[0]
    assert (item.sample, item.patient, item.split) == ("A4C-CR00", "A4C-CR00", "test")
    assert item.path == files.root / "A4C/Videos/CR00.avi" and item.frame_count is None
    values = dict(item.values)
    assert values.pop("area_ed") == pytest.approx(15 * np.sin(2 * np.pi / 30) * 20**2)
    assert values.pop("area_es") == pytest.approx(17 / 2 * np.sin(2 * np.pi / 17) * 15**2)
    assert values == {
        "ef": 60.0,
        "view": "A4C",
        "sex": "F",
        "age": 7.0,
        "weight": 22.5,
        "height": 120.0,
        "ed": 5,
        "es": 12,
    }
    assert DATASETS.parse(NAME).remarks(found) == [
        "view A4C (10 A4C); test is fold 0, val fold 1; both phases are traced in 10 videos",
        "no column Patient: each video counts as a patient, so intervals are too narrow where a "
        "child has several",
    ]


@pytest.mark.parametrize("fold", range(10))
def test_a_fold_is_tested_on_and_the_next_validates(files: Pediatric, fold: int) -> None:
    found = scan(files.write(), fold=fold)
    splits = {int(item.sample[-2:]): item.split for item in found.items}
    assert splits[fold] == "test" and splits[(fold + 1) % 10] == "val"
    assert sorted(splits.values()) == ["test", *["train"] * 8, "val"]


def test_views_alone_and_together(files: Pediatric) -> None:
    assert [item.values["view"] for item in scan(files.write(), view="PSAX").items] == ["PSAX"] * 20
    both = scan_of_both(files.root)
    assert len(both.items) == 30 and not both.fatal
    assert [item.sample for item in both.items] == sorted(item.sample for item in both.items)
    shutil.rmtree(files.root / "PSAX")
    assert len(scan(files.root).items) == 10
    with pytest.raises(EchoLMError, match="no A4C and PSAX here"):
        scan_of_both(files.root)


def scan_of_both(root: Path) -> Scan:
    return scan(root, view="both")


@pytest.mark.parametrize("inner", ["pediatric_echo_avi", "pediatric_echo_avi/pediatric_echo_avi"])
def test_the_folders_that_the_archive_nests(files: Pediatric, tmp_path: Path, inner: str) -> None:
    plain = scan_of_both(files.write())
    nested = scan_of_both(Pediatric(tmp_path / "nested", files.views).write(inner))
    assert nested.identity == plain.identity
    assert [item.sample for item in nested.items] == [item.sample for item in plain.items]
    assert nested.items[0].path.relative_to(nested.root).as_posix().startswith(f"{inner}/A4C/")


def test_patients_of_a_column_are_in_one_split(files: Pediatric) -> None:
    for row in files.views["A4C"].files:
        row["Patient"] = "P0" if row["Split"] in (0, 5) else row["FileName"]
    [reason] = scan(files.write()).fatal
    assert reason == "FileList.csv: patient P0 is in test (A4C-CR00) and train (A4C-CR05)"
    assert not scan(files.root, fold=2).fatal


def set_file(column: str, value: object) -> Callable[[Pediatric], object]:
    return lambda files: files.views["A4C"].files[1].update({column: value})


ROWS = [
    (set_file("EF", ""), "EF is '', not a number"),
    (set_file("Split", "TRAIN"), "Split is 'TRAIN', not a number"),
    (set_file("Split", 10), "Split is '10'; valid: folds 0 to 9"),
    (set_file("Split", 1.5), "Split is '1.5', not a whole number"),
]


@pytest.mark.parametrize(("damage", "reason"), ROWS)
def test_an_unusable_row_is_one_line(
    files: Pediatric, damage: Callable[[Pediatric], object], reason: str
) -> None:
    damage(files)
    found = scan(files.write())
    assert [str(problem) for problem in found.problems] == [
        f"A4C/FileList.csv:3: A4C-CR01: {reason}"
    ]
    assert len(found.items) == 9


@pytest.mark.parametrize(
    ("column", "value", "note"),
    [
        ("Sex", "", ""),
        ("Sex", "unknown", ""),
        ("Sex", "7", "Sex is '7'; valid: F, M"),
        ("Age", "nan", ""),
        ("Age", 0, ""),
        ("Age", -1, "Age is '-1'; valid: above 0, up to 120"),
        ("Weight", "heavy", "Weight is 'heavy', not a number"),
        ("Weight", 0, "Weight is '0'; valid: above 0, up to 300"),
        ("Height", 1200, "Height is '1200'; valid: above 0, up to 250"),
    ],
)
def test_a_fact_that_is_not_known_is_absent(
    files: Pediatric, column: str, value: object, note: str
) -> None:
    set_file(column, value)(files)
    found = scan(files.write())
    assert len(found.items) == 10 and not found.problems
    assert (column.lower() in found.items[1].values) == (column == "Age" and value == 0)
    assert [note.reason for note in found.notes] == [note] * bool(note)


def test_a_phase_that_is_not_traced(files: Pediatric) -> None:
    for text, kept, lost in (("No Systolic", "ed", "es"), ("No Diastolic", "es", "ed")):
        view = files.views["A4C"]
        view.tracings = []
        view.files = []
        view.add("CR00.avi", 0, **{lost: text})
        values = scan(files.write()).items[0].values
        assert values[kept] == {"ed": 5, "es": 12}[kept] and values[lost] is None
        assert values[f"area_{kept}"] > 0 and values[f"area_{lost}"] is None
        shutil.rmtree(files.root)


def rows(*frames: tuple[int, list[tuple[float, float]]], missing: str = "") -> PolygonRows:
    traced = PolygonRows(line=2, missing={missing} - {""})
    for frame, points in frames:
        traced.frames[frame] = points
        traced.lines[frame] = 2 + frame
    return traced


def square(side: float) -> list[tuple[float, float]]:
    return [(20, 20), (20 + side, 20), (20 + side, 20 + side), (20, 20 + side)]


@pytest.mark.parametrize(
    ("traced", "line", "reason"),
    [
        (rows(), 2, r"needs two traced frames, has 0 \(none\)"),
        (rows((3, square(9))), 2, r"has 1 \(3\)"),
        (rows((3, square(9)), (4, square(8)), (5, square(7))), 2, r"has 3 \(3, 4, 5\)"),
        (rows((3, square(9)), (4, square(8)), missing="es"), 2, "and says No Systolic"),
        (rows((3, square(9)[:2]), (4, square(8))), 5, "frame 3 is traced by 2 points"),
        (rows((3, square(9)), (4, square(3))), 6, "encloses 9 square pixels, less than any"),
        (rows((3, square(9)), (-1, square(8))), 1, "traced frame -1 is below 0"),
        (rows((3, square(900)), (4, square(8))), 5, "a point is at 920, far outside the picture"),
    ],
)
def test_polygons_that_cannot_be_used_say_where(
    traced: PolygonRows, line: int, reason: str
) -> None:
    with pytest.raises(TracingError, match=reason) as caught:
        traced_areas(traced)
    assert caught.value.line == line


@given(
    sides=st.tuples(st.floats(5, 80), st.floats(5, 80)),
    frames=st.lists(st.integers(0, 200), min_size=2, max_size=2, unique=True),
)
def test_ed_is_the_larger_polygon_whichever_comes_first(
    sides: tuple[float, float], frames: list[int]
) -> None:
    first, second = (square(side) for side in sides)
    found = traced_areas(rows((frames[0], first), (frames[1], second)))
    assert {found.ed, found.es} == set(frames)
    assert found.area_ed is not None and found.area_es is not None
    areas = {frames[0]: Polygon(first).area, frames[1]: Polygon(second).area}
    assert found.area_ed == pytest.approx(max(areas.values()), rel=1e-9)
    assert found.area_es == pytest.approx(min(areas.values()), rel=1e-9)


@given(garbage=st.binary(max_size=200), table=st.sampled_from(["FileList", "VolumeTracings"]))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_crash_the_reader(files: Pediatric, garbage: bytes, table: str) -> None:
    path = files.write() / "A4C" / f"{table}.csv"
    path.write_bytes(path.read_bytes()[:500] + garbage)
    try:
        found = scan(files.root)
    except EchoLMError:
        return
    assert len(found.items) <= 10 and all(problem.reason for problem in found.problems)


def test_what_is_no_choice_is_refused() -> None:
    for wrong in ({"fold": 10}, {"fold": -1}, {"view": "A2C"}, {"disagreement": "no"}):
        with pytest.raises(ValidationError):
            DATASETS.parse({"name": NAME, **wrong})


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 videos of each view."""
    root = tmp_path_factory.mktemp("pediatric") / "data"
    generate_pediatric(root, 24)
    return root


def test_a_phantom_is_a_sound_data_set(phantom: Path) -> None:
    both = scan_of_both(phantom)
    assert both.synthetic and len(both.items) == 48 and not both.problems and not both.fatal
    assert min(scan(phantom).splits.values()) >= 2
    counts = {len(item.values) for item in both.items}
    assert counts == {10} and any(item.values["es"] is None for item in both.items)


def test_the_phantoms_polygons_are_of_its_cavities(phantom: Path) -> None:
    """The traced cavity is darker than what surrounds it, in both views."""
    contrast = []
    for view in ("A4C", "PSAX"):
        table = phantom / view / "VolumeTracings.csv"
        with open(table, newline="") as file:
            traced = [row for row in csv.DictReader(file) if row["Frame"].isdigit()]
        for name in sorted({row["FileName"] for row in traced})[:5]:
            own = [row for row in traced if row["FileName"] == name]
            frame = int(own[0]["Frame"])
            points = np.array(
                [[float(row["X"]), float(row["Y"])] for row in own if int(row["Frame"]) == frame]
            )
            picture = read_video(table.parent / "Videos" / name, [frame]).frames[0]
            wider = points.mean(0) + 1.3 * (points - points.mean(0))
            inside, around = (
                rasterise(contour[None], 112, 112)[0].astype(bool) for contour in (points, wider)
            )
            contrast.append(picture[around & ~inside].mean() / picture[inside].mean())
    assert min(contrast) > 1.1 and np.median(contrast) > 1.5


def test_labels_of_the_phantom_shifted_by_a_row_are_refused(phantom: Path, tmp_path: Path) -> None:
    root = tmp_path / "shifted"
    shutil.copytree(phantom, root)
    path = root / "A4C" / "FileList.csv"
    with open(path, newline="") as file:
        header, *table = list(csv.reader(file))
    names = [row[0] for row in table]
    for row, name in zip(table, [names[-1], *names[:-1]], strict=True):
        row[0] = name
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *table])
    [reason] = scan(root).fatal
    assert "EF does not go with the traced areas of" in reason and "shifted" in reason
    assert not scan(root, disagreement="remark").fatal
    assert not scan(phantom).fatal


def test_both_views_make_a_store_whose_values_are_optional(phantom: Path, tmp_path: Path) -> None:
    chosen = DATASETS.parse({"name": NAME, "view": "both", "fold": 3})
    store = prepare(chosen, phantom, tmp_path / "store", "uniform-16", workers=1, progress=False)
    assert store.info["dataset"] == {"view": "both", "fold": 3}
    counts = store.info["values"]
    assert counts["ef"] == counts["view"] == len(store.items) == 48 > counts["es"] > 36
    assert {item.values["view"] for item in store.items} == {"A4C", "PSAX"}
    assert store.info["splits"] == scan(phantom, view="both", fold=3).splits


def test_commands_make_check_and_prepare_a_phantom(tmp_path: Path) -> None:
    root, workspace = str(tmp_path / "children"), str(tmp_path / "workspace")
    printed = []
    for words in (
        ["phantom", NAME, root, "--items", "4"],
        ["check", NAME, root, "--set", "view=PSAX", "--strict"],
        ["prepare", NAME, root, "--clips", "all", "--set", "view=PSAX", "--workers", "1"],
    ):
        done = CliRunner().invoke(main, ["-w", workspace, "data", *words])
        assert done.exit_code == 0, done.output
        printed.append(done.output)
    assert "4 videos usable (" in printed[1] and "view PSAX (4 PSAX); test is fold 0" in printed[1]
    assert f"{NAME}-phantom: 4 videos (" in printed[2]


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_a_stopped_phantom_is_continued_to_the_same_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echolm.datasets.phantom import folder

    generate_pediatric(tmp_path / "whole", 2, clips_per_patient=2)
    real, written = folder.write_mjpeg, []

    def write(path: Path, frames: np.ndarray, fps: float) -> None:
        written.append(path)
        real(path, frames[: 3 if len(written) == 3 else None], fps)
        if len(written) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(folder, "write_mjpeg", write)
    root = tmp_path / "new"
    with pytest.raises(KeyboardInterrupt):
        generate_pediatric(root, 2, clips_per_patient=2)
    assert "phantom.json" in content(root) and not list(root.rglob("*.tmp"))
    with pytest.raises(EchoLMError, match=r"unfinished phantom of other settings \(seed: 0"):
        generate_pediatric(root, 2, seed=1, clips_per_patient=2)
    generate_pediatric(root, 2, clips_per_patient=2)
    assert content(root) == content(tmp_path / "whole") and len(written) == 5
    with pytest.raises(EchoLMError, match="is not an empty folder"):
        generate_pediatric(root, 2, clips_per_patient=2)
    with pytest.raises(EchoLMError, match="items is 0; valid: 1 or more"):
        generate_pediatric(tmp_path / "none", 0)
    assert [item.patient for item in scan(root).items] == ["P00000", "P00000"]
