"""Encoder weights from a file, into exactly the network they are meant for."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from echolm.encoders import Encoder
from echolm.encoders.published import meant
from echolm.errors import EchoLMError


def load_state(
    path: Path,
    network: nn.Module,
    encoder: Encoder,
    under: str | tuple[str, ...] = (),
    left_out: str = "",
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    optional: str = "",
) -> None:
    """Load the state dict of a file into a network: every key, every shape.

    A file ending in ``.safetensors`` is read as such, any other by
    ``torch.load(weights_only=True)``, which runs no code. Keys may carry the ``module.`` of
    DataParallel.

    Args:
        path: the file.
        network: what the weights are loaded into.
        encoder: named in messages.
        under: the key, or keys of which one, under which the state dict lies. It may also be the
            whole file.
        left_out: a regular expression. Keys that match it wholly are of no use to the encoder.
        rename: turns the tensors of the file, without what is left out, into the network's.
        optional: a regular expression. Tensors of the network whose name matches it wholly may be
            absent from the file, and then stay as the network was built.

    Raises:
        EchoLMError: for a file that is missing, cannot be read, or is not for this network. It
            names the file and the encoder, what differs first, and the file that is meant.
    """
    state = {}
    containers = (under,) if isinstance(under, str) else under
    for key, value in _read(path, encoder, containers).items():
        key = key.removeprefix("module.")
        if not re.fullmatch(left_out, key):
            state[key] = value
    if rename is not None:
        state = rename(state)

    differences = _differences(state, network.state_dict(), optional)
    if differences:
        raise EchoLMError(
            f"{path}: not weights of encoder {encoder.name}: {'; '.join(differences)}. "
            f"{meant(encoder)}"
        )
    network.load_state_dict(state, strict=False)


def _differences(
    state: Mapping[str, Tensor], expected: Mapping[str, Tensor], optional: str
) -> list[str]:
    """Name the first key and the number of each kind of difference: ``missing: KEY and 3 more``."""
    missing = []
    reshaped = []
    for key, tensor in expected.items():
        if key in state:
            if state[key].shape != tensor.shape:
                reshaped.append(f"{key} {tuple(state[key].shape)} for {tuple(tensor.shape)}")
        elif not key.endswith("num_batches_tracked") and not re.fullmatch(optional, key):
            # A BatchNorm counts batches so. Old checkpoints do not, and it has no effect.
            missing.append(key)
    unexpected = [key for key in state if key not in expected]

    differences = []
    for kind, keys in (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", reshaped),
    ):
        if keys:
            differences.append(f"{kind}: {_first(keys)}")
    return differences


def _read(path: Path, encoder: Encoder, containers: tuple[str, ...]) -> dict[str, Tensor]:
    if not path.is_file():
        problem = "a folder, not a file" if path.is_dir() else "no such file"
        raise EchoLMError(
            f"{path}: {problem} (weights of encoder {encoder.name}). {meant(encoder)}"
        )
    try:
        state = _parse(path)
    except (
        Exception
    ) as error:  # torch and safetensors raise many types for damaged or hostile files
        problem = f"cannot be read as weights of encoder {encoder.name}: {_reason(path, error)}"
        raise EchoLMError(f"{path}: {problem}. {meant(encoder)}") from error
    for under in containers:
        if isinstance(state, dict) and isinstance(state.get(under), dict):
            state = state[under]
    if not _is_state_dict(state):
        raise EchoLMError(
            f"{path}: not a state dict (names to tensors) for encoder {encoder.name}, "
            f"but {_describe(state)}. {meant(encoder)}"
        )
    return dict(state)


def _is_state_dict(state: Any) -> bool:
    if not isinstance(state, dict):
        return False
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            return False
    return True


def _describe(content: Any) -> str:
    if isinstance(content, dict):
        return f"a mapping of {_first([str(key) for key in content])}"
    return type(content).__name__


def _parse(path: Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    # Warnings are on pickle protocols. What cannot be read is an error.
    with warnings.catch_warnings(action="ignore"):
        return torch.load(path, map_location="cpu", weights_only=True)


def _reason(path: Path, error: Exception) -> str:
    """Say in words why a file cannot be read.

    Torch's own messages advise to load without ``weights_only``.
    """
    if isinstance(error, PermissionError):
        return "permission denied"
    if path.stat().st_size == 0:
        return "the file is empty"
    refused = re.search(r"GLOBAL (\S+)", str(error))
    if refused:
        return f"it holds Python objects ({refused[1]}), which are never run"
    return "truncated, or not a checkpoint"


def _first(names: list[str]) -> str:
    if not names:
        return "nothing"
    if len(names) == 1:
        return names[0]
    return f"{names[0]} and {len(names) - 1} more"
