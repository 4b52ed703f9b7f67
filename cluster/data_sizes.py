"""How many clips a cell trains on, for forecasts: of its store, else of its published data set."""

from __future__ import annotations

from dataclasses import dataclass

from cluster.measured_rates import PAPER_HOURS
from echolm.config import FinetuneConfig, PretrainConfig
from echolm.datasets import DATASETS
from echolm.errors import EchoLMError
from echolm.stores.clips import dataset_of_store, peek
from echolm.workspace import Workspace

ASSUMED_CLIPS = max(PAPER_HOURS)
"""Training clips where neither the store nor the published number is known."""
PHANTOM = "-phantom"
"""What the name of a phantom's store ends with. A phantom has as many items as one likes."""


@dataclass(frozen=True)
class TrainingClips:
    """The training clips of a cell, before its fraction of them is drawn.

    Attributes:
        count: how many.
        source: where the number is from, in words. Empty: of the store.
    """

    count: int
    source: str = ""


class DataSizes:
    """The training clips of cells. Each store is asked once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._in_store: dict[str, int | None] = {}

    def __call__(self, config: FinetuneConfig | PretrainConfig) -> TrainingClips:
        """Return the training clips of a cell."""
        name = config.data.name
        if name not in self._in_store:
            self._in_store[name] = self._count(name)
        count = self._in_store[name]
        if count is not None:
            return TrainingClips(count)
        dataset = "" if name.endswith(PHANTOM) else dataset_of_store(name)
        if dataset:
            published = DATASETS.get(dataset).published_counts(dict(config.data.where))
            if "train" in published:
                total = sum(published.values())
                return TrainingClips(published["train"], f"of {total:,} published")
        return TrainingClips(ASSUMED_CLIPS, "EchoNet-Dynamic's of NLDL 2026")

    def _count(self, store: str) -> int | None:
        try:
            return int(peek(self._workspace.store(store))["splits"]["train"])
        except EchoLMError:
            return None
