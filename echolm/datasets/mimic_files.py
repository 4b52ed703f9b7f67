"""The files of MIMIC-IV-ECHO: which paths are valid, and which files are in the folders.

A file lies at ``files/pXX/pSUBJECT/sSTUDY/NAME.dcm``. The folders are listed once, and no file is
asked for its size or time.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from echolm.datasets.scan import Problem

if TYPE_CHECKING:
    import pyarrow as pa

RECORDS = "echo-record-list.csv"
SUBJECT, STUDY, PATH = "subject_id", "study_id", "dicom_filepath"
"""Columns of the record list."""
FILES = "files"
VAL, TEST = 0.1, 0.2
"""Shares of the subjects that are drawn, where nobody says."""
SUFFIX = ".dcm"
DEEPEST = 8
"""Folders below ``files/``. A link to a folder above it would never end."""
NAME = r"[A-Za-z0-9_-][A-Za-z0-9_.-]*"
LAYOUT = rf"^{FILES}/p{NAME}/p(?P<subject>{NAME})/s(?P<study>{NAME})/{NAME}$"
"""Paths that are valid whatever they are called."""


def rows_apart_from_layout(
    subjects: pa.ChunkedArray, studies: pa.ChunkedArray, paths: pa.ChunkedArray
) -> list[int]:
    """Return the rows whose path is not in the layout, or is of another subject or study."""
    import pyarrow.compute as pc

    parts = pc.extract_regex(paths, LAYOUT)
    same_subject = pc.equal(pc.struct_field(parts, "subject"), subjects)
    same_study = pc.equal(pc.struct_field(parts, "study"), studies)
    is_right = pc.fill_null(pc.and_(same_subject, same_study), False)
    rows: list[int] = pc.indices_nonzero(pc.invert(is_right)).to_pylist()
    return rows


def check_path(subject: str, study: str, path: str) -> str | None:
    """Say why a row that is apart from the layout cannot be used, None for one that can.

    A path may lie in folders of other names. In folders that are named after a subject and a study,
    these must be the row's: in a table whose rows slipped they are not.
    """
    for name, value in (("subject_id", subject), ("study_id", study), ("dicom_filepath", path)):
        if not value:
            return f"{name} is empty"
        if not value.isprintable():
            return f"{name} is {value!r}"
    parts = path.split("/")
    leaves = any(part in ("", ".", "..") for part in parts) or "\\" in path
    if parts[0] != FILES or len(parts) < 2 or leaves:
        return f"dicom_filepath is {path!r}; valid: paths below {FILES}/, such as 'files/p10/...'"
    folders = parts[1:-1]
    if len(folders) != 3 or folders[1][:1] != "p" or folders[2][:1] != "s":
        return None
    for name, value, folder in (
        ("subject_id", subject, folders[1]),
        ("study_id", study, folders[2]),
    ):
        if folder[1:] != value:
            return f"{name} is {value}, but its file lies in {folder}/: the rows may have slipped"
    return None


class Folders:
    """The files below ``files/``, listed folder by folder. Those that nobody takes are unlisted."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, dict[str, Path]] = {}
        """Folder -> the files in it that nobody took yet, by name."""
        self._errors: dict[str, str] = {}
        """Folder -> why it could not be listed."""

    def take(self, path: str) -> Path | None:
        """Return a listed file, None when it is not there or was taken before."""
        folder, _, name = path.rpartition("/")
        files = self._listed.get(folder)
        if files is None:
            files = self._list(folder)
        return files.pop(name, None)

    def why(self, path: str) -> str:
        """Say in brackets why the folder of a file could not be listed, or nothing."""
        error = self._errors.get(path.rpartition("/")[0], "")
        return f" ({error})" if error else ""

    def unlisted(self) -> list[str]:
        """Return the paths of the DICOM files that nobody took."""
        return sorted(path for path in self._rest if path.endswith(SUFFIX))

    def count_others(self) -> int:
        """Count the files that nobody took and that are not called ``.dcm``."""
        return sum(1 for path in self._rest if not path.endswith(SUFFIX))

    def problems(self) -> list[Problem]:
        """Return a problem for each folder that is there and could not be listed."""
        self._rest  # noqa: B018 # all folders are listed by then
        problems = []
        for folder, error in sorted(self._errors.items()):
            problems.append(Problem(folder, None, "", f"cannot be listed: {error}"))
        return problems

    @cached_property
    def _rest(self) -> list[str]:
        """The paths of all files that nobody took, also in folders that no path named."""
        rest = []
        folders = [FILES]
        while folders:
            folder = folders.pop()
            for name, is_folder in self._left_in(folder):
                path = f"{folder}/{name}"
                if not is_folder:
                    rest.append(path)
                elif path.count("/") <= DEEPEST:
                    folders.append(path)
        return rest

    def _left_in(self, folder: str) -> list[tuple[str, bool]]:
        """Return what nobody took of a folder: name, and whether it is a folder itself."""
        if folder in self._listed:
            files = self._listed[folder].items()
            return [(name, not name.endswith(SUFFIX) and path.is_dir()) for name, path in files]
        try:
            with os.scandir(self._root / folder) as entries:
                return [(entry.name, entry.is_dir()) for entry in entries]
        except OSError as error:
            self._errors[folder] = error.strerror or str(error)
            return []

    def _list(self, folder: str) -> dict[str, Path]:
        """List a folder that a path names. It must lie below ``files/``."""
        files: dict[str, Path] = {}
        is_below = folder.split("/")[0] == FILES and ".." not in folder.split("/")
        if is_below:
            try:
                # paths of one folder are made at a fifth of the price of paths from text
                for path in (self._root / folder).iterdir():
                    files[path.name] = path
            except FileNotFoundError:
                pass
            except (OSError, ValueError) as error:  # ValueError: a name that no folder can have
                self._errors[folder] = getattr(error, "strerror", None) or str(error)
        self._listed[folder] = files
        return files
