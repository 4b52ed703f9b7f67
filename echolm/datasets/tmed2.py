"""TMED-2 (Huang et al. 2022, Tufts): studies of still pictures with a diagnosis of aortic stenosis.

A table for each fold lists an image a row (``DEV479/TMED2_fold1_labeledpart.csv``): its name, such
as ``3725s1_5.png`` (patient 3725, their study 1, image 5), the folder it lies in, the view, the
study's diagnosis, and the study's split. The pictures are gray PNG of 112 x 112 pixels.

A study is one item of many files, all its images in the order of the table. The clip rule
``uniform-16`` takes 16 of them evenly from the first to the last, as Echo-Vision-FM does (Zhang et
al. 2025), and a run's clip repeats images evenly where a study has fewer. So the item holds all
images, and what an encoder sees is the clip's choice.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from echolm.datasets import DATASETS, Dataset
from echolm.datasets.csv_rows import CsvRow, RowError, read_rows
from echolm.datasets.file_listing import file_size, files_below, why_no_path
from echolm.datasets.scan import (
    PHANTOM,
    SPLITS,
    Problem,
    Scan,
    SourceItem,
    files_identity,
    shared_patients,
)
from echolm.datasets.tmed2_layout import (
    COLUMNS,
    DIAGNOSIS,
    FOLDER,
    KEY,
    LABELED,
    NOT_PROVIDED,
    SEVERITIES,
    SPLIT,
    VIEW,
    VIEW_SPLIT,
    VIEWS,
    table_name,
)
from echolm.errors import EchoLMError
from echolm.media.image import png_size
from echolm.media.reading import Reading
from echolm.text import counted

IMAGE_NAME = re.compile(r"(?P<study>(?P<patient>[0-9]+)s[0-9]+)_[0-9]+\.png")
SHOWN = 3
"""Images named where some are not listed."""


@dataclass(frozen=True)
class _Image:
    """A row of the table.

    Attributes:
        line: the row.
        study: the study's id.
        patient: the patient's id.
        file: path in the dataset's folder.
        view: the view.
        diagnosis: of the study.
        split: of the study, as the table has it.
    """

    line: int
    study: str
    patient: str
    file: str
    view: str
    diagnosis: str
    split: str


@DATASETS.register
class Tmed2(Dataset):
    """Studies of still pictures, with the severity of aortic stenosis in five and three classes.

    Attributes:
        fold: whose table is read. Echo-Vision-FM used fold 1.
        subset: the folder of the tables. DEV479 develops on 479 studies, the others on fewer.
        colour: whether a picture in colours is an error, or is read as gray.
    """

    name: Literal["tmed-2"] = "tmed-2"
    noun: ClassVar[str] = "examination"
    joins_pictures: ClassVar[bool] = True
    clip_rule: ClassVar[str] = "uniform-16"
    fold: Literal[0, 1, 2] = 1
    subset: Literal["DEV479", "DEV165", "DEV56"] = "DEV479"
    colour: Literal["refuse", "gray"] = "refuse"

    @classmethod
    def published_counts(cls, where: Mapping[str, Sequence[Any]]) -> Mapping[str, int]:
        """Return the studies of each split, of DEV479 and fold 1."""
        return {"train": 360, "val": 119, "test": 119}

    def scan(self, root: Path) -> Scan:
        """List the studies with a diagnosis and a split, and one problem for each other study.

        Values of an item: ``diagnosis`` (``no_AS``, ``mild_AS``, ``mildtomod_AS``,
        ``moderate_AS``, ``severe_AS``), ``severity`` (``no_AS``, ``early_AS``,
        ``significant_AS``), ``first_view`` (of the first image in the table), ``images`` (their
        number), and the number of images of each view (``VIEWS``).

        Raises:
            EchoLMError: the table is missing, or its header lacks a column.
        """
        table = self._find_table(root)
        sizes = files_below(root)
        studies, problems, listed = _read_table(root, table, sizes)
        items = []
        for images in studies.values():
            try:
                items.append(self._item(root, images))
            except _StudyError as error:
                problems.append(Problem(table, error.line, images[0].study, str(error)))
        items.sort(key=lambda item: item.sample)
        problems += _unlisted(sizes, listed, table)
        return Scan(
            reader=self.name,
            root=root,
            items=items,
            problems=problems,
            fatal=_fatal(table, studies, items),
            identity=files_identity(root, (table,), _sizes_of(root, items), self.choices()),
            synthetic=(root / PHANTOM).is_file(),
            facts={"fold": self.fold, "table": table},
        )

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Generate studies whose valve and wall are the thicker, the severer the stenosis.

        Args:
            folder: a new folder, or the one of a stopped call.
            items: how many studies.
            seed: what all is drawn from.
            clips_per_patient: studies of one patient.
            progress: whether to show how far it is, on standard error.
        """
        from echolm.datasets.phantom.tmed2 import generate_phantom

        generate_phantom(folder, items, seed, clips_per_patient, progress)

    def remarks(self, scan: Scan) -> list[str]:
        """Say which table was read, how many studies have each diagnosis, and how many images."""
        if not scan.items:
            return []
        diagnoses = Counter(item.values["diagnosis"] for item in scan.items)
        counts = ", ".join(f"{diagnoses[label]} {label}" for label in SEVERITIES)
        images = [item.values["images"] for item in scan.items]
        median = statistics.median(images)
        return [
            f"fold {self.fold} by {scan.facts['table']}: {counts}",
            f"images of an examination: {min(images)} to {max(images)}, median {median:g}; "
            "--clips uniform-16 takes 16 of them evenly, in the order of the table",
        ]

    def _find_table(self, root: Path) -> str:
        """Return the path of the fold's table in the dataset's folder."""
        name = table_name(self.fold)
        in_subset = f"{self.subset}/{name}"
        for table in (in_subset, name):
            if (root / table).is_file():
                return table
        raise EchoLMError(
            f"{root}: no {in_subset} here; give the folder that holds {self.subset}/ and "
            f"{LABELED}/ (approved_users_only of the download)"
        )

    def _item(self, root: Path, images: list[_Image]) -> SourceItem:
        """Make an item of a study's images, in the order of the table.

        Raises:
            _StudyError: why the study cannot be used.
        """
        first = images[0]
        for image in images:
            _check_same(first, image, DIAGNOSIS, first.diagnosis, image.diagnosis)
            _check_same(first, image, SPLIT, first.split, image.split)
        if first.diagnosis == NOT_PROVIDED:
            raise _StudyError(first, f"has no diagnosis ({DIAGNOSIS} is {NOT_PROVIDED})")
        if first.split not in SPLITS:
            raise _StudyError(first, f"is in no split ({SPLIT} is {first.split!r})")
        paths = tuple(root / image.file for image in images)
        _check_sizes(images, paths)
        return SourceItem(
            sample=first.study,
            patient=first.patient,
            study=first.study,
            split=first.split,
            path=paths[0],
            frame_count=len(paths),
            values=_values(images),
            files=paths if len(paths) > 1 else (),
            reading=Reading(colour=self.colour),
        )


