"""CAMUS in both releases: splits, frames, volumes and facts, and files that cannot be used."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from echolm.datasets import DATASETS
from echolm.datasets.scan import Problem, Scan
from echolm.errors import EchoLMError
from echolm.media.read import read_video
from tests.echolm.datasets.camus_release import (
    AXES,
    PIXEL,
    SHAPE,
    analytic,
    cfg,
    half_ellipse,
    pictures_of,
    write_lists,
    write_mhd,
    write_nifti,
    write_patient,
    write_release,
)


@pytest.fixture(scope="session")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three patients of the NIfTI release. It is read only."""
    return write_release(tmp_path_factory.mktemp("camus") / "CAMUS_public")


@pytest.fixture
def root(release: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    shutil.copytree(release, tmp_path / "source")
    return tmp_path / "source"


def scan(root: Path, **fields: Any) -> Scan:
    return DATASETS.parse({"name": "camus", **fields}).scan(root)


def reasons(scan: Scan) -> list[str]:
    return [str(problem) for problem in scan.problems]


def test_a_view_of_a_patient_is_an_item(release: Path) -> None:
    found = scan(release)
    assert [item.sample for item in found.items] == [
        f"patient000{number}_{view}" for number in (1, 2, 3) for view in ("2CH", "4CH")
    ]
    assert found.splits == {"train": 2, "val": 2, "test": 2}
    assert (found.problems, found.fatal, found.synthetic) == ([], [], False)
    item = found.items[3]
    assert (item.patient, item.study, item.split) == ("patient0002", "patient0002", "train")
    assert item.frame_count == 5
    expected = {
        "view": "4CH",
        "split_from": "subgroups",
        "ed": 0,
        "es": 4,
        "sex": "F",
        "age": 56.0,
        "quality": "Good",
        "fps": 49.3,
        "ef_released": 55.0,
    }
    assert {name: item.values[name] for name in expected} == expected
    edv = analytic(AXES["ED", "2CH"], AXES["ED", "4CH"])
    esv = analytic(AXES["ES", "2CH"], AXES["ES", "4CH"])
    assert item.values["edv"] == pytest.approx(edv, rel=0.02)
    assert item.values["esv"] == pytest.approx(esv, rel=0.02)
    assert item.values["ef"] == pytest.approx(100 * (1 - esv / edv), abs=1)
    assert set(item.values) == {*expected, "ef", "esv", "edv"}


def test_pictures_are_upright_as_simpleitk_reads_them(release: Path) -> None:
    item = scan(release).items[0]
    expected = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(item.path)))
    assert np.array_equal(read_video(item.path).frames, expected)
    assert np.array_equal(expected, pictures_of(10))


def test_the_folder_itself_may_be_given(release: Path) -> None:
    above, within = scan(release), scan(release / "database_nifti")
    assert above.identity == within.identity and above.splits == within.splits
    assert [item.path for item in above.items] == [item.path for item in within.items]


def test_sequences_from_es_to_ed_stay_as_they_are(root: Path) -> None:
    folder = root / "database_nifti" / "patient0003"
    (folder / "Info_2CH.cfg").write_text(cfg(ED=5, ES=1))
    found = scan(root)
    values = found.items[4].values
    assert (values["ed"], values["es"]) == (4, 0)
    assert found.facts["es_first"] == 1
    assert "1 half sequence from ES to ED, kept in this order" in remarks(found)
    assert np.array_equal(read_video(found.items[4].path).frames, pictures_of(30))


def remarks(found: Scan, **fields: Any) -> list[str]:
    return DATASETS.parse({"name": "camus", **fields}).remarks(found)


# splits


