"""Refuse to start where a file of somebody's own hides one of EchoLM's packages.

``grid`` and ``cluster`` are plain words. Python takes the first module of a name on its path, and
the folder that ``python -m`` is typed in, and PYTHONPATH, come before what is installed.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

from echolm.text import printable

PACKAGES = ("grid", "cluster")
"""The packages beside ``echolm``, which is here by now."""


def refuse_shadows() -> None:
    """End with one line when another file would be imported as one of EchoLM's packages.

    Raises:
        SystemExit: there is such a file. The line names it and the remedy.
    """
    home = Path(__file__).resolve().parents[2]
    for name in PACKAGES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            continue  # nothing hides the package: it is missing, and its import says so
        file = Path(spec.origin)
        if file.resolve() == home / name / "__init__.py":
            continue
        if spec.submodule_search_locations is not None:
            file = file.parent
        sys.exit(
            printable(f"Error: {file} hides EchoLM's package {name!r}: {_remedy(file.parent)}")
        )


def _remedy(folder: Path) -> str:
    """Say how a file in this folder is taken off Python's path."""
    entries = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if "PYTHONPATH" in os.environ and folder.resolve() in [Path(e).resolve() for e in entries]:
        return f"rename it, or take {folder} out of PYTHONPATH"
    if folder.resolve() == Path.cwd():
        return "rename it, or type the command in another folder"
    return "rename it"
