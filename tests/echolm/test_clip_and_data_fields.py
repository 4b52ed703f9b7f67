"""What a user can write of a run's clip and samples, what mistakes are told, and its keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import pytest

from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.identity import canonical, canonical_json, cell_id, fingerprint, protocols
from echolm.objectives import OBJECTIVES, Objective
from echolm.tasks import TASKS, Task

BASE: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "k1",
    "head": "mlp",
}
DATA = "d" * 64


@pytest.fixture(autouse=True)
def components() -> Iterator[None]:
    """Toy components, registered as a plugin would and removed after the test."""

    class Ejection(Task):
        name: Literal["ejection"] = "ejection"

        def outputs(self) -> tuple[int, ...]:
            return (1,)

    class OwnFrames(Ejection):
        sampling: ClassVar[str] = "uniform-16"
        name: Literal["own-frames"] = "own-frames"  # type: ignore[assignment]

    class Masked(Objective):
        name: Literal["masked"] = "masked"

    added: list[tuple[Any, Any]] = [
        (TASKS, Ejection),
        (TASKS, OwnFrames),
        (OBJECTIVES, Masked),
    ]
    for registry, cls in added:
        registry.register(cls)
    yield
    for registry, cls in added:
        name = cls.model_fields["name"].default
        del registry._classes[name]
        registry._bare.pop(name, None)


def cell(**changes: Any) -> str:
    return cell_id(parse_config({**BASE, **changes}))


MISTAKES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "clip that the task is not learned from": (
        {"clip": "uniform"},
        ["clip: uniform: landmarks is learned from ed-to-es"],
    ),
    "clip of a task that chooses its frames": (
        {"clip": "uniform", "task": "own-frames"},
        ["clip: uniform would change nothing", "own-frames chooses its frames", "leave clip out"],
    ),
    "unknown clip": ({"clip": "unifrom"}, ["clip: ", "did you mean 'uniform'", "ed-to-es"]),
    "clip without a period": (
        {"clip": {"name": "window", "period": 0}, "task": "ejection"},
        ["clip.period: ", "0 is not valid; valid: 1 or more"],
    ),
    "windows of a clip that has none": (
        {"clip": {"name": "uniform", "windows": 3}, "task": "ejection"},
        ["clip: ", "unknown field 'windows'", "valid: name"],
    ),
    "windows of a pretraining": (
        {
            **dict.fromkeys(("task", "trainable", "head"), ...),
            "kind": "pretrain",
            "objective": "masked",
            "clip": {"name": "window", "windows": 2},
        },
        ["clip: 2 windows", "a pretraining has one"],
    ),
    "fraction of another split": (
        {"data": {"name": "d", "of": "test"}},
        ["data.of: 'test' is not valid; ", "valid: train, train+val"],
    ),
    "fraction by study": (
        {"data": {"name": "d", "by": "study"}},
        ["data.by: 'study' is not valid; ", "valid: patient, sample"],
    ),
    "where that is no mapping": (
        {"data": {"name": "d", "where": ["2CH"]}},
        ["data.where: ", "such as {view: 2CH}"],
    ),
    "where of nothing": (
        {"data": {"name": "d", "where": {"view": []}}},
        ["data.where: ", "view: an empty list, which no item meets"],
    ),
    "where of a yes": (
        {"data": {"name": "d", "where": {"calcified": True}}},
        ["data.where: ", "calcified: True is neither a text nor a number", "in quotes"],
    ),
    "where of a mapping": (
        {"data": {"name": "d", "where": {"view": {"name": "2CH"}}}},
        ["data.where: ", "neither a text nor a number"],
    ),
    "where of what is not a number": (
        {"data": {"name": "d", "where": {"ef": float("nan")}}},
        ["data.where", "finite"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_names_the_field_and_what_is_valid(mistake: str) -> None:
    changes, fragments = MISTAKES[mistake]
    values = {name: value for name, value in {**BASE, **changes}.items() if value is not ...}
    with pytest.raises(EchoLMError) as caught:
        parse_config(values, "my run.yaml")
    message = str(caught.value)
    assert message.startswith("my run.yaml: ") and "Value error" not in message
    assert [fragment for fragment in fragments if fragment not in message] == [], message


@pytest.mark.parametrize(
    ("clip", "plain"),
    [
        ("uniform", {"name": "uniform"}),
        ({"name": "window"}, {"name": "window", "period": 1, "windows": 1, "short": "repeat"}),
        (
            {"name": "window", "period": 2, "windows": 4},
            {"name": "window", "period": 2, "windows": 4, "short": "repeat"},
        ),
    ],
)
def test_a_clip_is_a_component(clip: Any, plain: dict[str, Any]) -> None:
    config = parse_config({**BASE, "task": "ejection", "clip": clip})
    assert config.model_dump(mode="json")["clip"] == plain
    assert parse_config(config.model_dump(mode="json")) == config


def test_conditions_are_stored_as_they_are_written_and_have_one_form() -> None:
    def data(where: Any) -> Any:
        return parse_config({**BASE, "data": {"name": "d", "where": where}}).data

    written = {"view": "2CH", "quality": ["Good", "Medium"], "grade": 2}
    assert data(written).model_dump(mode="json")["where"] == {**written}
    same = {"quality": ["Medium", "Good", "Good"], "view": ["2CH"], "grade": 2.0}
    assert data(same) == data(written) and hash(data(same)) == hash(data(written))
    assert data({}).where == () and data({}).model_dump()["where"] == {}
    assert data({"grade": 2}) != data({"grade": "2"})


def test_the_clip_of_runs_that_name_none_is_in_neither_key() -> None:
    plain, named = parse_config(BASE), parse_config({**BASE, "clip": "ed-to-es"})
    assert "clip" not in canonical(named) and "clip" not in canonical_json(canonical(named))
    assert cell_id(named) == cell_id(plain)
    assert fingerprint(named, DATA, "random") == fingerprint(plain, DATA, "random")
    assert not [part for part in protocols(named) if part.startswith("clip")]


def test_every_choice_of_data_is_another_cell() -> None:
    choices: list[dict[str, Any]] = [
        {},
        {"of": "train"},
        {"by": "patient"},
        {"where": {"view": "2CH"}},
        {"where": {"view": ["2CH", "4CH"]}},
        {"where": {"view": "2CH", "quality": "Good"}},
        {"where": {"grade": 1}},
        {"where": {"grade": "1"}},
    ]
    neutral = {"name": "phantom", "of": "train+val", "by": "sample", "where": {}}
    assert cell(data=neutral) == cell()
    cells = {cell(data={"name": "phantom", **choice}) for choice in choices}
    assert len(cells) == len(choices)
    listed = cell(data={"name": "phantom", "where": {"view": ["4CH", "2CH"]}})
    assert listed in cells
    assert cell(data={"name": "phantom", "where": {"grade": 1.0}}) in cells
