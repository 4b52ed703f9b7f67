"""Named components: the open, discriminated unions that configurations are made of.

A component is a small frozen pydantic model with a ``name``; a registry maps names to such classes.
Component modules import no torch at the top, so that a grid of 10,000 cells can be listed without it;
the networks they describe are built by a method that imports what it needs.

Own components: put the module's name into ``ECHOLM_PLUGINS`` (comma separated). It is imported once,
before the first look-up, and calls ``REGISTRY.register`` for each of its classes.
"""

from __future__ import annotations

import difflib
import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from echolm.errors import EchoLMError


class Frozen(BaseModel):
    """A value object: immutable, hashable, no unknown fields, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, value: Any) -> Any:
        if isinstance(value, dict):
            fields = cls.__pydantic_fields__  # model_fields is slow
            for name, given in value.items():
                if name not in fields:
                    raise ValueError(f"unknown field {name!r}; {suggest(str(name), fields)}")
                if given.__class__ is bool and _is_number(fields[name].annotation):
                    raise ValueError(f"{name}: {given} is not a number (in YAML yes, no, on, off, true and false are not)")
        return value


class Component(Frozen):
    """One variant of a union. ``protocol`` is raised when the meaning of its results changes."""

    protocol: ClassVar[int] = 1
    name: str


C = TypeVar("C", bound=Component)


class Registry(Generic[C]):
    """The variants of one kind of component, by name.

    ``modules`` are imported at the first look-up; they register their classes.
    """

    def __init__(self, kind: str, modules: Iterable[str]) -> None:
        self.kind = kind
        self._modules = tuple(modules)
        self._classes: dict[str, type[C]] = {}
        self._bare: dict[str, C] = {}  # components given by name alone, shared by all configurations
        self._loaded = False

    def register(self, cls: type[C]) -> type[C]:
        """Class decorator. A class without a default name, or another class under a taken name, is an error."""
        name = cls.model_fields["name"].default
        if not isinstance(name, str):
            raise EchoLMError(f"{self.kind} {_path(cls)} needs a name: write name: Literal['x'] = 'x' in the class")
        taken = self._classes.get(name)
        if taken is not None and _path(taken) != _path(cls):
            raise EchoLMError(f"{self.kind} '{name}' is registered twice: {_path(taken)} and {_path(cls)}")
        self._classes[name] = cls
        self._bare.pop(name, None)
        return cls

    def names(self) -> list[str]:
        """All names, sorted."""
        self.load()
        return sorted(self._classes)

    def get(self, name: str) -> type[C]:
        """The class of that name, or an error that lists the valid names."""
        self.load()
        if name not in self._classes:
            raise EchoLMError(f"unknown {self.kind} {name!r}; {suggest(name, self._classes)}")
        return self._classes[name]

    def parse(self, value: Any) -> C:
        """A component from ``"mlp"``, ``{"name": "mlp", "width": 128}`` or a component."""
        if isinstance(value, Component):
            self.get(value.name)
            return value  # type: ignore[return-value]
        if isinstance(value, str):
            if value not in self._bare:
                self._bare[value] = self.get(value)(name=value)
            return self._bare[value]
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            return self.get(value["name"]).model_validate(dict(value))
        raise ValueError(f"a {self.kind} is a name or a mapping with 'name'; valid names: {', '.join(self.names())}")

    def load(self) -> None:
        """Import the modules that register classes, once. EchoLMError when a plugin cannot be imported."""
        if self._loaded:
            return
        for module in self._modules:
            importlib.import_module(module)
        load_plugins()
        self._loaded = True


def validator(registry: Registry[C]) -> Callable[[Any], C]:
    """``registry.parse`` for pydantic's BeforeValidator: our errors become field errors."""

    def parse(value: Any) -> C:
        registry.load()  # a plugin that fails is no field's error
        try:
            return registry.parse(value)
        except EchoLMError as error:
            raise ValueError(str(error)) from None

    return parse


def suggest(given: str, valid: Iterable[str]) -> str:
    """``did you mean 'x'? valid: ...`` for a name that is not valid."""
    names = sorted(valid)
    close = difflib.get_close_matches(given, names, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    return f"{hint}valid: {', '.join(names) or '(none)'}"


def load_plugins() -> None:
    """Import the modules named in ``ECHOLM_PLUGINS``; EchoLMError, caused by whatever a module raised."""
    for module in filter(None, (name.strip() for name in os.environ.get("ECHOLM_PLUGINS", "").split(","))):
        try:
            importlib.import_module(module)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise EchoLMError(f"ECHOLM_PLUGINS names {module!r}, which cannot be imported: {reason}") from error


def _is_number(annotation: Any) -> bool:
    """Whether a field takes numbers and neither true nor false, which pydantic would take for 1 and 0."""
    kinds = _kinds(annotation)
    return bool(kinds & {int, float}) and bool not in kinds


def _kinds(annotation: Any) -> set[Any]:
    return {annotation}.union(*(_kinds(part) for part in get_args(annotation)))


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
