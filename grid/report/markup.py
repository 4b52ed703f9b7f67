"""HTML and SVG as text in which whatever is not markup already is escaped."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

VOID = ("br", "col", "img", "meta")
"""HTML elements that have no end."""
EMPTY = ("circle", "image", "line", "path", "rect", "use")
"""SVG elements that end where they begin, without content."""


class Markup(str):
    """Text that is markup; any other ``str`` is escaped when it is put into an element."""


def tag(element: str, /, *content: str | None, **attributes: object) -> Markup:
    """An element. ``class_`` is the attribute ``class``, ``stroke_width`` is ``stroke-width``; None leaves out an attribute
    or a piece of content."""
    inner = join(content)
    own = "".join(f' {_name(key)}="{escape(str(value))}"' for key, value in attributes.items() if value is not None)
    if element in VOID:
        return Markup(f"<{element}{own}>")
    return Markup(f"<{element}{own}/>" if element in EMPTY and not inner else f"<{element}{own}>{inner}</{element}>")


def join(pieces: Iterable[str | None], between: str = "") -> Markup:
    """Pieces one after another, escaped where they are not markup."""
    return Markup(text(between).join(text(piece) for piece in pieces if piece is not None))


def text(piece: str) -> Markup:
    """A piece of content as markup."""
    return piece if isinstance(piece, Markup) else Markup(escape(piece))


def link(anchor: str, *content: str, **attributes: object) -> Markup:
    """A link to a place of the same page."""
    return tag("a", *content, href=f"#{anchor}", **attributes)


def section(anchor: str, title: str, *content: str | None) -> Markup:
    """A part of the page with its heading."""
    return tag("section", tag("h2", title, id=f"{anchor}-title"), *content, id=anchor, aria_labelledby=f"{anchor}-title")


def plain_table(header: Iterable[str], rows: Iterable[Iterable[str]], numbers: Iterable[int] = (), **attributes: object) -> Markup:
    """A table in a frame that scrolls sideways; ``numbers``: the columns set to the right."""
    right = set(numbers)
    heads = [tag("th", name, scope="col", class_="n" if at in right else None) for at, name in enumerate(header)]
    body = [tag("tr", *(tag("td", cell, class_="n" if at in right else None) for at, cell in enumerate(row))) for row in rows]
    return scrolling(tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), **attributes))


def scrolling(table: Markup, label: str = "table, scrolls sideways") -> Markup:
    """A table that may be wider than the screen; the frame can be reached and scrolled by keyboard."""
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)


def _name(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key not in ("viewBox", "preserveAspectRatio") else key
