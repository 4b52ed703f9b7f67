"""A column or a row may be of a subgroup of the test samples, by the values of the store."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import metrics
from value_rows import DATA, keep_values, value_rows

from echolm.errors import EchoLMError
from grid.definition.subgroups import members, natural_groups, parse_band
from grid.definition.tables import TableDefinition
from grid.tables.build import build
from grid.tables.claims import table_claims
from grid.tables.render.data import plain, records
from grid.tables.render.markdown import markdown
from grid.tables.table import Table

COUNT = 60
MAE = {"statistic": "mae", "label": "MAE", "target": "ef"}


class Rows:
    """A grid whose runs predict EF, of patients with sex, age and view."""

    def __init__(self, grid: Any, results: Any) -> None:
        random = np.random.default_rng(0)
        self.grid, self.results = grid, results
        self.truth = random.normal(55, 12, COUNT)
        self.sex = [("F", "M", None)[n % 3] for n in range(COUNT)]
        self.age = [float(40 + n) if n % 10 else None for n in range(COUNT)]
        self.predictions: dict[str, list[np.ndarray]] = {}
        keep_values(results.folder, {"sex": self.sex, "age": self.age, "ef": self.truth.tolist()})
        for cell in grid.cells:
            worse = 4.0 if cell.coordinates["head"] == "gcn" else 1.0
            women = np.array([sex == "F" for sex in self.sex])
            prediction = self.truth + random.normal(0, 3, COUNT) + worse * women
            row = cell.id.rpartition(".")[0]
            self.predictions.setdefault(row, []).append(prediction)
            further = {"data": DATA, "params.task.name": "regression"}
            results.run(cell.id, table=value_rows(self.truth, prediction), further=further)

    def table(self, columns: list[dict[str, Any]], **fields: Any) -> Table:
        definition = {"title": "T", "rows": ["encoder", "head"], "columns": columns, **fields}
        self.grid.tables["main"] = TableDefinition.model_validate(definition)
        return build(self.grid, "main", self.results.folder)

    def mae(self, row: str, chosen: np.ndarray) -> float:
        own = [np.abs(one - self.truth)[chosen].mean() for one in self.predictions[row]]
        return float(np.mean(own))


@pytest.fixture
def rows(grid: Any, results: Any) -> Rows:
    return Rows(grid, results)


def chosen(values: list[Any], wanted: Any) -> np.ndarray:
    return np.array([wanted(value) for value in values])


CASES = {
    "sex: F": ({"sex": "F"}, lambda rows: chosen(rows.sex, lambda sex: sex == "F")),
    "sex: unknown": ({"sex": "unknown"}, lambda rows: chosen(rows.sex, lambda sex: sex is None)),
    "age: <60": ({"age": "<60"}, lambda rows: chosen(rows.age, lambda age: age and age < 60)),
    "age: 60-75": (
        {"age": "60-75"},
        lambda rows: chosen(rows.age, lambda age: age and 60 <= age < 75),
    ),
    "age: >=75": ({"age": ">=75"}, lambda rows: chosen(rows.age, lambda age: age and age >= 75)),
    "both": (
        {"sex": "M", "ef": "<50"},
        lambda rows: chosen(rows.sex, lambda sex: sex == "M") & (rows.truth < 50),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_column_of_a_subgroup_is_of_its_samples_alone(rows: Rows, case: str) -> None:
    subgroup, of = CASES[case]
    built = rows.table([MAE, {**MAE, "label": "some", "subgroup": subgroup}])
    inside = of(rows).astype(bool)
    assert 0 < inside.sum() < COUNT
    for row in built.rows:
        whole, some = row.values
        name = ".".join(row.labels)
        assert whole.number.estimate == pytest.approx(rows.mae(name, np.ones(COUNT, bool)))
        assert some.number.estimate == pytest.approx(rows.mae(name, inside), rel=1e-12)
        assert some.number.patients == inside.sum()
    assert records(built)[1]["subgroup"] == case.replace(": ", " ") or case == "both"


def test_rows_of_subgroups_follow_their_row_and_are_compared_within_a_group(rows: Rows) -> None:
    built = rows.table([MAE], subgroups={"sex": ["F", "M", "unknown"]})
    assert built.axes == ("encoder", "head", "subgroup")
    groups = [row.labels[2] for row in built.rows if row.labels[:2] == ("tiny-r3d", "mlp")]
    assert groups == ["all", "sex F", "sex M", "sex unknown"]
    by_label = {row.labels: row.values[0] for row in built.rows}
    women = by_label["tiny-r3d", "gcn", "sex F"]
    assert women.standing.comparison.first.endswith("sex F"), "the best of women, not of all"
    assert [claims.heading for claims in table_claims(built)] == [
        "MAE (echonet-dynamic)",
        "MAE (echonet-dynamic, sex F)",
        "MAE (echonet-dynamic, sex M)",
        "MAE (echonet-dynamic, sex unknown)",
    ]
    assert plain(built)["rows"][1]["labels"]["subgroup"] == "sex F"
    assert "| sex F" in markdown(built)


def test_commands_do_not_select_cells_by_a_subgroup(rows: Rows) -> None:
    rows.results.runs = [run for run in rows.results.runs if not run["cell"].endswith("gcn.2")]
    rows.results.save()
    text = markdown(rows.table([MAE], subgroups={"sex": ["F"]}))
    assert "--where head=gcn" in text
    assert "subgroup=" not in text


def test_what_is_not_known_of_a_store_is_told_in_place(rows: Rows) -> None:
    for path in (rows.results.folder / "stores").iterdir():
        path.unlink()
    built = rows.table([MAE, {**MAE, "label": "F", "subgroup": {"sex": "F"}}])
    whole, women = built.rows[0].values
    assert whole.number is not None
    assert women.number is None
    assert "sex of its patients is not known here: where the store of its runs lies" in (
        women.refused
    )
    assert women.refused.endswith("type: echolm collect")


def test_mistakes_name_what_is_valid(rows: Rows) -> None:
    women = {**MAE, "subgroup": {"sexx": "F"}}
    with pytest.raises(EchoLMError, match="no store of these runs has a value 'sexx'.*sex"):
        rows.table([women])
    built = rows.table([{**MAE, "subgroup": {"sex": "female"}}])
    assert built.rows[0].values[0].refused == "no test sample is of sex female"
    built = rows.table([{**MAE, "subgroup": {"sex": "<5"}}])
    assert "'<5' is a range, and sex is a text: F, M" in built.rows[0].values[0].refused
    built = rows.table([{**MAE, "subgroup": {"age": "old"}}])
    assert "'old' is no number" in built.rows[0].values[0].refused
    with pytest.raises(ValueError, match="put yes, no, true and false in quotes"):
        rows.table([{**MAE, "subgroup": {"sex": True}}])
    with pytest.raises(ValueError, match="subgroup cannot be a row"):
        rows.table([MAE], rows=["encoder", "head", "subgroup"])


def test_one_group_alone_may_have_no_patients_of_a_class(rows: Rows) -> None:
    """Then a statistic is undefined for all seeds, which is no divergence."""
    auc = {"statistic": "auc", "options": {"below": 50}, "label": "AUC"}
    built = rows.table([auc, {**auc, "label": "low", "subgroup": {"ef": "<50"}}])
    whole, low = built.rows[0].values
    expected = []
    for one in rows.predictions["tiny-r3d.mlp"]:
        expected.append(metrics.roc_auc_score(rows.truth < 50, -one))
    assert whole.number.estimate == pytest.approx(np.mean(expected), rel=1e-12)
    assert low.undefined == ("0", "1", "2")
    assert not low.diverged
    assert not whole.diverged
    text = markdown(built)
    assert "| undefined" in text
    assert "auc below 50 is undefined for these patients" in text


@pytest.mark.parametrize(
    ("label", "inside", "outside"),
    [
        ("<60", [59.9, -5], [60, 61]),
        ("<=60", [60, 0], [60.1]),
        (">60", [60.1], [60]),
        (">=60", [60], [59.9]),
        ("60-75", [60, 74.9], [75, 59]),
        ("-5 - 5", [-5, 0], [5, -6]),
    ],
)
def test_bands(label: str, inside: list[float], outside: list[float]) -> None:
    band = parse_band(label)
    assert band is not None
    assert band.holds(np.array(inside)).all()
    assert not band.holds(np.array([*outside, np.nan])).any()


def test_groups_of_a_text_and_of_a_number() -> None:
    values = ["M", None, "", "F", "unknown"]
    assert natural_groups(values, "sex") == ["F", "M"]
    assert members(values, "sex", "unknown").tolist() == [False, True, True, False, True]
    assert members([1, 2, None], "grade", "2").tolist() == [False, True, False]
    with pytest.raises(EchoLMError, match=r"age='<60\|60-75\|>=75'"):
        natural_groups([50.0, 60.0], "age")
    assert parse_band("2CH") is None
