"""Named components: the open, discriminated unions that configurations are made of.

A component is a small frozen pydantic model with a ``name``. A registry maps names to such classes.
Component modules import no torch at the top, so that a grid of 10,000 cells can be listed without
it. The networks they describe are built by a method that imports what it needs.

Own components: put the module's name into ``ECHOLM_PLUGINS`` (comma separated). It is imported
once, before the first look-up, and calls ``REGISTRY.register`` for each of its classes. The
SHA-256 of its source is recorded with the runs that use it (``echolm.plugins``).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, model_validator

from echolm.errors import EchoLMError
from echolm.plugins import note_source
from echolm.text import suggest


class Frozen(BaseModel):
    """A value object: immutable, hashable, no unknown fields, no NaN."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )
    misplaced: ClassVar[dict[str, str]] = {}
    """Fields that belong to another model, and the error that says where."""

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        fields = cls.__pydantic_fields__  # model_fields is slow
        for name, value in values.items():
            if name in cls.misplaced:
                raise ValueError(cls.misplaced[name])
            if name not in fields:
                raise ValueError(f"unknown field {name!r}; {suggest(str(name), fields)}")
            if value.__class__ is bool and _is_number(fields[name].annotation):
                raise ValueError(
                    f"{name}: {value} is not a number "
                    "(in YAML yes, no, on, off, true and false are not)"
                )
        return values


class Component(Frozen):
    """One variant of a union."""

    protocol: ClassVar[int] = 1
    """Raised when the meaning of the component's results changes."""
    imports: ClassVar[tuple[str, ...]] = ()
    """Packages that take a second or more to import, and that its network needs.

    Local workers are forked from a process that has imported them.
    """
    name: str

    @property
    def statistics_over_batch(self) -> bool:
        """Whether a module of it that trains computes statistics over the whole batch.

        Its batch may not be split then: one device, and no micro-batch.
        """
        return False


C = TypeVar("C", bound=Component)


class Registry(Generic[C]):
    """The variants of one kind of component, by name.

    Args:
        kind: what the components are, as errors name them: ``encoder``.
        modules: imported at the first look-up. They register their classes.
    """

    def __init__(self, kind: str, modules: Iterable[str]) -> None:
        self.kind = kind
        self._modules = tuple(modules)
        self._classes: dict[str, type[C]] = {}
        self._bare: dict[str, C] = {}
        """Components that were chosen by name alone. All configurations share them."""
        self._loaded = False

    def register(self, cls: type[C]) -> type[C]:
        """Register a class, as a decorator.

        Raises:
            EchoLMError: the class has no default name, another class has this name, or its
                ``imports`` is one string.
        """
        name = cls.model_fields["name"].default
        if not isinstance(name, str):
            raise EchoLMError(
                f"{self.kind} {_path(cls)} needs a name: "
                "write name: Literal['x'] = 'x' in the class"
            )
        if isinstance(cls.imports, str):
            raise EchoLMError(
                f"{self.kind} {_path(cls)}: imports is a tuple of packages: "
                f"write imports = ({cls.imports!r},)"
            )
        taken = self._classes.get(name)
        if taken is not None and _path(taken) != _path(cls):
            raise EchoLMError(
                f"{self.kind} '{name}' is registered twice: {_path(taken)} and {_path(cls)}"
            )
        note_source(cls.__module__)
        self._classes[name] = cls
        self._bare.pop(name, None)
        return cls

    def names(self) -> list[str]:
        """Return all names, sorted."""
        self.load()
        return sorted(self._classes)

    def get(self, name: str) -> type[C]:
        """Return the class of that name, or raise an error that lists the valid names."""
        self.load()
        if name not in self._classes:
            raise EchoLMError(f"unknown {self.kind} {name!r}; {suggest(name, self._classes)}")
        return self._classes[name]

    def parse(self, value: Any) -> C:
        """Read a component from ``"mlp"``, ``{"name": "mlp", "width": 128}`` or a component."""
        if isinstance(value, Component):
            self.get(value.name)
            return value  # type: ignore[return-value]
        if isinstance(value, str):
            if value not in self._bare:
                self._bare[value] = self._of_name_alone(value)
            return self._bare[value]
        if isinstance(value, Mapping) and isinstance(value.get("name"), str):
            return self.get(value["name"]).model_validate(dict(value))
        valid = ", ".join(self.names())
        raise ValueError(f"a {self.kind} is a name or a mapping with 'name'; valid names: {valid}")

    def _of_name_alone(self, name: str) -> C:
        """Make a component without fields. EchoLMError: it must have some."""
        cls = self.get(name)
        needed = []
        for field, info in cls.model_fields.items():
            if info.is_required() and field != "name":
                needed.append(field)
        if needed:
            fields = ", ".join(f"{field}: ..." for field in needed)
            raise EchoLMError(
                f"{self.kind} {name} needs more than its name: {{name: {name}, {fields}}}"
            )
        return cls(name=name)

    def load(self) -> None:
        """Import the modules that register classes, once.

        Raises:
            EchoLMError: a plugin cannot be imported.
        """
        if self._loaded:
            return
        for module in self._modules:
            importlib.import_module(module)
        load_plugins()
        self._loaded = True


def validator(registry: Registry[C]) -> Callable[[Any], C]:
    """Return ``registry.parse`` for pydantic's BeforeValidator: our errors become field errors."""

    def parse(value: Any) -> C:
        registry.load()  # a plugin that fails is no field's error
        try:
            return registry.parse(value)
        except EchoLMError as error:
            raise ValueError(str(error)) from None

    parse.registry = registry  # type: ignore[attr-defined] # for the JSON Schema of the field
    return parse


def load_plugins() -> None:
    """Import the modules named in ``ECHOLM_PLUGINS``.

    Raises:
        EchoLMError: a module cannot be imported, caused by whatever it raised.
    """
    for text in os.environ.get("ECHOLM_PLUGINS", "").split(","):
        module = text.strip()
        if not module:
            continue
        try:
            importlib.import_module(module)
            note_source(module)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise EchoLMError(
                f"ECHOLM_PLUGINS names {module!r}, which cannot be imported: {reason}"
            ) from error


def _is_number(annotation: Any) -> bool:
    """Tell whether a field takes numbers and no booleans, which pydantic would take for 1 and 0."""
    kinds = _kinds(annotation)
    return bool(kinds & {int, float}) and bool not in kinds


def _kinds(annotation: Any) -> set[Any]:
    """Return an annotation and all that it is made of."""
    kinds = {annotation}
    for part in get_args(annotation):
        kinds |= _kinds(part)
    return kinds


def _path(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
