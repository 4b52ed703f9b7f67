"""What a run was trained on: from its record, and from its store as long as it is the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from predict_support import prepared

from echolm.config import parse_config
from echolm.predict.trained_on import SYNTHETIC, TrainedOn, describe_training
from echolm.record import RunRecord
from echolm.workspace import Workspace


def copied(record: RunRecord, folder: Path, **summary: Any) -> RunRecord:
    """The record with other facts in its summary. None: without the fact."""
    other = RunRecord(folder / "record")
    other.path.mkdir()
    (other.path / "config.json").write_bytes((record.path / "config.json").read_bytes())
    facts = {**(record.summary() or {}), **summary}
    plain = {name: value for name, value in facts.items() if value is not None}
    (other.path / "summary.json").write_text(json.dumps(plain))
    return other


def describe(record: RunRecord, workspace: Workspace, **changes: Any) -> TrainedOn:
    config = parse_config(record.identity()["config"] | changes)
    return describe_training(record, config, workspace)  # type: ignore[arg-type]


def test_real_data_is_not_called_synthetic(
    record: RunRecord, workspace: Workspace, tmp_path: Path
) -> None:
    real = describe(copied(record, tmp_path, synthetic=False), workspace)
    assert real.sentence.startswith("trained on store tiny of echonet-dynamic (")
    assert "SYNTHETIC" not in real.sentence and real.note == ""


def test_a_store_that_is_gone_or_another_says_nothing(
    record: RunRecord, workspace: Workspace, tmp_path: Path
) -> None:
    """The record still says how many samples, and whether they were generated."""
    elsewhere = Workspace(tmp_path / "elsewhere")
    there = describe(record, workspace)
    gone = describe(record, elsewhere)
    assert (there.dataset, gone.dataset) == ("echonet-dynamic", None)
    assert gone.sentence.startswith(f"trained on {SYNTHETIC}: store tiny (")
    store = json.loads((workspace.store("tiny") / "store.json").read_text())
    elsewhere.store("tiny").mkdir(parents=True)
    changed = store | {"fingerprint": "0" * 64, "synthetic": False}
    (elsewhere.store("tiny") / "store.json").write_text(json.dumps(changed))
    assert describe(record, elsewhere) == gone


def test_a_record_of_an_earlier_version_says_what_the_store_says(
    record: RunRecord, workspace: Workspace, tmp_path: Path
) -> None:
    older = copied(record, tmp_path, synthetic=None, counts=None)
    assert describe(older, workspace).synthetic is True
    unknown = describe(older, Workspace(tmp_path / "elsewhere"))
    assert unknown.synthetic is None and unknown.splits == {}
    assert "store tiny, real or synthetic: not known; encoder" in unknown.sentence


@pytest.mark.parametrize(
    ("encoder", "weights", "says"),
    [
        ("tiny-r3d", "random", "encoder tiny-r3d, first weights random"),
        (
            "echoprime",
            "random",
            "encoder echoprime, first weights random although published ones exist "
            "(published:echoprime)",
        ),
        (
            "echoprime",
            "published:echoprime",
            "encoder echoprime, first weights published:echoprime",
        ),
    ],
)
def test_random_weights_are_named_where_there_are_published_ones(
    encoder: str, weights: str, says: str, record: RunRecord, workspace: Workspace
) -> None:
    changes = {"encoder": encoder, "weights": weights, "trainable": "k0"}
    assert describe(record, workspace, **changes).sentence.endswith(f"; {says}")


def test_a_run_on_a_part_of_its_store_says_how_much(workspace: Workspace) -> None:
    from echolm.training.loop import fit

    run = prepared(workspace, epochs=1, data={"name": "tiny", "fraction": 0.5})
    fit([run])
    whole = describe(run.record, workspace)
    assert f"({whole.splits['train']} train, {whole.splits['val']} val, " in whole.sentence
    assert whole.splits["train"] < 12