class _StudyError(ValueError):
    """Why a study cannot be used."""

    def __init__(self, image: _Image, reason: str) -> None:
        super().__init__(reason)
        self.line = image.line


def _read_table(
    root: Path, table: str, sizes: Mapping[str, int]
) -> tuple[dict[str, list[_Image]], list[Problem], set[str]]:
    """Read the rows of a fold.

    Returns:
        The images of each study whose rows can all be used, a problem for each other row, and the
        path of every image that a row lists.
    """
    studies: dict[str, list[_Image]] = defaultdict(list)
    problems = []
    lines: dict[str, int] = {}
    for row, reason in read_rows(root / table, COLUMNS, (VIEW_SPLIT,)):
        try:
            if reason:
                raise RowError(reason)
            image = _read_image_row(root, row, sizes, lines)
        except RowError as error:
            problems.append(Problem(table, row.line, _study_of(row), str(error)))
        else:
            studies[image.study].append(image)
    bad = {problem.sample for problem in problems}
    usable = {study: images for study, images in studies.items() if study not in bad}
    return usable, problems, set(lines)


def _study_of(row: CsvRow) -> str:
    """Return the study's id of a row, '' where it has none."""
    match = IMAGE_NAME.fullmatch(row[KEY])
    return match["study"] if match else ""


def _read_image_row(
    root: Path, row: CsvRow, sizes: Mapping[str, int], lines: dict[str, int]
) -> _Image:
    """Read a row, and note its image in ``lines`` (path -> row).

    Raises:
        RowError: why the row cannot be used.
    """
    match = IMAGE_NAME.fullmatch(row[KEY])
    if not match:
        raise RowError(f"{KEY} is {row[KEY]!r}; valid: PATIENTsSTUDY_IMAGE.png, as 3725s1_5.png")
    file = _find_image(root, row, sizes)
    if file in lines:
        raise RowError(f"{KEY} {row[KEY]} stands in row {lines[file]} already")
    lines[file] = row.line
    if row[VIEW] not in VIEWS:
        raise RowError(f"{VIEW} is {row[VIEW]!r}; valid: {', '.join(VIEWS)}")
    if row[DIAGNOSIS] not in (*SEVERITIES, NOT_PROVIDED):
        raise RowError(
            f"{DIAGNOSIS} is {row[DIAGNOSIS]!r}; valid: {', '.join(SEVERITIES)}, {NOT_PROVIDED}"
        )
    return _Image(
        line=row.line,
        study=match["study"],
        patient=match["patient"],
        file=file,
        view=row[VIEW],
        diagnosis=row[DIAGNOSIS],
        split=row[SPLIT].lower(),
    )


