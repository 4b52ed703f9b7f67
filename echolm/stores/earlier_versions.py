"""What stores lack that an earlier EchoLM made of the same files."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echolm.stores.clips import PROBLEMS
from echolm.stores.sampling import SAMPLING_RULES
from echolm.text import counted

DATASET = "echonet-dynamic"
"""Whose videos without landmarks were no items once."""
TRACINGS = "VolumeTracings.csv"
OF_TRACINGS = frozenset(("ed", "es", "landmarks_ed", "landmarks_es"))
"""Values that a video without landmarks does not have."""
NOT_LISTED = "is not in "
"""How the reason begins for which a traced video is no item today either."""
UNTRACED = "needs exactly two traced frames"
"""How the reason begins where a video has no row of tracings to name."""


def why_smaller(store: Path, info: Mapping[str, Any]) -> str:
    """Say that a store lacks videos which would be items today, or ''.

    EchoNet-Dynamic has 10,030 videos, 99 of them without landmarks. An earlier EchoLM left these
    out of every store. Today only stores of a clip rule that needs ED and ES do so.

    Args:
        store: the store's folder.
        info: what the store says of itself (``clips.peek``).
    """
    rule = info.get("clips")
    if info.get("reader") != DATASET or not info.get("problems"):
        return ""
    if rule not in SAMPLING_RULES.names() or SAMPLING_RULES.get(rule).needs:
        return ""
    count = _count_untraced(store / PROBLEMS)
    if not count:
        return ""
    return (
        f"{counted(count, 'video')} without landmarks left out by an earlier EchoLM: they have EF "
        "and volumes, so prepare a store under another name to use them"
    )


def _count_untraced(problems: Path) -> int:
    """Count the videos that were left out because of their tracings alone."""
    count = 0
    try:
        with open(problems, encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                count += _is_untraced(row.get("file") or "", row.get("reason") or "")
    except (OSError, ValueError, csv.Error):
        return 0  # a store is whole without the list
    return count


def _is_untraced(file: str, reason: str) -> bool:
    if file == TRACINGS:
        return not reason.startswith(NOT_LISTED)
    return reason.startswith(UNTRACED)
