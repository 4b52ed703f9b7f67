"""JSON Schemas of the files that people write: runs, grids, searches, site profiles.

Editors complete and check YAML by them. They are looser than EchoLM itself where a rule takes more
than one field (a head that fits its task, both ends of a range), and they know the components that
are registered now, those of plugins too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from echolm.config import Data, FinetuneConfig, PretrainConfig, Trainable
from echolm.registry import Registry
from echolm.weights import FORMS as WEIGHTS_FORMS
from echolm.weights import Weights
from grid.definition.claims import ClaimDefinition
from grid.definition.schema import BlockResources, GridDefinition
from grid.definition.stages import WEIGHTS, StageReference
from grid.definition.tables import TableDefinition
from grid.search.definition import SearchDefinition

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ANYTHING: JsonSchemaValue = {}
LABEL: JsonSchemaValue = {"type": ["string", "number", "boolean"]}
"""A label as YAML holds it."""
WHOLE_RANGE: JsonSchemaValue = {
    "type": "string",
    "pattern": r"^\d+-\d+$",
    "description": "A range of whole numbers, both ends in it: 0-4",
}

SHORT_FORMS: dict[type[BaseModel], JsonSchemaValue] = {
    Data: {"type": "string", "description": "The name of a clip store"},
    Trainable: {
        "type": "string",
        "pattern": "^(k[0-9]{1,4}|all)$",
        "description": "k0: frozen; kN: the last N blocks train; all: everything trains",
    },
    Weights: {
        "type": "string",
        "pattern": "^(random|(published|file|run):.+)$",
        "description": WEIGHTS_FORMS,
    },
}
"""What may be written in the place of a mapping."""


class _Schemas(GenerateJsonSchema):
    """Pydantic's schemas, with open unions and short forms."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> Any:
        registry = getattr(schema["function"]["function"], "registry", None)
        if registry is not None:
            return component_schema(registry)
        return super().function_before_schema(schema)

    def model_schema(self, schema: core_schema.ModelSchema) -> Any:
        whole = super().model_schema(schema)
        short = SHORT_FORMS.get(schema["cls"])
        return {"anyOf": [short, whole]} if short else whole

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Any:
        made = super().default_schema(schema)
        if "$ref" in made and "default" in made:  # pydantic hides what a reference stands for
            made.pop("default")
        return made


def component_schema(registry: Registry[Any]) -> JsonSchemaValue:
    """Return the schema of a component: its name, or a mapping with its name and fields."""
    if not registry.names():
        return {"not": {}}  # nothing is valid
    names: list[JsonSchemaValue] = []
    mappings: list[JsonSchemaValue] = []
    for name in registry.names():
        cls = registry.get(name)
        names.append({"const": name, "description": _summary(cls)})
        mapping = _inline(TypeAdapter(cls).json_schema(schema_generator=_Schemas))
        mapping["required"] = sorted({"name", *mapping.get("required", [])})
        mapping.pop("title", None)
        mappings.append(mapping)
    return {"anyOf": [*names, *mappings]}


def run_schema() -> JsonSchemaValue:
    """Return the schema of a run's file, as ``echolm train`` reads it."""
    finetune = _model(FinetuneConfig)
    pretrain = _model(PretrainConfig)
    pretrain["required"] = sorted({"kind", *pretrain["required"]})
    return _document("A run of EchoLM", {"anyOf": [finetune, pretrain]})


def grid_schema() -> JsonSchemaValue:
    """Return the schema of a grid's file."""
    block = _block_properties()
    tables = {"type": "object", "additionalProperties": _model(TableDefinition)}
    subgrid = {
        "type": "object",
        "properties": {**block, "tables": {"type": "array", "items": {"type": "string"}}},
        "additionalProperties": False,
    }
    known = set(GridDefinition.model_fields)
    properties = {
        "title": {"type": "string"},
        **block,
        "subgrids": {"type": "object", "additionalProperties": subgrid},
        "tables": tables,
        "claims": {"type": "object", "additionalProperties": _model(ClaimDefinition)},
    }
    assert set(properties) == known, "a block of a grid file has no schema"
    grid = {"type": "object", "properties": properties, "additionalProperties": False}
    fields = _run_fields()
    fields[WEIGHTS] = {"anyOf": [fields[WEIGHTS], _model(StageReference)]}
    return _document("A grid of EchoLM", {**grid, "$defs": fields})


def search_schema() -> JsonSchemaValue:
    """Return the schema of a search's file."""
    search = _model(SearchDefinition)
    search["properties"]["base"] = _settings()
    search["properties"]["space"] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"anyOf": _dimension_schemas()},
    }
    return _document("A search of EchoLM", {**search, "$defs": _run_fields()})


