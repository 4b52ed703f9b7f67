"""The two keys of a run: the *cell id* hashes the configuration, the *fingerprint* more.

The fingerprint adds data and weights. Both hash canonical JSON: sorted keys, shortest numbers
(1 for 1.0), no white space. A field is left out only at its *neutral* value, declared once
(``Neutral``) when the field is introduced and never changed: the value under which the code behaves
as it did before the field existed. So a later field never changes an existing key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from pydantic import BaseModel

CELL_DIGITS = 16
_SCALARS = (str, int, float, type(None))
_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
)


@dataclass(frozen=True)
class Neutral:
    """Marks a field: ``Annotated[T, Neutral(value)]`` is left out of the canonical form there.

    The neutral value of a component is a name: that of the component without further fields.
    """

    value: Any


def canonical(model: BaseModel) -> dict[str, Any]:
    """Return the configuration as plain data, without fields at their neutral value."""
    return _plain(model)


def canonical_json(data: Any) -> str:
    """Return one text for one content.

    Raises:
        ValueError: NaN or infinity.
    """
    return _ENCODER.encode(data)


def cell_id(config: BaseModel) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of the configuration alone. Needs no files."""
    return _cell_id(_json(config))


def protocols(config: BaseModel) -> dict[str, int]:
    """Return the protocol numbers of the components a configuration uses.

    Returns:
        For instance ``{"head:mlp": 1, "training": 1}``.
    """
    return dict(_protocols(config))


def fingerprint(config: BaseModel, data: str, weights: str) -> str:
    """Return the SHA-256 (64 hexadecimal digits) of all that makes the result.

    That is configuration, protocols, data fingerprint and weights' identity.
    """
    return keys(config, data, weights)[1]


def keys(config: BaseModel, data: str, weights: str) -> tuple[str, str]:
    """Return ``cell_id`` and ``fingerprint``, of one text."""
    config_json = _json(config)
    # The canonical_json of the four, put together by name, so that remembered texts are used.
    text = (
        f'{{"config":{config_json}'
        f',"data":{_scalar_json(data)}'
        f',"protocols":{_protocols_json(_protocols(config))}'
        f',"weights":{_scalar_json(weights)}}}'
    )
    return _cell_id(config_json), _sha256(text)


def _cell_id(config_json: str) -> str:
    return _sha256(config_json)[:CELL_DIGITS]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _protocols(config: BaseModel) -> tuple[tuple[str, int], ...]:
    from echolm.protocols import DATA_PROTOCOL, TRAINING_PROTOCOL

    used = [("data", DATA_PROTOCOL), ("training", TRAINING_PROTOCOL)]
    for field, part in _fields_with_meaning(config):
        if _has_protocol(type(part)):  # type: ignore[arg-type]
            used.append((f"{field}:{part.name}", part.protocol))
    return tuple(used)


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(item) for name, item in _fields_with_meaning(value)}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)  # one spelling of equal numbers: 1 and 1.0, 0.0 and -0.0
    return value


def _json(value: BaseModel) -> str:
    """Return ``canonical_json(_plain(model))``.

    The texts of nested components are remembered: grids share them.
    """
    parts = []
    for name, item in _fields_with_meaning(value):
        if isinstance(item, BaseModel):
            text = _component_json(item)
        elif isinstance(item, _SCALARS):
            text = _scalar_json(item)
        else:
            text = canonical_json(_plain(item))
        parts.append(f'"{name}":{text}')
    return "{" + ",".join(parts) + "}"


def _fields_with_meaning(model: BaseModel) -> list[tuple[str, Any]]:
    """Return the fields that are not at their neutral value, sorted by name."""
    neutral = _neutral(type(model))
    fields = []
    for name in _sorted_fields(type(model)):
        value = getattr(model, name)
        if name not in neutral or not _is_neutral(value, neutral[name]):
            fields.append((name, value))
    return fields


def _is_neutral(value: Any, neutral: Any) -> bool:
    """Tell whether a field has its neutral value, which of a component is its name."""
    if isinstance(value, BaseModel) and isinstance(neutral, str):
        return _component_json(value) == canonical_json({"name": neutral})
    return bool(value == neutral)


@lru_cache(maxsize=4096)
def _component_json(model: BaseModel) -> str:
    return canonical_json(_plain(model))


@lru_cache(maxsize=4096, typed=True)
def _scalar_json(value: Any) -> str:
    return canonical_json(_plain(value))


@lru_cache(maxsize=4096)
def _protocols_json(used: tuple[tuple[str, int], ...]) -> str:
    return canonical_json(dict(used))


@cache
def _has_protocol(cls: type[Any]) -> bool:
    return isinstance(getattr(cls, "protocol", None), int)


@cache
def _neutral(cls: type[BaseModel]) -> dict[str, Any]:
    """Return the neutral values of a model's marked fields, by name."""
    values = {}
    for name, field in cls.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Neutral):
                values[name] = mark.value
    return values


@cache
def _sorted_fields(cls: type[BaseModel]) -> list[str]:
    return sorted(cls.model_fields)
