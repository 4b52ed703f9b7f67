"""TMED-2: a study is one item of its images in the table's order, never in two splits."""

from __future__ import annotations

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from echolm.datasets import DATASETS, scan_dataset
from echolm.datasets.phantom.tmed2 import png
from echolm.datasets.scan import Scan
from echolm.datasets.tmed2 import Tmed2
from echolm.datasets.tmed2_layout import (
    COLUMNS,
    LABELED,
    SEVERITIES,
    VIEW_SPLIT,
    VIEWS,
    table_name,
)
from echolm.errors import EchoLMError
from echolm.media.read import read_video
from echolm.stores.clips import ClipStore
from echolm.stores.prepare_clips import prepare

TABLE = "DEV479/TMED2_fold1_labeledpart.csv"
HEADER = (*COLUMNS, VIEW_SPLIT)


def picture(key: str, size: tuple[int, int] = (6, 8)) -> np.ndarray:
    """The picture of an image, which no other image has."""
    seed = int.from_bytes(key.encode(), "little") % 2**32
    return np.random.default_rng(seed).integers(0, 256, size, np.uint8)


@dataclass
class Tmed2Folder:
    """A folder in the layout of the download. ``rows`` may be changed before ``write``."""

    root: Path
    fold: int = 1
    rows: list[list[str]] = field(default_factory=list)
    header: tuple[str, ...] = HEADER
    images: dict[str, bytes] = field(default_factory=dict)

    def add(
        self,
        study: str,
        split: str,
        diagnosis: str = "no_AS",
        views: tuple[str, ...] = ("PLAX", "A4C"),
        folder: str = LABELED,
    ) -> None:
        """Add a study with an image of each view."""
        for number, view in enumerate(views):
            key = f"{study}_{number}.png"
            self.images[f"{folder}/{key}"] = png(picture(key))
            self.rows.append([key, folder, view, diagnosis, split, split])

    def write(self, subset: str = "DEV479") -> Path:
        """Write all files, and return the folder."""
        for name, content in self.images.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        table = self.root / subset / table_name(self.fold)
        table.parent.mkdir(parents=True, exist_ok=True)
        with open(table, "w", newline="") as file:
            csv.writer(file).writerows([self.header, *self.rows])
        return self.root


@pytest.fixture
def folder(tmp_path: Path) -> Tmed2Folder:
    """Four sound studies of three patients."""
    made = Tmed2Folder(tmp_path / "tmed")
    made.add("7s1", "train", "no_AS")
    made.add("7s2", "train", "mildtomod_AS", ("A4CorA2CorOther", "PSAX", "PLAX"))
    made.add("80s1", "val", "moderate_AS")
    made.add("900s1", "test", "severe_AS", ("Not_Provided",))
    return made


def problems(scan: Scan) -> list[str]:
    return [str(problem) for problem in scan.problems]


def test_a_study_is_one_item_of_its_images(folder: Tmed2Folder) -> None:
    scan = scan_dataset("tmed-2", folder.write())
    assert [item.sample for item in scan.items] == ["7s1", "7s2", "80s1", "900s1"]
    assert scan.splits == {"train": 2, "val": 1, "test": 1}
    assert (scan.problems, scan.fatal, scan.synthetic) == ([], [], False)
    item = scan.items[1]
    assert (item.patient, item.study, item.frame_count) == ("7", "7s2", 3)
    assert item.path == item.files[0]
    assert [path.name for path in item.files] == ["7s2_0.png", "7s2_1.png", "7s2_2.png"]
    assert item.values == {
        "diagnosis": "mildtomod_AS",
        "severity": "early_AS",
        "first_view": "A4CorA2CorOther",
        "images": 3,
        "images_plax": 1,
        "images_psax": 1,
        "images_a4c": 0,
        "images_a2c": 0,
        "images_other": 1,
        "images_of_no_view": 0,
    }
    assert scan.items[3].files == () and scan.items[3].frame_count == 1


