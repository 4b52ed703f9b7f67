"""How values of a grid file are spelled as labels."""

from __future__ import annotations

from typing import Any


def label_text(value: Any) -> str:
    """Spell a value as a label: a truth value as YAML spells it, anything else as Python does."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
