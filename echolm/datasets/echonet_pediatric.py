"""EchoNet-Pediatric (Reddy et al. 2023) in the layout that Stanford distributes.

Two views, ``A4C/`` and ``PSAX/``, have a folder each with ``FileList.csv`` (a video a row),
``VolumeTracings.csv`` (polygons, see ``polygon_tracings``) and ``Videos/``. The archive holds them
in ``pediatric_echo_avi/pediatric_echo_avi/``. Patients are in ten folds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from echolm.datasets import DATASETS, Dataset
from echolm.datasets.csv_rows import CsvRow, RowError
from echolm.datasets.echonet_files import (
    FILE_LIST,
    PATIENT,
    VIDEOS,
    VideoFiles,
    patient_of,
    read_file_list,
    require,
)
from echolm.datasets.label_agreement import (
    Disagreement,
    correlation_with_tracings,
    why_tracings_are_of_others,
)
from echolm.datasets.polygon_tracings import SIDE, PolygonRows, read_polygons, traced_areas
from echolm.datasets.scan import (
    PHANTOM,
    Problem,
    Scan,
    SourceItem,
    files_identity,
    shared_patients,
)
from echolm.datasets.volume_tracings import TRACINGS, TracingError
from echolm.errors import EchoLMError
from echolm.text import counted

COLUMNS = ("FileName", "EF", "Sex", "Age", "Weight", "Height", "Split")
VIEWS = ("A4C", "PSAX")
ARCHIVE = "pediatric_echo_avi"
"""The folder that the archive nests in one of the same name."""
FOLDS = 10
SEXES = ("F", "M")
UNKNOWN = ("", "nan", "na", "n/a", "none", "unknown", "u")
"""Cells in lower case that say nothing."""
LARGEST = {"age": 120.0, "weight": 300.0, "height": 250.0}
"""Years, kilograms, centimetres: what no patient exceeds."""


@DATASETS.register
class EchoNetPediatric(Dataset):
    """Videos of children in two views, with ejection fraction and traced areas.

    Attributes:
        view: which videos are items: those of one view, or of ``both``. The default is the view of
            EchoNet-Dynamic.
        fold: the fold of the test split. The next fold is val, the other eight are train.
        disagreement: whether a set is refused in which EF contradicts the tracings, or whether that
            is a remark (see ``label_agreement``).
    """

    name: Literal["echonet-pediatric"] = "echonet-pediatric"
    noun: ClassVar[str] = "video"
    clip_rule: ClassVar[str] = "ed-to-es-16"
    without: ClassVar[str] = "all values"
    view: Literal["A4C", "PSAX", "both"] = "A4C"
    fold: Annotated[int, Field(ge=0, lt=FOLDS)] = 0
    disagreement: Disagreement = "refuse"

    def scan(self, root: Path) -> Scan:
        """List all usable videos at ``root``, and one problem for each that is not usable.

        An item is called VIEW-NAME, as both views may use a name. Values: ``ef`` (percent),
        ``view``, ``sex``, ``age`` (years), ``weight`` (kg) and ``height`` (cm, by usual reading),
        and of a traced phase ``ed`` or ``es`` (frame number) and ``area_ed`` or ``area_es`` (square
        pixels). A note says why an item has none of a phase. Polygons have any number of points, so
        there are no landmarks.

        Raises:
            EchoLMError: a table or a folder is missing, or a header lacks a column.
        """
        views = VIEWS if self.view == "both" else (self.view,)
        inner = _inner_folder(root, views)
        found = [_View(root, inner, view, self.fold) for view in views]
        for view in found:
            view.read()
        items = sorted(_joined(view.items for view in found), key=lambda item: item.sample)
        traced = [item for item in items if _has_both(item)]
        areas = [(item.values["area_ed"], item.values["area_es"]) for item in traced]
        correlation = correlation_with_tracings(traced, areas)
        tables = f"{FILE_LIST}, {TRACINGS}"
        contradiction = why_tracings_are_of_others(correlation, len(traced), tables)
        refused = [contradiction] if contradiction and self.disagreement == "refuse" else []
        remarks = [contradiction] if contradiction and self.disagreement == "remark" else []
        return Scan(
            reader=self.name,
            root=root,
            items=items,
            problems=_joined(view.problems for view in found),
            fatal=_fatal(items) + refused,
            identity=_identity(root, inner, found, items),
            synthetic=(root / PHANTOM).is_file(),
            facts={"remarks": [*self._describe(items, traced), *remarks]},
            notes=_joined(view.notes for view in found),
        )

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Generate ``items`` videos of each view (``phantom.echonet_pediatric``)."""
        from echolm.datasets.phantom.echonet_pediatric import generate_pediatric

        generate_pediatric(folder, items, seed, clips_per_patient, progress)

    def remarks(self, scan: Scan) -> list[str]:
        """Say which view and folds were read, and how many videos have both phases."""
        remarks: list[str] = scan.facts["remarks"]
        return remarks

    def _describe(self, items: list[SourceItem], traced: list[SourceItem]) -> list[str]:
        counts = Counter(item.values["view"] for item in items)
        views = ", ".join(f"{counts[view]} {view}" for view in VIEWS if counts[view]) or "none"
        described = [
            f"view {self.view} ({views}); test is fold {self.fold}, val fold "
            f"{(self.fold + 1) % FOLDS}; both phases are traced in {counted(len(traced), 'video')}"
        ]
        if all(item.patient == item.sample for item in items):
            described.append(
                f"no column {PATIENT}: each video counts as a patient, so intervals are too narrow "
                "where a child has several"
            )
        return described


