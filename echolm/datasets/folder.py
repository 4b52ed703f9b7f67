"""A folder of one's own files, and a table that says what they are: ``labels.csv``.

The table has a row for each file. Its columns are ``file`` (path in the folder), ``patient``, and,
where they are known, ``split``, ``study``, ``sample``, ``view`` and any targets. A file is a video
(AVI, MP4, ... of any codec), DICOM, NIfTI or a picture (PNG, JPEG): what it is decides, not what it
is called. Rows of the same ``sample`` are one item, whose files follow each other. Without the
column ``split``, splits are drawn by patient.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from echolm.datasets import DATASETS, Dataset
from echolm.datasets.drawn_split import draw_splits
from echolm.datasets.file_listing import files_below
from echolm.datasets.labels_table import (
    LABELS,
    SPLIT,
    DisagreementError,
    LabelledFile,
    LabelsTable,
    count_kinds,
    merge_rows,
    read_labels,
)
from echolm.datasets.scan import (
    PHANTOM,
    Problem,
    Scan,
    SourceItem,
    files_identity,
    shared_patients,
)
from echolm.errors import EchoLMError
from echolm.media.reading import Reading

READING = Reading(stills="keep", colour="gray", any_codec=True)
"""Any file is welcome: stills, colour and every codec."""
HEADER = ".mhd"
"""A file that names another, of the same name, which holds its pixels."""
PIXELS = (".raw", ".zraw")


@DATASETS.register
class OwnFiles(Dataset):
    """Your own files and one table, ``labels.csv``: any column is a target.

    Attributes:
        split_seed: what splits are drawn from, where the table has none.
        val: share of the patients drawn for validation.
        test: share of the patients drawn for the test.
        text: columns that are read as text although they hold numbers.
    """

    name: Literal["folder"] = "folder"
    noun: ClassVar[str] = "clip"
    split_seed: int = 0
    val: float = 0.2
    test: float = 0.2
    text: tuple[str, ...] = ()

    @field_validator("text", mode="before")
    @classmethod
    def _separate(cls, value: Any) -> Any:
        """Take ``a,b`` for the columns a and b."""
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    def scan(self, root: Path) -> Scan:
        """List the files of the table, and one problem for each row or file that is not used.

        Values of an item: one for each further column, numbers as float, ``ed`` and ``es`` as int.

        Raises:
            EchoLMError: there is no table, or its header cannot be used.
        """
        sizes = files_below(root)
        table = read_labels(root, sizes, self.text)
        items, problems = _items(root, table)
        self._check_draw(root, table)
        if not table.has_splits:
            items = self._with_drawn_splits(items)
        items.sort(key=lambda item: item.sample)
        kinds = count_kinds(table.columns)
        return Scan(
            reader=self.name,
            root=root,
            items=items,
            problems=[*table.problems, *problems, *_unlisted(sizes, table.listed)],
            fatal=_fatal(items),
            identity=files_identity(root, (LABELS,), _sizes_of(root, items), self.choices()),
            synthetic=(root / PHANTOM).is_file(),
            facts={
                "numbers": kinds["number"],
                "texts": kinds["text"],
                "splits_drawn": not table.has_splits,
            },
        )

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Generate AVI and MP4 videos and series of PNG pictures, with their ``labels.csv``.

        Args:
            folder: a new folder, or the one of a stopped call.
            items: how many clips.
            seed: what the hearts are drawn from.
            clips_per_patient: clips of one heart.
            progress: whether to show how far it is, on standard error.
        """
        from echolm.datasets.phantom.own_files import generate_phantom

        generate_phantom(folder, items, seed, clips_per_patient, progress)

    def remarks(self, scan: Scan) -> list[str]:
        """Say how columns were read, where splits come from, and what becomes of colours."""
        remarks = []
        for kind, words in (("numbers", "as numbers"), ("texts", "as text")):
            names = scan.facts[kind]
            if names:
                remarks.append(f"columns read {words}: {', '.join(names)}")
        if scan.facts["splits_drawn"]:
            remarks.append(
                f"{LABELS} has no column {SPLIT}: splits are drawn by patient "
                f"(split_seed={self.split_seed}, val={self.val:g}, test={self.test:g})"
            )
        remarks.append("colours are read as gray (luma by ITU-R BT.601)")
        return remarks

    def _check_draw(self, root: Path, table: LabelsTable) -> None:
        """Raise EchoLMError when splits should be drawn although the table has them."""
        if not table.has_splits:
            return
        default = OwnFiles()
        for name in ("split_seed", "val", "test"):
            if getattr(self, name) != getattr(default, name):
                raise EchoLMError(
                    f"{root / LABELS}: has a column {SPLIT}, so nothing is drawn by {name}; "
                    f"leave {name} out, or take the column out"
                )

    def _with_drawn_splits(self, items: list[SourceItem]) -> list[SourceItem]:
        patients = [item.patient for item in items]
        splits = draw_splits(patients, self.split_seed, self.val, self.test)
        return [replace(item, split=splits[item.patient]) for item in items]


