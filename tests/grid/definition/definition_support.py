"""A small grid that the tests of definitions change."""

from __future__ import annotations

from typing import Any

BASE: dict[str, Any] = {
    "data": "phantom",
    "task": "landmarks",
    "encoder": "tiny-r3d",
    "trainable": "k1",
    "head": "mlp",
}
TABLE = {"title": "a table", "rows": ["head"], "columns": [{"metric": "dice"}]}
DEFINITION: dict[str, Any] = {"base": BASE, "axes": {"head": ["mlp", "gcn"], "seed": [0, 1]}}