@dataclass
class _View:
    """The folder of one view, and what its rows came to.

    Attributes:
        root: the folder that was given.
        inner: the path in it of the folder that holds the views, '' for itself.
        name: of the view.
        fold: the fold of the test split.
        sizes: the path of each item's video in ``root`` -> its bytes.
    """

    root: Path
    inner: str
    name: str
    fold: int
    items: list[SourceItem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """Return the path in ``root`` of what the view's folder calls ``name``."""
        return f"{self.inner}{self.name}/{name}"

    def read(self) -> None:
        """Read the tables, and list the videos."""
        file_list = self.path(FILE_LIST)
        tracings = read_polygons(self.root / self.path(TRACINGS))
        videos = VideoFiles.look_in(self.root, (self.path(VIDEOS),))
        listed, problems = read_file_list(self.root, file_list, COLUMNS)
        known = {*listed, *(problem.sample for problem in problems)}
        for sample, traced in tracings.items():
            if sample not in known:
                table = self.path(TRACINGS)
                problems.append(Problem(table, traced.line, sample, f"is not in {file_list}"))
        problems += videos.unlisted(known, file_list)
        for name, row in listed.items():
            try:
                self._add(videos, name, row, tracings.get(name, PolygonRows()))
            except RowError as error:
                problems.append(Problem(file_list, row.line, name, str(error)))
        for problem in problems:
            self.problems.append(replace(problem, sample=self._sample(problem.sample)))

    def _sample(self, name: str) -> str:
        return f"{self.name}-{name}"

    def _add(self, videos: VideoFiles, name: str, row: CsvRow, traced: PolygonRows) -> None:
        """Make an item of a row and its tracings. RowError: the row cannot be used."""
        split = _split(row, self.fold)
        sample = self._sample(name)
        patient = patient_of(row, sample)
        values: dict[str, Any] = {"ef": row.number("EF"), "view": self.name}
        path = videos.find(name)
        self._add_facts(values, sample, row)
        try:
            values |= vars(traced_areas(traced))
        except TracingError as error:
            table, line = (TRACINGS, error.line) if error.line else (FILE_LIST, row.line)
            self.notes.append(Problem(self.path(table), line, sample, str(error)))
        item = SourceItem(
            sample=sample,
            patient=patient,
            split=split,
            path=self.root / path,
            frame_count=None,
            sizes=((SIDE, SIDE),),
            values=values,
        )
        self.items.append(item)
        self.sizes[path] = videos.sizes[path]

    def _add_facts(self, values: dict[str, Any], sample: str, row: CsvRow) -> None:
        """Add sex, age, weight and height to the values, and a note for what is none of these."""
        sex = row["Sex"].upper()[:1]
        if sex in SEXES:
            values["sex"] = sex
        elif not _is_unknown(row["Sex"]):
            self._note(row, sample, f"Sex is {row['Sex']!r}; valid: {', '.join(SEXES)}")
        for column in ("Age", "Weight", "Height"):
            if _is_unknown(row[column]):
                continue
            try:
                values[column.lower()] = _positive(row, column)
            except RowError as error:
                self._note(row, sample, str(error))

    def _note(self, row: CsvRow, sample: str, reason: str) -> None:
        self.notes.append(Problem(self.path(FILE_LIST), row.line, sample, reason))


def _inner_folder(root: Path, views: Iterable[str]) -> str:
    """Return the path in ``root`` of the folder that holds the views, with its '/'.

    Raises:
        EchoLMError: there is none, or a view lacks a table or its videos.
    """
    views = list(views)
    layout = f"{' and '.join(VIEWS)} (or {ARCHIVE}/{ARCHIVE} with them)"
    for inner in ("", f"{ARCHIVE}/", f"{ARCHIVE}/{ARCHIVE}/"):
        if all((root / inner / view).is_dir() for view in views):
            break
    else:
        raise EchoLMError(f"{root}: no {' and '.join(views)} here; give the folder with {layout}")
    for view in views:
        needed = (FILE_LIST, TRACINGS, VIDEOS)
        require(root / inner / view, needed, f"{', '.join(needed)}")
    return inner


def _split(row: CsvRow, fold: int) -> str:
    """Return the split of a row's fold: ``fold`` is test, the next val, all others train."""
    number = row.integer("Split")
    if not 0 <= number < FOLDS:
        raise RowError(f"Split is {row['Split']!r}; valid: folds 0 to {FOLDS - 1}")
    if number == fold:
        return "test"
    return "val" if number == (fold + 1) % FOLDS else "train"


def _is_unknown(cell: str) -> bool:
    return cell.lower() in UNKNOWN


def _positive(row: CsvRow, column: str) -> float:
    value = row.number(column)
    most = LARGEST[column.lower()]
    is_newborn = column == "Age" and value == 0
    if not 0 < value <= most and not is_newborn:
        raise RowError(f"{column} is {row[column]!r}; valid: above 0, up to {most:g}")
    return value


def _has_both(item: SourceItem) -> bool:
    return item.values.get("ed") is not None and item.values.get("es") is not None


def _fatal(items: list[SourceItem]) -> list[str]:
    if not items:
        return ["no video is usable"]
    return [f"{FILE_LIST}: {reason}" for reason in shared_patients(items)]


def _identity(root: Path, inner: str, found: list[_View], items: list[SourceItem]) -> str:
    """Return the identity of the files. Where the archive nests them does not enter."""
    tables = []
    sizes: dict[str, int] = {}
    for view in found:
        tables += [f"{view.name}/{FILE_LIST}", f"{view.name}/{TRACINGS}"]
        for path in sorted(view.sizes):
            sizes[path.removeprefix(inner)] = view.sizes[path]
    return files_identity(root / inner, tables, sizes)


def _joined(parts: Iterable[list[Any]]) -> list[Any]:
    """Return the elements of several lists, one after another."""
    joined: list[Any] = []
    for part in parts:
        joined += part
    return joined
