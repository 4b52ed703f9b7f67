"""Each attempt of a run says which code made it, and so does its summary."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from training_support import QUICK, Config, config, record_of, train

from echolm import plugins
from echolm.workspace import Workspace


@pytest.fixture
def run() -> Config:
    """A run with a head of a plugin."""
    head = {"name": "toy-faulty", "how": "raise", "after": 1000}
    return config(head=head, augmentation="none")


def stop_after_the_first_epoch(*_: Any) -> Any:
    os.kill(os.getpid(), signal.SIGTERM)
    return "continue"


def test_a_run_that_goes_on_with_another_source_says_so(
    workspace: Workspace, run: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = dict(plugins._sources)
    assert len(first["training_toys"]) == 64
    [outcome] = train(workspace, run, compute=QUICK, on_epoch=stop_after_the_first_epoch)
    record = record_of(workspace, run)
    assert outcome.state == "interrupted"
    assert record.plugin_sources() == [{"training_toys": first["training_toys"]}]
    monkeypatch.setattr(plugins, "_sources", {**first, "training_toys": "f" * 64})
    [outcome] = train(workspace, run, compute=QUICK)
    assert outcome.state == "complete", outcome
    assert record.plugin_sources() == [
        {"training_toys": first["training_toys"]},
        {"training_toys": "f" * 64},
    ]
    for attempt in (1, 2):
        [started] = [event for event in record.events(attempt) if event["event"] == "started"]
        assert started["plugins"] == record.plugin_sources()[attempt - 1]  # type: ignore[index]
        assert started["code"] is None, "no pinned code"
    summary = record.summary()
    assert summary is not None
    assert summary["provenance"]["plugins"] == {"training_toys": "f" * 64}
    assert summary["provenance"]["code"] is None


def test_of_pinned_code_its_digest(
    tmp_path: Path, run: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echolm import provenance

    (tmp_path / "CODE.json").write_text('{"sha256": "abc", "commit": "123"}')
    monkeypatch.setattr(provenance, "_root", lambda: tmp_path)
    assert provenance.code_facts(run)["code"] == "abc"
    assert provenance.commit() == "123"
