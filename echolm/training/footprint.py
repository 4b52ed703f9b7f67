"""How many bytes a run writes of its network, counted on a network without memory."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.errors import EchoLMError
from echolm.files import write_atomic
from echolm.identity import canonical_json

if TYPE_CHECKING:
    from echolm.training.member import Member

CACHE_FILE = "footprints.json"
SHIPPED = Path(__file__).with_name(CACHE_FILE)
"""Those of EchoLM's own grids. ``python -m tests.footprints`` prints them."""
_PARTS = ("encoder", "trainable", "fusion", "head", "task", "objective", "optimizer")
"""The fields of a run that decide what its network holds."""


@dataclass(frozen=True)
class Footprint:
    """Bytes of the files of a run in training.

    Attributes:
        weights: of the best weights, with 32 bits a number.
        checkpoint: of one checkpoint: these weights and what the optimiser remembers.
    """

    weights: int
    checkpoint: int


def footprint_key(config: FinetuneConfig | PretrainConfig) -> str:
    """Return a text that is equal for runs whose networks are equally large."""
    parts = {name: getattr(config, name) for name in _PARTS if hasattr(config, name)}
    plain = {name: part.model_dump(mode="json") for name, part in parts.items()}
    return canonical_json({"kind": config.kind, **plain})


class NotCounted(EchoLMError):
    """Nobody has counted a network of this shape, and it may not be built now."""


def digest(config: FinetuneConfig | PretrainConfig) -> str:
    """Return a short name of the shape of a run's network."""
    return hashlib.sha256(footprint_key(config).encode()).hexdigest()[:16]


def footprint(
    config: FinetuneConfig | PretrainConfig,
    cache: Path | None = None,
    *,
    remembers: bool = False,
    builds: bool = True,
    shipped: bool = True,
) -> Footprint:
    """Count the bytes that a run writes. Runs of one shape are counted once a process.

    Args:
        config: of the run.
        cache: a folder where they may be remembered, since torch takes seconds to begin.
        remembers: whether what is counted is written there.
        builds: whether a network may be built for it.
        shipped: whether what comes with EchoLM, for its own grids, is taken.

    Raises:
        NotCounted: it is not known, and no network may be built.
    """
    name = digest(config)
    known: dict[str, list[int]] = {}
    own = not _has_plugins(config)
    if own and shipped:
        known = _read_sizes(SHIPPED)
    if own and cache is not None and name not in known:
        known = _read_sizes(cache / f"{version('echolm')}-{CACHE_FILE}")
    if name in known:
        return Footprint(*known[name])
    if not builds:
        raise NotCounted("its network has not been counted here")
    counted = _footprint(footprint_key(config), _Shape(config))
    if own and cache is not None and remembers:
        path = cache / f"{version('echolm')}-{CACHE_FILE}"
        with contextlib.suppress(OSError):  # it is counted again then
            path.parent.mkdir(parents=True, exist_ok=True)
            content = _read_sizes(path) | {name: list(astuple(counted))}
            write_atomic(path, json.dumps(content).encode())
    return counted


def _has_plugins(config: FinetuneConfig | PretrainConfig) -> bool:
    """Tell whether a part of a run is not EchoLM's own: it may change under the same name."""
    parts = [getattr(config, name) for name in _PARTS if hasattr(config, name)]
    return any(type(part).__module__.split(".")[0] != "echolm" for part in parts)


def _read_sizes(path: Path) -> dict[str, list[int]]:
    """Read sizes by shape: none where the file is not there or damaged."""
    try:
        known = dict(json.loads(path.read_text()))
        return {name: [int(size) for size in sizes] for name, sizes in known.items()}
    except (OSError, ValueError, TypeError):
        return {}


class _Shape:
    """A configuration that counts as equal to every other, so that the key alone decides."""

    def __init__(self, config: FinetuneConfig | PretrainConfig) -> None:
        self.config = config

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shape)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=1024)
def _footprint(key: str, shape: _Shape) -> Footprint:
    """Build the network of a shape on the meta device, which computes shapes alone."""
    import torch

    from echolm.training.member import Member

    config = shape.config
    with torch.device("meta"):
        member = Member(config, config.encoder.build(None), 0, torch.device("meta"))
    weights = _bytes(member.tensors().values())
    return Footprint(weights, weights + _optimizer_bytes(member))


def _optimizer_bytes(member: Member) -> int:
    """Return the bytes that an optimiser remembers after its first step."""
    import torch

    if member.optimizer is None:
        return 0
    for parameter in member.parameters:
        parameter.grad = torch.zeros_like(parameter)
    member.optimizer.step()
    remembered: list[Any] = []
    for state in member.optimizer.state.values():
        remembered += [value for value in state.values() if torch.is_tensor(value)]
    return _bytes(remembered)


def _bytes(tensors: Iterable[Any]) -> int:
    """Return the bytes of tensors, each as a file holds it."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
