"""``echolm search``: what it prints of a search, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from search_support import Searches, dead_end

from echolm.cli import main
from echolm.identity import cell_id
from grid.definition.grid import load_grid
from grid.search.dimensions import Numbers
from grid.search.study import TrialResult


@pytest.fixture
def type_(searches: Searches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Types ``echolm search`` in the workspace of the searches."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ECHOLM_WORKSPACE", str(searches.workspace.root))

    def typed(*words: str) -> Result:
        return CliRunner().invoke(main, ["search", *words], prog_name="echolm")

    return typed


@pytest.fixture
def mixed(searches: Searches) -> Searches:
    """A search with trials in every state; the best is number 2."""
    study = searches.start(
        space={"optimizer.lr": {"float": [0.001, 0.1]}, "head.width": {"int": [8, 16], "step": 8}}
    )
    for value in (0.3, 0.2, 0.1, None, "no luck"):
        trial = study.ask(9)
        assert trial is not None
        study.report(trial, {0: 0.5})
        if isinstance(value, float):
            study.tell(trial, TrialResult("complete", value))
        else:
            study.tell(
                trial, TrialResult("failed", None, value) if value else TrialResult("pruned")
            )
    assert study.ask(9)
    return searches


def test_a_table_of_trials_the_best_first(mixed: Searches, type_: Any) -> None:
    before = sorted(mixed.root.rglob("*"))
    done = type_("toy", "--show")
    assert done.exit_code == 0
    header, *rows = done.stdout.splitlines()
    assert header.split() == [
        "trial",
        "state",
        "loss",
        "epochs",
        "optimizer.lr",
        "head.width",
        "cell",
    ]
    assert [row.split()[:3] for row in rows[:6]] == [
        ["2", "complete", "0.1"],
        ["1", "complete", "0.2"],
        ["0", "complete", "0.3"],
        ["3", "pruned", "0.5"],
        ["5", "pending", "0"],
        ["4", "failed", "0.5"],
    ]
    assert rows[6] == "toy: 6 trials: 3 complete, 1 pruned, 1 pending, 1 failed"
    assert rows[7].startswith("best: trial 2, validation loss 0.1, cell ")
    assert "trial 4 failed: no luck" in done.stderr
    assert "echolm search toy --show --grid toy-best.yaml" in done.stderr
    assert sorted(mixed.root.rglob("*")) == before, "looking writes nothing"


def test_json_has_everything(mixed: Searches, type_: Any) -> None:
    shown = json.loads(type_("toy", "--show", "--json").stdout)
    assert (shown["search"], shown["metric"], shown["stopped"]) == (
        "toy",
        {"name": "loss", "direction": "min"},
        None,
    )
    assert shown["states"] == {"complete": 3, "pruned": 1, "pending": 1, "failed": 1}
    assert shown["best"] == shown["trials"][0]
    assert set(shown["trials"][0]["parameters"]) == {"optimizer.lr", "head.width"}


def test_the_best_trial_as_a_grid_over_seeds_that_no_trial_used(
    mixed: Searches, type_: Any
) -> None:
    done = type_("toy", "--show", "--grid", "best.yaml")
    assert done.exit_code == 0
    best = json.loads(type_("toy", "--show", "--json").stdout)["best"]
    grid = load_grid("best.yaml")
    assert [cell.coordinates for cell in grid.cells] == [
        {"seed": str(seed)} for seed in range(1, 6)
    ]
    assert best["cell"] not in [cell.id for cell in grid.cells], "it was chosen for its seed too"
    [first, *_] = grid.cells
    assert cell_id(first.config.model_copy(update={"seed": 0})) == best["cell"]
    said = "trial 2, validation loss 0.1; seeds 1-5, which no trial used"
    assert said in grid.title and f"best.yaml: {grid.title}" in done.stderr


@pytest.mark.parametrize(
    ("sections", "seeds"),
    [
        ({"base": {"seed": 3}}, [0, 1, 2, 4, 5]),
        ({"space": {"seed": {"int": [0, 3]}}}, [4, 5, 6, 7, 8]),
        ({"space": {"seed": {"categorical": [1, 7]}}}, [0, 2, 3, 4, 5]),
        (
            {"space": {"size": {"categorical": [{"label": "a", "set": {"seed": 2}}]}}},
            [0, 1, 3, 4, 5],
        ),
    ],
    ids=str,
)
def test_seeds_of_trials_are_found_wherever_they_are_written(
    searches: Searches, type_: Any, sections: dict[str, Any], seeds: list[int]
) -> None:
    study = searches.start(**sections)
    [free] = study.search.dimensions.values()
    [name] = study.search.dimensions
    for value in range(4) if name == "seed" and isinstance(free, Numbers) else free.ends():
        study.tell(study.add({name: value}), TrialResult("complete", 1.0))
    grid = json.loads(type_("toy", "--show", "--json").stdout)["grid"]
    assert grid["axes"] == {"seed": seeds} and "seed" not in grid["base"]


def test_help_says_where_the_study_lies_and_what_opens_it(searches: Searches, type_: Any) -> None:
    """``optuna-dashboard`` takes the path of a file for a journal, and reads it by Optuna's own."""
    study = searches.start()
    help_text = type_("--help").stdout
    [line] = [line for line in help_text.splitlines() if "optuna-dashboard WORKSPACE" in line]
    path = line.split()[1].replace("WORKSPACE", str(searches.workspace.root)).replace("NAME", "toy")
    assert path == str(study.path)
    storage = JournalStorage(JournalFileBackend(path))
    assert [shown.study_name for shown in storage.get_all_studies()] == ["toy"]


