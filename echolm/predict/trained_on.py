"""What a run was trained on, in words that stand beside each of its predictions.

The record says how many samples it was and whether they were generated. The store, where it is
still the same, says the dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from echolm.config import FinetuneConfig, PretrainConfig
from echolm.datasets.scan import SPLITS
from echolm.errors import EchoLMError
from echolm.kept_weights import HALF_NOTE, Keep, kept
from echolm.record import RunRecord
from echolm.stores.clips import peek
from echolm.workspace import Workspace

SYNTHETIC = "SYNTHETIC DATA (phantom), which says nothing about patients"


@dataclass(frozen=True)
class TrainedOn:
    """What a run was trained on."""

    dataset: str | None
    """None where the store is gone or has changed."""
    store: str
    splits: dict[str, int]
    """Samples of each split. Empty where the record does not say."""
    synthetic: bool | None
    """Whether the data was generated. None where neither record nor store says."""
    encoder: str
    weights: str
    """Its first weights."""
    unused: tuple[str, ...]
    """Published weights of the encoder, where it began with random ones."""
    clips: str | None = None
    """The clip rule of the store. None where it is gone or has changed."""
    half: bool = False
    """Whether the weights were kept with 16 bits a number."""
    began_half: bool = False
    """Whether its first weights were."""

    @property
    def note(self) -> str:
        """What a picture says of it: that the data was generated, else nothing."""
        return "network trained on synthetic data" if self.synthetic else ""

    @property
    def sentence(self) -> str:
        """All of it in one line."""
        place = f"store {self.store}"
        if self.dataset:
            place += f" of {self.dataset}"
        if self.synthetic:
            place = f"{SYNTHETIC}: {place}"
        if self.synthetic is None:
            place += ", real or synthetic: not known"
        if self.splits:
            sizes = [f"{number:,} {split}" for split, number in self.splits.items()]
            place += f" ({', '.join(sizes)})"
        network = f"encoder {self.encoder}, first weights {self.weights}"
        if self.unused:
            names = ", ".join(f"published:{name}" for name in self.unused)
            network += f" although published ones exist ({names})"
        if self.began_half:
            network += ", which had been kept with 16 bits a number"
        sentence = f"trained on {place}; {network}"
        return f"{sentence}; {HALF_NOTE}" if self.half else sentence


def describe_training(
    record: RunRecord, config: FinetuneConfig | PretrainConfig, workspace: Workspace
) -> TrainedOn:
    """Say what a complete run was trained on.

    Args:
        record: of the run.
        config: its configuration.
        workspace: where its store was.
    """
    summary = record.summary() or {}
    store = _store(record, config, workspace)
    synthetic = summary.get("synthetic", store.get("synthetic"))
    counts = summary.get("counts", {})
    splits = {split: int(counts[split]) for split in SPLITS if split in counts}
    unused: tuple[str, ...] = ()
    if config.weights.source == "random":
        unused = tuple(config.encoder.published)
    return TrainedOn(
        dataset=store.get("reader"),
        store=config.data.name,
        splits=splits,
        synthetic=None if synthetic is None else bool(synthetic),
        encoder=config.encoder.name,
        weights=str(config.weights),
        unused=unused,
        clips=store.get("clips"),
        half=kept(summary) == Keep.HALF,
        began_half=summary.get("first_weights") == Keep.HALF,
    )


def _store(
    record: RunRecord, config: FinetuneConfig | PretrainConfig, workspace: Workspace
) -> dict[str, Any]:
    """Return what the store says of itself, nothing where it is not the one of the run."""
    try:
        info = peek(workspace.store(config.data.name))
    except EchoLMError:
        return {}
    if info["fingerprint"] != record.identity().get("data"):
        return {}
    return info
