"""The workspace: one folder for stores, weights, runs, tracking and results.

Default ``./echolm-workspace``; ``ECHOLM_WORKSPACE`` or ``--workspace`` name another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT = "echolm-workspace"
VARIABLE = "ECHOLM_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """The folders under one root; none needs to exist."""

    root: Path

    @classmethod
    def default(cls) -> Workspace:
        """``$ECHOLM_WORKSPACE``, else ``./echolm-workspace``."""
        return cls(Path(os.environ.get(VARIABLE) or DEFAULT).absolute())

    @property
    def runs(self) -> Path:
        """Run records: ``runs/<cell>/<fingerprint[:16]>``."""
        return self.root / "runs"

    @property
    def grids(self) -> Path:
        """What was launched: ``grids/<grid>/cells.json``."""
        return self.root / "grids"

    @property
    def searches(self) -> Path:
        """Searches: ``searches/<search>`` with its study and the records of its trials."""
        return self.root / "searches"

    @property
    def weights(self) -> Path:
        """Published checkpoints, under their usual file names."""
        return Path(os.environ.get("ECHOLM_WEIGHTS") or self.root / "weights")

    @property
    def tracking_uri(self) -> str:
        """``$MLFLOW_TRACKING_URI``, else a SQLite file in the workspace."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.root / 'mlflow' / 'mlflow.db'}"

    def store(self, name: str) -> Path:
        """The clip store called ``name``: ``data/<name>`` (a folder or a link to one)."""
        return self.root / "data" / name

    def stores(self) -> list[str]:
        """Names of the clip stores that are there, and of links to those that are not."""
        folder = self.root / "data"
        return sorted(path.name for path in folder.iterdir() if path.is_dir() or path.is_symlink()) if folder.is_dir() else []

    def results(self, grid: str) -> Path:
        """Collected Parquet files of a grid: ``results/<grid>``."""
        return self.root / "results" / grid