def test_images_come_in_the_order_of_the_table(folder: Tmed2Folder) -> None:
    folder.rows[:2] = folder.rows[1::-1]
    [item, *_] = scan_dataset("tmed-2", folder.write()).items
    assert [path.name for path in item.files] == ["7s1_1.png", "7s1_0.png"]


def test_fold_1_has_the_published_counts(tmp_path: Path) -> None:
    """598 studies of 576 patients: 360, 119 and 119 (no 126, early 171, significant 301)."""
    made = Tmed2Folder(tmp_path)
    patients = [*range(1, 577), *range(1, 23)]  # 22 of them twice
    seen: Counter[int] = Counter()
    severities = ["no_AS"] * 126 + ["mild_AS"] * 90 + ["mildtomod_AS"] * 81
    severities += ["moderate_AS"] * 130 + ["severe_AS"] * 171
    for number, patient in enumerate(patients):
        seen[patient] += 1
        split = "train" if patient <= 338 else "val" if patient <= 457 else "test"
        made.add(f"{patient}s{seen[patient]}", split, severities[number], ("PLAX",))
    scan = scan_dataset("tmed-2", made.write())
    assert scan.splits == {"train": 360, "val": 119, "test": 119}
    assert not scan.problems and not scan.fatal
    assert len({item.patient for item in scan.items}) == 576
    counts = Counter(item.values["severity"] for item in scan.items)
    assert counts == {"no_AS": 126, "early_AS": 171, "significant_AS": 301}
    assert Tmed2().remarks(scan)[0] == (
        f"fold 1 by {TABLE}: 126 no_AS, 90 mild_AS, 81 mildtomod_AS, 130 moderate_AS, 171 severe_AS"
    )


def test_a_fold_is_a_field(folder: Tmed2Folder) -> None:
    root = folder.write()
    folder.fold = 2
    folder.rows = [row for row in folder.rows if not row[0].startswith("7s2")]
    folder.write()
    second = DATASETS.parse({"name": "tmed-2", "fold": 2}).scan(root)
    assert [item.sample for item in second.items] == ["7s1", "80s1", "900s1"]
    assert second.facts["table"] == "DEV479/TMED2_fold2_labeledpart.csv"
    assert second.identity != scan_dataset("tmed-2", root).identity
    with pytest.raises(ValueError, match="fold"):
        DATASETS.parse({"name": "tmed-2", "fold": 3})
    with pytest.raises(EchoLMError, match="no DEV479/TMED2_fold0_labeledpart.csv here; give the"):
        DATASETS.parse({"name": "tmed-2", "fold": 0}).scan(root)


def test_the_table_may_lie_beside_the_images_and_archives_in_folders_of_their_name(
    folder: Tmed2Folder,
) -> None:
    folder.images = {
        name.replace(LABELED, f"{LABELED}/labeled"): content
        for name, content in folder.images.items()
    }
    scan = scan_dataset("tmed-2", folder.write(subset="."))
    assert len(scan.items) == 4 and not scan.problems
    assert scan.items[0].path.is_file()


def test_studies_without_a_diagnosis_or_a_split_are_told(folder: Tmed2Folder) -> None:
    folder.add("81s1", "", "Not_Provided", folder="view_labeled_set/labeled")
    folder.add("82s1", "unlabeled", "mild_AS")
    scan = scan_dataset("tmed-2", folder.write())
    assert len(scan.items) == 4 and not scan.fatal
    assert problems(scan) == [
        f"{TABLE}:10: 81s1: has no diagnosis (diagnosis_label is Not_Provided)",
        f"{TABLE}:12: 82s1: is in no split (diagnosis_classifier_split is 'unlabeled')",
    ]


