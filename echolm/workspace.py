"""The workspace: one folder for stores, weights, runs, tracking and results.

The default is ``./echolm-workspace``. ``ECHOLM_WORKSPACE`` or ``--workspace`` name another.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from echolm.errors import EchoLMError

DEFAULT = "echolm-workspace"
VARIABLE = "ECHOLM_WORKSPACE"


@dataclass(frozen=True)
class Workspace:
    """The folders under one root. None needs to exist."""

    root: Path

    @classmethod
    def default(cls) -> Workspace:
        """Return ``$ECHOLM_WORKSPACE``, else ``./echolm-workspace``."""
        return cls(Path(os.environ.get(VARIABLE) or DEFAULT).absolute())

    @property
    def runs(self) -> Path:
        """Run records: ``runs/<cell>/<fingerprint[:16]>``."""
        return self.root / "runs"

    @property
    def grids(self) -> Path:
        """Launched grids: ``grids/<grid>/cells.json``."""
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
    def cache(self) -> Path:
        """What can be made again: which files were read, and their SHA-256."""
        return self.root / "cache"

    @property
    def tracking_uri(self) -> str:
        """``$MLFLOW_TRACKING_URI``, else a SQLite file in the workspace.

        In the address of a file, ``%25`` and ``%3F`` stand for ``%`` and ``?``.
        """
        file = str(self.root / "mlflow" / "mlflow.db").replace("%", "%25").replace("?", "%3F")
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{file}"

    def check(self) -> None:
        """Refuse a workspace whose path the files of a run cannot hold.

        Raises:
            EchoLMError: its bytes are no UTF-8, of which safetensors and MLflow make names.
        """
        try:
            os.fsencode(self.root).decode()
        except UnicodeDecodeError:
            raise EchoLMError(
                f"workspace {ascii(str(self.root))}: its path is no UTF-8, and weights cannot be "
                "written there; rename the folder, or name another with --workspace"
            ) from None

    def store(self, name: str) -> Path:
        """Return the clip store called ``name``: ``data/<name>`` (a folder or a link to one)."""
        return self.root / "data" / name

    def stores(self) -> list[str]:
        """List the names of clip stores that are there, and of links to those that are not."""
        folder = self.root / "data"
        if not folder.is_dir():
            return []
        return sorted(path.name for path in folder.iterdir() if path.is_dir() or path.is_symlink())

    def results(self, grid: str) -> Path:
        """Return the folder of a grid's collected Parquet files: ``results/<grid>``."""
        return self.root / "results" / grid