def test_without_lists_the_number_decides_and_that_is_said(root: Path) -> None:
    with_lists = scan(root)
    assert remarks(with_lists)[0] == "split by the lists of database_split"
    shutil.rmtree(root / "database_split")
    folder = root / "database_nifti"
    for number, new in ((1, 400), (2, 401), (3, 451)):
        shutil.rmtree(folder / f"patient000{number}")
        write_patient(folder / f"patient0{new}", number)
    write_patient(folder / "patient0501", 4)
    found = scan(root)
    assert {item.patient: item.split for item in found.items} == {
        "patient0400": "train",
        "patient0401": "val",
        "patient0451": "test",
    }
    assert found.facts["split"] == "ids"
    assert {item.values["split_from"] for item in found.items} == {"ids"}
    assert remarks(found)[0] == (
        "split by the patients' numbers (1-400 train, 401-450 val, 451-500 test)"
    )
    assert reasons(found) == [
        "patient0501: patient0501: its number is in no split; valid: 1 to 500"
    ]


def test_how_the_split_was_found_is_part_of_the_identity(root: Path) -> None:
    by_list, by_number = scan(root), scan(root, split="ids")
    assert by_number.splits == {"train": 6, "val": 0, "test": 0}
    assert by_list.identity != by_number.identity != scan(root, volumes="released").identity
    assert by_list.identity == scan(root, split="subgroups").identity


def test_lists_that_were_asked_for_must_be_there(root: Path) -> None:
    shutil.rmtree(root / "database_split")
    with pytest.raises(EchoLMError, match="subgroup_training.txt: is not there; valid: the three"):
        scan(root, split="subgroups")


def test_two_of_three_lists_are_not_enough(root: Path) -> None:
    (root / "database_split" / "subgroup_validation.txt").unlink()
    with pytest.raises(EchoLMError, match="subgroup_validation.txt is not there, but subgroup_"):
        scan(root)


def test_a_patient_in_two_lists_is_fatal(root: Path) -> None:
    write_lists(root, {"validation": "patient0003 patient0002"})
    assert scan(root).fatal == [
        "database_split/subgroup_validation.txt:2: patient0002 is in subgroup_training.txt too"
    ]


def test_lines_without_patients_and_patients_without_lines_are_told(root: Path) -> None:
    write_lists(root, {"training": "patient0009 ../patient1 patient0002", "testing": ""})
    found = scan(root)
    assert reasons(found) == [
        "database_split/subgroup_training.txt:1: patient0009: there is no such folder",
        "database_split/subgroup_training.txt:2: is '../patient1'; valid: a patient a line "
        "(patient0001)",
        "patient0001: patient0001: is in none of the lists of database_split/",
    ]
    assert found.splits == {"train": 2, "val": 2, "test": 0}


