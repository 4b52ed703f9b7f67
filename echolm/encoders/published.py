"""Published checkpoints: which there are, and whether a file is one of them. EchoLM never fetches or ships any."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from echolm.encoders import ENCODERS, Encoder, Published
from echolm.errors import EchoLMError
from echolm.registry import suggest


def list_published(folder: Path) -> list[dict[str, Any]]:
    """Every encoder's published checkpoints: ``encoder``, ``weights`` (its name there), ``file``, ``origin``,
    ``licence``, ``sha256``, the ``path`` it is looked for at in ``folder``, and whether it is there (``present``)."""
    found = []
    for encoder in map(ENCODERS.parse, ENCODERS.names()):
        for name, item in encoder.published.items():
            path = folder / item.file
            place = {"path": str(path), "present": path.is_file()}
            found.append({"encoder": encoder.name, "weights": name, **item.model_dump(), **place})
    return found


def check_file(name: str, path: Path) -> dict[str, Any]:
    """What the file ``path`` is, when it is weights of ``name`` (an encoder, or ENCODER:WEIGHTS).

    Its keys and shapes must be the network's, its SHA-256 the published one where that is known: EchoLMError if not.
    ``parameters`` are those of the encoder, without what it leaves out of the file (a classifier, task heads).
    """
    encoder, item = _named(name)
    parameters = sum(parameter.numel() for parameter in encoder.build(path).parameters())
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    known = item.sha256 if item else ""
    if item and not digest.startswith(known):
        published = f"the published one {'starts with ' * (len(known) < 64)}{known}"
        raise EchoLMError(
            f"{path}: keys and shapes fit encoder {encoder.name}, but it is not the published {item.file}:"
            f" its SHA-256 is {digest}, {published}. {meant(encoder)}"
            f" Weights that are meant to differ: weights: file:{path}"
        )
    return {"encoder": encoder.name, "path": str(path), "file": item.file if item else None,
            "licence": item.licence if item else None, "sha256": digest, "published_sha256": known,
            "parameters": parameters}  # fmt: skip


def meant(encoder: Encoder) -> str:
    """Which file is meant by an encoder's weights, where a user gets it, and under which licence."""
    if not encoder.published:
        return f"Encoder {encoder.name} has no published weights; valid: weights that EchoLM wrote for it."
    files = (f"{item.file} ({item.origin}, licence {item.licence})" for item in encoder.published.values())
    return f"Meant is {' or '.join(files)}; get it there and give its path."


def _named(name: str) -> tuple[Encoder, Published | None]:
    """The encoder, and its weights of that name; without a name its only ones, None when it has none."""
    encoder_name, _, weights = name.partition(":")
    encoder = ENCODERS.parse(encoder_name)
    published = encoder.published
    if not weights and len(published) <= 1:
        return encoder, next(iter(published.values()), None)
    if weights not in published:
        raise EchoLMError(f"{name}: encoder {encoder.name}: which published weights? {suggest(weights, published)}")
    return encoder, published[weights]
