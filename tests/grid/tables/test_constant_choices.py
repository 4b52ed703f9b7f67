"""The constant prediction of other samples is another one; older runs keep theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grid.tables.constants import constant_path

RUN = {
    "data": "d" * 64,
    "params.task.name": "ef",
    "params.data.fraction": "1.0",
    "params.data.subset_seed": "0",
}
AS_BEFORE = {
    "params.data.of": "train+val",
    "params.data.by": "sample",
    "params.data.where": "{}",
    "params.clip.name": "ed-to-es",
}


def place(**further: Any) -> Path:
    path = constant_path(Path("results"), RUN | further)
    assert path is not None
    return path


def test_runs_from_before_the_fields_were_there_keep_their_constant() -> None:
    assert place(**AS_BEFORE) == place() == place(**dict.fromkeys(AS_BEFORE))


@pytest.mark.parametrize(
    "further",
    [
        {"params.data.of": "train"},
        {"params.data.by": "patient"},
        {"params.data.where.view": "2CH"},
        {"params.data.where.view": "4CH"},
        {"params.clip.name": "uniform"},
    ],
    ids=str,
)
def test_other_samples_have_another_constant(further: dict[str, str]) -> None:
    plain = {name: text for name, text in AS_BEFORE.items() if name not in further}
    assert place(**plain, **further) not in (place(), place(**{"params.data.where.view": "PLAX"}))
