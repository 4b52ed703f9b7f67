"""Read YAML files, and put what a schema finds wrong with one into words.

YAML 1.1 reads some numbers otherwise than a person does: 010 is 8, 1:30:00 is 5400, 1_0 is 10, and
08 is text. Such a value is refused where it stands without quotes, and so is a date.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from echolm.errors import EchoLMError
from echolm.validation_words import mistakes

MOST_VALUES = 1_000_000
"""Values in a YAML file, each counted as often as aliases repeat it."""
LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
"""To YAML 1.1 a number of base 8, or text where a digit is 8 or 9."""
SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-9]+)+(\.[0-9_]*)?")
"""To YAML 1.1 a number of base 60."""


class _Misread(yaml.constructor.ConstructorError):
    """A value that YAML reads otherwise than a person."""


def load_yaml(path: Path) -> Any:
    """Read the content of a YAML file.

    Raises:
        EchoLMError: names the file, and the line where there is one.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise EchoLMError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise EchoLMError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return parse_yaml(text, str(path))


def parse_yaml(text: str, where: str) -> Any:
    """Read YAML from a text.

    Args:
        text: the YAML.
        where: names it in errors.

    Raises:
        EchoLMError: names the line where there is one.
    """
    try:
        content = yaml.load(text, _StrictLoader)
    except _Misread as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise EchoLMError(f"{where}: line {line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise EchoLMError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    except ValueError as error:  # a number of thousands of digits
        raise EchoLMError(f"{where}: not valid YAML: {error}") from error
    except RecursionError as error:
        raise EchoLMError(f"{where}: not valid YAML: nested too deeply") from error
    _check_size(where, content)
    return content


def without_schema(text: str) -> str:
    """Return a file's text without the first line that names its JSON Schema for editors.

    Its path is relative to the file, and would lead nowhere from a copy.
    """
    first, _, rest = text.partition("\n")
    return rest if first.startswith("# yaml-language-server:") else text


def _check_size(where: str, content: Any) -> None:
    """Refuse content that is endless.

    An alias (``*name``) may stand for what holds it, or double it again and again.
    """
    waiting = [content]
    count = 0
    while waiting:
        value = waiting.pop()
        count += 1
        if count > MOST_VALUES:
            raise EchoLMError(
                f"{where}: holds over {MOST_VALUES:,} values; "
                "does an alias (*name) stand for what holds it?"
            )
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, (list, tuple, set)):
            waiting += value


class _StrictLoader(yaml.SafeLoader):
    """YAML that refuses what a person reads otherwise.

    That is a key given twice in one mapping, where PyYAML keeps the last, and numbers in a spelling
    of YAML 1.1.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Return the value of a node, or raise _Misread."""
        if isinstance(node, yaml.ScalarNode) and node.style is None:  # without quotes
            self._refuse_misread(node)
        return super().construct_object(node, deep)

    def _refuse_misread(self, node: yaml.ScalarNode) -> None:
        text = node.value
        kind = node.tag.rpartition(":")[2]
        instead = ""
        if kind == "timestamp":
            raise self._misread(node, "a date", "")
        if kind in ("int", "str") and LEADING_ZERO.fullmatch(text):
            instead = text.replace("_", "").replace("+", "").lstrip("-0") or "0"
            instead = f"-{instead}" if text.startswith("-") else instead
        elif kind in ("int", "float") and SEXAGESIMAL.fullmatch(text):
            instead = "a number without colons"
        elif kind in ("int", "float") and "_" in text:
            instead = text.replace("_", "")
        if instead:
            value = super().construct_object(node)
            raise self._misread(node, "text" if kind == "str" else str(value), instead)

    @staticmethod
    def _misread(node: yaml.ScalarNode, reading: str, instead: str) -> _Misread:
        quoted = f"{node.value!r} in quotes"
        remedy = f"{instead}, or {quoted} for a text" if instead else quoted
        problem = f"YAML reads {node.value} as {reading}; write {remedy}"
        return _Misread(None, None, problem, node.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return the mapping, or raise a ConstructorError that names the key and its line."""
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
                continue
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is given twice", key.start_mark
                )
            seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """YAML without aliases, whose texts ``_StrictLoader`` reads as they were."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a value that occurs twice twice."""
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if LEADING_ZERO.fullmatch(text) else None  # PyYAML quotes what it reads as a number
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def dump_yaml(values: Any) -> str:
    """Return plain data as the text of a YAML file, in their order."""
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def explain_validation(error: ValidationError, where: str) -> str:
    """Put pydantic's errors into one line a field: ``where: field: what is wrong``."""
    lines = []
    for mistake in mistakes(error.errors(include_url=False)):
        path = [part for part in mistake.path if part not in ("finetune", "pretrain")]
        subject = [where]
        if path:
            subject.append(".".join(path))
        lines.append(": ".join([*subject, mistake.sentence]))
    return "\n".join(lines)