def _find_image(root: Path, row: CsvRow, sizes: Mapping[str, int]) -> str:
    """Return the path of a row's image in the dataset's folder.

    An archive may have been unpacked into a folder of its own name: ``labeled/labeled/``.

    Raises:
        RowError: there is none.
    """
    folder = row[FOLDER].strip("/")
    reason = why_no_path(folder, FOLDER)
    if reason:
        raise RowError(reason)
    file = f"{folder}/{row[KEY]}"
    unpacked = f"{folder}/{folder.split('/')[-1]}/{row[KEY]}"
    for name in (file, unpacked):
        if name in sizes or file_size(root / name) is not None:
            return name
    raise RowError(f"no image {file}")


def _check_same(first: _Image, image: _Image, column: str, expected: str, value: str) -> None:
    """Raise _StudyError when a row says something else of the study than its first row.

    A study in two splits makes the whole set unusable, see ``_fatal``.
    """
    if value != expected:
        raise _StudyError(image, f"{column} is {value!r} here and {expected!r} in row {first.line}")


def _check_sizes(images: list[_Image], paths: tuple[Path, ...]) -> None:
    """Raise _StudyError unless all images are PNG pictures of one size. Their headers are read."""
    first = None
    for image, path in zip(images, paths, strict=True):
        try:
            size = png_size(path)
        except OSError as error:
            reason = f"{image.file}: cannot be read: {error.strerror or error}"
            raise _StudyError(image, reason) from error
        if size is None:
            raise _StudyError(image, f"{image.file} is no PNG picture")
        if first is None:
            first = size
        if size != first:
            raise _StudyError(
                image,
                f"its images are of several sizes: {image.file} is {size[1]} x {size[0]} pixels, "
                f"{images[0].file} is {first[1]} x {first[0]}",
            )


def _values(images: list[_Image]) -> dict[str, Any]:
    diagnosis = images[0].diagnosis
    views = Counter(image.view for image in images)
    counts = {name: views[view] for view, name in VIEWS.items()}
    return {
        "diagnosis": diagnosis,
        "severity": SEVERITIES[diagnosis],
        "first_view": images[0].view,
        "images": len(images),
        **counts,
    }


def _fatal(table: str, studies: Mapping[str, list[_Image]], items: list[SourceItem]) -> list[str]:
    """Say what makes the set unusable: no study, or studies or patients in more than one split."""
    reasons = [f"{table}: {reason}" for reason in _split_studies(studies)]
    reasons += [f"{table}: {reason}" for reason in shared_patients(items)]
    if not items and not reasons:
        reasons.append("no examination is usable")
    return reasons


def _split_studies(studies: Mapping[str, list[_Image]]) -> Iterator[str]:
    """Say for each study in more than one split where that shows."""
    for study, images in studies.items():
        lines: dict[str, int] = {}
        for image in images:
            if image.split in SPLITS:
                lines.setdefault(image.split, image.line)
        if len(lines) > 1:
            places = [f"{split} (row {line})" for split, line in lines.items()]
            yield f"study {study} is in {' and '.join(places)}"


def _unlisted(sizes: Mapping[str, int], listed: set[str], table: str) -> list[Problem]:
    """Return a problem for each folder with images that no row lists."""
    names: dict[str, list[str]] = defaultdict(list)
    for file in sizes:
        if file.lower().endswith(".png") and file not in listed:
            folder, _, name = file.rpartition("/")
            names[folder or "."].append(name)
    problems = []
    for folder, images in names.items():
        shown = ", ".join(images[:SHOWN])
        more = ", ..." if len(images) > SHOWN else ""
        verb = "is" if len(images) == 1 else "are"
        reason = f"{counted(len(images), 'image')} {verb} in no row of {table}: {shown}{more}"
        problems.append(Problem(folder, None, "", reason))
    return problems


def _sizes_of(root: Path, items: list[SourceItem]) -> dict[str, int]:
    """Return path -> bytes of the images of all items."""
    sizes = {}
    for item in items:
        for path in item.all_files:
            sizes[path.relative_to(root).as_posix()] = path.stat().st_size
    return sizes
