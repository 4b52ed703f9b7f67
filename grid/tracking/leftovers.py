"""Temporary files that a killed collection left."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from pathlib import Path

OLD_S = 3600.0
"""No collection has a temporary file for so long. A younger one may be another's at work."""


def sweep(folder: Path, pattern: str) -> None:
    """Remove old temporary files and folders whose names match a pattern."""
    oldest_in_use = time.time() - OLD_S
    for path in folder.glob(pattern):
        with suppress(OSError):
            if path.lstat().st_mtime < oldest_in_use:
                path.unlink() if not path.is_dir() else shutil.rmtree(path)
