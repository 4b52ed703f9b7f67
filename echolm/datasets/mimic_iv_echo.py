"""MIMIC-IV-ECHO (Gow et al., PhysioNet, versions 0.1 of 2023 and 1.0 of 2026) as it is distributed.

``echo-record-list.csv`` lists a DICOM file a row: ``subject_id``, ``study_id`` and the path below
``files/``. ``echo-study-list.csv`` and ``structured-measurement.csv.gz`` are optional and give LVEF
(``mimic_lvef.py``). The dataset has no splits: subjects are drawn into them.

525,328 files are listed. So the tables and the names in the folders are read, and no file is
opened: how many frames a file holds, whether it has colour and whether it is whole is known when it
is decoded.
"""

from __future__ import annotations

import gc
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from echolm.datasets import DATASETS, Dataset
from echolm.datasets.csv_columns import Columns, read_columns
from echolm.datasets.drawn_split import draw_split
from echolm.datasets.mimic_files import (
    FILES,
    PATH,
    RECORDS,
    STUDY,
    SUBJECT,
    TEST,
    VAL,
    Folders,
    check_path,
    rows_apart_from_layout,
)
from echolm.datasets.mimic_lvef import STUDIES, Lvef, read_lvef
from echolm.datasets.scan import PHANTOM, Problem, Scan, SourceItem
from echolm.errors import EchoLMError
from echolm.identity import canonical_json
from echolm.media.reading import Reading
from echolm.text import counted

PUBLISHED_FILES = 525_328
"""Files of MIMIC-IV-ECHO, stills and colour Doppler too."""


