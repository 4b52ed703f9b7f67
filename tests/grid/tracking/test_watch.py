"""``echolm collect --watch``.

What completes while it looks comes into MLflow and results/, and it ends when told.
"""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from tracking_support import tracked
from watch_site import Site, until

from echolm.cli.collect import collect
from echolm.errors import EchoLMError
from grid.tracking.watch import Watch


def finished(site: Site) -> int:
    """Runs in the store that are complete, none while it is made. Others are shown in training."""
    runs: list[Any] = []
    with suppress(EchoLMError):
        runs = tracked(site.workspace.tracking_uri)
    return sum(run.status == "FINISHED" for run in runs)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def site(tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    site = Site(tmp_path / "site", template)
    look_again = Watch.look_again

    def counted(self: Watch, every: float) -> None:
        look_again(self, every)
        site.looks += 1

    monkeypatch.setattr(Watch, "look_again", counted)
    return site


def test_it_ends_when_every_cell_is_complete_or_stopped(site: Site) -> None:
    site.records.publish(site.attempts[0])

    def during() -> None:
        until(lambda: site.collected() == 1)
        site.records.publish(site.attempts[1])
        until(lambda: site.collected() == 2)
        site.attempts[2].release("failed", error="out of memory\nTraceback")

    result = site.watch(during, "--until-complete", "smoke")
    cells = [attempt.record.identity()["cell"][:8] for attempt in site.attempts]
    first, *lines = result.stdout.partition("looking again every 0.1 s; Ctrl-C ends\n")[
        2
    ].splitlines()
    assert first.endswith(f"smoke 2/3  {cells[1]}  complete   head=gcn seed=1")
    assert lines[0].endswith(f"smoke 3/3  {cells[2]}  failed     head=gcn seed=2  (out of memory)")
    assert lines[1:] == ["smoke: 3 cells: 2 complete, 1 failed"], (
        "one line a change, and nothing else"
    )
    assert "to run stopped cells again: echolm retry smoke" in result.stderr
    assert result.exit_code == 1
    for attempt in site.attempts[2:]:
        assert attempt.record.state().name == "failed"
    statuses = [run.status for run in tracked(site.workspace.tracking_uri)]
    assert sorted(statuses) == ["FAILED", "FINISHED", "FINISHED"], "failed ones are shown too"


def test_what_stopped_on_slurm_is_run_again_there(site: Site) -> None:
    (site.workspace.grids / "smoke" / "jobs").mkdir(parents=True)
    for attempt in site.attempts:
        attempt.release("failed", error="out of memory")
    assert (
        "to run stopped cells again: echolm retry smoke --on slurm\n"
        in site.watch(lambda: None, "--until-complete").stderr
    )


def test_it_ends_at_once_when_all_is_complete_and_succeeds(site: Site) -> None:
    for attempt in site.attempts:
        site.records.publish(attempt)
    result = site.watch(lambda: None, "--until-complete")
    assert (
        result.exit_code == 0
        and "smoke: 3 cells: 3 complete" in result.stdout
        and "looking again" not in result.stdout
    )
    assert site.collected() == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(site: Site, number: signal.Signals) -> None:
    site.records.publish(site.attempts[0])
    before = signal.getsignal(signal.SIGINT)

    def during() -> None:
        until(lambda: site.collected() == 1)
        os.kill(os.getpid(), number)

    result = site.watch(during)
    assert (
        result.exit_code == 128 + number
        and result.stderr.splitlines()[-1] == f"stopped by {number.name}"
    )
    assert signal.getsignal(signal.SIGINT) == before


def test_a_signal_in_the_midst_of_an_export_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    for attempt in site.attempts:
        site.records.publish(attempt)
    original = MlflowClient.log_batch

    def slow(self: MlflowClient, *args: Any, **kwargs: Any) -> Any:
        interrupt()
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_batch", slow)
        assert site.watch(lambda: None).exit_code == 130
    uri = site.workspace.tracking_uri
    assert [run.status for run in tracked(uri)] == ["FINISHED"], (
        "the run at hand was finished, no other begun"
    )
    assert site.watch(lambda: None, "--until-complete").exit_code == 0
    assert len(tracked(uri)) == 3


def test_a_removed_database_is_made_again(site: Site, template: Path) -> None:
    for attempt in site.attempts[:2]:
        site.records.publish(attempt)

    def during() -> None:
        until(lambda: site.collected() == 2)
        site.database.unlink()
        until(lambda: site.database.exists() and finished(site) == 2)
        site.records.publish(site.attempts[2])

    result = site.watch(during, "--until-complete", "smoke")
    assert result.exit_code == 0
    assert (
        result.stdout.count("the tracking store had lost 2 runs: added again from the records") == 1
    )
    runs = tracked(site.workspace.tracking_uri)
    assert len(runs) == 3 and {run.status for run in runs} == {"FINISHED"}
    rows = pq.read_table(site.workspace.results("smoke") / "runs.parquet").to_pylist()
    assert {row["run_id"] for row in rows} == {run.run_id for run in runs}


def test_trouble_is_told_once_and_gets_over(site: Site, template: Path) -> None:
    site.records.publish(site.attempts[0])

    def during() -> None:
        until(lambda: site.collected() == 1)
        site.database.rename(site.database.with_name("kept"))
        site.database.write_bytes(b"not a database " * 300)
        site.records.publish(site.attempts[1])
        site.wait_for_looks(2)
        site.database.with_name("kept").rename(site.database)
        until(lambda: site.collected() == 2)
        site.attempts[2].release("failed")

    result = site.watch(during, "--until-complete", "smoke")
    assert (
        result.stderr.count("cannot be used") == 1 and "trying again every 0.1 s" in result.stderr
    )
    statuses = {run.params["seed"]: run.status for run in tracked(site.workspace.tracking_uri)}
    assert statuses == {"0": "FINISHED", "1": "FINISHED", "2": "FAILED"}


def test_grids_that_are_launched_later(site: Site) -> None:
    shutil.rmtree(site.workspace.grids)

    def during() -> None:
        site.wait_for_looks(1)
        site.launched("later", site.attempts[:1])
        site.records.publish(site.attempts[0])
        until(lambda: site.collected("later") == 1)
        interrupt()

    assert site.watch(during).exit_code == 130


def test_what_cannot_work_is_an_error_at_once(site: Site) -> None:
    for words, message in (
        (["--every", "3"], "--every and --until-complete go with --watch"),
        (["--until-complete"], "--every and --until-complete go with --watch"),
        (["--watch", "--json"], "--json prints one document"),
        (["--watch", "--every", "0"], "Invalid value for '--every'"),
    ):
        result = CliRunner().invoke(collect, words, obj=site.workspace)
        assert result.exit_code == 2 and message in result.stderr
    for words, message in (
        (["smoek"], "did you mean 'smoke'"),
        (["--tracking-uri", "mlruns"], "cannot be used; valid"),
    ):
        with pytest.raises(EchoLMError, match=message):
            CliRunner().invoke(
                collect, ["--watch", *words], obj=site.workspace, catch_exceptions=False
            )


def test_runs_are_shown_while_they_train(site: Site) -> None:
    """With what they have so far, in one run each from the beginning to the end."""
    uri = site.workspace.tracking_uri
    ids: dict[str, str] = {}

    def shown() -> dict[str, Any]:
        return {run.params["seed"]: run for run in tracked(uri) if run.params}

    def during() -> None:
        until(lambda: site.database.exists() and len(shown()) == 3)
        first = shown()
        ids.update({seed: run.run_id for seed, run in first.items()})
        assert {run.status for run in first.values()} == {"RUNNING"}
        assert {run.state for run in first.values()} == {"running"}
        assert first["0"].metrics["val/dice/ED"] == 62.0 and first["0"].params["epochs"] == "3"
        site.attempts[0].event("epoch", epoch=3, step=12, metrics={"val/dice/ED": 70.0})
        until(lambda: shown()["0"].metrics["val/dice/ED"] == 70.0)
        (site.attempts[1].path / "log.txt").write_text("what it printed")
        site.attempts[1].release("failed", error="ValueError: first\nthe last line of it\n")
        until(lambda: shown()["1"].status == "FAILED")
        site.records.publish(site.attempts[0])
        until(lambda: site.collected() == 1)
        site.attempts[2].release("cancelled")

    result = site.watch(during, "--until-complete", "smoke")
    assert result.exit_code == 1 and "left out" not in result.output
    runs = shown()
    assert {seed: run.run_id for seed, run in runs.items()} == ids, "no run was made twice"
    assert {seed: run.status for seed, run in runs.items()} == {
        "0": "FINISHED",
        "1": "FAILED",
        "2": "KILLED",
    }
    assert runs["1"].tags["mlflow.note.content"] == "failed: the last line of it"
    log = Path(runs["1"].artifact_uri.removeprefix("file://")) / "log.txt"
    assert log.read_text() == "what it printed"
    assert runs["0"].state == "" and runs["0"].tags["echolm.host"] == "node7"
    assert runs["0"].metrics["test/dice/ED"] == 91.25
    rows = pq.read_table(site.workspace.results("smoke") / "runs.parquet").to_pylist()
    assert [row["run_id"] for row in rows] == [ids["0"]]


def test_source_and_data_are_told(site: Site) -> None:
    for attempt in site.attempts:
        site.records.publish(attempt)
    assert site.watch(lambda: None, "--until-complete").exit_code == 0
    client = MlflowClient(site.workspace.tracking_uri)
    run = client.get_run(tracked(site.workspace.tracking_uri)[0].run_id)
    cell = run.data.tags["echolm.cell"]
    assert run.data.tags["mlflow.source.name"] == f"echolm train {cell}"
    assert run.data.tags["mlflow.source.git.commit"] == "abc1234"
    (entry,) = run.inputs.dataset_inputs
    assert (entry.dataset.name, entry.dataset.digest) == ("phantom", "d" * 36)
    assert {tag.key: tag.value for tag in entry.tags} == {"mlflow.data.context": "training"}
