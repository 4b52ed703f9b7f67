"""What configurations, tables and searches are made of: every component, by kind and name.

Components register themselves (``echolm.registry``), those of plugins too. This is what ``echolm
components`` prints.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from echolm.config import COMPONENTS
from echolm.datasets import DATASETS
from echolm.encoders import Encoder
from echolm.errors import EchoLMError
from echolm.registry import Component, Registry, load_plugins
from echolm.stores.sampling import NUMBERED, SAMPLING_RULES
from echolm.text import suggest
from grid.search.samplers import PRUNERS, SAMPLERS
from grid.statistics import KINDS, STATISTICS

REGISTRIES: dict[str, Registry[Any]] = {
    **COMPONENTS,
    "dataset": DATASETS,
    "rule": SAMPLING_RULES,
    "sampler": SAMPLERS,
    "pruner": PRUNERS,
}
"""The components that are chosen by name, by the field or option that names them."""
PLURALS = {"objectives": "objective", "statistics": "statistic"}
"""Further spellings of a kind. An ``s`` at the end of any other is taken off."""

Facts = dict[str, Any]


def kinds() -> list[str]:
    """Return the kinds of components."""
    return [*REGISTRIES, "statistic", "spread"]


def list_components(kind: str) -> list[Facts]:
    """List the components of a kind: ``kind``, ``name``, ``summary`` (one line), ``source``.

    Raises:
        EchoLMError: there is no such kind, or a plugin cannot be imported.
    """
    kind = _known_kind(kind)
    return [_facts(kind, name, cls) for name, cls in sorted(_classes(kind).items())]


def describe_component(kind: str, name: str) -> Facts:
    """Describe one component.

    Returns:
        What ``list_components`` says, with ``text`` (the whole description), ``fields`` (each with
        ``name``, ``type``, ``default`` and ``range``) and ``facts`` (what its class states: frames,
        pixels, published weights, ...).

    Raises:
        EchoLMError: there is no such kind or component, or a plugin cannot be imported.
    """
    kind = _known_kind(kind)
    cls = _class(kind, name)
    return {
        **_facts(kind, name, cls),
        "text": inspect.cleandoc(cls.__doc__ or ""),
        "fields": _fields(cls),
        "facts": _stated(cls),
    }


def _known_kind(kind: str) -> str:
    """Return a kind by its name in the singular or plural."""
    known = kinds()
    if kind in known:
        return kind
    singular = PLURALS.get(kind, kind.removesuffix("s"))
    if singular in known:
        return singular
    raise EchoLMError(f"no kind of component {kind!r}; {suggest(kind, known)}")


def _class(kind: str, name: str) -> type:
    """Return the class of a component. EchoLMError: there is none of that name."""
    classes = _classes(kind)
    if name in classes:
        return classes[name]
    if kind == "rule" and name.rpartition("-")[0] in NUMBERED:
        return SAMPLING_RULES.get(name)
    raise EchoLMError(f"no {kind} {name!r}; {suggest(name, classes)}")


def _classes(kind: str) -> Mapping[str, type]:
    """Return the classes of a kind by name."""
    if kind in REGISTRIES:
        registry = REGISTRIES[kind]
        classes: dict[str, type] = {name: registry.get(name) for name in registry.names()}
        return {**classes, **_numbered(registry)}
    load_plugins()
    if kind == "statistic":
        return STATISTICS
    return {name: type(spread) for name, spread in KINDS.items()}


def _numbered(registry: Registry[Any]) -> Mapping[str, type]:
    """Return the clip rules with a number in their name, by how it is written: ``uniform-N``."""
    if registry is not SAMPLING_RULES:
        return {}
    return {rule.pattern: rule for rule in NUMBERED.values()}


def _facts(kind: str, name: str, cls: type) -> Facts:
    text = inspect.cleandoc(cls.__doc__ or "")
    summary = " ".join(text.split("\n\n")[0].split())
    return {"kind": kind, "name": name, "summary": summary, "source": cls.__module__}


def _fields(cls: type) -> list[Facts]:
    """Return the fields that a configuration may set."""
    if issubclass(cls, Component):
        fields = cls.model_fields
        return [_model_field(name, fields[name]) for name in fields if name != "name"]
    return _parameters(cls.__init__)


def _model_field(name: str, field: FieldInfo) -> Facts:
    default = field.get_default(call_default_factory=True)
    if default is PydanticUndefined:
        default = None
    return {
        "name": name,
        "type": _type_text(field.annotation),
        "default": _plain(default),
        "required": field.is_required(),
        "range": _range_text(field),
    }


def _parameters(method: Callable[..., Any]) -> list[Facts]:
    """Return the parameters of a class that is no model: a statistic's options."""
    parameters = []
    for parameter in inspect.signature(method).parameters.values():
        if parameter.name == "self" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        required = parameter.default is parameter.empty
        parameters.append(
            {
                "name": parameter.name,
                "type": _annotation_text(parameter),
                "default": None if required else _plain(parameter.default),
                "required": required,
                "range": "",
            }
        )
    return parameters


def _annotation_text(parameter: inspect.Parameter) -> str:
    if parameter.annotation is parameter.empty:
        return ""
    return _type_text(parameter.annotation)


def _plain(value: Any) -> Any:
    """Return a default as JSON holds it."""
    if isinstance(value, Component):
        return value.name
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return value


def _type_text(annotation: Any) -> str:
    """Spell a type as a person would: ``int``, ``frozen or batch``, ``list of float``."""
    if isinstance(annotation, str):
        return annotation
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is None:
        return "null" if annotation is type(None) else getattr(annotation, "__name__", "")
    if hasattr(annotation, "__metadata__"):
        return _type_text(parts[0])
    if origin in (tuple, list):
        inner = dict.fromkeys(_type_text(part) for part in parts if part is not Ellipsis)
        return f"list of {' and '.join(inner)}"
    if str(origin) == "typing.Literal":
        return " or ".join(str(part) for part in parts)
    if origin is dict:
        return "mapping"
    return " or ".join(_type_text(part) for part in parts)


SIGNS = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _range_text(field: FieldInfo) -> str:
    """Spell the range of a number: ``>= 0, < 1``."""
    bounds = []
    for constraint in field.metadata:
        for attribute, sign in SIGNS.items():
            value = getattr(constraint, attribute, None)
            if value is not None:
                bounds.append(f"{sign} {value:g}")
    return ", ".join(bounds)


def _stated(cls: type) -> Facts:
    """Return what a component's class states about it, beside its fields."""
    if issubclass(cls, Encoder):
        return _encoder_facts(cls)
    facts: Facts = {}
    for name in ("needs", "sampling", "clips", "better"):
        value = getattr(cls, name, None)
        if isinstance(value, (str, tuple, list)) and value:
            facts[name] = _plain(value)
    if issubclass(cls, Component):
        facts["protocol"] = cls.protocol
    return facts


def _encoder_facts(cls: type[Encoder]) -> Facts:
    facts: Facts = {"protocol": cls.protocol}
    bare = cls.model_construct(name=cls.model_fields["name"].default)
    for name in ("frames", "size", "blocks", "width", "gives"):
        # Of some encoders a field chooses the width. Told is that of the bare name.
        if hasattr(bare, name):
            facts[name] = _plain(getattr(bare, name))
    for name, weights in cls.published.items():
        facts[f"weights published:{name}"] = (
            f"{weights.file}, from {weights.origin}; licence: {weights.licence}"
        )
    return facts