def _items(root: Path, table: LabelsTable) -> tuple[list[SourceItem], list[Problem]]:
    """Make an item of the rows of each sample.

    A sample of which one row cannot be used is no item: it would lack a file.
    """
    rows: dict[str, list[LabelledFile]] = defaultdict(list)
    for row in table.rows:
        rows[row.sample].append(row)
    bad = {problem.sample for problem in table.problems}
    items = []
    problems = []
    for sample, same in rows.items():
        if sample in bad:
            continue
        try:
            items.append(_item(root, same))
        except DisagreementError as error:
            problems.append(Problem(LABELS, error.line, sample, str(error)))
    return items, problems


def _item(root: Path, rows: list[LabelledFile]) -> SourceItem:
    merged = merge_rows(rows)
    paths = tuple(root / row.file for row in rows)
    return SourceItem(
        sample=merged.sample,
        patient=merged.patient,
        study=merged.study,
        split=merged.split,
        path=paths[0],
        frame_count=None,
        values=merged.values,
        files=paths if len(paths) > 1 else (),
        reading=READING,
    )


def _fatal(items: list[SourceItem]) -> list[str]:
    """Say what makes the set unusable."""
    if not items:
        return ["no clip is usable"]
    reasons = [*shared_patients(items), *_shared_studies(items)]
    return [f"{LABELS}: {reason}" for reason in reasons]


def _shared_studies(items: Iterable[SourceItem]) -> list[str]:
    """Say which studies are of more than one patient: means over a study would mix them."""
    patients: dict[str, dict[str, str]] = defaultdict(dict)
    for item in items:
        if item.study is not None:
            patients[item.study].setdefault(item.patient, item.sample)
    reasons = []
    for study, samples in patients.items():
        if len(samples) > 1:
            places = [f"{patient} ({sample})" for patient, sample in samples.items()]
            reasons.append(
                f"study {study} is of patients {' and '.join(places)}; give each study a name of "
                "its own"
            )
    return reasons


def _unlisted(sizes: Mapping[str, int], listed: set[str]) -> list[Problem]:
    """Return a problem for each file that no row names."""
    problems = []
    for file in sizes:
        if file in listed or file in (LABELS, PHANTOM):
            continue
        path = PurePosixPath(file)
        if path.suffix in PIXELS and str(path.with_suffix(HEADER)) in listed:
            continue
        problems.append(Problem(file, None, "", f"no row of {LABELS} names it"))
    return problems


def _sizes_of(root: Path, items: list[SourceItem]) -> dict[str, int]:
    """Return path -> bytes of the files of all items."""
    sizes = {}
    for item in items:
        for path in item.all_files:
            sizes[path.relative_to(root).as_posix()] = path.stat().st_size
    return sizes
