"""Files of checkpoints: which counts as the newest, and that their state comes back bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from echolm.attempt import Attempt, Superseded
from echolm.record import RunRecord
from echolm.training import checkpoint


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """An empty record."""
    made = RunRecord.at(tmp_path, "cell", "f" * 64)
    made.create({"cell": "cell", "fingerprint": "f" * 64})
    return made


def state(epoch: int, step: int, **more: Any) -> dict[str, Any]:
    return {"epoch": epoch, "step": step, **more}


def test_no_checkpoint(record: RunRecord) -> None:
    assert checkpoint.newest(record) is None


def test_a_state_comes_back_bitwise(record: RunRecord) -> None:
    attempt = Attempt.acquire(record)
    saved = state(
        1,
        2,
        tensors={
            "a": torch.randn(5, dtype=torch.float64),
            "n": torch.tensor(7),
            "nan": torch.tensor(torch.nan),
        },
        progress={"best": None, "loss": 0.1},
    )
    loaded = checkpoint.load(checkpoint.save(attempt, saved))
    attempt.release()
    assert all(
        torch.equal(loaded["tensors"].pop(name), saved["tensors"][name]) for name in ("a", "n")
    )
    assert loaded["tensors"]["nan"].isnan() and loaded["progress"] == saved["progress"]


def test_the_furthest_counts_whatever_the_attempt_and_the_time(record: RunRecord) -> None:
    first = Attempt.acquire(record)
    checkpoint.save(first, state(0, 3))
    far = checkpoint.save(first, state(10, 0))
    first.release("interrupted")
    second = Attempt.acquire(record)
    checkpoint.save(second, state(9, 99_999))
    second.release("interrupted")
    assert checkpoint.newest(record) == far
    assert checkpoint.position(far) == (10, 0)


def test_an_attempt_keeps_its_two_newest(record: RunRecord) -> None:
    attempt = Attempt.acquire(record)
    for epoch in range(12):
        checkpoint.save(attempt, state(epoch, 0))
    attempt.release()
    assert sorted(checkpoint.position(path) for path in attempt.path.glob("checkpoint-*")) == [
        (10, 0),
        (11, 0),
    ]


def test_other_files_and_unfinished_writes_are_no_checkpoints(record: RunRecord) -> None:
    attempt = Attempt.acquire(record)
    for name in (
        "checkpoint-1-0.pt",
        ".checkpoint-00001-0000000-0123456789abcdef.pt.x.tmp",
        "checkpoint-a-b-c.pt",
        "checkpoint-00009-0000000-0123456789abcdef.pt",
    ):
        (attempt.path / name).write_bytes(b"x")
    (attempt.path / "checkpoint-00008-0000000-0123456789abcdef.pt").mkdir()
    attempt.release()
    assert checkpoint.newest(record) is None


def test_a_replaced_attempt_writes_none(record: RunRecord) -> None:
    attempt = Attempt.acquire(record)
    record.attempt_path(2).mkdir()
    with pytest.raises(Superseded):
        checkpoint.save(attempt, state(0, 1))
    attempt.release()
    assert checkpoint.newest(record) is None


def test_discard_leaves_results(record: RunRecord) -> None:
    attempt = Attempt.acquire(record)
    checkpoint.save(attempt, state(0, 1))
    for name in (
        "best-00001.safetensors",
        "best.safetensors",
        "predictions.parquet",
        ".best-00002.safetensors.x.tmp",
    ):
        (attempt.path / name).write_bytes(b"x")
    checkpoint.discard(record)
    attempt.release()
    assert {path.name for path in attempt.path.iterdir()} == {
        "best.safetensors",
        "predictions.parquet",
        "events.jsonl",
        "holder.json",
        "heartbeat",
    }


@settings(max_examples=25)
@given(st.binary(min_size=1, max_size=200), st.integers(0, 10**6))
def test_any_change_of_a_byte_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, garbage: bytes, place: int
) -> None:
    root = tmp_path_factory.mktemp("record")
    made = RunRecord.at(root, "cell", "f" * 64)
    made.create({"cell": "cell", "fingerprint": "f" * 64})
    attempt = Attempt.acquire(made)
    path = checkpoint.save(attempt, state(0, 1))
    attempt.release()
    content = path.read_bytes()
    place %= len(content)
    changed = content[:place] + garbage + content[place + len(garbage) :]
    path.write_bytes(changed)
    assert checkpoint.newest(made) == (path if changed == content else None)