@DATASETS.register
class MimicIvEcho(Dataset):
    """All files of the echocardiograms of 4,579 patients, a few dozen files a study.

    Fields:
        split_seed: what subjects are drawn into splits by.
        val: share of the subjects in ``val``.
        test: share of the subjects in ``test``. The rest is ``train``.
        stills: ``skip`` files of one frame (by default), or ``keep`` them. They are spectra, frozen
            pictures with calipers and reports, not clips.
        colour: ``skip`` files in colour (by default), or read them as ``gray``. Colour Doppler
            paints flow over the picture. As gray it is bright spots in the chambers, which no gray
            clip has.
    """

    name: Literal["mimic-iv-echo"] = "mimic-iv-echo"
    noun: ClassVar[str] = "file"
    clip_rule: ClassVar[str] = "uniform-16"
    split_seed: int = 0
    val: float = Field(VAL, ge=0, le=1)
    test: float = Field(TEST, ge=0, le=1)
    stills: Literal["skip", "keep"] = "skip"
    colour: Literal["skip", "gray"] = "skip"

    @model_validator(mode="after")
    def _leave_some_to_train(self) -> MimicIvEcho:
        if self.val + self.test >= 1:
            raise ValueError(
                f"val {self.val:g} and test {self.test:g} leave no subject for train; "
                "valid: together below 1"
            )
        return self

    @classmethod
    def published_counts(cls, where: Mapping[str, Sequence[Any]]) -> Mapping[str, int]:
        """Return the files of each split, as if none were left out as a still or in colour."""
        val, test = round(PUBLISHED_FILES * VAL), round(PUBLISHED_FILES * TEST)
        return {"train": PUBLISHED_FILES - val - test, "val": val, "test": test}

    def scan(self, root: Path) -> Scan:
        """List all files of the record list that are there, and a problem for each other.

        Values of an item: ``ef`` (percent), if the tables have it of the item's study. Files that
        are in the folder and not in the list are problems too.

        Raises:
            EchoLMError: the record list or the folder of files is missing, or a table cannot be
                read at all.
        """
        for needed in (RECORDS, FILES):
            if not (root / needed).exists():
                raise EchoLMError(
                    f"{root}: no {needed} here; give the folder that holds {RECORDS} and {FILES}/"
                )
        with _no_collector():
            return self._scan(root)

    def _scan(self, root: Path) -> Scan:
        records = _Records(read_columns(root / RECORDS, (SUBJECT, STUDY, PATH)))
        lvef = read_lvef(root)
        folders = Folders(root)
        items, missing = self._items(records, folders, lvef)
        items.sort(key=lambda item: item.sample)
        problems = records.problems + missing + folders.problems()
        for path in folders.unlisted():
            problems.append(Problem(path, None, _sample(path), f"is not listed in {RECORDS}"))
        return Scan(
            reader=self.name,
            root=root,
            items=items,
            problems=problems,
            fatal=[] if items else ["no file is usable"],
            identity=self._identity(root, items, lvef),
            synthetic=(root / PHANTOM).is_file(),
            facts=_facts(items, records, folders, lvef),
        )

    def generate_phantom(
        self,
        folder: Path,
        items: int,
        seed: int,
        clips_per_patient: int = 1,
        progress: bool = False,
    ) -> None:
        """Generate studies with ``items`` gray clips, a clip in colour and a still a study."""
        from echolm.datasets.phantom.mimic_iv_echo import generate_phantom

        generate_phantom(folder, items, seed, clips_per_patient, progress)

    def remarks(self, scan: Scan) -> list[str]:
        """Say how subjects were drawn, what is skipped, and where LVEF is from."""
        facts = scan.facts
        share = 1 - self.val - self.test
        subjects = facts["subjects"]
        drawn = ", ".join(f"{subjects[split]} {split}" for split in subjects)
        sentences = [
            f"{counted(sum(subjects.values()), 'subject')} drawn by split_seed {self.split_seed} "
            f"({share:.0%} train, {self.val:.0%} val, {self.test:.0%} test): {drawn}",
            "no file was decoded: how many frames it holds, and which are "
            f"{self._left_out()}, shows when the store is prepared",
            _about_lvef(facts),
        ]
        if facts["not_dicom"]:
            sentences.append(
                f"{counted(facts['not_dicom'], 'file')} below {FILES}/ are no .dcm and are left out"
            )
        return sentences

    def draw_split(self, subject: str) -> str:
        """Draw the split of a subject. It depends on no other subject."""
        return draw_split(subject, self.split_seed, self.val, self.test)

    def _left_out(self) -> str:
        skipped = []
        if self.stills == "skip":
            skipped.append("stills (skipped; --set stills=keep)")
        if self.colour == "skip":
            skipped.append("in colour (skipped; --set colour=gray)")
        return " or ".join([*skipped, "damaged"])

    def _items(
        self, records: _Records, folders: Folders, lvef: Lvef
    ) -> tuple[list[SourceItem], list[Problem]]:
        """Make an item of each usable row whose file is there, and a problem of each other."""
        reading = Reading(stills=self.stills, colour=self.colour)
        splits = {subject: self.draw_split(subject) for subject in set(records.subjects)}
        values = {study: {"ef": percent} for study, percent in lvef.of_study.items()}
        none: dict[str, Any] = {}
        items = []
        problems = []
        for row, path in enumerate(records.paths):
            file = folders.take(path)
            if row in records.unusable:
                continue
            study = records.studies[row]
            sample = records.samples[row]
            if file is None:
                reason = f"no file {path}{folders.why(path)}"
                problems.append(Problem(RECORDS, records.line(row), sample, reason))
                continue
            subject = records.subjects[row]
            item = SourceItem(
                sample=sample,
                patient=subject,
                split=splits[subject],
                path=file,
                study=study,
                frame_count=None,
                values=values.get(study, none),
                reading=reading,
            )
            items.append(item)
        return items, problems

    def _identity(self, root: Path, items: list[SourceItem], lvef: Lvef) -> str:
        """Return SHA-256 over the record list, the files that are there, LVEF and the choices.

        The bytes of the files do not enter, and their sizes neither: asking for 525,328 sizes takes
        minutes on a disk of the network.
        """
        digest = hashlib.sha256((root / RECORDS).read_bytes())
        digest.update("\n".join([item.sample for item in items]).encode())
        about = {"lvef": sorted(lvef.of_study.items()), "choices": self.choices()}
        digest.update(canonical_json(about).encode())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class _Records:
    """The rows of the record list, and why some of them are unusable."""

    columns: Columns

    @cached_property
    def subjects(self) -> list[str]:
        return self.columns.texts(SUBJECT)

    @cached_property
    def studies(self) -> list[str]:
        return self.columns.texts(STUDY)

    @cached_property
    def paths(self) -> list[str]:
        return self.columns.texts(PATH)

    @cached_property
    def samples(self) -> list[str]:
        return [_sample(path) for path in self.paths]

    def line(self, row: int) -> int:
        """Return the line of a row, counted from 1."""
        return self.columns.line(row)

    @cached_property
    def problems(self) -> list[Problem]:
        """A problem for each row that cannot be used, whatever files there are."""
        problems = [Problem(RECORDS, line, "", reason) for line, reason in self.columns.odd]
        for row, reason in sorted(self.unusable.items()):
            if reason:
                problems.append(Problem(RECORDS, self.line(row), self.samples[row], reason))
        return problems

    @cached_property
    def unusable(self) -> dict[int, str]:
        """Row -> why it cannot be used. The reason of a blank line is empty."""
        reasons = {}
        table = self.columns.table
        for row in rows_apart_from_layout(table[SUBJECT], table[STUDY], table[PATH]):
            cells = (self.subjects[row], self.studies[row], self.paths[row])
            reason = check_path(*cells) if any(cells) else ""
            if reason is not None:
                reasons[row] = reason
        if len(set(self.samples)) < len(self.samples):
            self._add_repeated(reasons)
        pairs = table.group_by([SUBJECT, STUDY]).aggregate([]).num_rows
        if pairs > len(set(self.studies)):
            self._add_shared_studies(reasons)
        return reasons

    def _add_repeated(self, reasons: dict[int, str]) -> None:
        """Name rows whose file, or whose sample, is in an earlier row. The earlier row is used."""
        first_rows: dict[str, int] = {}
        for row, sample in enumerate(self.samples):
            if row in reasons:
                continue
            first = first_rows.setdefault(sample, row)
            if first == row:
                continue
            line = self.line(first)
            if self.paths[first] == self.paths[row]:
                reasons[row] = f"the file stands in row {line} already; that row is used"
            else:
                reasons[row] = f"another file of this name stands in row {line}; that one is used"

    def _add_shared_studies(self, reasons: dict[int, str]) -> None:
        """Name the rows of each study that has more than one subject. None of them is used."""
        owners: dict[str, str] = {}
        shared: dict[str, str] = {}
        for row, (subject, study) in enumerate(zip(self.subjects, self.studies, strict=True)):
            if row not in reasons and owners.setdefault(study, subject) != subject:
                shared[study] = f"study {study} is of subjects {owners[study]} and {subject}"
        if not shared:
            return
        for row, study in enumerate(self.studies):
            if study in shared and row not in reasons:
                reasons[row] = f"{shared[study]}; none of its rows is used"


