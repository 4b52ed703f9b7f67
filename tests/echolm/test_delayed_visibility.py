"""Holding a run record on a file system that shows changes late."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from echolm.attempt import Attempt, Busy
from echolm.record import RunRecord

BEAT, PATIENCE = 0.1, 1.5


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """A record that was created."""
    record = RunRecord.at(tmp_path / "runs", "cell", "f" * 64)
    record.create({"fingerprint": "f" * 64, "cell": "cell", "config": {}})
    return record


class TestDelayedVisibility:
    """A shared file system may show a change late.

    Nobody gets a number twice, and no live run is taken.
    """

    def stale(
        self, monkeypatch: pytest.MonkeyPatch, hide: Callable[[list[str]], list[str]]
    ) -> None:
        """Let listings of attempts show only what ``hide`` leaves."""
        listdir = os.listdir

        def listing(path: Any) -> list[str]:
            names = listdir(path)
            return hide(sorted(names, key=int)) if str(path).endswith("attempts") else names

        monkeypatch.setattr(os, "listdir", listing)

    def test_a_listing_without_the_newest_attempt(
        self, record: RunRecord, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for ended in range(3):
            live = Attempt.acquire(record)
            with monkeypatch.context() as patch:
                self.stale(patch, lambda names: names[:-1])
                with pytest.raises(Busy, match=f"attempt {ended + 1} was taken by another process"):
                    Attempt.acquire(record, 0.0)
                live.fence()  # its own attempt not yet listed is no other holder
                live.write("checkpoint.pt", b"x")
            live.release("interrupted")

    def test_listings_of_any_age(self, record: RunRecord, monkeypatch: pytest.MonkeyPatch) -> None:
        draw = random.Random(0)
        self.stale(monkeypatch, lambda names: names[: len(names) - draw.choice([0, 0, 1, 2, 9])])
        live: Attempt | None = None
        numbers: list[int] = []
        for _ in range(60):
            try:
                taken = Attempt.acquire(record, patience_s=1000, heartbeat_s=BEAT)
            except Busy:
                continue
            finally:
                if live and draw.random() < 0.5:
                    live.release("interrupted")
                    live = None
            assert live is None
            numbers.append(taken.number)
            live = taken
        assert numbers == sorted(set(numbers)) and len(numbers) > 5

    def test_a_holder_whose_files_are_not_visible_yet(self, record: RunRecord) -> None:
        path = record.attempt_path(1)
        path.mkdir()
        assert record.state().evidence == {"unseen": True}

        def appear() -> None:
            (path / "heartbeat").write_text("7\n")

        timer = threading.Timer(0.4, appear)
        timer.start()
        with pytest.raises(Busy):
            Attempt.acquire(record, PATIENCE)
        timer.join()

    def test_a_holder_whose_heartbeat_is_not_visible_yet(self, record: RunRecord) -> None:
        path = record.attempt_path(1)
        path.mkdir()
        timer = threading.Timer(
            0.4, lambda: (path / "holder.json").write_text('{"boot": "another"}')
        )
        timer.start()
        with pytest.raises(Busy):
            Attempt.acquire(record, PATIENCE)
        timer.join()

    def test_a_holder_that_never_wrote_a_file_is_replaced_in_time(self, record: RunRecord) -> None:
        record.attempt_path(1).mkdir()
        assert Attempt.acquire(record, 0.3).number == 2
