"""Runs of a local launch are in MLflow while it goes on, and trouble with that disturbs no run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from tracking_support import tracked
from watch_site import Site, until

from grid.tracking.live_launch import LiveLaunch


@pytest.fixture
def site(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return Site(tmp_path / "site", template)


def statuses(site: Site) -> dict[str, str]:
    """Seed -> status, of the runs that have been filled."""
    runs = tracked(site.workspace.tracking_uri)
    return {run.params["seed"]: run.status for run in runs if run.params}


def test_runs_are_there_during_a_launch_and_as_they_ended(site: Site) -> None:
    told: list[str] = []
    with LiveLaunch(site.workspace, "smoke", told.append, first=0.05, every=0.05) as live:
        until(lambda: len(statuses(site)) == 3)
        site.attempts[0].release("failed", error="ValueError: x")
        until(lambda: statuses(site)["0"] == "FAILED")
    site.attempts[1].release("interrupted")
    live.look()
    site.attempts[2].release("interrupted")
    assert statuses(site) == {"0": "FAILED", "1": "SCHEDULED", "2": "RUNNING"} and told == []


def test_a_store_that_cannot_be_used_is_told_once(site: Site) -> None:
    site.database.write_bytes(b"not a database " * 300)
    told: list[str] = []
    with LiveLaunch(site.workspace, "smoke", told.append, first=0.01, every=0.01) as live:
        until(lambda: told)
        live.look()
    assert len(told) == 1 and "are not shown in MLflow: tracking store" in told[0]
    for attempt in site.attempts:
        assert attempt.record.state().name == "running"
        attempt.release("interrupted")


def test_what_is_not_wanted_or_too_short_costs_nothing(site: Site) -> None:
    before = site.database.read_bytes()
    began = time.monotonic()
    for wanted in (False, True):
        with LiveLaunch(site.workspace, "smoke", print, wanted, first=60.0):
            pass
    assert time.monotonic() - began < 30 and site.database.read_bytes() == before
    for attempt in site.attempts:
        attempt.release("interrupted")


def test_a_failed_run_that_is_complete_later_is_one_run(site: Site, records_at: Any) -> None:
    (attempt, *others) = site.attempts
    attempt.release("failed", error="ValueError: x")
    live = LiveLaunch(site.workspace, "smoke", print)
    live.look()
    assert statuses(site)["0"] == "FAILED"
    from echolm.attempt import Attempt, mark_retried
    from grid.tracking.sources import collect

    mark_retried(attempt.record)
    again = Attempt.acquire(attempt.record, heartbeat_s=60)
    again.write("predictions.parquet", (attempt.path / "predictions.parquet").read_bytes())
    site.records.publish(again)
    collection = collect(site.workspace, ["smoke"])
    assert (collection.exported.resumed, collection.problems) == (1, [])
    assert collection.collected["smoke"].runs == 1 and statuses(site)["0"] == "FINISHED"
    (run,) = [run for run in tracked(site.workspace.tracking_uri) if run.params["seed"] == "0"]
    assert run.state == "" and run.tags.get("mlflow.note.content", "") == ""
    for attempt in others:
        attempt.release("interrupted")
