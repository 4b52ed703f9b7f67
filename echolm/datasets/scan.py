"""What a scan of a dataset gives: usable items, problems, and the identity of its files."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echolm.identity import canonical_json
from echolm.media.reading import Reading
from echolm.text import printable

SPLITS = ("train", "val", "test")
PHANTOM = "phantom.json"
"""A file whose presence in a dataset's folder marks generated data."""


@dataclass(frozen=True)
class Problem:
    """Why an item is unusable.

    Attributes:
        file: a file of the dataset, by its path in the dataset's folder.
        row: the line in it, counted from 1. None: the file as a whole.
        sample: the item's sample id, empty where it is not known.
        reason: what is wrong, in words.
    """

    file: str
    row: int | None
    sample: str
    reason: str

    def __str__(self) -> str:
        where = self.file if self.row is None else f"{self.file}:{self.row}"
        if self.sample:
            where = f"{where}: {printable(self.sample)}"
        return f"{where}: {self.reason}"


@dataclass(frozen=True, eq=False, slots=True)
class SourceItem:
    """One usable item: a file, or several files that are read as one clip.

    Several files of one examination may also be several items of the same study.

    Attributes:
        sample: its id, unique in the dataset.
        patient: whom it shows. All items of a patient are in one split.
        split: ``train``, ``val`` or ``test``.
        path: the file, or the first of several.
        study: the examination it is of, None when the dataset does not say.
        frame_count: how many frames the item holds, as the dataset's tables say. A still image
            holds 1. Of several files: all their frames. None: the tables do not say, and the files
            are counted when they are decoded.
        sizes: each (height, width) in pixels that its labels fit. Empty: its labels fit any size.
        values: targets and landmarks by the store's column names. A value that an item does not
            have is absent or None. ``landmarks_*`` are N x 2 points in pixels of the file's
            picture, and are scaled with it. Nothing else may be in pixels.
        files: all files of an item of several files, whose frames follow each other in this order.
            Empty: ``path`` alone.
        reading: what is done with still images, colour and codecs.
    """

    sample: str
    patient: str
    split: str
    path: Path
    study: str | None = None
    frame_count: int | None = 1
    sizes: tuple[tuple[int, int], ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    reading: Reading = Reading()

    @property
    def all_files(self) -> tuple[Path, ...]:
        """All files of the item in order, of which there is at least one."""
        return self.files or (self.path,)


@dataclass(frozen=True, eq=False)
class Scan:
    """A dataset as it was found in a folder.

    Attributes:
        reader: the dataset's name.
        root: the folder.
        items: what can be used, sorted by sample id.
        problems: why other items cannot be used.
        fatal: what makes the whole set unusable, such as a patient in two splits.
        identity: SHA-256 over what was read, see ``files_identity``.
        synthetic: whether the data is generated.
        facts: numbers that the dataset's remarks are about, by name. ``echolm data check --json``
            prints them.
        notes: what items that can be used lack, such as landmarks, and why.
        skipped: what the dataset's choices leave out, and which choice. It is no problem.
        former_identities: identities that earlier versions gave the same files, when other items
            counted. Stores that were made then are still of these files.
    """

    reader: str
    root: Path
    items: list[SourceItem]
    problems: list[Problem]
    fatal: list[str]
    identity: str
    synthetic: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[Problem] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    former_identities: tuple[str, ...] = ()

    @property
    def splits(self) -> dict[str, int]:
        """Usable items of each split."""
        counts = Counter(item.split for item in self.items)
        return {split: counts[split] for split in SPLITS}


def why_no_run(splits: Mapping[str, int], needed: Sequence[str] = SPLITS) -> str:
    """Say which splits that a run needs hold nothing, or ''.

    Args:
        splits: split -> how many items it holds. Nothing is said of a split that is not named.
        needed: the splits that a run needs.
    """
    empty = [split for split in needed if splits.get(split) == 0]
    if not empty:
        return ""
    return (
        f"no run can be trained on it: no sample in split {' and '.join(empty)}; "
        f"a run needs {', '.join(needed)}"
    )


def files_identity(
    root: Path,
    tables: Iterable[str],
    sizes: Mapping[str, int],
    choices: Mapping[str, Any] | None = None,
) -> str:
    """Return SHA-256 over a dataset's tables and choices, and name and size of each item's file.

    The bytes of the items' files do not enter: reading them all would take hours.

    Args:
        root: the dataset's folder.
        tables: names of the tables in it.
        sizes: file name -> bytes of the items' files, in the order of the items.
        choices: the dataset's fields that decide which items it has and what they are
            (``Dataset.choices``). None chosen: the identity is that of a dataset without fields.
    """
    digests = {}
    for name in tables:
        digests[name] = hashlib.sha256((root / name).read_bytes()).hexdigest()
    files = [[name, size] for name, size in sizes.items()]
    identity: dict[str, Any] = {"tables": digests, "videos": files}
    if choices:
        identity["choices"] = dict(choices)
    return hashlib.sha256(canonical_json(identity).encode()).hexdigest()


def shared_patients(items: Iterable[SourceItem]) -> list[str]:
    """Say for each patient in more than one split where that shows.

    What was learned from such a patient would be tested on the same patient.
    """
    first_samples: dict[str, dict[str, str]] = defaultdict(dict)
    for item in items:
        first_samples[item.patient].setdefault(item.split, item.sample)
    reasons = []
    for patient, samples in first_samples.items():
        if len(samples) > 1:
            splits = [f"{split} ({sample})" for split, sample in samples.items()]
            reasons.append(f"patient {patient} is in {' and '.join(splits)}")
    return reasons
