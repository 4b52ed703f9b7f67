"""Starting a search: what is checked before a trial starts, and starting again under its name."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from search_support import Searches, dead_end, told

from echolm.attempt import Attempt
from echolm.errors import EchoLMError
from echolm.training.prepare import prepare_run
from grid.search.definition import load_search
from grid.search.folder import read_search
from grid.search.metric_names import metric_names
from grid.search.progress import SearchProgress, begin_search
from grid.search.study import Study, TrialResult
from grid.search.trial import prepare_trial

TOYS = Path(__file__).parents[2] / "echolm" / "training" / "training_toys.py"


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toy task and objective, registered as a plugin's are."""
    spec = importlib.util.spec_from_file_location("toys_of_searches", TOYS)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # pydantic looks for it there
    spec.loader.exec_module(module)
    with module.registered():
        yield


def begin(searches: Searches, name: str = "toy", **sections: Any) -> SearchProgress:
    """Start or continue a search as the command does."""
    search = load_search(str(searches.file(name, **sections)))
    return begin_search(search, searches.workspace, 2, print)


class TestMetric:
    """A metric that no run has is refused, and the message names those there are."""

    @pytest.mark.parametrize("metric", ["dice", "dice/EDD", "mke/"])
    def test_without_its_slot(self, searches: Searches, metric: str) -> None:
        with pytest.raises(EchoLMError) as error:
            begin(searches, metric={"name": metric, "direction": "max"})
        assert str(error.value).endswith(
            "valid: dice/ED, dice/ES, loss, mke/ED, mke/ES"
        ) and f"no validation metric {metric!r}" in str(error.value)
        assert not searches.workspace.searches.exists(), "nothing was started"

    @pytest.mark.parametrize("metric", ["dice/ED", "mke/ES", "loss", None])
    def test_that_runs_have(self, searches: Searches, metric: str | None) -> None:
        assert begin(searches, metric=metric).left == "2 trials to run"

    def test_of_a_plugins_task(self, searches: Searches, toys: None) -> None:
        base = {"task": "toy-ef"}
        with pytest.raises(EchoLMError, match="task toy-ef has no .* 'mse'; .*valid: loss, mae"):
            begin(searches, base=base, metric={"name": "mse", "direction": "min"})
        assert begin(searches, base=base).left

    def test_of_one_task_among_several(self, searches: Searches, toys: None) -> None:
        space = {"task": {"categorical": ["landmarks", "toy-ef"]}}
        with pytest.raises(EchoLMError, match="task toy-ef has no validation metric 'dice/ED'"):
            begin(searches, space=space, metric="dice/ED")

    def test_names_are_those_that_a_run_has(self, searches: Searches) -> None:
        study = searches.start()
        [trial] = searches.run(study, 1)
        summary = searches.record(study, trial.cell).summary()
        assert summary
        run = prepare_run(study.search.config(trial.parameters), searches.workspace)
        named = {f"val/{name}" for name in metric_names(run)}
        assert named == set(summary["metrics"])


class TestAgain:
    """A search without a complete trial may be started again under its name."""

    def test_with_another_definition_it_starts_anew_and_the_old_one_is_kept(
        self, searches: Searches
    ) -> None:
        for number in (1, 2):
            study = searches.start(base={"epochs": 2 + number})
            dead_end(study)
            [note] = begin(searches, base={"epochs": 3 + number}).notes
            aside = searches.workspace.searches / f"toy-earlier-{number}"
            assert note.endswith(f"it lies in {aside} now")
            earlier = Study(read_search(aside), aside)
            assert [trial.state for trial in searches.found(earlier)] == ["failed", "pruned"]
            assert earlier.search.definition.base["epochs"] == 2 + number
        again = searches.start(base={"epochs": 5})
        assert searches.found(again) == []
        assert [trial.state for trial in searches.run(again, 1)] == ["complete"]

    def test_with_the_same_definition_it_goes_on(self, searches: Searches) -> None:
        dead_end(searches.start())
        progress = begin(searches)
        assert (progress.notes, progress.left) == ([], "")
        assert told(progress.folder) == [1, 1]

    def test_a_complete_trial_is_not_given_up(self, searches: Searches) -> None:
        searches.run(searches.start(), 1)
        before = sorted(searches.workspace.searches.rglob("*"))
        with pytest.raises(EchoLMError, match="base, metric: not what search toy was .*1 complete"):
            begin(searches, base={"epochs": 4}, metric="dice/ED")
        assert sorted(searches.workspace.searches.rglob("*")) == before

    def test_a_trial_that_somebody_runs_is_not_taken_away(self, searches: Searches) -> None:
        study = searches.start()
        trial = study.ask(1)
        assert trial
        run = prepare_trial(trial, searches.folder(study))
        run.record.create(run.identity)
        attempt = Attempt.acquire(run.record, heartbeat_s=0.05)
        with pytest.raises(EchoLMError, match="and 1 trial of it still run; stop what runs"):
            begin(searches, base={"epochs": 4})
        attempt.release("interrupted")
        assert begin(searches, base={"epochs": 4}).notes

    def test_jobs_that_wait_in_slurm_find_their_batch(self, searches: Searches) -> None:
        study = searches.start()
        dead_end(study)
        batch = searches.folder(study) / "jobs" / "20261129-120000"
        batch.mkdir(parents=True)
        begin(searches, base={"epochs": 4})
        assert batch.is_dir() and not (searches.folder(study) / "runs").exists()

    def test_one_whose_journal_was_never_begun(self, searches: Searches) -> None:
        study = searches.start()
        study.path.unlink()
        assert begin(searches, base={"epochs": 4}).left == "2 trials to run"

    def test_what_has_ended_badly_is_no_reason_to_forget_a_result(self, searches: Searches) -> None:
        study = searches.start()
        dead_end(study)
        study.tell(study.add({"optimizer.lr": 0.1}), TrialResult("complete", 1.0))
        with pytest.raises(EchoLMError, match="1 complete trial; give the file another name"):
            begin(searches, base={"epochs": 4})
