"""The sizes of the networks of all grids that come with EchoLM.

``python -m tests.footprints > echolm/training/footprints.json`` counts them again.
"""

from __future__ import annotations

import json
from dataclasses import astuple
from pathlib import Path

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.training.footprint import digest, footprint
from grid.definition.grid import load_grid

GRIDS = Path(__file__).parents[1] / "grid" / "grids"


def shapes() -> dict[str, FinetuneConfig | PretrainConfig]:
    """Return a run of each shape, by the digest of the shape."""
    runs = {}
    for path in sorted(GRIDS.glob("*.yaml")):
        for cell in load_grid(path.stem).cells:
            runs[digest(cell.config)] = cell.config
    return runs


def main() -> None:
    """Print them as JSON, a line a shape."""
    lines = []
    for name, run in sorted(shapes().items()):
        sizes = json.dumps(list(astuple(footprint(run, shipped=False))))
        lines.append(f'"{name}": {sizes}')
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
