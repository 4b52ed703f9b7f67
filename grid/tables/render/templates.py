"""Fill the HTML templates that stand beside the modules of a package."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from echolm.text import harmless

if TYPE_CHECKING:
    from jinja2 import Environment
    from jinja2.environment import TemplateStream

TABLES = "grid.tables.render"
PIECES = 1000
"""Pieces of a page that are put together at a time."""


@cache
def environment(*packages: str) -> Environment:
    """Return what finds and fills the templates in the folders of some packages.

    Every value that a template prints is escaped, unless the template calls it ``safe``, and holds
    nothing that a terminal would obey. A name that a template uses and was not given is an error.

    Args:
        packages: names of packages. The first that has a template counts.
    """
    # Only HTML needs jinja2. It takes a while to import.
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=ChoiceLoader([PackageLoader(package, ".") for package in packages]),
        autoescape=True,
        finalize=_finished,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _finished(value: Any) -> Any:
    """Return a value as a template prints it."""
    if type(value) is str:  # not what is markup already
        return harmless(value)
    return value


def encoded(stream: TemplateStream) -> bytes:
    """Fill a template, and return its bytes. They are all that is held of a large page."""
    stream.enable_buffering(PIECES)
    content = bytearray()
    for text in stream:
        content += text.encode()
    return bytes(content)


def style_sheet(package: str, name: str) -> str:
    """Read a style sheet that stands beside the modules of a package."""
    return (resources.files(package) / name).read_text(encoding="utf-8")
