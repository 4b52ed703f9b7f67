"""EchoNet-LVH: calipers by column name, two splits, several measurements of a video."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echolm.datasets import DATASETS
from echolm.datasets.phantom.echonet_lvh import generate_lvh
from echolm.datasets.scan import Scan
from echolm.errors import EchoLMError
from echolm.media.read import read_video
from echolm.stores.prepare_clips import prepare
from tests.echolm.datasets.lvh_files import COLUMNS, OLD, TABLE, Lvh, six_videos

NAME = "echonet-lvh"


@pytest.fixture
def files(tmp_path: Path) -> Lvh:
    return six_videos(tmp_path / "source")


def scan(root: Path, **choices: Any) -> Scan:
    return DATASETS.parse({"name": NAME, **choices}).scan(root)


def test_a_sound_data_set(files: Lvh) -> None:
    found = scan(files.write())
    assert not found.problems and not found.notes and not found.fatal and not found.synthetic
    assert found.splits == {"train": 4, "val": 1, "test": 1}
    item = found.items[1]
    assert (item.sample, item.patient, item.frame_count) == ("0X0001", "0X0001", None)
    assert item.path == files.root / "Batch2/0X0001.avi"
    assert item.values == {
        "view": "PLAX",
        "ivsd": 1.0,
        "ivsd_frame": 5,
        "lvidd": 4.5,
        "lvidd_frame": 5,
        "lvpwd": 0.9,
        "lvpwd_frame": 5,
        "lvids": 3.0,
        "lvids_frame": 12,
        "ed": 5,
        "es": 12,
        "fps": 50.0,
    }
    assert DATASETS.parse(NAME).remarks(found) == [
        f"split of {TABLE}; videos of Batch1, Batch2, Batch3, Batch4; "
        "measured: 6 IVSd, 6 LVIDd, 6 LVPWd, 6 LVIDs"
    ]


@given(order=st.permutations(COLUMNS))
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_columns_are_found_by_name(files: Lvh, order: list[str]) -> None:
    """The table has X1, X2, Y1, Y2: read in the order x1, y1, x2, y2, its calipers contradict each
    other."""
    expected = [item.values for item in scan(files.write()).items]
    files.columns = order
    found = scan(files.write())
    assert [item.values for item in found.items] == expected and not found.fatal


def test_ends_that_were_written_in_another_order_are_refused(files: Lvh) -> None:
    for row in files.rows:
        row["X2"], row["Y1"] = row["Y1"], row["X2"]
    [reason] = scan(files.write()).fatal
    assert reason.startswith(
        f"{TABLE}: the calipers of one video have different scales (cm a pixel) in 6 of 6 videos"
    )


def test_lengths_that_were_shifted_by_a_row_are_refused(files: Lvh) -> None:
    lengths = [row["CalcValue"] for row in files.rows]
    for row, length in zip(files.rows, [lengths[-1], *lengths[:-1]], strict=True):
        row["CalcValue"] = length
    [reason] = scan(files.write()).fatal
    assert "shifted by a row or under other names?" in reason
    dataset = DATASETS.parse({"name": NAME, "disagreement": "remark"})
    trusted = dataset.scan(files.root)
    assert not trusted.fatal and reason in dataset.remarks(trusted)
    assert len(trusted.items) == 6


def test_one_wrong_caliper_is_a_note(files: Lvh) -> None:
    files.rows[5]["CalcValue"] = 8.0
    found = scan(files.write())
    assert not found.fatal and [str(note) for note in found.notes] == [
        f"{TABLE}:7: 0X0001: LVIDd is 8 cm for 180 pixels, another scale than the video's other "
        "calipers have; it is used all the same"
    ]


def test_of_several_measurements_the_mean_counts_and_the_first_frame(files: Lvh) -> None:
    again = dict(files.rows[1], Frame=40, CalcValue=4.7)
    files.rows.append(again)
    values = scan(files.write()).items[0].values
    assert values["lvidd"] == pytest.approx(4.6) and values["lvidd_frame"] == values["ed"] == 5


def test_what_was_not_measured_is_absent(files: Lvh) -> None:
    files.rows = [row for row in files.rows if row["Calc"] == "IVSd"]
    values = scan(files.write()).items[0].values
    assert values == {"view": "PLAX", "ivsd": 1.0, "ivsd_frame": 5, "fps": 50.0}


def test_millimetres_are_refused_until_they_are_named(files: Lvh) -> None:
    expected = [item.values for item in scan(files.write()).items]
    for row in files.rows:
        row["CalcValue"] = round(10 * row["CalcValue"], 6)
    reason = scan(files.write()).fatal[-1]
    assert "the median LVIDd is 45 cm" in reason and "--set unit=mm" in reason
    found = scan(files.root, unit="mm")
    assert not found.fatal and [item.values for item in found.items] == expected


def write_old(files: Lvh, splits: dict[str, str]) -> None:
    lines = [f"{number},{name},{split}" for number, (name, split) in enumerate(splits.items())]
    (files.root / OLD).write_text("\n".join([",HashedFileName,split", *lines]) + "\n")


def test_both_splits(files: Lvh) -> None:
    root = files.write()
    with pytest.raises(EchoLMError, match=rf"{OLD}: not there; .* --set split=csv"):
        scan(root, split="paper-old")
    write_old(
        files, {f"0X{number:04d}": ("test", "val", "train")[number % 3] for number in range(5)}
    )
    by_table, by_paper = scan(root), scan(root, split="paper-old")
    assert by_paper.splits == {"train": 1, "val": 2, "test": 2}
    assert by_table.splits == {"train": 4, "val": 1, "test": 1}
    assert by_table.identity != by_paper.identity
    assert [str(problem) for problem in by_paper.problems] == [
        f"{TABLE}:22: 0X0005: is not in {OLD}"
    ]
    assert (
        DATASETS.parse({"name": NAME, "split": "paper-old"})
        .remarks(by_paper)[0]
        .startswith(f"split of {OLD}; ")
    )
    (root / OLD).write_text((root / OLD).read_text() + "9,0X0000.avi,train\n")
    with pytest.raises(
        EchoLMError, match=rf"{OLD}:7: 0X0000 is in split train and, above, in test"
    ):
        scan(root, split="paper-old")


def set_row(column: str, value: object) -> Callable[[Lvh], object]:
    """In the first row of 0X0001, line 6."""
    return lambda files: files.rows[4].update({column: value})


NOTES = [
    (set_row("Calc", "LAd"), "Calc is 'LAd'; valid: IVSd, LVIDd, LVPWd, LVIDs"),
    (set_row("CalcValue", ""), "CalcValue is '', not a number"),
    (set_row("CalcValue", "nan"), "CalcValue is 'nan', not a number"),
    (set_row("CalcValue", 0), "CalcValue is '0'; valid: above 0, up to 15 cm"),
    (set_row("CalcValue", 45), "CalcValue is '45'; valid: above 0, up to 15 cm"),
    (set_row("Frame", 60), "Frame 60 is outside the video's 60 frames"),
    (set_row("Frame", "5.5"), "Frame is '5.5', not a whole number"),
    (set_row("X1", 2000), "X of an end is 2000, outside the width of 1024"),
    (set_row("Y2", -1), "Y of an end is -1, outside the height of 768"),
    (set_row("Y2", "?"), "Y2 is '?', not a number"),
    (lambda f: f.rows[4].update(X2=300, Y2=100), "both ends of the caliper are at (300, 100)"),
]


@pytest.mark.parametrize(("damage", "reason"), NOTES)
def test_a_measurement_that_cannot_be_used_is_one_note(
    files: Lvh, damage: Callable[[Lvh], object], reason: str
) -> None:
    damage(files)
    found = scan(files.write())
    assert [str(note) for note in found.notes] == [f"{TABLE}:6: 0X0001: {reason}"]
    assert len(found.items) == 6 and not found.problems and not found.fatal
    assert "ivsd" not in found.items[1].values and found.items[1].values["lvidd"] == 4.5


PROBLEMS = [
    (set_row("split", "test"), 6, "is in splits test (row 6) and train (row 9)"),
    (
        lambda files: [row.update(split="holdout") for row in files.rows[4:8]],
        6,
        "split is 'holdout'; valid: train, val, test",
    ),
]


@pytest.mark.parametrize(("damage", "row", "reason"), PROBLEMS)
def test_a_video_that_cannot_be_used_is_one_line(
    files: Lvh, damage: Callable[[Lvh], object], row: int, reason: str
) -> None:
    damage(files)
    found = scan(files.write())
    assert [str(problem) for problem in found.problems] == [f"{TABLE}:{row}: 0X0001: {reason}"]
    assert len(found.items) == 5


def test_every_file_is_accounted_for(files: Lvh) -> None:
    root = files.write()
    (root / "Batch2" / "0X0001.avi").rename(root / "Batch2" / "0X9999.AVI")
    (root / "Batch4" / "0X0000.avi").touch()
    found = scan(root)
    assert [str(problem) for problem in found.problems] == [
        f"{TABLE}:2: 0X0000: Batch1/0X0000.avi and Batch4/0X0000.avi are both there; "
        "keep one of them",
        f"{TABLE}:6: 0X0001: no video 0X0001.avi in Batch1, Batch2, Batch3, Batch4",
        f"Batch2/0X9999.AVI: 0X9999: is not in {TABLE}",
    ]


def test_a_part_of_the_batches_is_enough(files: Lvh, tmp_path: Path) -> None:
    root = files.write()
    shutil.rmtree(root / "Batch3")
    found = scan(root)
    assert len(found.items) == 5 and len(found.problems) == 1
    with pytest.raises(EchoLMError, match="no MeasurementsList.csv here; give the folder"):
        scan(root / "Batch1")
    for number in (1, 2, 4):
        shutil.rmtree(root / f"Batch{number}")
    with pytest.raises(EchoLMError, match="no Batch1 here; give the folder"):
        scan(root)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 videos."""
    root = tmp_path_factory.mktemp("lvh") / "data"
    generate_lvh(root, 16)
    return root