# the older release


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients of ``training``, and one of ``testing`` with the number of one of these."""
    root = tmp_path_factory.mktemp("older")
    facts = {"EF": None, "FrameRate": None, "LVedv": 61.5, "LVesv": 28.0, "LVef": 54}
    write_patient(root / "training" / "patient0001", 1, older=True, **facts)
    write_patient(root / "training" / "patient0420", 2, older=True, **facts)
    hidden = {"EF": None, "FrameRate": None}
    write_patient(root / "testing" / "patient0001", 3, older=True, truth=False, **hidden)
    return root


def test_the_older_release_has_the_truth_of_training_alone(older: Path) -> None:
    found = scan(older)
    assert found.problems == [] and found.fatal == []
    assert [(item.sample, item.split) for item in found.items] == [
        ("patient0001_2CH", "train"),
        ("patient0001_4CH", "train"),
        ("patient0420_2CH", "val"),
        ("patient0420_4CH", "val"),
        ("testing-patient0001_2CH", "test"),
        ("testing-patient0001_4CH", "test"),
    ]
    values = found.items[0].values
    assert values["edv_released"] == 61.5 and values["esv_released"] == 28.0
    assert values["ef_released"] == 54 and "fps" not in values
    edv = analytic(AXES["ED", "2CH"], AXES["ED", "4CH"])
    assert values["edv"] == pytest.approx(edv, rel=0.02)
    assert set(found.items[4].values) == {
        "view", "split_from", "ed", "es", "sex", "age", "quality",
    }  # fmt: skip
    for item, seed in zip(found.items, (10, 11, 20, 21, 30, 31), strict=True):
        assert np.array_equal(read_video(item.path).frames, pictures_of(seed))


def test_a_folder_of_the_older_release_may_be_given_alone(older: Path) -> None:
    assert scan(older / "training").splits == {"train": 2, "val": 2, "test": 0}
    assert scan(older / "testing").splits == {"train": 0, "val": 0, "test": 2}


def test_both_releases_give_the_same_volumes(older: Path, release: Path) -> None:
    names = ("ef", "esv", "edv")
    for rule in ("simpson", "released"):
        nifti, mhd = scan(release, volumes=rule).items[0], scan(older, volumes=rule).items[0]
        assert [nifti.values[name] for name in names] == [mhd.values[name] for name in names]


# volumes


def test_the_rule_is_said(release: Path) -> None:
    simpson, released = scan(release), scan(release, volumes="released")
    assert remarks(simpson)[1] == (
        "volumes by rule simpson: each phase has its own height of disks"
    )
    assert remarks(released, volumes="released")[1].startswith("volumes by rule released: ")
    assert released.items[0].values["esv"] > simpson.items[0].values["esv"]
    assert "points on average, over 6 half sequences" in remarks(simpson)[2]


def test_without_a_mask_a_patient_has_no_volumes_and_stays(root: Path) -> None:
    folder = root / "database_nifti" / "patient0001"
    (folder / "patient0001_4CH_ES_gt.nii.gz").unlink()
    write_nifti(folder / "patient0001_2CH_ED_gt.nii.gz", np.zeros(SHAPE, np.uint8))
    found = scan(root)
    end = "; the patient's half sequences have no ef, esv and edv"
    assert reasons(found) == [
        "patient0001/patient0001_2CH_ED_gt.nii.gz: patient0001: mask of 2CH at ED: holds no pixel "
        f"of the left ventricle{end}",
        f"patient0001: patient0001: mask of 4CH at ES: is not there{end}",
    ]
    assert len(found.items) == 6
    assert [("ef" in item.values) for item in found.items] == [False] * 2 + [True] * 4


BAD_MASKS = [
    (np.full((2, *SHAPE), 1, np.uint8), "holds 2 pictures; valid: one"),
    (half_ellipse(SHAPE, PIXEL, 30, 20).astype(np.uint8), "are the phases exchanged?"),
    (np.eye(*SHAPE, dtype=np.uint8), "holds 40 pixels of the left ventricle; valid: 100 or more"),
]


@pytest.mark.parametrize(("mask", "reason"), BAD_MASKS)
def test_masks_that_give_no_volume_say_why(root: Path, mask: np.ndarray, reason: str) -> None:
    folder = root / "database_nifti" / "patient0002"
    for view in ("2CH", "4CH"):
        write_nifti(folder / f"patient0002_{view}_ED_gt.nii.gz", mask)
    problems = reasons(scan(root))
    assert problems and all(reason in problem for problem in problems)


def test_a_damaged_mask_is_told(root: Path) -> None:
    path = root / "database_nifti/patient0001/patient0001_2CH_ES_gt.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])
    [problem] = reasons(scan(root))
    assert "mask of 2CH at ES: the NIfTI file is damaged or truncated: " in problem


# what is said of a view


BAD_CFG = [
    (cfg(ED=0), 1, "ED is '0'; valid: 1 to 5"),
    (cfg(ES=6), 2, "ES is '6'; valid: 1 to 5"),
    (cfg(ES=1), 2, "ED and ES are both frame 1"),
    (cfg(NbFrame="many"), 3, "NbFrame is 'many'; valid: 1 to 10000"),
    (cfg(NbFrame=10**30), 3, "NbFrame is '1000000000000000000000000000000'; valid: 1 to 10000"),
    (cfg(NbFrame=None), None, "has no line NbFrame"),
    (cfg(Sex="X"), 4, "Sex is 'X'; valid: F, M"),
    (cfg(Age=-3), 5, "Age is '-3'; valid: 0 to 130"),
    (cfg(ImageQuality="Fine"), 6, "ImageQuality is 'Fine'; valid: Good, Medium, Poor"),
    (cfg(EF="1e400"), 7, "EF is '1e400'; valid: 0 to 100"),
    (cfg(FrameRate=0), 8, "FrameRate is '0'; valid: 1 to 1000"),
    (cfg() + "ed: 2\n", 9, "states ed a second time"),
    (cfg() + "no colon\x1b[31m\n", 9, "is 'no colon\\x1b[31m'; valid: KEY: VALUE"),
    ("\0" * 100, 1, "is no text (a byte is 0)"),
    ("ED: 1\n" * 20_000, None, "has more than 65,536 bytes"),
    ("", None, "has no line NbFrame"),
]


@pytest.mark.parametrize(("text", "line", "reason"), BAD_CFG)
def test_a_bad_cfg_costs_its_view_alone(
    root: Path, text: str, line: int | None, reason: str
) -> None:
    (root / "database_nifti/patient0001/Info_4CH.cfg").write_text(text)
    found = scan(root)
    [problem] = found.problems
    assert isinstance(problem, Problem) and reason in problem.reason
    assert (problem.file, problem.row) == ("patient0001/Info_4CH.cfg", line)
    assert problem.sample == "patient0001_4CH"
    assert len(found.items) == 5


def test_a_cfg_in_another_encoding_is_told(root: Path) -> None:
    path = root / "database_nifti/patient0001/Info_4CH.cfg"
    path.write_bytes(cfg().encode() + "Étienne: 1".encode("latin-1"))
    assert reasons(scan(root)) == ["patient0001/Info_4CH.cfg:9: patient0001_4CH: is not UTF-8"]


def test_what_is_not_known_is_absent(root: Path) -> None:
    path = root / "database_nifti/patient0001/Info_4CH.cfg"
    text = cfg(Sex="NA", Age="", EF=None).replace("\n", "\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    values = scan(root).items[1].values
    assert not {"sex", "age", "ef_released"} & set(values)
    assert values["quality"] == "Good" and values["es"] == 4


# files and folders


def test_missing_and_unknown_files_are_told(root: Path) -> None:
    folder = root / "database_nifti" / "patient0001"
    (folder / "Info_2CH.cfg").unlink()
    (folder / "patient0001_4CH_half_sequence.nii.gz").unlink()
    (folder / "patient0001_3CH_half_sequence.nii.gz").write_bytes(b"")
    (folder / "MANDATORY_CITATION.md").write_text("Leclerc et al.")
    (root / "database_nifti" / "patient7").mkdir()
    assert reasons(scan(root)) == [
        "patient7: is no patient's folder",
        "patient0001/patient0001_3CH_half_sequence.nii.gz: patient0001: is no file of CAMUS",
        "patient0001/Info_2CH.cfg: patient0001_2CH: cannot be read: No such file or directory",
        "patient0001: patient0001_4CH: no half sequence of view 4CH",
    ]


def test_another_folder_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match="no patients of CAMUS here; give the folder that holds"):
        scan(tmp_path)
    with pytest.raises(EchoLMError, match="away: cannot be listed: No such file or directory"):
        scan(tmp_path / "away")


def test_a_release_without_a_usable_item_is_fatal(tmp_path: Path) -> None:
    (tmp_path / "database_nifti" / "patient0001").mkdir(parents=True)
    found = scan(tmp_path)
    assert found.fatal == ["no half sequence is usable"] and len(found.problems) == 6


def test_a_changed_file_changes_the_identity(root: Path) -> None:
    before = scan(root).identity
    write_mhd_beside = root / "database_nifti/patient0001/patient0001_2CH_ED_gt.nii.gz"
    mask = half_ellipse(SHAPE, PIXEL, 50, 30).astype(np.uint8)
    write_nifti(write_mhd_beside, mask)
    assert scan(root).identity != before
    write_mhd(root / "x.mhd", mask)  # nobody's file above the patients
    assert scan(root).problems == []
