"""A column or a row may be of a subgroup of the test samples, by the values of the store."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import t
from sklearn import metrics
from value_rows import DATA, keep_values, value_rows

from echolm.errors import EchoLMError
from echolm.value_groups import members, parse_band
from grid.definition.subgroups import natural_groups
from grid.definition.tables import TableDefinition
from grid.tables.build import build
from grid.tables.claims import table_claims
from grid.tables.render.data import arrow, plain, records
from grid.tables.render.html import html
from grid.tables.render.latex import latex
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


INTERACTION = {"subgroups": {"sex": ["F", "M", "unknown"]}, "interaction": {"head": "mlp"}}


def by_patient(rows: Rows, row: str, sex: str) -> np.ndarray:
    """Errors of each seed for the patients of a sex, (S, P)."""
    inside = np.array([one == sex for one in rows.sex])
    return np.stack([np.abs(one - rows.truth)[inside] for one in rows.predictions[row]])


def test_an_interaction_is_the_difference_of_differences(rows: Rows) -> None:
    """Against plain numpy, and the interval of a closed form of two variances."""
    built = rows.table([MAE], **INTERACTION)
    encoders = list(dict.fromkeys(row.labels[0] for row in built.rows))
    assert [(row.labels, row.reference, row.groups) for row in built.interactions] == [
        ((encoder, "gcn"), (encoder, "mlp"), "sex M - sex F") for encoder in encoders
    ]
    for row in built.interactions:
        [one] = row.values
        comparison = one.comparison
        assert comparison is not None
        sides = {}
        for head in ("gcn", "mlp"):
            for sex in ("M", "F"):
                sides[head, sex] = by_patient(rows, f"{row.labels[0]}.{head}", sex)
        means = {name: side.mean() for name, side in sides.items()}
        expected = means["gcn", "M"] - means["mlp", "M"] - means["gcn", "F"] + means["mlp", "F"]
        assert comparison.difference == pytest.approx(expected, rel=1e-12)
        half = half_width(sides)
        print(f"{comparison.low:.2f} to {comparison.high:.2f}, by hand {expected:.2f} ± {half:.2f}")
        assert comparison.high - comparison.low == pytest.approx(2 * half, rel=0.3)
        assert one.patients == sum(sex is not None for sex in rows.sex)
        assert one.adjusted >= comparison.p


def half_width(sides: dict[tuple[str, str], np.ndarray]) -> float:
    """Half of a 95 % interval in closed form: patients and seeds as two sources of variance."""
    patients = 0.0
    count = np.inf
    for sex in ("M", "F"):
        difference = sides["gcn", sex].mean(0) - sides["mlp", sex].mean(0)
        patients += difference.var(ddof=1) / len(difference)
        count = min(count, len(difference))
    seeds = []
    for head in ("gcn", "mlp"):
        between = sides[head, "M"].mean(1) - sides[head, "F"].mean(1)
        seeds.append((between.var(ddof=1) / len(between), len(between) - 1))
    variance = patients + sum(part for part, _ in seeds)
    # Satterthwaite's degrees of freedom
    parts = [(patients, count - 1), *seeds]
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    return float(t.ppf(0.975, freedom) * np.sqrt(variance))


def test_interactions_stand_beside_the_rows_in_every_format(rows: Rows) -> None:
    built = rows.table([MAE], **INTERACTION)
    comparison = built.interactions[0].values[0].comparison
    assert comparison is not None
    shown = f"{comparison.difference:+.2f}".replace("-", "−")
    sentence = "Interactions: the difference from head mlp in one group minus that in the other"
    text = markdown(built)
    assert sentence in text and f"{shown} [" in text and "sex M - sex F" in text
    assert shown in html(built) and sentence in html(built)
    assert sentence in " ".join(latex(built).split()) and "sex M - sex F" in latex(built)
    told = plain(built)["interactions"]
    assert told[0]["difference"] == comparison.difference
    assert (told[0]["against"]["head"], told[0]["group"]) == ("mlp", "sex M")
    lines = [line for line in records(built) if line["kind"].startswith("interaction")]
    assert len(lines) == len(told)
    assert (lines[0]["mean"], lines[0]["subgroup"]) == (comparison.difference, "sex M - sex F")
    assert lines[0]["statistic"] == "interaction of mae"
    assert arrow([built]).num_rows == len(records(built))
    without = rows.table([MAE], subgroups=INTERACTION["subgroups"])
    assert plain(without)["interactions"] == [] and "Interactions" not in markdown(without)


def test_an_interaction_without_a_number_says_why(rows: Rows) -> None:
    subgroups = {"age": ["<60", ">=200"]}
    built = rows.table([MAE], subgroups=subgroups, interaction={"head": "mlp"})
    assert {one.reason for row in built.interactions for one in row.values} == {
        "a row has no value in one of the groups"
    }
    assert "without a number: a row has no value in one of the groups." in markdown(built)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"interaction": {"head": "mlp"}}, "needs subgroups of two groups or more"),
        (
            {"interaction": {"head": "mlp"}, "subgroups": {"sex": ["F", "unknown"]}},
            "needs subgroups of two groups or more",
        ),
        ({**INTERACTION, "interaction": {"hed": "mlp"}}, "'hed' is not an axis of rows"),
        ({**INTERACTION, "interaction": {"head": "mpl"}}, "no row has head 'mpl'; did you mean"),
    ],
)
def test_mistakes_in_an_interaction_are_told(
    rows: Rows, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, EchoLMError), match=message):
        rows.table([MAE], **fields)
