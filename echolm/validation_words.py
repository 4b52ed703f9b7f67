"""Put what pydantic finds wrong with data into plain sentences, one for each mistake.

A sentence names what was given, what is valid, and which valid value is the nearest. A field that
takes several kinds of values, as a number or a word, is one mistake and not one for each kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from echolm.text import suggest

LONGEST_GIVEN = 80
"""Characters of a given text that are shown."""
ALTERNATIVE = re.compile(
    r"(literal|list|tuple|set|dict|function-\w+|lax-or-strict|nullable|union)\[.*\]"
    r"|(constrained|finite|strict)-\w+",
    re.DOTALL,
)
"""How pydantic's path names one of the kinds that a field takes, beyond plain ones."""
PLAIN_KINDS = ("int", "float", "str", "bool", "none")
"""Names of plain kinds, which a person may also give to an entry of a mapping."""
CHOICE = re.compile(r"'(?:[^'\\]|\\.)*'|[^,\s]+")
CHOICES = ("literal_error", "enum")
PASSED_ON = ("value_error", "assertion_error")
"""Their messages were written here, for the person at the keyboard."""
FALLBACK = "Input should be "
"""Begins pydantic's other messages that say what is valid."""
KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "a text",
    "string_sub_type": "a text",
    "bytes_type": "a text",
    "path_type": "a path",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "iterable_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "nothing (null)",
}
"""Type of an error -> what is valid."""
Facts = Mapping[str, Any]
LIMITS: dict[str, Callable[[Facts], str]] = {
    "greater_than": lambda facts: f"more than {facts['gt']:g}",
    "greater_than_equal": lambda facts: f"{facts['ge']:g} or more",
    "less_than": lambda facts: f"less than {facts['lt']:g}",
    "less_than_equal": lambda facts: f"{facts['le']:g} or less",
    "multiple_of": lambda facts: f"a multiple of {facts['multiple_of']:g}",
    "string_pattern_mismatch": lambda facts: f"a text of the form {facts['pattern']}",
    "string_too_short": lambda facts: f"a text of {facts['min_length']} or more characters",
    "string_too_long": lambda facts: f"a text of at most {facts['max_length']} characters",
    "too_short": lambda facts: f"{facts['min_length']} or more values",
    "too_long": lambda facts: f"at most {facts['max_length']} values",
}
"""Type of an error -> what makes words of its limit."""


@dataclass(frozen=True)
class Mistake:
    """What is wrong with one field.

    Attributes:
        path: names of fields and numbers in lists that lead to it.
        sentence: what is wrong.
    """

    path: tuple[str, ...]
    sentence: str


@dataclass(frozen=True)
class _Alternatives:
    """Errors of one given value, one for each kind that its field takes."""

    path: tuple[str, ...]
    details: tuple[ErrorDetails, ...]


def mistakes(details: Sequence[ErrorDetails]) -> list[Mistake]:
    """Return the mistakes that pydantic's errors tell of, in their order."""
    found = []
    for one in _alternatives(details):
        found.append(Mistake(one.path, _sentence(one.details)))
    return found


def _alternatives(details: Sequence[ErrorDetails]) -> list[_Alternatives]:
    """Put the errors of one value together.

    Where a value is of one of its field's kinds but for something in it, the errors of the other
    kinds are left out. So is that of a list which is too short without its wrong values.
    """
    by_place: dict[tuple[Any, ...], list[ErrorDetails]] = {}
    for detail in details:
        by_place.setdefault(_place(detail, details), []).append(detail)
    paths = {path for path, _ in by_place}
    found = []
    for (path, _), together in by_place.items():
        is_inside = any(len(other) > len(path) and other[: len(path)] == path for other in paths)
        if is_inside and (together[0]["type"] == "too_short" or _is_of_a_kind(together[0])):
            continue
        found.append(_Alternatives(path, tuple(together)))
    return found


