"""Encoder weights from a file, into exactly the network they are meant for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from echolm.encoders import Encoder
from echolm.errors import EchoLMError


def load_state(path: Path, network: nn.Module, encoder: Encoder) -> None:
    """Load the state dict in ``path`` into ``network``: every key, every shape.

    A file ending in ``.safetensors`` is read as such, any other by ``torch.load(weights_only=True)``, which runs no
    code. Keys may carry DataParallel's ``module.``. EchoLMError for a file that is missing, cannot be read, or is not
    for this network; it names the file and the encoder, what differs first, and the file that is meant.
    """
    state = _without_prefix(_read(path, encoder))
    own = network.state_dict()
    # a BatchNorm's batch counter: absent from old checkpoints, without effect on the result
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [_shapes(key, state[key], own[key]) for key in own if key in state and state[key].shape != own[key].shape]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    problems = [f"{kind}: {_first(keys)}" for kind, keys in found.items() if keys]
    if problems:
        raise EchoLMError(f"{path}: not weights of encoder {encoder.name}: {'; '.join(problems)}. {_meant(encoder)}")
    network.load_state_dict(state, strict=False)


def _read(path: Path, encoder: Encoder) -> dict[str, Tensor]:
    if not path.is_file():
        raise EchoLMError(f"{path}: no such file (weights of encoder {encoder.name}). {_meant(encoder)}")
    try:
        state = _parse(path)
    except Exception as error:  # torch and safetensors raise many types for damaged or hostile files
        reason = str(error).strip().partition("\n")[0]
        raise EchoLMError(
            f"{path}: cannot be read as weights of encoder {encoder.name}: truncated, not a checkpoint, or it holds"
            f" Python objects, which are never run ({type(error).__name__}: {reason}). {_meant(encoder)}"
        ) from error
    if not _is_state_dict(state):
        held = f"a mapping of {_first(list(map(str, state)))}" if isinstance(state, dict) else type(state).__name__
        raise EchoLMError(
            f"{path}: not a state dict (names to tensors) for encoder {encoder.name}, but {held}. {_meant(encoder)}"
        )
    return dict(state)


def _is_state_dict(state: Any) -> bool:
    return isinstance(state, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())


def _parse(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("module."): value for key, value in state.items()}


def _shapes(key: str, given: Tensor, own: Tensor) -> str:
    return f"{key} {tuple(given.shape)} for {tuple(own.shape)}"


def _first(names: list[str]) -> str:
    rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{rest}" if names else "nothing"


def _meant(encoder: Encoder) -> str:
    """Which file is meant, where a user gets it, and under which licence."""
    if not encoder.published:
        return f"Encoder {encoder.name} has no published weights; valid: weights that EchoLM wrote for it."
    files = (f"{item.file} ({item.origin}, licence {item.licence})" for item in encoder.published.values())
    return f"Meant is {' or '.join(files)}; get it there and give its path."
