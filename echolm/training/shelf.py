"""Where states of a trunk are kept: in memory within a budget, else in a file without a name.

The file is in a folder for temporary files. Its name is taken away as soon as it is open, so the
system frees its space when the process ends, however it ends, and nothing is left to be found.
"""

from __future__ import annotations

import math
import mmap
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from echolm.training.free_memory import free_memory

MEMORY_VARIABLE = "ECHOLM_STATES_GB"
"""Names the budget in GB of this process, in place of ``SHARE`` of the free memory."""
SCRATCH_VARIABLE = "ECHOLM_SCRATCH"
"""Names the folder of files, in place of that of the system (TMPDIR)."""
SHARE = 0.25
"""Of the memory that is free when the first states are kept."""
DISK_SHARE = 0.5
"""Of the space that is free in the folder. Other processes have files there too."""
GB = 10**9
_IN_MEMORY = ("tmpfs", "ramfs")
"""File systems whose files are memory."""


class Shelf:
    """Gives room for arrays.

    Args:
        budget: bytes of memory. None: what the environment says, else a share of what is free.
        folders: where files may be, the first with enough space counts. Empty: no files.
    """

    def __init__(self, budget: float | None, folders: list[Path]) -> None:
        self._budget = memory_budget() if budget is None else budget
        self._folders = folders
        self.in_memory = 0
        """Bytes that were given in memory."""
        self.on_disk = 0
        """Bytes that were given in files."""

    def room(self, count: int, like: dict[str, Tensor], disk: bool) -> dict[str, Tensor] | None:
        """Return an array (count x ...) for each tensor of one batch, all in the same place.

        Args:
            count: rows of the arrays.
            like: tensors B x ..., whose type and further axes the arrays have.
            disk: whether they may be in files.

        Returns:
            None where there is no room.
        """
        sizes = {}
        for name, tensor in like.items():
            sizes[name] = count * math.prod(tensor.shape[1:]) * tensor.element_size()
        total = sum(sizes.values())
        if self.in_memory + total <= self._budget:
            self.in_memory += total
            return empty_arrays(count, like)
        if not disk:
            return None
        return self._in_files(count, like, sizes)

    def _in_files(
        self, count: int, like: dict[str, Tensor], sizes: dict[str, int]
    ) -> dict[str, Tensor] | None:
        """Return arrays in the first folder that has space for all of them."""
        for folder in self._folders:
            with suppress(OSError):
                folder.mkdir(parents=True, exist_ok=True)
                if sum(sizes.values()) > DISK_SHARE * shutil.disk_usage(folder).free:
                    continue
                arrays = {}
                with torch.inference_mode(False):
                    for name, tensor in like.items():
                        values = _mapped(folder, sizes[name]).view(tensor.dtype)
                        arrays[name] = values.view(count, *tensor.shape[1:])
                self.on_disk += sum(sizes.values())
                return arrays
        return None


def empty_arrays(count: int, like: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return an array (count x ...) in memory for each tensor of one batch."""
    arrays = {}
    # Made in inference mode they could not be written to outside of it.
    with torch.inference_mode(False):
        for name, tensor in like.items():
            arrays[name] = torch.empty((count, *tensor.shape[1:]), dtype=tensor.dtype)
    return arrays


def memory_budget(processes: int = 1) -> int:
    """Return the bytes of memory that states may take in this process.

    Args:
        processes: how many share what is free. What the environment states is for each.
    """
    stated = os.environ.get(MEMORY_VARIABLE, "")
    with suppress(ValueError):
        return int(float(stated) * GB)
    return int(SHARE * free_memory() / processes)


def scratch_folders(cache: Path | None) -> list[Path]:
    """Return the folders for files, the best first.

    A temporary folder in memory is none.

    Args:
        cache: the workspace's folder for what can be made again.
    """
    stated = os.environ.get(SCRATCH_VARIABLE)
    if stated:
        return [Path(stated)]
    temporary = Path(tempfile.gettempdir())
    folders = [] if _is_memory(temporary) else [temporary]
    return folders if cache is None else [*folders, cache]


def _mapped(folder: Path, size: int) -> Tensor:
    """Return bytes of a new file without a name, as a tensor.

    Its space is taken at once. Else a write to it would end the process when the disk is full.

    Raises:
        OSError: there is not the space.
    """
    if size == 0:
        return torch.empty(0, dtype=torch.uint8)
    with tempfile.TemporaryFile(dir=folder, prefix=".echolm-states-") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        content = mmap.mmap(file.fileno(), size)
    return torch.frombuffer(content, dtype=torch.uint8)


def _is_memory(folder: Path) -> bool:
    """Tell whether the files of a folder are memory."""
    found, kind = "", ""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    resolved = str(folder.resolve())
    for line in lines:
        _, place, name, *_ = line.split()
        inside = place == "/" or resolved == place or resolved.startswith(f"{place}/")
        if inside and len(place) >= len(found):
            found, kind = place, name
    return kind in _IN_MEMORY