BAD_ROWS: dict[str, tuple[int, int, str, str]] = {
    "a name without a study": (0, 0, "x.png", "query_key is 'x.png'; valid: PATIENTsSTUDY_IMAGE"),
    "a path as a name": (0, 0, "../7s1_0.png", "query_key is '../7s1_0.png'; valid"),
    "an image that is not there": (0, 0, "7s1_9.png", f"7s1: no image {LABELED}/7s1_9.png"),
    "a folder above": (0, 1, "..", "7s1: SourceFolder is '..'; valid: a path in the dataset's"),
    "no folder": (0, 1, "", "7s1: SourceFolder is empty"),
    "a view": (1, 2, "PLEX", "7s1: view_label is 'PLEX'; valid: PLAX, PSAX, A4C, A2C"),
    "a diagnosis": (1, 3, "AS", "7s1: diagnosis_label is 'AS'; valid: no_AS, mild_AS"),
    "two diagnoses": (1, 3, "mild_AS", "7s1: diagnosis_label is 'mild_AS' here and 'no_AS' in row"),
    "an image twice": (1, 0, "7s1_0.png", "7s1: query_key 7s1_0.png stands in row 2 already"),
    "half a split": (1, 4, "", "7s1: diagnosis_classifier_split is '' here and 'train' in row 2"),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_a_bad_row_costs_its_study_alone(folder: Tmed2Folder, name: str) -> None:
    index, column, value, reason = BAD_ROWS[name]
    folder.rows[index][column] = value
    scan = scan_dataset("tmed-2", folder.write())
    told = [line for line in problems(scan) if line.startswith(f"{TABLE}:{index + 2}: ")]
    assert len(told) == 1 and reason in told[0]
    assert {"7s2", "80s1", "900s1"} <= {item.sample for item in scan.items}
    assert not scan.fatal


def test_a_study_in_two_splits_is_fatal_and_named(folder: Tmed2Folder) -> None:
    folder.rows[1][4] = "test"
    scan = scan_dataset("tmed-2", folder.write())
    assert scan.fatal == [f"{TABLE}: study 7s1 is in train (row 2) and test (row 3)"]


def test_a_patient_in_two_splits_is_fatal_and_named(folder: Tmed2Folder) -> None:
    for row in folder.rows[:2]:
        row[4] = "VAL"
    scan = scan_dataset("tmed-2", folder.write())
    assert scan.fatal == [f"{TABLE}: patient 7 is in val (7s1) and train (7s2)"]


def test_images_of_two_sizes_and_files_that_are_no_pictures_cost_their_study(
    folder: Tmed2Folder,
) -> None:
    folder.images[f"{LABELED}/7s2_2.png"] = png(picture("x", (6, 9)))
    folder.images[f"{LABELED}/80s1_1.png"] = b"not a picture"
    scan = scan_dataset("tmed-2", folder.write())
    assert [item.sample for item in scan.items] == ["7s1", "900s1"]
    assert problems(scan) == [
        f"{TABLE}:6: 7s2: its images are of several sizes: {LABELED}/7s2_2.png is 9 x 6 pixels, "
        f"{LABELED}/7s2_0.png is 8 x 6",
        f"{TABLE}:8: 80s1: {LABELED}/80s1_1.png is no PNG picture",
    ]


def test_images_that_no_row_lists_are_told_by_folder(folder: Tmed2Folder) -> None:
    for number in range(4):
        folder.images[f"unlabeled_set/5s1_{number}.png"] = png(picture("x"))
    folder.images[f"{LABELED}/7s1_5.png"] = png(picture("x"))
    assert problems(scan_dataset("tmed-2", folder.write())) == [
        f"unlabeled_set: 4 images are in no row of {TABLE}: 5s1_0.png, 5s1_1.png, 5s1_2.png, ...",
        f"{LABELED}: 1 image is in no row of {TABLE}: 7s1_5.png",
    ]


def test_a_folder_that_is_another_says_which_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match="give the folder that holds DEV479/ and view_and"):
        scan_dataset("tmed-2", tmp_path)


