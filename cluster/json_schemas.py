"""The JSON Schemas of all files that people write."""

from __future__ import annotations

from typing import Any

from cluster.profile import Profile
from grid.json_schemas import SCHEMAS, profile_schema

KINDS = (*SCHEMAS, "profile")
"""The files that have a schema."""


def json_schema(kind: str) -> dict[str, Any]:
    """Return the schema of a kind of file: one of ``KINDS``."""
    if kind == "profile":
        return profile_schema(Profile)
    return SCHEMAS[kind]()
