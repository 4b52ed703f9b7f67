"""Which patients of CAMUS are for training, validation and test.

The NIfTI release lists them in ``database_split/subgroup_training.txt`` and two files like it, a
patient a line. Without these files they are split by number, as Echo-Vision-FM splits them (Zhang
et al. 2025): 1-400, 401-450 and 451-500. Patients of ``testing/`` are for test in any case.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from echolm.datasets.camus_layout import PATIENT, SPLIT, TESTING, PatientFolder, Release
from echolm.datasets.scan import Problem
from echolm.errors import EchoLMError

SUBGROUPS = {
    "train": "subgroup_training.txt",
    "val": "subgroup_validation.txt",
    "test": "subgroup_testing.txt",
}
NUMBERS = {"train": (1, 400), "val": (401, 450), "test": (451, 500)}
"""The first and the last number of each split."""
Source = Literal["subgroups", "ids"]


@dataclass(frozen=True, eq=False)
class Splits:
    """The split of each patient.

    Attributes:
        source: what it follows from.
        of: patient -> split.
        problems: patients without a split, and lines without a patient.
        fatal: patients in two splits.
        tables: the files that were read.
    """

    source: Source
    of: dict[str, str]
    problems: list[Problem]
    fatal: list[str]
    tables: tuple[Path, ...] = ()


def split_patients(release: Release, choice: Literal["auto", "subgroups", "ids"]) -> Splits:
    """Find the split of each patient.

    Args:
        release: the patients.
        choice: ``subgroups``, ``ids``, or ``auto``: subgroups where their files are there.

    Raises:
        EchoLMError: some of the files of the subgroups are missing, or all are and they were asked
            for, or one cannot be read.
    """
    folder = _split_folder(release)
    if choice == "subgroups" and folder is None:
        expected = release.above[0] / SPLIT / SUBGROUPS["train"]
        raise EchoLMError(f"{expected}: is not there; valid: the three lists, or split: ids")
    if choice == "ids" or folder is None:
        return _by_number(release.patients)
    return _by_subgroup(release, folder)


def _split_folder(release: Release) -> Path | None:
    """Return the folder of the lists, None where none of them is anywhere."""
    for folder in release.above:
        found = [name for name in SUBGROUPS.values() if (folder / SPLIT / name).is_file()]
        missing = sorted(set(SUBGROUPS.values()) - set(found))
        if found and missing:
            raise EchoLMError(
                f"{folder / SPLIT}: {', '.join(missing)} is not there, but {', '.join(found)} is; "
                "valid: the three lists, or none"
            )
        if found:
            return folder / SPLIT
    return None


def _by_number(patients: Iterable[PatientFolder]) -> Splits:
    splits: dict[str, str] = {}
    problems = []
    last = max(end for _, end in NUMBERS.values())
    for owner in patients:
        if owner.group == TESTING:
            splits[owner.patient] = "test"
            continue
        for split, (start, end) in NUMBERS.items():
            if start <= owner.number <= end:
                splits[owner.patient] = split
        if owner.patient not in splits:
            reason = f"its number is in no split; valid: 1 to {last}"
            problems.append(Problem(owner.path.name, None, owner.patient, reason))
    return Splits(source="ids", of=splits, problems=problems, fatal=[])


def _by_subgroup(release: Release, folder: Path) -> Splits:
    listed: dict[str, str] = {}
    problems = []
    fatal = []
    present = {owner.patient for owner in release.patients}
    tables = tuple(folder / name for name in SUBGROUPS.values())
    for split, name in SUBGROUPS.items():
        for number, patient in _lines(folder / name):
            file = f"{SPLIT}/{name}"
            if not PATIENT.fullmatch(patient):
                reason = f"is {patient[:40]!r}; valid: a patient a line (patient0001)"
                problems.append(Problem(file, number, "", reason))
            elif listed.setdefault(patient, split) != split:
                fatal.append(f"{file}:{number}: {patient} is in {SUBGROUPS[listed[patient]]} too")
            elif patient not in present:
                problems.append(Problem(file, number, patient, "there is no such folder"))
    splits: dict[str, str] = {}
    for owner in release.patients:
        if owner.group == TESTING:
            splits[owner.patient] = "test"
        elif owner.patient in listed:
            splits[owner.patient] = listed[owner.patient]
        else:
            reason = f"is in none of the lists of {SPLIT}/"
            problems.append(Problem(owner.path.name, None, owner.patient, reason))
    return Splits("subgroups", splits, problems, fatal, tables)


def _lines(path: Path) -> list[tuple[int, str]]:
    """Return the lines of a list that say something, with their numbers from 1."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EchoLMError(f"{path}: is not UTF-8; valid: a patient a line (patient0001)") from error
    lines = enumerate(text.splitlines(), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]
