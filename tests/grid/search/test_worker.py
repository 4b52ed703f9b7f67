"""Trials: by validation alone, as run records, continued from where they were, each told once.

Real Optuna throughout.
"""

from __future__ import annotations

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from search_support import QUICK, Searches, outcome, replayed, told

from echolm.attempt import Attempt
from echolm.config import parse_config
from echolm.errors import EchoLMError, StorageError
from echolm.training.batches import Batches
from echolm.training.loop import fit
from echolm.training.prepare import prepare_run
from grid.definition.grid import Cell
from grid.plan import cell_statuses
from grid.search.definition import load_search
from grid.search.progress import begin_search
from grid.search.study import EARLIER_RAY_MARK, Study, TrialResult
from grid.search.trial import prepare_trial
from grid.search.worker import run_worker


class TestValidationAlone:
    """Nothing of the test split is read or written, and no grid takes a trial for its own."""

    def test_no_test_sample_is_read_and_no_test_metric_is_in_a_record(
        self, searches: Searches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read: set[str] = set()
        batch = Batches.batch

        def watched(self: Batches, rows: Any, *rest: Any) -> Any:
            found = batch(self, rows, *rest)
            read.update(item.split for item in found.items)
            return found

        monkeypatch.setattr(Batches, "batch", watched)
        study = searches.start()
        [trial] = searches.run(study, 1)
        assert read == {"train", "val"}
        record = searches.record(study, trial.cell)
        summary = record.summary()
        assert summary is not None and "val/loss" in summary["metrics"]
        assert not [name for name in summary["metrics"] if not name.startswith("val/")]
        assert set(summary["counts"]) == {"train", "val"}
        assert set(pq.read_table(record.file("predictions.parquet"))["split"].to_pylist()) == {
            "val"
        }
        assert "test/" not in json.dumps([record.events(1), record.history()])

    def test_a_cell_that_was_searched_is_still_to_be_run_by_a_grid(
        self, searches: Searches
    ) -> None:
        study = searches.start()
        [trial] = searches.run(study, 1)
        config = study.search.config(trial.parameters)
        [standing] = cell_statuses([Cell(trial.cell, {}, config)], searches.workspace)
        assert standing.state.name == "pending"
        assert not searches.workspace.runs.exists()
        [whole] = fit([prepare_run(config, searches.workspace)])
        assert whole.metrics["val/loss"] == trial.value, "the same run, with test metrics"
        assert "test/loss" in whole.metrics

    def test_the_value_is_the_metric_where_the_checkpoint_was_chosen(
        self, searches: Searches
    ) -> None:
        study = searches.start(metric="mke/ED")
        [trial] = searches.run(study, 1)
        record = searches.record(study, trial.cell)
        summary = record.summary()
        assert summary is not None
        chosen = min(record.history(), key=lambda event: event["metrics"]["val/loss"])
        assert trial.value == summary["metrics"]["val/mke/ED"] == chosen["metrics"]["val/mke/ED"]


class TestContinuing:
    """What was begun is continued; what was done is not done again."""

    def test_a_search_in_three_parts_is_the_search_in_one(self, searches: Searches) -> None:
        sampler = {"name": "tpe", "startup": 2}
        one = searches.start("one", sampler=sampler)
        whole = searches.run(one, 5)
        two = searches.start("two", sampler=sampler)
        for count in (1, 3, 5, 5):
            assert len(searches.run(two, count)) == count
        assert outcome(searches.found(two)) == outcome(whole)
        assert len({trial.cell for trial in whole}) == 5, "the draws differ"
        assert told(searches.folder(two)) == [1] * 5

    def test_random_draws_depend_on_seed_and_number_alone(self, searches: Searches) -> None:
        studies = [
            searches.start(name, sampler={"name": "random", "seed": seed})
            for name, seed in (("a", 0), ("b", 0), ("c", 1))
        ]
        a, b, c = ([study.ask(4).params for _ in range(4)] for study in studies)  # type: ignore[union-attr]
        assert a == b
        assert not [one for one in a if one in c]

    def test_an_interrupted_trial_goes_on_from_its_checkpoint(
        self, searches: Searches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study = searches.start()
        trial = study.ask(1)
        assert trial is not None
        run = prepare_trial(trial, searches.folder(study))
        with monkeypatch.context() as patch:
            patch.setattr("echolm.training.loop.Cohort._finish_epoch", stop_at_the_second(patch))
            assert not run_worker(searches.folder(study), 1, "cpu", QUICK)
        assert (run.record.state().name, [found.state for found in searches.found(study)]) == (
            "interrupted",
            ["interrupted"],
        )
        [found] = searches.run(study, 1)
        epochs = [
            [event["epoch"] for event in run.record.events(n) if event["event"] == "epoch"]
            for n in run.record.attempts()
        ]
        assert epochs == [[0, 1], [2]]
        other = searches.start("other")
        assert outcome([found]) == outcome(searches.run(other, 1))

    def test_a_trial_that_ended_untold_is_told_from_its_record(self, searches: Searches) -> None:
        """Its process died between the two."""
        study = searches.start()
        trial = study.ask(1)
        assert trial is not None
        run = prepare_trial(trial, searches.folder(study))
        [outcome] = fit([run], QUICK, test=False)
        [found] = searches.run(study, 1)
        assert (found.state, found.value, found.epochs) == (
            "complete",
            outcome.metrics["val/loss"],
            3,
        )
        assert run.record.attempts() == [1]

    def test_a_configuration_is_run_once(self, searches: Searches) -> None:
        study = searches.start(space={"optimizer.lr": {"categorical": [0.1, 0.01]}})
        found = searches.run(study, 8)
        assert [trial.state for trial in found] == ["complete"] * 8
        assert len({trial.cell for trial in found}) == 2
        assert len({(trial.cell, trial.value) for trial in found}) == 2
        assert [
            searches.record(study, cell).attempts() for cell in {trial.cell for trial in found}
        ] == [[1], [1]]

    def test_a_complete_run_of_a_grid_answers(self, searches: Searches) -> None:
        study = searches.start(space={"optimizer.lr": {"categorical": [0.1]}})
        config = study.search.config({"optimizer.lr": "0.1"})
        [ran] = fit([prepare_run(config, searches.workspace)])
        [trial] = searches.run(study, 1)
        assert (trial.value, trial.epochs) == (ran.metrics["val/loss"], 3)
        assert not (searches.folder(study) / "runs").exists()


def stop_at_the_second(patch: pytest.MonkeyPatch) -> Any:
    """``Cohort._finish_epoch`` after whose second call the process gets SIGTERM."""
    from echolm.training.loop import Cohort

    original, calls = Cohort._finish_epoch, 0

    def counted(*args: Any) -> None:
        nonlocal calls
        original(*args)
        calls += 1
        if calls == 2:
            os.kill(os.getpid(), 15)

    return counted


class TestManyWorkers:
    """The trials of one study, from several processes."""

    def test_askers_at_once_give_the_trials_asked_for_and_none_twice(
        self, searches: Searches
    ) -> None:
        study = searches.start()
        numbers: list[int] = []

        def ask() -> None:
            own = Study(study.search, searches.folder(study))
            while trial := own.ask(24):
                numbers.append(trial.number)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(numbers) == list(range(24))
        assert len({str(trial.params) for trial in study.trials()}) == 24

    def test_a_trial_that_another_process_runs_is_left_alone(self, searches: Searches) -> None:
        study = searches.start()
        trial = study.ask(2)
        assert trial is not None
        run = prepare_trial(trial, searches.folder(study))
        run.record.create(run.identity)
        attempt = Attempt.acquire(run.record, heartbeat_s=0.05)
        first, second = searches.run(study, 2)
        assert (first.state, second.state) == ("running", "complete")
        attempt.release("interrupted")
        assert [found.state for found in searches.run(study, 2)] == ["complete", "complete"]

    def test_a_holder_on_another_host_is_waited_for_and_replaced_when_silent(
        self, searches: Searches
    ) -> None:
        study = searches.start()
        trial = study.ask(1)
        assert trial is not None
        run = prepare_trial(trial, searches.folder(study))
        dead_attempts(run.record.path, 1, run.identity, boot="another")
        assert run.record.state().name == "running"
        [found] = searches.run(study, 1)
        assert (found.state, run.record.attempts()) == ("complete", [1, 2])

    def test_the_first_tells(self, searches: Searches) -> None:
        study = searches.start()
        trial = study.ask(1)
        assert trial is not None
        other = Study(study.search, searches.folder(study))
        other.tell(trial, TrialResult("complete", 1.0))
        study.tell(trial, TrialResult("complete", 2.0))
        study.tell(trial, TrialResult("failed", reason="too late"))
        assert not study.report(trial, {0: 3.0})
        [found] = searches.found(study)
        assert (found.state, found.value, found.epochs, found.reason) == ("complete", 1.0, 0, "")

    def test_workers_that_tell_at_once_write_it_once(self, searches: Searches) -> None:
        study = searches.start()
        trials = [study.add({"optimizer.lr": 0.1}) for _ in range(8)]
        workers = [Study(study.search, searches.folder(study)) for _ in range(4)]
        ready = threading.Barrier(len(workers))

        def tell_all(worker: Study) -> None:
            for trial in trials:
                ready.wait()
                worker.tell(trial, TrialResult("complete", 1.0, attempt=1))

        with ThreadPoolExecutor(len(workers)) as pool:
            list(pool.map(tell_all, workers))
        assert told(searches.folder(study)) == [1] * len(trials)


def dead_attempts(record: Path, count: int, identity: dict[str, Any], **holder: Any) -> None:
    """Attempts of a process that is gone, none of which came to an epoch."""
    from echolm.liveness import describe_self
    from echolm.record import RunRecord

    RunRecord(record).create(identity)
    for number in range(1, count + 1):
        path = record / "attempts" / str(number)
        path.mkdir()
        (path / "holder.json").write_text(json.dumps({**describe_self(), "started": "1", **holder}))
        (path / "events.jsonl").write_text('{"event": "started"}\n')


class TestPruning:
    """The pruner ends trials through the loop, which keeps their records."""

    def test_a_bad_trial_ends_early(self, searches: Searches) -> None:
        study = searches.start(
            base={"epochs": 6}, pruner={"name": "median", "startup": 1, "warmup": 2}
        )
        for rate in (0.05, 1e-5):
            study.add({"optimizer.lr": rate})
            searches.run(study, 0)
        good, bad = searches.found(study)
        assert (good.state, good.epochs) == ("complete", 6)
        assert (bad.state, bad.epochs) == ("pruned", 3), "in the first epoch after the warm-up"
        record = searches.record(study, bad.cell)
        assert (record.state().name, len(record.history())) == ("pruned", 3)
        assert bad.value == record.history()[-1]["metrics"]["val/loss"]
        study.add({"optimizer.lr": 1e-5})
        assert outcome(searches.run(study, 0)[2:]) == outcome([bad]), "it is not run again"
        assert record.attempts() == [1]

    @pytest.mark.parametrize(
        ("pruner", "own"),
        [
            ({"name": "median", "startup": 2, "warmup": 1}, MedianPruner(2, 1)),
            ({"name": "halving", "warmup": 1, "factor": 2}, SuccessiveHalvingPruner(1, 2)),
            ({"name": "halving"}, SuccessiveHalvingPruner(1, 4)),
            ({"name": "none"}, NopPruner()),
        ],
        ids=["median", "halving by 2", "halving", "none"],
    )
    def test_each_pruner_ends_what_optunas_own_of_that_name_ends(
        self, searches: Searches, pruner: dict[str, Any], own: BasePruner
    ) -> None:
        study = searches.start(base={"epochs": 6}, pruner=pruner)
        found = searches.run(study, 7)
        ends = [(trial.state, trial.epochs) for trial in found]
        assert ends == replayed(study, own)
        assert (("pruned", 2) in ends) == (pruner["name"] != "none")

    def test_what_was_median_on_ray_in_an_earlier_version_is_still_halving_and_says_so(
        self, searches: Searches
    ) -> None:
        study = searches.start(pruner={"name": "median", "warmup": 2})
        assert study.earlier_pruner == ""
        study.add({"optimizer.lr": 0.01}, **{EARLIER_RAY_MARK: "a1b2_00000"})
        search = load_search(str(searches.file(pruner={"name": "median", "warmup": 2})))
        progress = begin_search(search, searches.workspace, 1, print)
        [note] = progress.notes
        assert "where pruner median was successive halving: its trials are pruned so" in note
        for make in (True, False):
            stored = Study(search, searches.folder(study), make)
            assert isinstance(stored._study.pruner, SuccessiveHalvingPruner)
            assert stored._study.pruner._min_resource == 2

    def test_a_trial_of_this_version_on_ray_is_pruned_by_what_its_search_names(
        self, searches: Searches
    ) -> None:
        study = searches.start(pruner="median")
        study.add({"optimizer.lr": 0.01}, **{"ray-trial": "a1b2_00000"})
        stored = Study(study.search, searches.folder(study))
        assert stored.earlier_pruner == "" and isinstance(stored._study.pruner, MedianPruner)

    def test_without_a_pruner_nothing_ends_early(self, searches: Searches) -> None:
        study = searches.start()
        for rate in (0.05, 1e-5):
            study.add({"optimizer.lr": rate})
        assert [found.epochs for found in searches.run(study, 0)] == [3, 3]


class TestFailures:
    """A trial that cannot be run is told as failed, with the reason, and counts."""

    def test_a_run_that_diverges(self, searches: Searches) -> None:
        study = searches.start(space={"optimizer.lr": {"float": [1.0, 1e30], "log": True}})
        study.add({"optimizer.lr": 1e30})
        [failed] = searches.run(study, 1)
        assert (failed.state, failed.value is None) == ("failed", True)
        assert "Diverged" in failed.reason
        study.add({"optimizer.lr": 1e30})
        assert [found.state for found in searches.run(study, 2)] == ["failed", "failed"]
        assert searches.record(study, failed.cell).attempts() == [1], "it is not run again"

    def test_values_that_give_no_run(self, searches: Searches) -> None:
        space = {
            "encoder": {"categorical": ["tiny-r3d", "none"]},
            "trainable": {"categorical": ["k0", "k1"]},
        }
        study = searches.start(space=space)
        study.add({"encoder": "none", "trainable": "k1"})
        [failed] = searches.run(study, 1)
        assert failed.state == "failed"
        assert "trainable.blocks: 1 of encoder none" in failed.reason

    def test_a_trial_whose_process_dies_again_and_again(self, searches: Searches) -> None:
        study = searches.start()
        trial = study.ask(2)
        assert trial is not None
        run = prepare_trial(trial, searches.folder(study))
        dead_attempts(run.record.path, 3, run.identity)
        poison, other = searches.run(study, 2)
        assert (poison.state, other.state) == ("failed", "complete")
        assert "its process died 3 times" in poison.reason
        assert run.record.attempts() == [1, 2, 3]

    def test_twice_dead_is_tried_again(self, searches: Searches) -> None:
        study = searches.start()
        trial = study.ask(1)
        assert trial is not None
        run = prepare_trial(trial, searches.folder(study))
        dead_attempts(run.record.path, 2, run.identity)
        assert [found.state for found in searches.run(study, 1)] == ["complete"]

    def test_a_cancelled_cell(self, searches: Searches) -> None:
        study = searches.start()
        trial = study.ask(1)
        assert trial is not None
        run = prepare_trial(trial, searches.folder(study))
        run.record.path.parent.mkdir(parents=True)
        (run.record.path.parent / "cancelled").touch()
        [found] = searches.run(study, 1)
        assert (found.state, found.reason) == ("failed", "cancelled: ")

    def test_missing_data_stops_the_worker_and_loses_nothing(self, searches: Searches) -> None:
        study = searches.start()
        link = searches.workspace.store("tiny")
        store = os.readlink(link)
        link.unlink()
        with pytest.raises(EchoLMError, match="tiny"):
            searches.run(study, 1)
        link.symlink_to(store)
        assert [found.state for found in searches.run(study, 1)] == ["complete"]

    def test_a_full_disk_stops_the_worker_and_loses_nothing(
        self, searches: Searches, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        study = searches.start()

        def full(*given: Any) -> None:
            raise StorageError("cannot be written: No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("echolm.record.write_atomic", full)
            with pytest.raises(EchoLMError, match="trial 0 cannot be recorded: .*No space left"):
                searches.run(study, 1)
        assert [found.state for found in searches.found(study)] == ["pending"]
        assert [found.state for found in searches.run(study, 1)] == ["complete"]


def test_a_metric_that_no_run_has_fails_a_trial_by_name(searches: Searches) -> None:
    """Where it could not be known before (``grid.search.metric_names``)."""
    study = searches.start(metric={"name": "dice/EDD", "direction": "max"})
    [found] = searches.run(study, 1)
    assert found.state == "failed"
    assert "'dice/EDD'" in found.reason and "dice/ED" in found.reason


def test_a_trial_keeps_its_cell_and_configuration(searches: Searches) -> None:
    study = searches.start()
    [found] = searches.run(study, 1)
    [trial] = study.trials()
    assert trial.user_attrs["cell"] == found.cell
    assert parse_config(trial.user_attrs["config"]) == study.search.config(trial.params)
    assert trial.user_attrs["attempt"] == 1
