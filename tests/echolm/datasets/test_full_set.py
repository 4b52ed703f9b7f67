"""The selection rule on tables of EchoNet-Dynamic's full size with its documented irregularities.

10,030 videos; 93 with a frame that is not traced by 21 rows, six without tracings (EchoGraphs,
MICCAI 2022).
"""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from echolm.config import Data
from echolm.datasets.echonet_dynamic import EchoNetDynamic
from echolm.datasets.scan import Scan, SourceItem
from echolm.stores.clips import ClipStore
from echolm.stores.items import Item
from echolm.training.selection import training_rows

LISTED = {"TRAIN": 7465, "VAL": 1288, "TEST": 1277}
WRONG_COUNT = {"TRAIN": 66, "VAL": 15, "TEST": 12}
UNTRACED = {
    "TRAIN": (
        "0X234005774F4CB5CD",
        "0X2DC68261CBCC04AE",
        "0X35291BE9AB90FB89",
        "0X6C435C1B417FDE8A",
        "0X5515B0BD077BE68A",
    ),
    "VAL": (),
    "TEST": ("0X5DD5283AC43CCDD1",),
}
COUNTS = {
    0.005: (36, 6),
    0.01: (73, 12),
    0.02: (147, 25),
    0.1: (739, 127),
    0.25: (1848, 318),
    0.5: (3697, 636),
    1.0: (7394, 1273),
}
"""Training fraction -> videos of train and of val (NLDL 2026 §4.3)."""


def traced(width: float, rows: int = 21) -> str:
    """Rows of one frame, with ``NAME`` and ``FRAME`` to be filled in: an axis, then chords of one
    width."""
    chords = [
        f"NAME,{50 - width / 2},{y},{50 + width / 2},{y},FRAME\n"
        for y in np.linspace(21, 79, 20).round(2).tolist()
    ]
    return "".join(["NAME,50.0,20.0,50.0,80.0,FRAME\n", *chords, *chords][:rows])


LARGE, SMALL = traced(30.0), traced(20.0)
OTHER_COUNTS = [traced(30.0, rows) for rows in (20, 22, 41, 1)]


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """What the reader finds. The videos are empty files: their frames are not read before a store
    is prepared."""
    root, rng = tmp_path_factory.mktemp("full"), random.Random(0)
    (root / "Videos").mkdir()
    files = ["FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split\n"]
    tracings = ["FileName,X1,Y1,X2,Y2,Frame\n"]
    for split, count in LISTED.items():
        names = [
            *UNTRACED[split],
            *(f"0X{rng.getrandbits(64):016X}" for _ in range(count - len(UNTRACED[split]))),
        ]
        wrong = set(names[-WRONG_COUNT[split] :])
        for name in names:
            size = "768,1024" if len(files) % 1672 == 1 else "112,112"
            first = rng.randrange(40)
            files.append(f"{name},60.0,40.0,100.0,{size},50,{first + 80},{split}\n")
            if name not in UNTRACED[split]:
                frames = [LARGE, SMALL] if rng.random() < 0.9 else [SMALL, LARGE]
                if name in wrong:
                    frames[rng.randrange(2)] = rng.choice(OTHER_COUNTS)
                for frame, text in zip((first, first + rng.randrange(4, 77)), frames, strict=True):
                    tracings.append(
                        text.replace("NAME", f"{name}.avi").replace("FRAME", str(frame))
                    )
            (root / "Videos" / f"{name}.avi").touch()
    (root / "FileList.csv").write_text("".join(files))
    (root / "VolumeTracings.csv").write_text("".join(tracings))
    return EchoNetDynamic().scan(root)


def traced_items(scan: Scan) -> list[SourceItem]:
    return [item for item in scan.items if "landmarks_ed" in item.values]


def test_all_videos_are_items_and_have_targets(scan: Scan) -> None:
    assert scan.splits == {"train": 7465, "val": 1288, "test": 1277}
    assert not scan.problems and not scan.fatal
    assert all(item.values.keys() >= {"ef", "esv", "edv", "fps"} for item in scan.items)


def test_landmarks_have_those_that_the_papers_used(scan: Scan) -> None:
    splits = Counter(item.split for item in traced_items(scan))
    assert splits == {"train": 7394, "val": 1273, "test": 1264}
    assert EchoNetDynamic().remarks(scan)[1] == (
        "with landmarks: 9,931 videos (7394 train, 1273 val, 1264 test)"
    )


def test_every_video_without_landmarks_is_one_note_with_file_row_and_reason(scan: Scan) -> None:
    assert len(scan.notes) == 99 and len({note.sample for note in scan.notes}) == 99
    reasons = Counter(
        "untraced" if "has 0 (none)" in note.reason else "rows" for note in scan.notes
    )
    assert reasons == {"rows": 93, "untraced": 6}
    assert {note.sample for note in scan.notes if "has 0" in note.reason} == {
        name for names in UNTRACED.values() for name in names
    }
    for note in scan.notes:
        assert note.row and str(note).startswith(f"{note.file}:{note.row}: {note.sample}: ")


def test_the_row_that_is_named_is_the_videos_or_the_first_of_the_frame(scan: Scan) -> None:
    lines = {
        name: (scan.root / name).read_text().splitlines()
        for name in ("FileList.csv", "VolumeTracings.csv")
    }
    for note in scan.notes:
        before, row = lines[note.file][(note.row or 0) - 2 : note.row]
        if note.file == "FileList.csv":
            assert row.startswith(f"{note.sample},")
        else:
            name, *_, frame = row.split(",")
            assert name == f"{note.sample}.avi" and f"frame {frame} is traced by " in note.reason
            assert before.split(",")[0] != name or before.split(",")[-1] != frame


def test_phases_go_by_area_whichever_comes_first(scan: Scan) -> None:
    traced = traced_items(scan)
    assert scan.facts["es_traced_first"] == sum(item.values["es_before_ed"] for item in traced)
    assert 0.05 < scan.facts["es_traced_first"] / len(traced) < 0.15


@pytest.fixture(scope="module")
def store(scan: Scan) -> ClipStore:
    """The videos with landmarks as a store whose frames nobody reads."""
    grid, none = (112, 112), np.zeros(0, np.int64)
    items = [
        Item(item.sample, item.patient, item.study, item.split, *grid, none, item.values)
        for item in traced_items(scan)
    ]
    return ClipStore(scan.root, {}, items, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("fraction", COUNTS)
def test_training_fractions_give_the_papers_counts(store: ClipStore, fraction: float) -> None:
    data = Data(name="echonet-dynamic", fraction=fraction)
    assert (
        tuple(len(training_rows(store, data, split)) for split in ("train", "val"))
        == COUNTS[fraction]
    )


def test_subsets_are_nested_and_follow_their_own_seed(store: ClipStore) -> None:
    for split in ("train", "val"):
        chosen = [
            set(training_rows(store, Data(name="x", fraction=f), split).tolist()) for f in COUNTS
        ]
        assert all(small < large for small, large in zip(chosen, chosen[1:], strict=False))
        other = training_rows(store, Data(name="x", fraction=0.1, subset_seed=1), split)
        assert len(chosen[3] & set(other.tolist())) < 0.3 * len(other)
