"""Faults of data that give a number all the same are refused by name."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from store_support import changed_store
from training_support import config, prepare_run, train

from echolm.augmentation import AUGMENTATIONS, Augmentation
from echolm.augmentation.none import NoAugmentation
from echolm.errors import EchoLMError
from echolm.stores.clips import FRAMES, INDEX, INFO, ClipStore
from echolm.training.batches import check_pixels
from echolm.training.feed import open_feed
from echolm.training.trunk import first_network
from echolm.workspace import Workspace


def scaled_store(source: Path, target: Path) -> Path:
    """A store whose pixels were divided by 255 and stored as whole numbers: 0 and 1."""
    changed_store(source, target, dict)
    pixels = np.fromfile(source / FRAMES, np.uint8)
    (target / FRAMES).unlink()
    ((pixels > 127).astype(np.uint8)).tofile(target / FRAMES)
    table = pq.read_table(target / INDEX)
    digests = []
    content = (target / FRAMES).read_bytes()
    for row in table.select(["offset", "t", "h", "w"]).to_pylist():
        end = row["offset"] + row["t"] * row["h"] * row["w"]
        digests.append(hashlib.sha256(content[row["offset"] : end]).hexdigest())
    place = table.column_names.index("sha256")
    pq.write_table(table.set_column(place, "sha256", pa.array(digests)), target / INDEX)
    info = json.loads((target / INFO).read_text())
    info["index_sha256"] = hashlib.sha256((target / INDEX).read_bytes()).hexdigest()
    (target / INFO).write_text(json.dumps(info))
    return target


def test_pixels_from_0_to_1_are_refused_for_encoders_of_either_scale(
    workspace: Workspace, tiny: Path
) -> None:
    path = scaled_store(tiny / "store", workspace.store("scaled"))
    [outcome] = train(workspace, config(data="scaled", epochs=1))
    assert outcome.state == "failed"
    assert outcome.detail.endswith(
        f"{path}: no pixel of 8 items exceeds 1: its frames seem to be scaled to [0, 1], and "
        "encoder toy-r3d is given 0 to 255; prepare it from files whose pixels span 0 to 255"
    )
    store = ClipStore.open(path)
    echoprime = config(encoder="echoprime", weights="random", trainable="k0").encoder
    assert echoprime.scale == "0-255"
    with pytest.raises(EchoLMError, match="encoder echoprime is given 0 to 255"):
        check_pixels(store, echoprime)
    check_pixels(ClipStore.open(tiny / "store"), echoprime)


def test_an_augmentation_that_gives_pixels_from_0_to_1_is_refused(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Scaled(NoAugmentation):
        """Pixels as another library has them."""

        name: Literal["scaled"] = "scaled"  # type: ignore[assignment]

        def apply(self, *args: Any, **named: Any) -> Any:
            clips, points = super().apply(*args, **named)
            return clips / 255, points

    monkeypatch.setattr(AUGMENTATIONS, "_classes", {**AUGMENTATIONS._classes})
    AUGMENTATIONS.register(Scaled)
    assert issubclass(Scaled, Augmentation)
    [outcome] = train(workspace, config(augmentation="scaled", epochs=1))
    assert outcome.state == "failed"
    assert (
        "augmentation scaled gave pixels in [0, 1]; valid: 0 to 255, which are then scaled as "
        "encoder toy-r3d reads them (0-1)" in outcome.detail
    )


def test_another_store_under_the_same_name_is_refused_where_the_run_was_prepared(
    workspace: Workspace, whole: Path, tiny: Path
) -> None:
    """The same items, by other frames: it was replaced between planning and training."""
    path = workspace.store("other")
    path.symlink_to(tiny / "store")
    prepared = prepare_run(config(data="other", epochs=1), workspace)
    path.unlink()
    path.symlink_to(whole)
    network = first_network(prepared, torch.device("cpu"))
    with pytest.raises(EchoLMError) as caught:
        open_feed(prepared, network, 0, torch.device("cpu"))
    assert str(caught.value) == (
        f"{path}: holds other data than when this run was prepared; launch it again, as a run of "
        "the new data"
    )
    again = prepare_run(config(data="other", epochs=1), workspace)
    assert again.cell == prepared.cell
    assert again.keys["fingerprint"] != prepared.keys["fingerprint"]


def test_frames_that_were_exchanged_under_the_same_index_are_refused(
    workspace: Workspace, tiny: Path
) -> None:
    path = changed_store(tiny / "store", workspace.store("other"), dict)
    pixels = np.fromfile(tiny / "store" / FRAMES, np.uint8)
    (path / FRAMES).unlink()
    pixels[::-1].tofile(path / FRAMES)
    [outcome] = train(workspace, config(data="other", epochs=1))
    assert outcome.state == "failed" and "are not those that were prepared" in outcome.detail
