"""The folders in which CAMUS is distributed: where its patients are, and how files are called.

The NIfTI release has ``database_nifti/patientNNNN/`` and ``database_split/``. The older release of
MetaImage files has ``training/patientNNNN/`` and ``testing/patientNNNN/``, whose truth is hidden.
Both number their patients from 1, so a patient of ``testing`` is another than that of ``training``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from echolm.datasets.scan import Problem
from echolm.errors import EchoLMError
from echolm.text import printable

NIFTI = "database_nifti"
SPLIT = "database_split"
TRAINING, TESTING = "training", "testing"
VIEWS = ("2CH", "4CH")
PHASES = ("ED", "ES")
PATIENT = re.compile(r"patient(\d{4})")
BESIDE = (".md", ".txt", ".pdf")
"""Ends of the names of files that explain. They hold nothing of a patient."""
LAYOUT = (
    f"give the folder that holds {NIFTI}/ (or {NIFTI} itself), or the one that holds {TRAINING}/ "
    f"and {TESTING}/"
)


@dataclass(frozen=True)
class PatientFolder:
    """The files of one patient.

    Attributes:
        path: the folder.
        number: of the patient, which a folder is called after.
        group: ``training`` or ``testing`` of the older release, else ''.
        files: name -> bytes of each file.
        kind: how its pictures are stored.
    """

    path: Path
    number: int
    group: str
    files: dict[str, int]
    kind: Literal["nifti", "mhd"]

    @property
    def patient(self) -> str:
        """The patient's name, unique in the release."""
        if self.group == TESTING:
            return f"{TESTING}-{self.path.name}"
        return self.path.name

    def info(self, view: str) -> Path:
        """Return the path of what is said of a view."""
        return self.path / f"Info_{view}.cfg"

    def sequence(self, view: str) -> Path | None:
        """Return the path of a view's half sequence, None where there is none."""
        return self._file(f"{self.path.name}_{view}_{self._sequence_word}")

    def mask(self, view: str, phase: str) -> Path | None:
        """Return the path of the mask of a view and phase, None where there is none."""
        return self._file(f"{self.path.name}_{view}_{phase}_gt")

    def unknown_files(self) -> list[str]:
        """Return the names of files that neither release has."""
        known = {self.info(view).name for view in VIEWS}
        for stem in self._stems():
            known.update(f"{stem}{ending}" for ending in self._endings)
        unknown = []
        for name in sorted(set(self.files) - known):
            if not name.startswith(".") and Path(name).suffix.lower() not in BESIDE:
                unknown.append(name)
        return unknown

    @property
    def _sequence_word(self) -> str:
        return "half_sequence" if self.kind == "nifti" else "sequence"

    @property
    def _endings(self) -> tuple[str, ...]:
        """Ends of the names of a picture's files. A file of the first of them is read."""
        if self.kind == "nifti":
            return (".nii.gz", ".nii")
        return (".mhd", ".raw", ".zraw")

    def _stems(self) -> Iterable[str]:
        """Yield the names of all pictures of a patient, without their ends."""
        for view in VIEWS:
            for word in (*PHASES, self._sequence_word):
                yield f"{self.path.name}_{view}_{word}"
                yield f"{self.path.name}_{view}_{word}_gt"

    def _file(self, stem: str) -> Path | None:
        readable = self._endings if self.kind == "nifti" else self._endings[:1]
        for ending in readable:
            if f"{stem}{ending}" in self.files:
                return self.path / f"{stem}{ending}"
        return None


@dataclass(frozen=True, eq=False)
class Release:
    """CAMUS as it was found.

    Attributes:
        root: the folder that names of files are relative to.
        above: the folders in which what belongs to the whole release may lie.
        patients: their folders.
        problems: folders and files that are no patient's.
    """

    root: Path
    above: tuple[Path, ...]
    patients: list[PatientFolder]
    problems: list[Problem]


def find_release(root: Path) -> Release:
    """Find the patients of either release at ``root``, or in what it holds.

    Raises:
        EchoLMError: it holds neither, or cannot be listed.
    """
    names = _names(root)
    if NIFTI in names:
        return _release(root / NIFTI, (root,), {"": root / NIFTI})
    if TRAINING in names or TESTING in names:
        groups = {group: root / group for group in (TRAINING, TESTING) if group in names}
        return _release(root, (root,), groups)
    if any(PATIENT.fullmatch(name) for name in names):
        # only the older release calls a folder so
        group = root.absolute().name if root.absolute().name in (TRAINING, TESTING) else ""
        return _release(root, (root, root.absolute().parent), {group: root})
    raise EchoLMError(f"{root}: no patients of CAMUS here; {LAYOUT}")


def _release(root: Path, above: tuple[Path, ...], groups: dict[str, Path]) -> Release:
    patients = []
    problems = []
    for group, folder in groups.items():
        for name in sorted(_names(folder)):
            path = folder / name
            match = PATIENT.fullmatch(name)
            if match and path.is_dir():
                patients.append(_patient_folder(path, int(match[1]), group))
            elif _is_unexpected(path, root, above):
                file = path.relative_to(root).as_posix()
                problems.append(Problem(printable(file), None, "", "is no patient's folder"))
    return Release(root=root, above=above, patients=patients, problems=problems)


def _is_unexpected(path: Path, root: Path, above: tuple[Path, ...]) -> bool:
    """Return whether something beside the patients' folders may have been meant as a patient."""
    belongs_above = path.parent in above and (path.name == SPLIT or path.suffix == ".json")
    return not (belongs_above or path.name.startswith(".") or path.suffix.lower() in BESIDE)


def _patient_folder(path: Path, number: int, group: str) -> PatientFolder:
    files = {}
    for name in _names(path):
        try:
            files[name] = (path / name).stat().st_size
        except OSError:
            continue  # a link to nothing is as good as no file
    is_mhd = any(name.endswith(".mhd") for name in files)
    kind: Literal["nifti", "mhd"] = "mhd" if is_mhd else "nifti"
    return PatientFolder(path=path, number=number, group=group, files=files, kind=kind)


def _names(folder: Path) -> set[str]:
    try:
        return set(os.listdir(folder))
    except OSError as error:
        raise EchoLMError(f"{folder}: cannot be listed: {error.strerror or error}") from error
