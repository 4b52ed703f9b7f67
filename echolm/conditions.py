"""Conditions on the values of an item: ``{view: 2CH, quality: [Good, Medium], age: <60}``.

They are kept as sorted tuples, so that one meaning has one form, which can be hashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

Conditions = tuple[tuple[str, tuple[str | int | float, ...]], ...]
"""Names of an item's values, sorted, each with those of which it must have one."""


def _read_conditions(content: Any) -> Any:
    """Read ``{view: 2CH, quality: [Good, Medium]}``."""
    if isinstance(content, tuple):
        return content  # they were read before
    if not isinstance(content, Mapping):
        raise ValueError("a mapping of an item's values, such as {view: 2CH}")
    conditions = []
    for name in sorted(content, key=str):
        values = content[name] if isinstance(content[name], list | tuple) else [content[name]]
        if not values:
            raise ValueError(f"{name}: an empty list, which no item meets")
        for value in values:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError(
                    f"{name}: {value!r} is neither a text nor a number (in YAML yes, no, on, off, "
                    "true and false are not: write them in quotes)"
                )
        unique = sorted(set(values), key=lambda value: (isinstance(value, str), value))
        conditions.append((name, tuple(unique)))
    return tuple(conditions)


def _conditions_mapping(conditions: Conditions) -> dict[str, Any]:
    """Return conditions as a file says them: a value alone, or a list of several."""
    return {name: values[0] if len(values) == 1 else [*values] for name, values in conditions}


_VALUE_SCHEMA = {"type": ["string", "number"]}
Where = Annotated[
    Conditions,
    BeforeValidator(_read_conditions),
    PlainSerializer(_conditions_mapping),
    WithJsonSchema(
        {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    _VALUE_SCHEMA,
                    {"type": "array", "items": _VALUE_SCHEMA, "minItems": 1},
                ]
            },
        }
    ),
]
"""A field that is written and stored as a mapping."""
