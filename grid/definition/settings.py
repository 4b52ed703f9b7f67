"""Fields of a run that are changed where it is typed: ``FIELD=VALUE``, the value as in YAML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from echolm.config import FinetuneConfig, PretrainConfig, load_config, parse_config
from echolm.errors import EchoLMError
from echolm.text import suggest
from echolm.yaml_files import load_yaml, parse_yaml
from grid.definition.expand import Builder
from grid.definition.schema import FIELDS


def read_settings(texts: Iterable[str]) -> dict[str, Any]:
    """Read ``FIELD=VALUE`` texts, such as ``epochs=1`` or ``optimizer.lr=1.0e-3``.

    Returns:
        Dotted field -> value.

    Raises:
        EchoLMError: a text is of another form, no run has the field, or a field is set twice.
    """
    settings: dict[str, Any] = {}
    for text in texts:
        field, equals, content = text.partition("=")
        field = field.strip()
        if not equals or not field or not content.strip():
            raise EchoLMError(
                f"{text!r} sets nothing: write FIELD=VALUE, such as epochs=1 or optimizer.lr=0.001"
            )
        if field.split(".")[0] not in FIELDS:
            raise EchoLMError(f"{text}: a run has no field {field!r}; {suggest(field, FIELDS)}")
        if field in settings:
            raise EchoLMError(f"{text}: {field} is set twice")
        settings[field] = parse_yaml(content, text)
    return settings


def settings_text(settings: Mapping[str, Any]) -> str:
    """Spell settings as they are typed, in one line."""
    return " ".join(f"{field}={value}" for field, value in settings.items())


def changed_run(
    config: FinetuneConfig | PretrainConfig, settings: Mapping[str, Any], where: str
) -> FinetuneConfig | PretrainConfig:
    """Return a run with other values of some fields.

    Args:
        config: the run.
        settings: dotted field -> value.
        where: names the run in errors.

    Raises:
        EchoLMError: there is no such run.
    """
    values = Builder(config.model_dump(mode="json"), where).values([settings])
    if "encoder" in settings or "encoder.name" in settings:
        if "weights" not in settings:
            del values["weights"]  # those of another encoder
    return parse_config(values, where, typed=True)


def load_changed_run(path: Path, settings: Mapping[str, Any]) -> FinetuneConfig | PretrainConfig:
    """Read a run from its file, with other values of some fields.

    Raises:
        EchoLMError: the file with these values is not a run.
    """
    if not settings:
        return load_config(path)
    values = load_yaml(path)
    if isinstance(values, dict):
        values = Builder(values, str(path)).values([settings])
    return parse_config(values, str(path), typed=True)
