"""Files of safetensors, with the system's own error where it has one.

The library is not written in Python, and raises other errors for it. Then nobody could tell a disk
that is away from a file that is damaged.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from echolm.outages import system_number


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read all tensors of a file.

    Raises:
        OSError: the file cannot be read.
        SafetensorError: it is damaged.
    """
    with _system_errors():
        return load_file(path)


def write_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write a file of tensors. It is not on the disk by then.

    Args:
        tensors: what is written.
        path: the file.
        metadata: at most one entry: safetensors writes several in any order.

    Raises:
        OSError: the file cannot be written.
    """
    with _system_errors():
        save_file(dict(tensors), path, dict(metadata))


@contextmanager
def _system_errors() -> Iterator[None]:
    """Turn an error of safetensors into the system's, where it has the system's number."""
    try:
        yield
    except SafetensorError as error:
        number = system_number(error)
        if number is None:
            raise
        raise OSError(number, os.strerror(number)) from error
