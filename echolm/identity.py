"""The two keys of a run: the *cell id* hashes the configuration, the *fingerprint* adds data and weights.

Both hash canonical JSON: sorted keys, shortest numbers (1 for 1.0), no white space. A field is left out only at its *neutral*
value, declared once (``Neutral``) when the field is introduced and never changed: the value under which the code
behaves as it did before the field existed. So a later field never changes an existing key.
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
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@dataclass(frozen=True)
class Neutral:
    """Marks a field: ``Annotated[T, Neutral(value)]`` is left out of the canonical form at ``value``."""

    value: Any


def canonical(model: BaseModel) -> dict[str, Any]:
    """The resolved configuration as plain data, without fields at their neutral value."""
    return _plain(model)


def canonical_json(data: Any) -> str:
    """One text per content. NaN and infinity are refused (ValueError)."""
    return _ENCODER.encode(data)


def cell_id(config: BaseModel) -> str:
    """16 hexadecimal digits of the SHA-256 of the configuration alone. Needs no files."""
    return hashlib.sha256(_json(config).encode()).hexdigest()[:CELL_DIGITS]


def protocols(config: BaseModel) -> dict[str, int]:
    """The protocol numbers of the components a configuration uses, e.g. ``{"head:mlp": 1, "training": 1}``."""
    return dict(_protocols(config))


def fingerprint(config: BaseModel, data: str, weights: str) -> str:
    """SHA-256 (64 hexadecimal digits) of configuration, protocols, data fingerprint and weights' identity."""
    return keys(config, data, weights)[1]


def keys(config: BaseModel, data: str, weights: str) -> tuple[str, str]:
    """``cell_id`` and ``fingerprint``, of one text."""
    own = _json(config)
    parts = {"config": own, "data": _scalar_json(data), "protocols": _protocols_json(_protocols(config)), "weights": _scalar_json(weights)}
    text = "{" + ",".join(f'"{name}":{value}' for name, value in parts.items()) + "}"  # canonical_json of the four, by name
    return hashlib.sha256(own.encode()).hexdigest()[:CELL_DIGITS], hashlib.sha256(text.encode()).hexdigest()


def _protocols(config: BaseModel) -> tuple[tuple[str, int], ...]:
    from echolm.data import DATA_PROTOCOL
    from echolm.training import TRAINING_PROTOCOL

    parts = ((field, getattr(config, field)) for field in _sorted_fields(type(config)))
    used = [(f"{field}:{part.name}", part.protocol) for field, part in parts if _has_protocol(type(part))]  # type: ignore[arg-type]
    return ("data", DATA_PROTOCOL), ("training", TRAINING_PROTOCOL), *used


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        neutral = _neutral(type(value))
        items = ((name, getattr(value, name)) for name in type(value).model_fields)
        return {name: _plain(item) for name, item in items if name not in neutral or item != neutral[name]}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)  # one spelling of equal numbers: 1 and 1.0, 0.0 and -0.0
    return value


def _json(value: BaseModel) -> str:
    """``canonical_json(_plain(model))`` with the text of nested components remembered: grids share them."""
    neutral = _neutral(type(value))
    parts = []
    for name in _sorted_fields(type(value)):
        item = getattr(value, name)
        if name in neutral and item == neutral[name]:
            continue
        if isinstance(item, BaseModel):
            text = _component_json(item)
        else:
            text = _scalar_json(item) if isinstance(item, _SCALARS) else canonical_json(_plain(item))
        parts.append(f'"{name}":{text}')
    return "{" + ",".join(parts) + "}"


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
    fields = cls.model_fields.items()
    return {name: mark.value for name, field in fields for mark in field.metadata if isinstance(mark, Neutral)}


@cache
def _sorted_fields(cls: type[BaseModel]) -> list[str]:
    return sorted(cls.model_fields)
