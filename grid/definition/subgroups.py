"""Subgroups of test samples, by a value that the store holds of each: ``sex: F``, ``age: <60``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator

from echolm.errors import EchoLMError
from echolm.value_groups import FORMS, UNKNOWN_GROUP, is_unknown, known_values

ALL = "all"
"""The row of everybody, beside those of subgroups."""
AXIS = "subgroup"
"""The axis of a table's rows that tells subgroups apart."""


def _as_label(value: Any) -> Any:
    """Spell a number of YAML as a label."""
    if isinstance(value, bool):
        raise ValueError("a group is a text or a number; put yes, no, true and false in quotes")
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, str) and not value:
        raise ValueError(f"a group without a name; those without a value are {UNKNOWN_GROUP!r}")
    return value


GroupLabel = Annotated[str, BeforeValidator(_as_label)]
"""The label of a group: a value, a range of numbers, or ``unknown``."""


def group_name(subgroup: Mapping[str, str]) -> str:
    """Spell a subgroup: ``sex F, age <60``. Empty for everybody."""
    return ", ".join(f"{name} {label}" for name, label in subgroup.items())


def natural_groups(values: Sequence[Any], name: str) -> list[str]:
    """Return the groups of a text, in the order of their names. Those of a number must be given.

    Raises:
        EchoLMError: the value is a number.
    """
    known = known_values(values)
    if not all(isinstance(value, str) for value in values if not is_unknown(value)):
        raise EchoLMError(
            f"subgroup {name}: is a number; name its groups, as in {name}='<60|60-75|>=75'; {FORMS}"
        )
    return known
