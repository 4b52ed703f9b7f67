"""What a search file can say, and what each mistake in it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from search_support import BASE, LR, Searches

from echolm.config import parse_config
from echolm.errors import EchoLMError
from echolm.tasks import TASKS
from grid.search.definition import Search, load_search, shipped_searches
from grid.search.folder import find_search, read_search, start_search


@pytest.fixture
def load(tmp_path: Path) -> Any:
    """A search from its sections; from ``text`` alone if that is given."""

    def from_sections(text: str | None = None, name: str = "toy", **sections: Any) -> Search:
        path = tmp_path / f"{name}.yaml"
        path.write_text(
            text
            if text is not None
            else yaml.safe_dump({"base": BASE, "space": LR, **sections}, sort_keys=False)
        )
        return load_search(str(path))

    return from_sections


def test_a_trial_is_the_base_with_the_fields_of_the_space(load: Any) -> None:
    both = {"label": "wide", "set": {"head.width": 64, "batch_size": 2}}
    search = load(
        space={
            "head.width": {"int": [8, 32], "step": 8},
            **LR,
            "size": {"categorical": [both]},
            "data.fraction": {"float": [0.5, 1.0]},
        }
    )
    config = search.config(
        {"head.width": 16, "optimizer.lr": 0.01, "size": "wide", "data.fraction": 0.75}
    )
    expected = {
        "data": {"name": "tiny", "fraction": 0.75},
        "head": {"name": "mlp", "width": 64},
        "optimizer": {"name": "adam", "lr": 0.01},
    }
    assert config == parse_config({**BASE, **expected, "batch_size": 2})
    assert list(search.dimensions) == ["head.width", "optimizer.lr", "size", "data.fraction"]


def test_optuna_gets_the_ranges_as_they_were_written(load: Any) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    space = {
        "optimizer.lr": {"float": [1e-4, 1e-2], "log": True},
        "data.fraction": {"float": [0.2, 1.0], "step": 0.2},
        "head.width": {"int": [4, 64], "log": True},
        "epochs": {"int": [2, 6], "step": 2},
        "trainable": {"categorical": ["k0", "all"]},
    }
    assert load(space=space).distributions() == {
        "optimizer.lr": FloatDistribution(1e-4, 1e-2, log=True),
        "data.fraction": FloatDistribution(0.2, 1.0, step=0.2),
        "head.width": IntDistribution(4, 64, log=True),
        "epochs": IntDistribution(2, 6, step=2),
        "trainable": CategoricalDistribution(["k0", "all"]),
    }


@pytest.mark.parametrize(
    ("given", "name", "direction"),
    [
        (None, "loss", "min"),
        ("loss", "loss", "min"),
        ("dice/ED", "dice/ED", "max"),
        ("val/mke/ES", "mke/ES", "min"),
        ({"name": "mke/ES", "direction": "max"}, "mke/ES", "max"),
    ],
)
def test_the_metric_and_its_direction(load: Any, given: Any, name: str, direction: str) -> None:
    metric = load(metric=given).metric
    assert (metric.name, metric.direction) == (name, direction)


def test_without_a_metric_it_is_what_the_task_selects_by(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TASKS.get("landmarks"), "select", ("dice/ES", "max"))
    metric = load().metric
    assert (metric.name, metric.direction) == ("dice/ES", "max")


SPACE = "space.optimizer.lr"
BAD: list[tuple[dict[str, Any], str]] = [
    ({"space": {}}, "space: names no field"),
    ({"spaec": LR}, "unknown field 'spaec'; did you mean 'space'"),
    ({"space": {"optimizer.lr": 0.1}}, f"{SPACE}: is 0.1; valid: one of {{float: [low, high]"),
    ({"space": {"optimizer.lr": {"float": [0, 1], "int": [0, 1]}}}, f"{SPACE}: is"),
    (
        {"space": {"optimizer.lr": {"float": [0.1, 1.0], "lgo": True}}},
        f"{SPACE}: unknown field 'lgo'; did you mean 'log'",
    ),
    ({"space": {"optimizer.lr": {"float": [0.1]}}}, f"{SPACE}.float: is [0.1]; valid: [low, high]"),
    (
        {"space": {"optimizer.lr": {"float": [1.0, 0.1]}}},
        f"{SPACE}.float: low 1.0 is not below high 0.1",
    ),
    (
        {"space": {"optimizer.lr": {"float": ["1e-4", 0.1]}}},
        f"{SPACE}.float: '1e-4' is text; write numbers without quotes",
    ),
    (
        {"space": {"optimizer.lr": {"float": [0.0, 0.1], "log": True}}},
        f"{SPACE}.float: low 0.0 has no logarithm",
    ),
    (
        {"space": {"optimizer.lr": {"float": [0.1, 1.0], "log": "yes"}}},
        f"{SPACE}.log: is 'yes'; valid: true, false",
    ),
    (
        {"space": {"optimizer.lr": {"float": [0.1, 1.0], "log": True, "step": 0.1}}},
        "a logarithmic range has no step",
    ),
    (
        {"space": {"optimizer.lr": {"float": [0.1, float("nan")]}}},
        f"{SPACE}.float: nan is not a number",
    ),
    (
        {"space": {"head.width": {"int": [1.5, 8]}}},
        "space.head.width.int: 1.5 is not a whole number",
    ),
    (
        {"space": {"head.width": {"int": [4, 9], "step": 2}}},
        "space.head.width.step: is 2; valid: a number that divides the range, 5",
    ),
    ({"space": {"head.width": {"int": [4, 8], "step": 0}}}, "space.head.width.step: is 0"),
    (
        {"space": {"head": {"categorical": []}}},
        "space.head.categorical: is []; valid: a list with at least one value",
    ),
    ({"space": {"head": {"categorical": ["mlp", "mlp"]}}}, "two values are labelled 'mlp'"),
    (
        {"space": {"haed": {"categorical": ["mlp"]}}},
        "space.haed.categorical: a run has no field 'haed'; did you mean 'head'",
    ),
    (
        {"space": {"haed.width": {"int": [1, 2]}}},
        "space.haed.width: a run has no field 'haed.width'",
    ),
    ({"space": {"head.widht": {"int": [1, 2]}}}, "unknown field 'widht'; did you mean 'width'"),
    ({"space": {"optimizer.lr": {"float": [-1.0, 1.0]}}}, "optimizer.lr=-1.0: optimizer"),
    ({"space": {"head": {"categorical": ["mlp", "mpl"]}}}, "head=mpl: head: unknown head 'mpl'"),
    ({"base": {"data": "tiny"}}, "task"),
    ({"metric": "test/dice/ED"}, "metric: 'test/dice/ED' is not of the validation split"),
    ({"metric": "dcie/ED"}, "metric: task landmarks has no metric 'dcie/ED'"),
    ({"metric": {"name": "loss", "direction": "down"}}, "metric: direction"),
    ({"metric": {"direction": "min"}}, "metric: name"),
    ({"sampler": "gp"}, "unknown sampler 'gp'; valid: random, tpe"),
    ({"sampler": {"name": "random", "startup": 3}}, "unknown field 'startup'"),
    ({"pruner": {"name": "median", "warmup": -1}}, "pruner"),
    ({"pruner": {"name": "halving", "warmup": 0}}, "pruner"),
    ({"pruner": {"name": "halving", "factor": 1}}, "pruner"),
    ({"pruner": "asha"}, "unknown pruner 'asha'; valid: halving, median, none"),
]


@pytest.mark.parametrize(("sections", "message"), BAD, ids=[message for _, message in BAD])
def test_a_mistake_is_named_with_its_place(
    load: Any, tmp_path: Path, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(EchoLMError) as error:
        load(**sections)
    assert str(error.value).startswith(f"{tmp_path}/toy.yaml: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("- a list", "toy", "a search is a mapping with 'base' and 'space'; this is list"),
        ("base: {a: 1\n", "toy", "not valid YAML"),
        ("", "my search", "a search is named after its file"),
    ],
)
def test_a_file_that_is_none(load: Any, text: str, name: str, message: str) -> None:
    with pytest.raises(EchoLMError, match=message):
        load(text, name)


def test_every_shipped_search_is_one() -> None:
    assert "demo" in shipped_searches()
    for name in shipped_searches():
        assert load_search(name).title
    with pytest.raises(EchoLMError, match="no search 'dmeo'; did you mean 'demo'"):
        load_search("dmeo")


class TestFolder:
    """A search that was started is continued with the definition it was started with."""

    def test_it_reads_back(self, searches: Searches) -> None:
        search = load_search(
            str(searches.file(title="one", metric="dice/ED", sampler={"name": "tpe", "startup": 3}))
        )
        stored = read_search(start_search(search, searches.workspace))
        assert (stored.dimensions, stored.metric, stored.definition.sampler) == (
            search.dimensions,
            search.metric,
            search.definition.sampler,
        )
        assert find_search("toy", searches.workspace) == find_search("toy.yaml", searches.workspace)

    def test_another_definition_is_refused_and_another_title_is_not(
        self, searches: Searches
    ) -> None:
        searches.start()
        searches.start(title="another title")
        with pytest.raises(
            EchoLMError, match="base, sampler: not what search toy was started with"
        ):
            searches.start(base={"epochs": 4}, sampler={"name": "random", "seed": 1})

    def test_one_that_was_never_started(self, searches: Searches) -> None:
        searches.start()
        with pytest.raises(
            EchoLMError, match="search 'tyo' was never started in .*; did you mean 'toy'"
        ):
            find_search("tyo", searches.workspace)
