"""Which files of a folder are predicted as one item: the still pictures of a study.

A run of a data set whose items are studies of pictures (TMED-2) sees all pictures of a study as one
clip. So does its prediction. Videos are always items of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from echolm.datasets import DATASETS
from echolm.predict.find_clips import STILLS

Joined = Literal["file", "study", "folder"]
"""Which pictures are one item: each by itself, those of a study, or those of a folder."""
JOINED: tuple[Joined, ...] = get_args(Joined)
NUMBERED = re.compile(r"(?P<study>.+)_(?P<number>[0-9]+)")
"""A picture's name without its extension, as in ``3725s1_5``: picture 5 of study 3725s1."""
DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class PredictItem:
    """What is predicted as one clip.

    Attributes:
        name: the path in the folder that was searched, of its file, its folder or its study.
        files: its files in order.
    """

    name: str
    files: tuple[Path, ...]


def joined_by_default(dataset: str | None) -> Joined:
    """Return which pictures are one item of a data set. ``dataset``: None where it is not known."""
    if dataset in DATASETS.names() and DATASETS.get(str(dataset)).joins_pictures:
        return "study"
    return "file"


def items_of(files: Sequence[Path], source: Path, joined: Joined) -> list[PredictItem]:
    """Return the items that some files are, in the order of their names.

    Args:
        files: below ``source``.
        source: the folder that was searched.
        joined: which pictures are one item. Those of a study are in one folder, and are called
            ``STUDY_NUMBER.png``. They come in the order of their numbers. Those of a folder come
            in the order of their names, in which numbers count as numbers.
    """
    name_of: dict[Joined, Callable[[Path], str]] = {"study": _study, "folder": _folder}
    by_name: dict[str, list[Path]] = {}
    for file in files:
        place = file.relative_to(source)
        name = place.as_posix()
        if joined in name_of and file.suffix.lower() in STILLS:
            name = name_of[joined](place)
        by_name.setdefault(name, []).append(file)
    items = []
    for name in sorted(by_name):
        items.append(PredictItem(name, tuple(sorted(by_name[name], key=_natural))))
    return items


def _study(place: Path) -> str:
    """Return the study of a picture with its folder. The picture itself where it has no number."""
    match = NUMBERED.fullmatch(place.stem)
    return (place.parent / match["study"] if match else place).as_posix()


def _folder(place: Path) -> str:
    return place.parent.as_posix()


def _natural(file: Path) -> list[tuple[int, str]]:
    """Return what sorts names so that picture 9 comes before picture 10."""
    parts = []
    for part in DIGITS.split(file.name):
        parts.append((int(part), "") if part.isdigit() else (-1, part))
    return parts
