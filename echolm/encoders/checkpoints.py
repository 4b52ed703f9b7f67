"""Encoder weights from a file, into exactly the network they are meant for."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from echolm.encoders import Encoder
from echolm.encoders.published import meant
from echolm.errors import EchoLMError


def load_state(path: Path, network: nn.Module, encoder: Encoder, under: str = "", left_out: str = "") -> None:
    """Load the state dict in ``path`` into ``network``: every key, every shape.

    A file ending in ``.safetensors`` is read as such, any other by ``torch.load(weights_only=True)``, which runs no
    code. The state dict is the whole file, or lies in it under the key ``under``. Keys may carry DataParallel's
    ``module.``; those that match ``left_out`` (a regular expression) wholly are of no use to the encoder. EchoLMError
    for a file that is missing, cannot be read, or is not for this network; it names the file and the encoder, what
    differs first, and the file that is meant.
    """
    state = {key.removeprefix("module."): value for key, value in _read(path, encoder, under).items()}
    state = {key: value for key, value in state.items() if not re.fullmatch(left_out, key)}
    problems = _differences(state, network.state_dict())
    if problems:
        raise EchoLMError(f"{path}: not weights of encoder {encoder.name}: {'; '.join(problems)}. {meant(encoder)}")
    network.load_state_dict(state, strict=False)


def _differences(state: dict[str, Tensor], own: dict[str, Tensor]) -> list[str]:
    """``missing: KEY and 3 more``, and so on: the first key and the number of each kind."""
    # a BatchNorm's batch counter: absent from old checkpoints, without effect on the result
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in own]
    shapes = [_shapes(key, state[key], own[key]) for key in own if key in state and state[key].shape != own[key].shape]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    return [f"{kind}: {_first(keys)}" for kind, keys in found.items() if keys]


def _read(path: Path, encoder: Encoder, under: str) -> dict[str, Tensor]:
    if not path.is_file():
        what = "a folder, not a file" if path.is_dir() else "no such file"
        raise EchoLMError(f"{path}: {what} (weights of encoder {encoder.name}). {meant(encoder)}")
    try:
        state = _parse(path)
    except Exception as error:  # torch and safetensors raise many types for damaged or hostile files
        why = f"cannot be read as weights of encoder {encoder.name}: {_reason(path, error)}"
        raise EchoLMError(f"{path}: {why}. {meant(encoder)}") from error
    if isinstance(state, dict) and isinstance(state.get(under), dict):
        state = state[under]
    if not _is_state_dict(state):
        held = f"a mapping of {_first(list(map(str, state)))}" if isinstance(state, dict) else type(state).__name__
        raise EchoLMError(
            f"{path}: not a state dict (names to tensors) for encoder {encoder.name}, but {held}. {meant(encoder)}"
        )
    return dict(state)


def _is_state_dict(state: Any) -> bool:
    return isinstance(state, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())


def _parse(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    with warnings.catch_warnings(action="ignore"):  # on pickle protocols; what cannot be read is an error
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(path: Path, error: Exception) -> str:
    """In words; torch's own messages advise to load without ``weights_only``."""
    if isinstance(error, PermissionError):
        return "permission denied"
    if path.stat().st_size == 0:
        return "the file is empty"
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return f"it holds Python objects ({refused[1]}), which are never run"
    return "truncated, or not a checkpoint"


def _shapes(key: str, given: Tensor, own: Tensor) -> str:
    return f"{key} {tuple(given.shape)} for {tuple(own.shape)}"


def _first(names: list[str]) -> str:
    rest = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{rest}" if names else "nothing"
