"""What a schema finds wrong is one plain sentence: what was given, and what is valid."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr, ValidationError
from pydantic_core._pydantic_core import list_all_errors

from echolm.yaml_files import explain_validation


class Side(StrEnum):
    LEFT = "left"
    RIGHT = "right"


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    width: int = 1


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Whole(BaseModel):
    """A field of each kind that configurations have."""

    model_config = ConfigDict(extra="forbid")
    needed: int
    word: Literal["simpson", "released"] = "simpson"
    fold: Literal[0, 1, 2] = 0
    side: Side = Side.LEFT
    views: Literal["fresh"] | Annotated[int, Field(ge=1)] = 1
    blocks: Annotated[int, Field(ge=0)] | Literal["all"] = 0
    seed: int | None = Field(None, ge=0)
    labels: tuple[StrictStr | StrictInt, ...] = Field(("a",), min_length=1)
    pair: tuple[int, int] = (1, 2)
    lists: list[int] | str = ""
    shares: dict[str, float] = {}
    name: str = Field("a", pattern="^[a-z]+$")
    title: str = Field("aa", min_length=2, max_length=4)
    yes: bool = False
    share: float = Field(0.5, gt=0, lt=1, allow_inf_nan=False)
    whole: float = Field(1, le=1)
    even: int = Field(2, multiple_of=2)
    folder: Path = Path()
    part: Part = Part()
    animal: Annotated[Cat | Dog, Field(discriminator="kind")] = Cat(kind="cat")


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "a word": (
        {"word": "simson"},
        "word: 'simson' is not valid; did you mean 'simpson'? valid: released, simpson",
    ),
    "a far word": ({"word": "disks"}, "word: 'disks' is not valid; valid: released, simpson"),
    "a number of a choice": ({"fold": 5}, "fold: 5 is not valid; valid: 0, 1, 2"),
    "a list for a choice": ({"fold": [1]}, "fold: a list is not valid; valid: 0, 1, 2"),
    "an enum": (
        {"side": "lft"},
        "side: 'lft' is not valid; did you mean 'left'? valid: left, right",
    ),
    "a choice or a number": (
        {"views": "frsh"},
        "views: 'frsh' is not valid; did you mean 'fresh'? valid: fresh, or a whole number",
    ),
    "a number out of it": ({"blocks": -1}, "blocks: -1 is not valid; valid: all, or 0 or more"),
    "a negative": ({"seed": -1}, "seed: -1 is not valid; valid: 0 or more"),
    "half": ({"seed": 1.5}, "seed: 1.5 is not valid; valid: a whole number"),
    "text for a number": ({"seed": "x"}, "seed: 'x' is not valid; valid: a whole number"),
    "none for a number": ({"needed": None}, "needed: nothing (null) is not valid; valid: a whole"),
    "none in a list": (
        {"labels": ["a", None]},
        "labels.1: nothing (null) is not valid; valid: a text or a whole number",
    ),
    "an only one that is wrong": (
        {"labels": [None]},
        "labels.0: nothing (null) is not valid; valid: a text or a whole number",
    ),
    "no value": ({"labels": []}, "labels: an empty list is not valid; valid: 1 or more values"),
    "a text for a list": ({"labels": "a"}, "labels: 'a' is not valid; valid: a list"),
    "too many": ({"pair": [1, 2, 3]}, "pair: a list is not valid; valid: at most 2 values"),
    "too few": ({"pair": [1]}, "pair.1: is missing, and must be given"),
    "inside one of two kinds": (
        {"lists": ["a"]},
        "lists.0: 'a' is not valid; valid: a whole number",
    ),
    "of no kind": ({"lists": None}, "lists: nothing (null) is not valid; valid: a list or a text"),
    "in a mapping": ({"shares": {"a": "b"}}, "shares.a: 'b' is not valid; valid: a number"),
    "an entry called int": ({"shares": {"int": "b"}}, "shares.int: 'b' is not valid; valid: a n"),
    "a list for a mapping": ({"shares": [1]}, "shares: a list is not valid; valid: a mapping"),
    "a pattern": ({"name": "A"}, "name: 'A' is not valid; valid: a text of the form ^[a-z]+$"),
    "short": ({"title": "a"}, "title: 'a' is not valid; valid: a text of 2 or more characters"),
    "long": ({"title": "aaaaa"}, "title: 'aaaaa' is not valid; valid: a text of at most 4 char"),
    "a long text": ({"seed": "9" * 5 + "x" * 200}, "seed: '99999xxxxx"),
    "no text": ({"title": 3}, "title: 3 is not valid; valid: a text"),
    "maybe": ({"yes": "maybe"}, "yes: 'maybe' is not valid; valid: true or false"),
    "three for yes": ({"yes": 3}, "yes: 3 is not valid; valid: true or false"),
    "a list for yes": ({"yes": []}, "yes: an empty list is not valid; valid: true or false"),
    "nought": ({"share": 0}, "share: 0 is not valid; valid: more than 0"),
    "one": ({"share": 1}, "share: 1 is not valid; valid: less than 1"),
    "two": ({"whole": 2}, "whole: 2 is not valid; valid: 1 or less"),
    "endless": ({"share": float("nan")}, "share: nan is not valid; valid: a finite number"),
    "text for a share": ({"share": "half"}, "share: 'half' is not valid; valid: a number"),
    "odd": ({"even": 3}, "even: 3 is not valid; valid: a multiple of 2"),
    "a number for a path": ({"folder": 3}, "folder: 3 is not valid; valid: a path"),
    "a number for a part": ({"part": 3}, "part: 3 is not valid; valid: a mapping"),
    "a part's field": ({"part": {"width": "x"}}, "part.width: 'x' is not valid; valid: a whole"),
    "an unknown field": ({"part": {"widht": 1}}, "part.widht: unknown field"),
    "another kind": (
        {"animal": {"kind": "cow"}},
        "animal: kind 'cow' is not valid; valid: cat, dog",
    ),
    "no kind": ({"animal": {}}, "animal: kind is missing, and must be given"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_one_plain_sentence(mistake: str) -> None:
    values, sentence = MISTAKES[mistake]
    lines = _lines({"needed": 1, **values})
    assert len(lines) == 1
    assert lines[0].startswith(f"run.yaml: {sentence}")


def test_several_mistakes_are_a_line_each() -> None:
    lines = _lines({"seed": -1, "blocks": "al", "labels": [None, None]})
    assert [line.split(": ")[1] for line in lines] == [
        "needed",
        "blocks",
        "seed",
        "labels.0",
        "labels.1",
    ]


def test_every_error_of_pydantic_has_words_of_its_own() -> None:
    for facts in list_all_errors():
        line_error = {"type": facts["type"], "loc": ("field",), "input": "x"}
        line_error["ctx"] = facts.get("example_context") or {}
        validation = ValidationError.from_exception_data("Whole", [line_error])
        [line] = explain_validation(validation, "run.yaml").split("\n")
        assert line.startswith("run.yaml: field: "), facts["type"]
        assert "Input should" not in line
        assert "Value error" not in line


def _lines(values: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(values)
    return explain_validation(caught.value, "run.yaml").split("\n")