def test_a_phantom_is_a_sound_data_set(phantom: Path) -> None:
    for choice in ("csv", "paper-old"):
        found = scan(phantom, split=choice)
        assert found.synthetic and len(found.items) == 16
        assert not found.problems and not found.fatal and not found.notes
        assert min(found.splits.values()) >= 2 - (choice == "paper-old")
    counts = {name: sum(name in item.values for item in found.items) for name in ("lvidd", "lvids")}
    assert counts["lvidd"] == 16 > counts["lvids"] > 8
    diameters = [item.values["lvidd"] for item in found.items]
    assert 3 < min(diameters) and max(diameters) < 7
    sizes = {read_video(item.path, [0]).frames.shape[1:] for item in found.items}
    assert len(sizes) > 1


def test_the_phantoms_walls_are_brighter_than_its_cavity(phantom: Path) -> None:
    """Between the ends of LVIDd lies blood, between those of IVSd and LVPWd tissue."""
    with open(phantom / TABLE, newline="") as file:
        rows = list(csv.DictReader(file))
    brightness: dict[str, list[float]] = {"IVSd": [], "LVIDd": [], "LVPWd": []}
    for item in scan(phantom).items:
        for row in rows:
            if row["HashedFileName"] == item.sample and row["Calc"] in brightness:
                frame = read_video(item.path, [int(row["Frame"])]).frames[0]
                along = np.linspace(0.15, 0.85, 30)
                x = float(row["X1"]) + along * (float(row["X2"]) - float(row["X1"]))
                y = float(row["Y1"]) + along * (float(row["Y2"]) - float(row["Y1"]))
                pixels = frame[y.round().astype(int), x.round().astype(int)]
                brightness[row["Calc"]].append(float(pixels.mean()))
    means = {name: np.mean(values) for name, values in brightness.items()}
    assert means["IVSd"] > 1.5 * means["LVIDd"] and means["LVPWd"] > 1.5 * means["LVIDd"]


