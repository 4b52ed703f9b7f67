"""One table of several datasets, tasks and units; what a paper's test sets are for each."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pytest
from value_rows import keep_values, value_rows

from echolm.tasks import TASKS, Task
from grid.definition.tables import ColumnDefinition, PublishedSource, TableDefinition
from grid.statistics import why_not_paired
from grid.tables import published
from grid.tables.build import build
from grid.tables.published import published_numbers
from grid.tables.render.data import plain
from grid.tables.render.markdown import markdown
from grid.tables.table import Table

COUNTS = {"camus": 12, "echonet-dynamic": 30}


def contours(count: int, random: np.random.Generator) -> pa.Table:
    ids = [f"l{number}" for number in range(count)]
    return pa.table(
        {
            "sample": ids,
            "patient": ids,
            "split": ["test"] * count,
            "target": ["landmarks"] * count,
            "slot": ["ED"] * count,
            "dice": random.uniform(70, 95, count),
        }
    )


@pytest.fixture
def mixed(grid: Any, results: Any, cell: Any) -> Any:
    """Two encoders on two datasets predict EF, and one of them contours too."""
    random = np.random.default_rng(0)
    grid.cells.clear()
    truths = {name: random.normal(55, 12, count) for name, count in COUNTS.items()}
    for encoder in ("tiny-r3d", "tiny-mvit"):
        for number, (dataset, truth) in enumerate(truths.items()):
            data = str(number) * 64
            keep_values(results.folder, {"ef": truth.tolist()}, data, dataset)
            for seed in "012":
                name = f"{encoder[:6]}{number}{seed}"
                places = {"encoder": encoder, "data": dataset, "task": "ef", "seed": seed}
                grid.cells.append(cell(name, places))
                noise = random.normal(0, 4 + (encoder == "tiny-mvit"), len(truth))
                further = {
                    "data": data,
                    "params.task.name": "regression",
                    "params.task.target": "ef",
                }
                results.run(
                    name, table=value_rows(truth, truth + noise), data="own", further=further
                )
        for seed in "012":
            places = {"encoder": encoder, "data": "camus", "task": "landmarks", "seed": seed}
            name = f"{encoder[:6]}L{seed}"
            grid.cells.append(cell(name, places))
            results.run(
                name,
                table=contours(20, random),
                further={"params.task.name": "landmarks", "data": "f" * 64},
            )
    return grid


def table(grid: Any, results: Any, **fields: Any) -> Table:
    grid.tables["main"] = TableDefinition.model_validate({"title": "T", **fields})
    return build(grid, "main", results.folder)


def column(data: str, task: str, **fields: Any) -> dict[str, Any]:
    return {"where": {"data": data, "task": task}, **fields}


def test_columns_of_several_datasets_and_tasks(mixed: Any, results: Any) -> None:
    built = table(
        mixed,
        results,
        rows=["encoder"],
        columns=[
            column("echonet-dynamic", "ef", statistic="mae", target="ef"),
            column("camus", "ef", statistic="r2", target="ef"),
            column("camus", "landmarks", metric="dice", slot="ED"),
        ],
    )
    patients = [value.number.patients for value in built.rows[0].values]
    assert patients == [30, 12, 20]
    assert [value.constant for value in built.rows[0].values] == [
        "a constant prediction",
        "a constant prediction",
        "the mean contour",
    ]
    assert all(value.standing is not None for value in built.rows[1].values)
    headings = [one.heading for one in built.columns]
    assert headings == [
        "echonet-dynamic ef mae ef",
        "camus ef r2 ef",
        "camus landmarks dice ED",
    ]
    assert "12-30 patients" in markdown(built)


def test_rows_of_several_datasets_are_compared_within_each(mixed: Any, results: Any) -> None:
    built = table(
        mixed,
        results,
        rows=["data", "encoder"],
        cells={"task": ["ef"]},
        columns=[{"statistic": "mae"}],
    )
    best = [row.labels for row in built.rows if row.values[0].standing.best]
    assert sorted(labels[0] for labels in best) == ["camus", "echonet-dynamic"]
    for row in built.rows:
        comparison = row.values[0].standing.comparison
        if comparison is not None:
            assert comparison.first.startswith(row.labels[0])


@pytest.fixture
def paper(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    """A paper with several datasets: how many patients each of its test sets has."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "p.words.csv").write_text(
        "column,word,axis,label\nencoder,*,encoder,*\nmetric,*,metric,*\ndataset,*,data,*\n"
    )
    (folder / "p.csv").write_text(
        "table,dataset,encoder,metric,value,spread,spread_kind,note\n"
        "1,camus,tiny-r3d,mae,0.035,,,\n"
        "1,echonet-dynamic,tiny-r3d,mae,0.04,,,\n"
        "1,other,tiny-r3d,mae,0.05,,,\n"
    )
    (folder / "p.notes.yaml").write_text("patients: {camus: 12, echonet-dynamic: 1277}\n")
    monkeypatch.setattr(published, "FOLDER", folder)
    published._read.cache_clear()
    yield "p"
    published._read.cache_clear()


