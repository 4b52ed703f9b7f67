"""Where an encoder's first weights come from: ``random``, ``published:NAME``, ``file:PATH`` or ``run:CELL``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_serializer, model_validator

from echolm.registry import Frozen, suggest

if TYPE_CHECKING:
    from echolm.encoders import Encoder

Source = Literal["random", "published", "file", "run"]


class Weights(Frozen):
    """A union written as one string: ``random``, ``published:kinetics400``, ``file:/path/x.pt``, ``run:CELL``."""

    source: Source
    value: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        source, colon, rest = value.partition(":")
        if source == "random" and not colon:
            return {"source": "random"}
        if source == "run" and not re.fullmatch(r"[0-9a-f]{16}", rest):
            raise ValueError(f"{value!r}: a cell's id has 16 of the digits 0-9 and a-f; echolm grid show GRID lists them")
        if source in ("published", "file", "run") and rest:
            return {"source": source, "value": rest}
        raise ValueError(f"{value!r} is not a source of weights; valid: random, published:NAME, file:PATH, run:CELL")

    @model_validator(mode="after")
    def _value_belongs(self) -> Weights:
        if (self.source == "random") != (not self.value):
            raise ValueError(f"source {self.source} with value {self.value!r}; valid: random, published:NAME, file:PATH, run:CELL")
        return self

    @model_serializer
    def _as_string(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self.source}:{self.value}" if self.value else self.source

    def check(self, encoder: Encoder) -> None:
        """Refuse a published name that the encoder does not know (ValueError)."""
        if self.source == "published" and self.value not in encoder.published:
            raise ValueError(f"weights: encoder {encoder.name} has no published weights {self.value!r}; {suggest(self.value, encoder.published)}")