@contextmanager
def _no_collector() -> Iterator[None]:
    """Run without Python's collector of cycles.

    It would look through all items again and again while they are made, for two seconds of five.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _sample(path: str) -> str:
    """Return the name of a file without its folders and without ``.dcm``."""
    return path.rpartition("/")[2].removesuffix(".dcm")


def _facts(
    items: list[SourceItem], records: _Records, folders: Folders, lvef: Lvef
) -> dict[str, Any]:
    splits = {item.patient: item.split for item in items}
    subjects = Counter(splits.values())
    studies = {item.study for item in items}
    return {
        "listed": len(records.paths) + len(records.columns.odd),
        "subjects": {split: subjects[split] for split in ("train", "val", "test")},
        "studies": len(studies),
        "studies_with_ef": len(studies & lvef.of_study.keys()),
        "ef_from": lvef.codes,
        "ef_unusable": lvef.unusable,
        "ef_lacking": lvef.lacking,
        "not_dicom": folders.count_others(),
    }


def _about_lvef(facts: dict[str, Any]) -> str:
    if facts["ef_lacking"]:
        return f"no file has LVEF (ef): {facts['ef_lacking']}"
    codes = ", ".join(f"{count} by {code}" for code, count in facts["ef_from"].items())
    sentence = (
        f"{facts['studies_with_ef']} of {facts['studies']} studies have LVEF (ef), "
        f"matched by {STUDIES}: {codes}"
    )
    if facts["ef_unusable"]:
        sentence += f"; {facts['ef_unusable']} results are no percentage or contradict each other"
    return sentence
