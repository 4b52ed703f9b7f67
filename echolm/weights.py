"""Where an encoder's first weights come from.

``random``, ``published:NAME``, ``file:PATH`` or ``run:CELL``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import model_serializer, model_validator

from echolm.registry import Frozen
from echolm.text import suggest

if TYPE_CHECKING:
    from echolm.encoders import Encoder, SeenData

Source = Literal["random", "published", "file", "run"]
FORMS = "random, published:NAME, file:PATH, run:CELL"


class Weights(Frozen):
    """A union written as one string, such as ``published:kinetics400`` or ``file:/path/x.pt``."""

    source: Source
    value: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_string(cls, value: Any) -> Any:
        if isinstance(value, dict) and "of" in value:
            raise ValueError(
                "weights of a stage ({of: SUBGRID, where: {axis: label}}) can be named in a grid's "
                "file alone; elsewhere write run:CELL"
            )
        if not isinstance(value, str):
            return value
        source, colon, rest = value.partition(":")
        if source == "random" and not colon:
            return {"source": "random"}
        if source == "run" and not re.fullmatch(r"[0-9a-f]{16}", rest):
            raise ValueError(
                f"{value!r}: a cell's id has 16 of the digits 0-9 and a-f; "
                "echolm grid show GRID lists them"
            )
        if source in ("published", "file", "run") and rest:
            return {"source": source, "value": rest}
        raise ValueError(f"{value!r} is not a source of weights; valid: {FORMS}")

    @model_validator(mode="after")
    def _value_belongs(self) -> Weights:
        is_random = self.source == "random"
        has_value = bool(self.value)
        if is_random == has_value:
            raise ValueError(f"source {self.source} with value {self.value!r}; valid: {FORMS}")
        return self

    @model_serializer
    def _as_string(self) -> str:
        return str(self)

    def __str__(self) -> str:
        if self.value:
            return f"{self.source}:{self.value}"
        return self.source

    def check(self, encoder: Encoder) -> None:
        """Refuse a published name that the encoder does not know (ValueError)."""
        if self.source == "published" and self.value not in encoder.published:
            raise ValueError(
                f"weights: encoder {encoder.name} has no published weights {self.value!r}; "
                f"{suggest(self.value, encoder.published)}"
            )


def check_written(encoder: Encoder) -> None:
    """Refuse an encoder with published weights where a file does not say which weights it has.

    Raises:
        ValueError: names the encoder and what may be written.
    """
    if not encoder.published:
        return
    choices = [f"published:{name}" for name in encoder.published]
    files = [weights.file for weights in encoder.published.values()]
    raise ValueError(
        f"weights: encoder {encoder.name} has published weights, and which it begins with is not "
        f"written: write weights: {' or '.join(choices)} (the file {' or '.join(files)}, see "
        "echolm weights list), file:PATH or run:CELL, or weights: random for random ones"
    )


def seen_data(encoder: str, weights: str) -> tuple[SeenData, ...]:
    """Return what the first weights of a run were trained on, as far as it is known.

    A file counts as a published one where its path ends as that one's does.

    Args:
        encoder: its name.
        weights: as a run names them.
    """
    from echolm.encoders import ENCODERS

    source, _, value = weights.partition(":")
    if encoder not in ENCODERS.names():
        return ()
    for name, published in ENCODERS.get(encoder).published.items():
        parts = Path(published.file).parts
        is_its_file = source == "file" and Path(value).parts[-len(parts) :] == parts
        if is_its_file or (source == "published" and value == name):
            return published.seen
    return ()


def random_weights(encoder: str, weights: Any) -> str:
    """Return "random weights" where an encoder that has published weights begins without any.

    Args:
        encoder: its name.
        weights: as a run, or a stored configuration of any version, names them. None: it does not.

    Returns:
        The words for labels, captions and reports, else "".
    """
    from echolm.encoders import ENCODERS

    source = weights.get("source") if isinstance(weights, dict) else str(weights or "random")
    if source != "random" or encoder not in ENCODERS.names():
        return ""
    return "random weights" if ENCODERS.get(encoder).published else ""
