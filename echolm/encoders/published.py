"""Published checkpoints: which there are, and whether a file is one of them.

EchoLM never fetches or ships any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from echolm.encoders import ENCODERS, Encoder, PublishedWeights
from echolm.errors import EchoLMError
from echolm.text import suggest

SHA256_DIGITS = 64


def list_published(folder: Path) -> list[dict[str, Any]]:
    """List every encoder's published checkpoints.

    Args:
        folder: where their files are looked for.

    Returns:
        For each: ``encoder``, ``weights`` (its name there), the fields of ``PublishedWeights``, the
        ``path`` it is looked for at, and whether it is there (``present``).
    """
    checkpoints = []
    for encoder_name in ENCODERS.names():
        encoder = ENCODERS.parse(encoder_name)
        for weights, published in encoder.published.items():
            path = folder / published.file
            checkpoints.append(
                {
                    "encoder": encoder.name,
                    "weights": weights,
                    **published.model_dump(),
                    "path": str(path),
                    "present": path.is_file(),
                }
            )
    return checkpoints


def check_file(name: str, path: Path) -> dict[str, Any]:
    """Check that a file holds weights of an encoder, and describe it.

    Its keys and shapes must be the network's, its SHA-256 the published one where that is known.

    Args:
        name: the encoder, or ENCODER:WEIGHTS.
        path: the file.

    Returns:
        What the file is. ``parameters`` are those of the encoder, without what it leaves out of the
        file (a classifier, task heads).

    Raises:
        EchoLMError: when it is another file.
    """
    encoder, published = _named(name)
    network = encoder.build(path)
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if published is not None and not digest.startswith(published.sha256):
        raise EchoLMError(_other_digest(encoder, published, path, digest))
    return {
        "encoder": encoder.name,
        "path": str(path),
        "file": published.file if published else None,
        "licence": published.licence if published else None,
        "seen": [seen.model_dump() for seen in published.seen] if published else [],
        "sha256": digest,
        "published_sha256": published.sha256 if published else "",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def _other_digest(encoder: Encoder, published: PublishedWeights, path: Path, digest: str) -> str:
    known = published.sha256
    if len(known) < SHA256_DIGITS:
        known = f"starts with {known}"
    return (
        f"{path}: keys and shapes fit encoder {encoder.name}, but it is not the published "
        f"{published.file}: its SHA-256 is {digest}, the published one {known}. {meant(encoder)} "
        f"Weights that are meant to differ: weights: file:{path}"
    )


def describe_seen(seen: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say what weights were trained on, a line for each data set.

    Args:
        seen: as ``list_published`` and ``check_file`` give it.
    """
    if not seen:
        return ["what data it has seen is not known"]
    return [f"has seen {data['dataset']}: {data['what']} ({data['source']})" for data in seen]


def meant(encoder: Encoder) -> str:
    """Say which file an encoder's weights are, where a user gets it, and under which licence."""
    if not encoder.published:
        return (
            f"Encoder {encoder.name} has no published weights; "
            "valid: weights that EchoLM wrote for it."
        )
    files = []
    for published in encoder.published.values():
        files.append(f"{published.file} ({published.origin}, licence {published.licence})")
    return f"Meant is {' or '.join(files)}; get it there and give its path."


def _named(name: str) -> tuple[Encoder, PublishedWeights | None]:
    """Return the encoder, and its weights of that name.

    Without a name of weights they are its only ones, or None when it has none.
    """
    encoder_name, _, weights = name.partition(":")
    encoder = ENCODERS.parse(encoder_name)
    published = encoder.published
    if not weights and len(published) <= 1:
        return encoder, next(iter(published.values()), None)
    if weights not in published:
        raise EchoLMError(
            f"{name}: encoder {encoder.name}: which published weights? "
            f"{suggest(weights, published)}"
        )
    return encoder, published[weights]
