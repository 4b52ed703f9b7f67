"""What the datasets of the EchoNet family have in common: a file list, and folders of videos."""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from echolm.datasets.csv_rows import CsvRow, RowError, read_rows
from echolm.datasets.scan import Problem
from echolm.errors import EchoLMError

FILE_LIST = "FileList.csv"
VIDEOS = "Videos"
DYNAMIC_COLUMNS = (
    "FileName",
    "EF",
    "ESV",
    "EDV",
    "FrameHeight",
    "FrameWidth",
    "FPS",
    "NumberOfFrames",
    "Split",
)
"""Columns of EchoNet-Dynamic's file list."""
PATIENT = "Patient"
"""Optional column of a file list. Without it a video is a patient: the files name none."""


def sample_id(name: str) -> str:
    """Return ``FileName`` without ``.avi``: releases differ in whether they write it."""
    return name[:-4] if name.lower().endswith(".avi") else name


def read_file_list(
    root: Path, table: str, columns: Sequence[str]
) -> tuple[dict[str, CsvRow], list[Problem]]:
    """Read a table that has a row for each video, whose name is in its column ``FileName``.

    Args:
        root: the dataset's folder.
        table: the path of the table in it.
        columns: names that the header must have.

    Returns:
        The usable rows by sample, and a problem for each row that names no file or repeats a name.

    Raises:
        EchoLMError: the table cannot be read, or its header lacks a column.
    """
    rows: dict[str, list[CsvRow]] = defaultdict(list)
    problems = []
    for row, reason in read_rows(root / table, columns, (PATIENT,)):
        sample = sample_id(row["FileName"])
        if not is_file_name(sample):
            reason = f"FileName {row['FileName']!r} is not the name of a file"
        if reason:
            problems.append(Problem(table, row.line, sample, reason))
        rows[sample].append(row)
    for sample, (first, *repeated) in rows.items():
        reason = f"the name stands in row {first.line} already; none of its rows is used"
        for row in repeated:
            problems.append(Problem(table, row.line, sample, reason))
    bad = {problem.sample for problem in problems}
    return {sample: same[0] for sample, same in rows.items() if sample not in bad}, problems


def is_file_name(sample: str) -> bool:
    """Return whether a sample is a name in a folder: not empty, no dots alone, no path."""
    leads_elsewhere = bool(set(sample) & set("/\\"))
    return bool(sample.strip(".")) and not leads_elsewhere and sample.isprintable()


def patient_of(row: CsvRow, sample: str) -> str:
    """Return the patient of a row of a file list: the sample, where no column names one.

    Raises:
        RowError: the column is there, and names nobody in this row.
    """
    patient = row.get(PATIENT, sample)
    if not patient:
        raise RowError(f"{PATIENT} is empty")
    if not patient.isprintable():
        raise RowError(f"{PATIENT} is {patient!r}")
    return patient


def require(root: Path, needed: Sequence[str], layout: str) -> None:
    """Raise EchoLMError unless a folder holds what a dataset consists of.

    Args:
        root: the folder.
        needed: names of files and folders in it.
        layout: how the whole is described to who gave another folder.
    """
    for name in needed:
        if not (root / name).exists():
            raise EchoLMError(f"{root}: no {name} here; give the folder that holds {layout}")


@dataclass(frozen=True)
class VideoFiles:
    """The files of one or several folders of videos.

    Attributes:
        root: the dataset's folder.
        folders: paths of the folders in it.
        sizes: the path of each file in ``root`` -> its bytes.
    """

    root: Path
    folders: tuple[str, ...]
    sizes: dict[str, int]

    @classmethod
    def look_in(cls, root: Path, folders: Iterable[str]) -> VideoFiles:
        """List the files of these folders that can be reached.

        Raises:
            EchoLMError: a folder cannot be listed.
        """
        folders = tuple(folders)
        sizes: dict[str, int] = {}
        for folder in folders:
            sizes |= _sizes(root, folder)
        return cls(root, folders, sizes)

    @cached_property
    def _alike(self) -> dict[str, list[str]]:
        """The files' names in lower case -> the paths of the files."""
        paths: dict[str, list[str]] = defaultdict(list)
        for path in self.sizes:
            paths[PurePosixPath(path).name.lower()].append(path)
        return paths

    def find(self, sample: str) -> str:
        """Return the path of a sample's video, ``.avi`` in upper or lower case.

        Raises:
            RowError: there is none, or several, or none whose name is written like the sample's.
        """
        expected = f"{sample}.avi"
        alike = self._alike.get(expected.lower(), [])
        exact = [path for path in alike if PurePosixPath(path).name == expected]
        taken = exact or [path for path in alike if sample_id(PurePosixPath(path).name) == sample]
        if len(taken) == 1:
            return taken[0]
        if len(exact) > 1:
            raise RowError(f"{' and '.join(sorted(exact))} are both there; keep one of them")
        if alike:
            names = sorted(PurePosixPath(path).name for path in alike)
            reason = f"; there is {', '.join(names)}: rename it, or write it so in a row"
        else:
            reason = _what_is_there(self.root / self.folders[0] / expected)
        raise RowError(f"no video {self._where(expected)}{reason}")

    def unlisted(self, samples: Collection[str], table: str) -> list[Problem]:
        """Return a problem for each video that no row names, so that all are accounted for.

        Hidden files, which systems leave in folders, are none.

        Args:
            samples: all that the table names.
            table: the path of the table.
        """
        named = {sample.lower() for sample in samples}
        problems = []
        for path in sorted(self.sizes):
            name = PurePosixPath(path).name
            sample = sample_id(name)
            if sample.lower() not in named and not name.startswith("."):
                problems.append(Problem(path, None, sample, f"is not in {table}"))
        return problems

    def _where(self, name: str) -> str:
        """Say where a file is looked for."""
        if len(self.folders) == 1:
            return f"{self.folders[0]}/{name}"
        return f"{name} in {', '.join(self.folders)}"


def _sizes(root: Path, folder: str) -> dict[str, int]:
    """Return path -> bytes of every file of a folder that can be reached."""
    sizes = {}
    try:
        with os.scandir(root / folder) as entries:
            for entry in entries:
                size = _file_size(entry)
                if size is not None:
                    sizes[f"{folder}/{entry.name}"] = size
    except OSError as error:
        raise EchoLMError(
            f"{root / folder}: cannot be listed: {error.strerror or error}"
        ) from error
    return sizes


def _file_size(entry: os.DirEntry[str]) -> int | None:
    """Return the bytes of a file.

    None of a folder, and of a link that leads nowhere or to where one may not look.
    """
    try:
        return entry.stat().st_size if entry.is_file() else None
    except OSError:
        return None


def _what_is_there(video: Path) -> str:
    """Say in brackets what is there instead of a file, or nothing."""
    try:
        is_folder = stat.S_ISDIR(video.stat().st_mode)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f" ({error.strerror or error})"
    return " (it is a folder)" if is_folder else " (it is no file)"