def test_patients_of_a_paper_are_per_dataset(paper: str) -> None:
    numbers = published_numbers(PublishedSource(paper=paper, table="1"))
    assert {number.data: number.patients for number in numbers} == {
        "camus": 12,
        "echonet-dynamic": 1277,
        "other": 0,
    }


def test_a_store_says_which_dataset_it_is_and_values_take_the_papers_unit(
    mixed: Any, results: Any, paper: str
) -> None:
    """The stores here have a name of the user's own."""
    mae = {"statistic": "mae", "options": {"scale": 0.01}, "digits": 4}
    built = table(
        mixed,
        results,
        rows=["data", "encoder"],
        cells={"task": ["ef"]},
        columns=[mae],
        published={"paper": paper, "table": "1"},
    )
    by_label = {row.labels: row.values[0] for row in built.rows}
    camus = by_label["camus", "tiny-r3d"]
    assert camus.verdict.test_set == "same number of patients (12)"
    assert 0.01 < camus.number.estimate < 0.1
    echonet = by_label["echonet-dynamic", "tiny-r3d"]
    assert "1,277 patients, ours 30" in echonet.verdict.text
    assert by_label["camus", "tiny-mvit"].published is None
    assert plain(built)["rows"][0]["values"]["mae"]["published"]["value"] == 0.035


def test_values_of_other_targets_are_not_compared(grid: Any, results: Any) -> None:
    """EF and volume of the same patients in one column: each has its own best."""
    random = np.random.default_rng(3)
    truths = {"mlp": random.normal(55, 10, 30), "gcn": random.normal(120, 30, 30)}
    targets = {"mlp": "ef", "gcn": "edv"}
    for cell in grid.cells:
        head = cell.coordinates["head"]
        truth = truths[head]
        prediction = truth + random.normal(0, 3 + 3 * (head == "gcn"), 30)
        further = {"data": "a" * 64, "params.task.name": "regression"}
        further["params.task.target"] = targets[head]
        rows = value_rows(truth, prediction, target=targets[head])
        results.run(cell.id, table=rows, further=further)
    built = table(grid, results, rows=["head", "encoder"], columns=[{"statistic": "mae"}])
    best = [row.labels[0] for row in built.rows if row.values[0].standing.best]
    assert sorted(best) == ["gcn", "mlp"]
    first, second = built.rows[0].values[0].resampled, built.rows[1].values[0].resampled
    assert "other true values (ef, and edv)" in why_not_paired(first.runs, second.runs)


class ToyValue(Task):
    """A task of one value, which knows its unit."""

    name: Literal["toy-value"] = "toy-value"
    target: str

    def describe(self) -> dict[str, Any]:
        unit = {"ef": "%", "toy volume": "ml"}.get(self.target, "")
        return {"mae": {"unit": unit, "better": "lower"}}


@pytest.fixture
def toy() -> Any:
    TASKS.register(ToyValue)
    yield
    del TASKS._classes["toy-value"]


def test_a_statistic_has_the_unit_of_its_target(toy: Any) -> None:
    units = {}
    for label in ("mae", "mse", "rmse", "bias", "r2", "lower limit", "share within"):
        one = ColumnDefinition(statistic=label, target="toy volume")
        units[label] = one.described.unit
    assert units == {
        "mae": "ml",
        "mse": "ml²",
        "rmse": "ml",
        "bias": "ml",
        "r2": "",
        "lower limit": "ml",
        "share within": "",
    }
    share = ColumnDefinition(statistic="mae", target="ef", options={"scale": 0.01})
    assert share.described.unit == ""
    percent = ColumnDefinition(statistic="r2", options={"scale": 100})
    assert percent.described.unit == "%"
    assert percent.bounds.high == 100
    assert ColumnDefinition(metric="dice", statistic="median").described.unit == "%"


def test_units_are_said_where_a_table_has_several(mixed: Any, results: Any, toy: Any) -> None:
    built = table(
        mixed,
        results,
        rows=["encoder"],
        columns=[
            column("camus", "landmarks", metric="dice", slot="ED", label="Dice"),
            column("echonet-dynamic", "ef", statistic="mse", label="MSE"),
            column("camus", "ef", statistic="mae", label="MAE (%)"),
        ],
    )
    assert built.units == ("%", "%²", "%")
    assert "Units: Dice in %; MSE in %²." in markdown(built)