def test_a_search_without_a_complete_trial_says_how_to_start_it_again(
    searches: Searches, type_: Any
) -> None:
    dead_end(searches.start())
    again = type_("toy.yaml", "--trials", "2")
    assert again.exit_code == 1 and "no trial is complete" in again.stderr
    searches.file(metric="dice")
    refused = type_("toy.yaml", "--trials", "2")
    assert refused.exit_code == 1 and "has no validation metric 'dice'; did you" in refused.stderr
    assert not [*searches.workspace.searches.glob("toy-earlier-*")]


def test_the_highest_is_the_best_where_the_metric_says_so(searches: Searches, type_: Any) -> None:
    study = searches.start(metric="dice/ED")
    for value in (10.0, 30.0, 20.0):
        trial = study.ask(3)
        assert trial is not None
        study.tell(trial, TrialResult("complete", value))
    shown = json.loads(type_("toy", "--show", "--json").stdout)
    assert [trial["value"] for trial in shown["trials"]] == [30.0, 20.0, 10.0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["toy.yaml"], "--trials says how many trials in all"),
        (["toy.yaml", "--trials", "0"], "Invalid value for '--trials'"),
        (
            ["toy", "--trials", "1"],
            "no search 'toy'; valid: demo; or give the path of a .yaml file",
        ),
        (["missing.yaml", "--trials", "1"], "missing.yaml: cannot be read"),
        (["toy.yaml", "--show"], "search 'toy' was never started"),
        (
            ["toy.yaml", "--trials", "1", "--grid", "best.txt"],
            "--grid best.txt: a grid is a .yaml file",
        ),
        (["other.yaml", "--trials", "1"], "data/other: no clip store here"),
    ],
)
def test_what_is_refused_before_anything_is_written(
    searches: Searches, type_: Any, words: list[str], message: str
) -> None:
    searches.file()
    searches.file("other", base={"data": "other"})
    done = type_(*words)
    assert done.exit_code in (1, 2)
    assert message in done.stderr and "Traceback" not in done.stderr
    assert not searches.workspace.searches.exists()


def test_a_grid_of_nothing(searches: Searches, type_: Any) -> None:
    searches.start().ask(1)
    done = type_("toy", "--show", "--grid", "best.yaml")
    assert (done.exit_code, Path("best.yaml").exists()) == (1, False)
    assert "no trial is complete" in done.stderr
