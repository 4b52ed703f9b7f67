"""Components are found by name, wherever they are registered.

A mistake is said once, with what is valid.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Literal

import pytest
from pydantic import ValidationError

from echolm.errors import EchoLMError
from echolm.registry import Component, Frozen, Registry, validator
from echolm.text import suggest


class Shape(Component):
    """The kind of component these tests register."""

    sides: int = 0


class Square(Shape):
    name: Literal["square"] = "square"
    sides: int = 4


class Circle(Shape):
    name: Literal["circle"] = "circle"


@pytest.fixture
def shapes() -> Registry[Shape]:
    registry: Registry[Shape] = Registry("shape", [])
    registry.register(Square)
    registry.register(Circle)
    return registry


@pytest.mark.parametrize(
    "value", ["square", {"name": "square"}, {"name": "square", "sides": 4}, Square()]
)
def test_a_component_is_a_name_a_mapping_or_itself(shapes: Registry[Shape], value: object) -> None:
    assert shapes.parse(value) == Square()


def test_fields_of_a_mapping_are_its_own(shapes: Registry[Shape]) -> None:
    assert shapes.parse({"name": "square", "sides": 5}).sides == 5
    assert shapes.parse("square").sides == 4


def test_a_name_alone_is_refused_where_fields_are_needed(shapes: Registry[Shape]) -> None:
    @shapes.register
    class Polygon(Shape):
        name: Literal["polygon"] = "polygon"
        length: float

    said = r"^shape polygon needs more than its name: \{name: polygon, length: \.\.\.\}$"
    with pytest.raises(EchoLMError, match=said):
        shapes.parse("polygon")
    assert shapes.parse({"name": "polygon", "length": 2}).name == "polygon"


def test_names_are_sorted(shapes: Registry[Shape]) -> None:
    assert shapes.names() == ["circle", "square"]


def test_an_unknown_name_says_which_was_meant_and_which_are_valid(shapes: Registry[Shape]) -> None:
    with pytest.raises(
        EchoLMError, match="unknown shape 'sqare'; did you mean 'square'. valid: circle, square"
    ):
        shapes.get("sqare")


@pytest.mark.parametrize("value", [3, None, ["square"], {"sides": 4}, {"name": 4}])
def test_what_is_no_component_says_which_names_are_valid(
    shapes: Registry[Shape], value: object
) -> None:
    with pytest.raises(
        ValueError, match="name or a mapping with 'name'; valid names: circle, square"
    ):
        shapes.parse(value)


def test_a_key_that_is_no_text_is_an_unknown_field(shapes: Registry[Shape]) -> None:
    """YAML reads a bare ``on`` or ``no`` as a truth value."""
    with pytest.raises(ValidationError, match="unknown field True; valid: name, sides"):
        shapes.parse({"name": "square", True: 3})


def test_a_taken_name_is_refused_also_from_a_class_of_the_same_name(
    shapes: Registry[Shape],
) -> None:
    shapes.register(Square)  # the same class again, as a reload does
    other = type("Square", (Square,), {"__module__": "elsewhere", "__qualname__": "Square"})
    with pytest.raises(
        EchoLMError, match=r"shape 'square' is registered twice: .*Square and elsewhere\.Square"
    ):
        shapes.register(other)


def test_a_class_without_a_name_is_refused(shapes: Registry[Shape]) -> None:
    with pytest.raises(EchoLMError, match="Shape needs a name"):
        shapes.register(Shape)


def test_one_string_of_imports_is_refused(shapes: Registry[Shape]) -> None:
    """Its letters would be taken for packages."""
    other = type("Round", (Square,), {"imports": "torchvision"})
    with pytest.raises(EchoLMError, match=r"Round: imports .* write imports = \('torchvision',\)"):
        shapes.register(other)


def test_our_errors_become_field_errors(shapes: Registry[Shape]) -> None:
    with pytest.raises(ValueError, match="unknown shape 'oval'") as caught:
        validator(shapes)("oval")
    assert not isinstance(caught.value, EchoLMError)


def test_values_are_frozen_finite_and_without_unknown_fields() -> None:
    class Point(Frozen):
        x: float

    point = Point(x=1.0)
    with pytest.raises(ValidationError, match="frozen"):
        point.x = 2.0  # type: ignore[misc]
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValidationError, match="finite"):
            Point(x=bad)
    with pytest.raises(ValidationError, match="unknown field 'y'"):
        Point(x=1.0, y=1.0)  # type: ignore[call-arg]
    assert hash(point) == hash(Point(x=1.0))


def test_suggest_names_what_is_close_and_what_is_valid() -> None:
    assert suggest("aple", ["pear", "apple"]) == "did you mean 'apple'? valid: apple, pear"
    assert suggest("x", []) == "valid: (none)"


PLUGIN = """
    from typing import Literal
    from echolm.heads import HEADS, Head

    @HEADS.register
    class Toy(Head):
        name: Literal["toy"] = "toy"
        depth: int = 3
"""
USE = """
    from echolm.config import parse_config
    from echolm.errors import EchoLMError

    base = {"data": "d", "task": "landmarks", "encoder": "tiny-r3d", "trainable": "k0"}
    try:
        print(parse_config({**base, "head": {"name": "toy", "depth": 5}}).head.depth)
    except EchoLMError as error:
        print("error:", error)
"""


def run_with_plugins(folder: Path, plugins: str, code: str = USE) -> str:
    """Standard output of ``code`` in a new interpreter that finds modules in ``folder``."""
    environment = {"ECHOLM_PLUGINS": plugins, "PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_a_plugin_registers_a_component(tmp_path: Path) -> None:
    (tmp_path / "toys.py").write_text(textwrap.dedent(PLUGIN))
    (tmp_path / "more.py").write_text("")
    assert run_with_plugins(tmp_path, " more , toys,") == "5"
    assert "unknown head 'toy'; valid: " in run_with_plugins(tmp_path, "more")


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (None, "No module named 'toys'"),
        ("1 / 0", "ZeroDivisionError"),
        ("import echolm.nothing", "No module named"),
    ],
)
def test_a_plugin_that_fails_is_one_error_everywhere(
    tmp_path: Path, module: str | None, reason: str
) -> None:
    if module is not None:
        (tmp_path / "toys.py").write_text(module)
    printed = run_with_plugins(tmp_path, "toys")
    assert (
        printed.startswith("error: ECHOLM_PLUGINS names 'toys', which cannot be imported")
        and reason in printed
    )
    assert len(printed.splitlines()) == 1
    grid = """
        from pathlib import Path
        from echolm.errors import EchoLMError
        from grid.definition.grid import load_grid, shipped_grids

        for _ in range(2):
            try:
                load_grid(list(shipped_grids())[0])
            except EchoLMError as error:
                print("error:", error)
    """
    assert run_with_plugins(tmp_path, "toys", grid).splitlines() == [printed, printed]