def test_the_same_arguments_give_the_same_phantom(tmp_path: Path) -> None:
    def content(name: str) -> dict[str, bytes]:
        root = tmp_path / name
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        generate_lvh(tmp_path / name, 3, seed, clips_per_patient=3)
    assert content("a") == content("b") and len(content("a")) == 6
    assert content("a")[TABLE] != content("c")[TABLE]
    (tmp_path / "a" / TABLE).unlink()
    next((tmp_path / "a").rglob("*.avi")).unlink()
    generate_lvh(tmp_path / "a", 3, 3, clips_per_patient=3)
    assert content("a") == content("b")


def test_videos_of_any_size_and_length_make_a_store(phantom: Path, tmp_path: Path) -> None:
    store = prepare(NAME, phantom, tmp_path / "all", "all", workers=1, progress=False)
    assert len(store.items) == 16 and store.info["values"]["lvidd"] == 16
    assert len({(item.height, item.width) for item in store.items}) > 1
    with open(phantom / TABLE, newline="") as file:
        counts = {row["HashedFileName"]: int(row["Frames"]) for row in csv.DictReader(file)}
    for item in store.items:
        assert len(item.frames) == counts[item.sample]


def test_a_paper_split_at_one_size_from_ed_to_es(phantom: Path, tmp_path: Path) -> None:
    chosen = DATASETS.parse({"name": NAME, "split": "paper-old"})
    store = prepare(chosen, phantom, tmp_path / "store", workers=1, progress=False, size=56)
    with_systole = [item for item in scan(phantom).items if "es" in item.values]
    assert len(store.items) == len(with_systole) < 16
    assert store.info["dataset"] == {"split": "paper-old"}
    for stored, source in zip(store.items, with_systole, strict=True):
        assert {stored.frames[0], stored.frames[-1]} == {source.values["ed"], source.values["es"]}
        assert (stored.height, stored.width) == (56, 56)