def test_a_header_without_a_column_is_told(folder: Tmed2Folder) -> None:
    folder.header = ("query_key", "SourceFolder", "view_label", "diagnosis", "x", "y")
    with pytest.raises(EchoLMError, match="lacks column diagnosis_label, diagnosis_classifier_spl"):
        scan_dataset("tmed-2", folder.write())


@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[*HealthCheck])
def test_any_table_gives_items_or_problems_and_no_crash(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Every study of the table is an item, a problem or both kinds of splits."""
    made = Tmed2Folder(tmp_path_factory.mktemp("any"))
    for study in ("1s1", "1s2", "2s1"):
        made.add(study, "train")
    cells = st.sampled_from(
        [
            "",
            "train",
            "VAL",
            "no_AS",
            "Not_Provided",
            "PLAX",
            LABELED,
            "1s1_0.png",
            "x",
            "2s1_1.png",
        ]
    )
    for row in made.rows:
        if data.draw(st.booleans()):
            row[data.draw(st.integers(0, 4))] = data.draw(cells)
    scan = scan_dataset("tmed-2", made.write())
    told = {item.sample for item in scan.items} | {problem.sample for problem in scan.problems}
    listed = {row[0].split("_")[0] for row in made.rows if row[0].endswith(".png")}
    assert listed <= told
    assert all(item.split in ("train", "val") for item in scan.items)


# the phantom


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tmed2") / "phantom"
    Tmed2().generate_phantom(root, items=10, seed=3)
    return root


def test_the_phantom_has_the_layout_in_every_fold(phantom: Path) -> None:
    seen = []
    for fold in (0, 1, 2):
        scan = DATASETS.parse({"name": "tmed-2", "fold": fold}).scan(phantom)
        assert len(scan.items) == 10 and not scan.problems and not scan.fatal
        assert scan.synthetic and scan.splits == {"train": 6, "val": 2, "test": 2}
        seen.append([item.split for item in scan.items])
    assert seen[0] != seen[1] != seen[2]
    counts = [item.values["images"] for item in scan.items]
    assert {1, 15, 16, 40} <= set(counts)
    assert Counter(item.values["diagnosis"] for item in scan.items) == dict.fromkeys(SEVERITIES, 2)
    frame = read_video(scan.items[0].path).frames
    assert frame.shape == (1, 112, 112)


def test_the_phantom_shows_severity(phantom: Path) -> None:
    """The valve by the brightest pixels of parasternal views, the wall by the mean of others."""
    grades = list(SEVERITIES)
    views = view_of_each_image(phantom)
    levels: dict[bool, list[tuple[int, float]]] = {True: [], False: []}
    for item in scan_dataset("tmed-2", phantom).items:
        grade = grades.index(item.values["diagnosis"])
        for path in item.all_files:
            frame = read_video(path).frames
            shows_valve = views[path.name] in ("PLAX", "PSAX")
            brightest = np.sort(frame, axis=None)[-60:]
            level = brightest.mean() if shows_valve else frame.mean()
            levels[shows_valve].append((grade, float(level)))
    assert np.corrcoef(np.array(levels[True]).T)[0, 1] > 0.8
    assert np.corrcoef(np.array(levels[False]).T)[0, 1] > 0.3


def view_of_each_image(root: Path) -> dict[str, str]:
    lines = (root / TABLE).read_text().splitlines()[1:]
    return {line.split(",")[0]: line.split(",")[2] for line in lines}


def test_the_same_arguments_give_the_same_phantom(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Tmed2().generate_phantom(tmp_path / name, items=3, seed=1, clips_per_patient=2)
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*.*"))
    assert len(files) == 1 + 15 + 16 + 4
    for file in files:
        if (tmp_path / "a" / file).is_file():
            assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    patients = {item.patient for item in scan_dataset("tmed-2", tmp_path / "a").items}
    assert len(patients) == 2


def test_a_stopped_phantom_is_continued_and_a_whole_one_is_kept(
    phantom: Path, tmp_path: Path
) -> None:
    Tmed2().generate_phantom(tmp_path, items=2, seed=0)
    with pytest.raises(EchoLMError, match="is not an empty folder"):
        Tmed2().generate_phantom(tmp_path, items=2, seed=0)
    whole = (tmp_path / "DEV479/TMED2_fold2_labeledpart.csv").read_bytes()
    (tmp_path / "DEV479/TMED2_fold2_labeledpart.csv").unlink()
    with pytest.raises(EchoLMError, match="unfinished phantom of other settings .seed: 0"):
        Tmed2().generate_phantom(tmp_path, items=2, seed=1)
    Tmed2().generate_phantom(tmp_path, items=2, seed=0)
    assert (tmp_path / "DEV479/TMED2_fold2_labeledpart.csv").read_bytes() == whole
    assert json.loads((phantom / "phantom.json").read_text())["dataset"] == "tmed-2"


# clip stores


@pytest.fixture(scope="module")
def stored(phantom: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClipStore]:
    """The phantom's store of 16 images a study, and that of all."""
    stores = {}
    for clips in ("uniform-16", "all"):
        out = tmp_path_factory.mktemp("tmed2-store") / clips
        stores[clips] = prepare("tmed-2", phantom, out, clips, workers=1, progress=False)
    return stores


def test_16_images_by_linspace_in_the_order_of_the_table(
    phantom: Path, stored: dict[str, ClipStore]
) -> None:
    """Studies of 1, 15, 16 and 40 images: positions floor(i (n - 1) / 15), each stored once."""
    store = stored["uniform-16"]
    counts = set()
    for row, item in enumerate(scan_dataset("tmed-2", phantom).items):
        paths = item.all_files
        counts.add(len(paths))
        wanted = sorted({number * (len(paths) - 1) // 15 for number in range(16)})
        assert store.items[row].sample == item.sample
        assert store.items[row].frames.tolist() == wanted
        expected = [read_video(paths[number]).frames[0] for number in wanted]
        assert np.array_equal(store.read(row, np.array(wanted)), np.stack(expected))
    assert {1, 15, 16, 40} <= counts


def test_a_store_of_all_images_holds_them_in_order(
    phantom: Path, stored: dict[str, ClipStore]
) -> None:
    store = stored["all"]
    for row, item in enumerate(scan_dataset("tmed-2", phantom).items):
        assert store.items[row].frames.tolist() == list(range(item.values["images"]))
        last = read_video(item.all_files[-1]).frames[0]
        assert np.array_equal(store.read(row, np.array([item.values["images"] - 1]))[0], last)


def test_the_store_keeps_the_labels(stored: dict[str, ClipStore]) -> None:
    store = stored["uniform-16"]
    info: dict[str, Any] = store.info
    assert info["synthetic"] and info["reader"] == "tmed-2" and info["problems"] == 0
    assert set(VIEWS.values()) | {"diagnosis", "severity", "first_view", "images"} == set(
        info["values"]
    )
    for item in store.items:
        assert SEVERITIES[item.values["diagnosis"]] == item.values["severity"]
        assert item.study == item.sample and item.patient == item.sample.split("s")[0]


def test_severity_can_be_learned_from_the_phantom(
    phantom: Path, stored: dict[str, ClipStore]
) -> None:
    """One number of the pixels tells severe from none in the studies that show a valve."""
    store = stored["all"]
    levels: dict[str, list[float]] = {"no_AS": [], "severe_AS": []}
    for row, item in enumerate(store.items):
        diagnosis = item.values["diagnosis"]
        if diagnosis in levels and item.values["images_plax"] + item.values["images_psax"]:
            frames = store.read(row, np.arange(len(item.frames)))
            levels[diagnosis].append(float(frames.reshape(len(frames), -1).max(1).mean()))
    assert max(levels["no_AS"]) < min(levels["severe_AS"])