def profile_schema(profile: type[BaseModel]) -> JsonSchemaValue:
    """Return the schema of a site profile, whose class is ``cluster.profile.Profile``."""
    schema = _model(profile)
    # The only partition is the default one.
    schema["required"] = [name for name in schema["required"] if name != "partition"]
    for name, field in schema["properties"].items():
        if field.get("type") == "array":  # one text, split into its lines, will do
            schema["properties"][name] = {"anyOf": [field, {"type": "string"}]}
    return _document("A site profile of EchoLM", schema)


def _document(title: str, schema: JsonSchemaValue) -> JsonSchemaValue:
    return {"$schema": DIALECT, "title": title, **schema}


def _model(model: type[BaseModel]) -> JsonSchemaValue:
    """Return a model's schema without references."""
    return _inline(TypeAdapter(model).json_schema(schema_generator=_Schemas))


def _inline(schema: JsonSchemaValue) -> JsonSchemaValue:
    """Put what references stand for in their place: a part can be moved then."""
    definitions = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(part) for part in value]
        if not isinstance(value, dict):
            return value
        parts = {key: resolved(part) for key, part in value.items() if key != "$ref"}
        reference = value.get("$ref")
        if reference is None:
            return parts
        return {**resolved(definitions[reference.removeprefix("#/$defs/")]), **parts}

    return dict(resolved(schema))


def _run_fields() -> dict[str, JsonSchemaValue]:
    """Return the schema of every field that a run of either kind has."""
    fields: dict[str, JsonSchemaValue] = {}
    for model in (FinetuneConfig, PretrainConfig):
        for name, schema in _model(model)["properties"].items():
            fields.setdefault(name, schema)
    fields["kind"] = {"enum": ["finetune", "pretrain"]}
    return fields


def _settings() -> JsonSchemaValue:
    """Return the schema of fields of a run, none of which must be there. Dots reach into one.

    It refers to ``_run_fields``, which the document has as its ``$defs``. So does ``_axes``.
    """
    fields = _run_fields()
    return {
        "type": "object",
        "properties": {name: _reference(name) for name in fields},
        "patternProperties": {f"^({'|'.join(fields)})\\..+$": ANYTHING},
        "additionalProperties": False,
    }


def _reference(field: str) -> JsonSchemaValue:
    return {"$ref": f"#/$defs/{field}"}


def _block_properties() -> dict[str, JsonSchemaValue]:
    """Return the schemas of what a grid and each of its subgrids may say."""
    settings = _settings()
    coordinates = {"type": "object", "additionalProperties": ANYTHING}
    return {
        "base": settings,
        "axes": _axes(),
        "exclude": {"type": "array", "items": coordinates},
        "include": {"type": "array", "items": coordinates},
        "tables": {"type": "array", "items": {"type": "string"}},
        "resources": _model(BlockResources),
    }


def _axes() -> JsonSchemaValue:
    """Return the schema of axes: a field of the run with values, or any name with labelled ones."""
    labelled = _labelled()
    fields = {}
    for name in _run_fields():
        forms: list[JsonSchemaValue] = [_reference(name), labelled]
        if name.endswith("seed"):
            forms.append(WHOLE_RANGE)
        values: JsonSchemaValue = {"type": "array", "minItems": 1, "items": {"anyOf": forms}}
        fields[name] = {"anyOf": [values, WHOLE_RANGE]} if name.endswith("seed") else values
    return {
        "type": "object",
        "properties": fields,
        "additionalProperties": {"type": "array", "minItems": 1},
    }


def _labelled() -> JsonSchemaValue:
    """Return the schema of an axis's value that sets several fields."""
    return {
        "type": "object",
        "properties": {"label": LABEL, "set": {"type": "object"}},
        "required": ["label", "set"],
        "additionalProperties": False,
    }


def _dimension_schemas() -> list[JsonSchemaValue]:
    """Return the schemas of the forms of a search's free field."""
    number = {"type": "number"}
    numbers = {"type": "array", "items": number, "minItems": 2, "maxItems": 2}
    forms: list[JsonSchemaValue] = []
    for name in ("float", "int"):
        properties = {name: numbers, "log": {"type": "boolean"}, "step": number}
        forms.append(
            {
                "type": "object",
                "properties": properties,
                "required": [name],
                "additionalProperties": False,
            }
        )
    forms.append(
        {
            "type": "object",
            "properties": {"categorical": {"type": "array", "minItems": 1}},
            "required": ["categorical"],
            "additionalProperties": False,
        }
    )
    return forms


def _summary(cls: type) -> str:
    return " ".join((cls.__doc__ or "").split("\n\n")[0].split())


SCHEMAS: Mapping[str, Callable[[], JsonSchemaValue]] = {
    "grid": grid_schema,
    "search": search_schema,
    "run": run_schema,
}
"""The schemas of files that this package reads, by what the file is."""
