"""The clip of runs, and what chooses their samples, as axes of a grid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from echolm.tasks import TASKS, Task
from grid.definition.default_table import NAME, with_default_table
from grid.definition.grid import Grid, grid_of

BASE: dict[str, Any] = {
    "data": "echo",
    "task": "volume",
    "encoder": "tiny-r3d",
    "weights": "random",
    "trainable": "k0",
    "head": "mlp",
}


class Volume(Task):
    """A number, of any clip."""

    name: Literal["volume"] = "volume"

    def outputs(self) -> tuple[int, ...]:
        return (1,)

    def describe(self) -> dict[str, Any]:
        return {"mae": {"unit": "ml", "better": "lower", "range": (0, None)}}


@pytest.fixture(autouse=True)
def volume() -> Iterator[None]:
    """The task, registered as a plugin would."""
    TASKS.register(Volume)
    yield
    del TASKS._classes["volume"]
    TASKS._bare.pop("volume", None)


def grid(**axes: Any) -> Grid:
    return grid_of({"base": BASE, "axes": axes}, Path("clips.yaml"))


CLIPS = [
    "ed-to-es",
    "uniform",
    {"name": "window", "period": 2},
    {"label": "four windows", "set": {"clip": {"name": "window", "period": 2, "windows": 4}}},
]


def test_clips_are_labelled_by_their_name_and_chosen_by_it() -> None:
    shown = grid(clip=CLIPS, seed=[0, 1])
    assert len({cell.id for cell in shown.cells}) == 8
    labels = [cell.coordinates["clip"] for cell in shown.cells[::2]]
    assert labels == ["ed-to-es", "uniform", "window", "four windows"]
    four = shown.where(["clip=four windows"])
    assert [cell.config.clip.passes() for cell in four] == [4, 4]
    [first] = grid(seed=[0]).cells
    assert first.id == shown.cells[0].id, "the clip of runs that name none"


def test_clips_are_rows_of_the_default_table() -> None:
    shown = grid(clip=CLIPS, seed=[0, 1])
    table = with_default_table(shown, [shown.cells[0].config]).tables[NAME]
    assert table.rows == ("clip",)


def test_fields_of_a_clip_and_conditions_are_axes() -> None:
    base = {**BASE, "clip": "window"}
    axes = {"clip.period": [1, 2], "data.where.view": ["2CH", "4CH"], "data.of": ["train"]}
    shown = grid_of({"base": base, "axes": axes}, Path("views.yaml"))
    assert [cell.coordinates for cell in shown.cells][1] == {
        "clip.period": "1",
        "data.where.view": "4CH",
        "data.of": "train",
    }
    data = shown.cells[1].config.data
    assert (data.name, data.where, data.of) == ("echo", (("view", ("4CH",)),), "train")