def _place(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> tuple[tuple[str, ...], int]:
    """Return the path of an error without the names of kinds, and the identity of its value."""
    last = len(detail["loc"]) - 1
    path = []
    for index, part in enumerate(detail["loc"]):
        is_plain_kind = index == last and part in PLAIN_KINDS and _has_siblings(detail, details)
        if not is_plain_kind and not _names_a_kind(part):
            path.append(str(part))
    if detail["type"] in ("missing", "extra_forbidden"):
        return tuple(path), -1  # its value is the mapping that it is missing in
    return tuple(path), id(detail["input"])


def _has_siblings(detail: ErrorDetails, details: Sequence[ErrorDetails]) -> bool:
    """Tell whether another kind of the same field was tried on the same value."""
    place = detail["loc"][:-1]
    for other in details:
        if other is detail or other["loc"][: len(place)] != place:
            continue
        if len(other["loc"]) > len(place) and other["loc"] != detail["loc"]:
            kind = other["loc"][len(place)]
            if _names_a_kind(kind) or kind in PLAIN_KINDS:
                return True
    return False


def _names_a_kind(part: str | int) -> bool:
    return isinstance(part, str) and ALTERNATIVE.fullmatch(part) is not None


def _is_of_a_kind(detail: ErrorDetails) -> bool:
    """Tell whether an error is of one kind that a field takes, beside others."""
    last = detail["loc"][-1] if detail["loc"] else ""
    return last in PLAIN_KINDS or _names_a_kind(last)


def _sentence(details: Sequence[ErrorDetails]) -> str:
    """Say what is wrong with a value."""
    first = details[0]
    kind, value = first["type"], first.get("input")
    if kind == "missing":
        return "is missing, and must be given"
    if kind == "extra_forbidden":
        return "unknown field"
    if kind.startswith("union_tag"):
        return _of_a_tag(first)
    valid: dict[str, None] = {}
    choices: list[str] = []
    for detail in details:
        if detail["type"] in CHOICES:
            choices += _choices(str(detail["ctx"]["expected"]))
        elif detail["type"] in LIMITS:
            valid[LIMITS[detail["type"]](detail["ctx"])] = None
        elif detail["type"] in KINDS:
            valid[KINDS[detail["type"]]] = None
        else:
            return _message(detail)
    if not choices:
        return f"{_given(value)} is not valid; valid: {' or '.join(valid)}"
    sentence = f"{_given(value)} is not valid; {suggest(str(value), choices)}"
    return ", or ".join([sentence, *valid])


def _choices(expected: str) -> list[str]:
    """Return the values of a choice, which pydantic writes as ``'a', 'b' or 'c'``."""
    choices = []
    for word in CHOICE.findall(expected):
        if word != "or":
            choices.append(word.strip("'"))
    return choices


def _of_a_tag(detail: ErrorDetails) -> str:
    """Say which mapping is meant by a field that tells several apart."""
    facts = detail["ctx"]
    field = str(facts["discriminator"]).strip("'")
    if detail["type"] == "union_tag_not_found":
        return f"{field} is missing, and must be given"
    valid = _choices(str(facts["expected_tags"]))
    tag = str(facts["tag"])
    return f"{field} {tag!r} is not valid; {suggest(tag, valid)}"


def _message(detail: ErrorDetails) -> str:
    """Return an error's own message, with the value where that does not stand in it."""
    message = detail["msg"]
    value = detail.get("input")
    if detail["type"] in PASSED_ON:
        message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    elif message.startswith(FALLBACK):
        return f"{_given(value)} is not valid; valid: {message.removeprefix(FALLBACK)}"
    elif message.startswith("Input "):
        return f"{_given(value)} is not valid: it {message.removeprefix('Input ')}"
    if isinstance(value, str | int | float) and repr(value) not in message:
        message += f" (given {value!r})"
    return message


def _given(value: Any) -> str:
    """Spell what was given: a text or a number as it is, anything larger by what it is."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple | set | frozenset):
        return "a list" if value else "an empty list"
    text = repr(value)
    if len(text) > LONGEST_GIVEN:
        return f"{text[:LONGEST_GIVEN]}..."
    return text
