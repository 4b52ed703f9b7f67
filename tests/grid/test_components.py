"""What ``echolm components`` says of everything that has a name."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from pydantic import Field

from echolm.encoders import ENCODERS
from echolm.errors import EchoLMError
from echolm.heads import HEADS, Head
from grid.components import REGISTRIES, describe_component, kinds, list_components
from grid.statistics import KINDS, STATISTICS


def names(kind: str) -> list[str]:
    """The names that are listed of a kind."""
    return [facts["name"] for facts in list_components(kind)]


def test_every_registered_component_is_listed_once() -> None:
    for kind, registry in REGISTRIES.items():
        assert {*names(kind)} - {"uniform-N", "every-P"} == {*registry.names()}, kind
    assert names("statistic") == sorted(STATISTICS)
    assert names("spread") == sorted(KINDS)


@pytest.mark.parametrize("kind", kinds())
def test_every_component_says_what_it_is_and_where_it_comes_from(kind: str) -> None:
    for name in names(kind):
        description = describe_component(kind, name)
        assert description["summary"].endswith("."), f"{kind} {name}: {description['summary']!r}"
        assert description["source"].partition(".")[0] in ("echolm", "grid")
        json.dumps(description, allow_nan=False)
        for field in description["fields"]:
            assert field["type"], f"{kind} {name}: {field}"


def test_the_defaults_are_those_of_a_component_that_is_named_alone() -> None:
    for kind, registry in REGISTRIES.items():
        for name in registry.names():
            fields = describe_component(kind, name)["fields"]
            if any(field["required"] for field in fields):
                continue
            component = json.loads(registry.parse(name).model_dump_json())
            defaults = {field["name"]: field["default"] for field in fields}
            assert {"name": name, **defaults} == component


def test_clip_rules_with_a_number_are_listed_and_explained() -> None:
    assert {"uniform-N", "every-P", "ed-to-es-16"} <= {*names("rules")}
    assert "uniform-N" not in names("clips"), "those of a run"
    for name in ("uniform-N", "uniform-24"):
        description = describe_component("rule", name)
        assert (description["name"], description["fields"]) == (name, [])
        assert "evenly spaced" in description["summary"]
    with pytest.raises(EchoLMError, match="uniform-N with N from 1 to 1000"):
        describe_component("rule", "uniform-0")


def test_fields_have_their_type_default_and_range() -> None:
    fields = {field["name"]: field for field in describe_component("head", "mlp")["fields"]}
    assert fields["width"] == {
        "name": "width",
        "type": "int",
        "default": 256,
        "required": False,
        "range": ">= 1",
    }
    assert fields["dropout"]["range"] == ">= 0, < 1"


def test_an_encoder_states_its_clips_and_published_weights() -> None:
    facts = describe_component("encoder", "echoprime")["facts"]
    assert facts["frames"] == ENCODERS.get("echoprime").frames
    [published] = [fact for fact in facts if fact.startswith("weights published:")]
    assert "licence" in facts[published]


def test_a_plugins_component_is_listed_with_its_source(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wide(Head):
        """A head that is wide."""

        name: Literal["wide-head"] = "wide-head"
        width: int = Field(default=7, ge=1)

    monkeypatch.setattr(HEADS, "_classes", {**HEADS._classes})
    HEADS.register(Wide)
    assert "wide-head" in names("head")
    description = describe_component("heads", "wide-head")
    assert description["source"] == __name__
    assert [field["default"] for field in description["fields"]] == [7]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("encodr", "mlp", "no kind of component 'encodr'; did you mean 'encoder'?"),
        ("head", "mpl", "no head 'mpl'; did you mean 'mlp'?"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(kind: str, name: str, message: str) -> None:
    with pytest.raises(EchoLMError) as error:
        describe_component(kind, name)
    assert message in str(error.value)


@pytest.mark.parametrize("kind", kinds())
def test_kinds_may_be_written_in_the_plural(kind: str) -> None:
    plural = f"{kind}s"
    assert names(plural) == names(kind)


def test_clips_of_runs_and_clip_rules_of_stores_are_two_kinds() -> None:
    assert names("clip") == names("clips") == ["ed-to-es", "uniform", "window"]
    assert {"all", "ed-to-es-16"} <= set(names("rules"))
    window = describe_component("clip", "window")
    fields = [(field["name"], field["default"], field["range"]) for field in window["fields"]]
    assert fields == [("period", 1, ">= 1"), ("windows", 1, ">= 1"), ("short", "repeat", "")]
    assert describe_component("task", "landmarks")["facts"]["clips"] == ["ed-to-es"]
    assert describe_component("clip", "ed-to-es")["facts"]["needs"] == ["ed", "es"]
