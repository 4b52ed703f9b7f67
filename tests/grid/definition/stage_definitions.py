"""Definitions of grids whose cells begin with the weights of other cells."""

from __future__ import annotations

from typing import Any

WHOLE = {"trainable": "all", "epochs": 2}
FIRST = {"base": WHOLE, "axes": {"head": ["mlp", "gcn"], "seed": [0, 1]}}
THEN = {"base": {"trainable": "k0"}, "axes": {"seed": [0, 1, 2]}}


def of(where: dict[str, Any], part: str = "first") -> dict[str, Any]:
    """A reference to a stage."""
    return {"of": part, "where": where}


def stages(weights: Any, **more: Any) -> dict[str, Any]:
    """A definition whose second part begins from its first. The second is written above it."""
    then = {**THEN, "base": {**THEN["base"], "weights": weights}}
    return {"axes": {}, "subgrids": {"then": then, "first": FIRST, **more}}
