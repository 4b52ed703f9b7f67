"""What a table says about its numbers: bold, reproduced or not; and statistics other than means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from dice_rows import PATIENTS, dice_at_ed
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

from echolm.errors import EchoLMError
from grid.definition.tables import ColumnDefinition, TableDefinition
from grid.statistics import Bounds
from grid.tables.build import build
from grid.tables.render.data import plain, records
from grid.tables.render.html import html
from grid.tables.render.latex import latex
from grid.tables.render.markdown import markdown


def test_bold_is_the_best_and_what_is_not_significantly_worse(table: Any) -> None:
    built = table(
        {
            "tiny-r3d.mlp": (0, 0.1, -0.1),
            "tiny-r3d.gcn": (-0.05, 0.05, 0.0),
            "tiny-mvit.mlp": (-8, -8.1, -7.9),
        }
    )
    assert [row.values[0].bold for row in built.rows] == [True, True, False, False]
    standing = built.rows[2].values[0].standing
    assert standing.comparison.low < 8 < standing.comparison.high
    assert standing.adjusted < 0.05
    text = markdown(built)
    assert "Bold: the best of its column" in text
    assert "over patients and seeds" in text


def test_every_p_of_a_table_is_adjusted_or_said_to_be_of_one_comparison_alone(table: Any) -> None:
    built = table(
        {
            "tiny-r3d.mlp": (0.3, 0.4, 0.2),
            "tiny-r3d.gcn": (-0.05, 0.05, 0.0),
            "tiny-mvit.mlp": (-0.2, -0.4, -0.3),
        }
    )
    second, third = (built.rows[at].values[0].standing for at in (1, 2))
    for own, adjusted in (("p", "adjusted"), ("wilcoxon", "adjusted_wilcoxon")):
        raw = sorted(getattr(one.comparison, own) for one in (second, third))
        found = sorted(getattr(one, adjusted) for one in (second, third))
        assert found == pytest.approx([min(1, 2 * raw[0]), max(min(1, 2 * raw[0]), raw[1])])
    shown = html(built)
    assert (
        "These p are of this comparison alone; adjusted by Holm over all of the table: bootstrap p"
        in shown
    )
    assert shown.count("Wilcoxon over patients") == shown.count(", Wilcoxon p") == 2
    stored = plain(built)["rows"][2]["values"]["Dice"]["against_the_best"]
    assert (stored["adjusted_p"], stored["adjusted_wilcoxon"]) == (
        third.adjusted,
        third.adjusted_wilcoxon,
    )


def test_lower_is_better_where_a_column_says_so(table: Any) -> None:
    built = table(
        {"tiny-r3d.mlp": (0, 0.1, -0.1), "tiny-mvit.mlp": (-8, -8.1, -7.9)},
        column={"better": "lower"},
    )
    assert [row.values[0].bold for row in built.rows] == [False, False, True, False]
    assert not any(value.bold for value in table({}, column={"statistic": "std"}).values), (
        "no direction, nothing bold"
    )


def test_with_one_seed_the_table_says_what_cannot_be_claimed(table: Any) -> None:
    built = table({"tiny-r3d.mlp": (0,), "tiny-r3d.gcn": (-3,)})
    assert [row.values[0].bold for row in built.rows[:2]] == [True, False]
    assert "networks as trained: seeds are too few to claim more" in markdown(built)
    assert "1 seed cannot tell what another training would give" in markdown(built)


def test_bold_over_seeds_and_over_patients_alone_in_one_table_is_told_apart(table: Any) -> None:
    """The value with two seeds is better than one with three that is bold.

    Its seeds are not counted.
    """
    built = table(
        {
            "tiny-r3d.mlp": (0, 1, -1),
            "tiny-r3d.gcn": (-1.1, -0.1, -1.4),
            "tiny-mvit.mlp": (-0.6, -0.5),
        }
    )
    values = [row.values[0] for row in built.rows[:3]]
    assert [value.bold for value in values] == [True, True, False]
    assert values[1].number.estimate < values[2].number.estimate
    assert [value.standing.comparison.crossed for value in values[1:]] == [True, False]
    text = markdown(built)
    assert (
        "patients and seeds; patients only where a value or the best of its column has under "
        "3 seeds; Holm"
    ) in text
    assert "too few to claim" not in text
    assert (
        "- tiny-mvit, mlp: not bold by patients alone (under 3 seeds on one side): another "
        "training might not be worse"
    ) in text
    sound = table({"tiny-mvit.mlp": (-0.6, -0.5, -0.5)})
    assert "by patients alone" not in markdown(sound)
    assert "patients only where" not in markdown(sound)


def test_what_is_no_better_than_the_mean_contour_is_told_and_judged_like_any_other(
    table: Any, grid: Any
) -> None:
    shifts = {
        "tiny-r3d.mlp": (-1, -1, -1),
        "tiny-r3d.gcn": (-1.4, -1.2, -0.9),
        "tiny-mvit.mlp": (-1.1, -1, -0.5),
    }
    built = table(shifts, definition={"baseline": {"encoder": "tiny-r3d", "head": "mlp"}})
    mean, worse, better, _ = (row.values[0] for row in built.rows)
    assert worse.notes == (f"not better than the mean contour ({mean.number.estimate:.2f})",)
    assert worse.baseline == mean.number.estimate
    assert (worse.not_better, better.not_better, mean.not_better) == (True, False, False), (
        "it is not held against itself"
    )
    assert not worse.diverged
    assert worse.standing.comparison is not None
    assert worse.bold
    assert worse.number.seeds == 3
    text = markdown(built)
    assert "¶" in text.splitlines()[5]
    assert "†" not in text
    assert text.count("¶") == 2
    assert (
        "¶ not better than the mean contour of the training data, which looks at no image." in text
    )
    assert r"\P{}" in latex(built)
    assert "¶" in html(built)
    line = records(built)[1]
    assert (line["baseline"], line["not_better"], line["diverged_seeds"]) == (
        mean.number.estimate,
        True,
        [],
    )
    assert plain(built)["rows"][1]["values"]["Dice"]["not_better"] is True


def test_the_baseline_need_not_be_in_the_table_and_is_that_of_the_same_data(
    table: Any, grid: Any, results: Any, cell: Any
) -> None:
    """A value at 10 % of the data is held against the baseline at 10 %."""
    for one in grid.cells:
        one.coordinates.update(
            fraction="10%" if one.coordinates["encoder"] == "tiny-mvit" else "100%"
        )
    shifts = {
        "tiny-r3d.mlp": (-9, -9, -9),
        "tiny-mvit.mlp": (-15, -15, -15),
        "tiny-mvit.gcn": (-16, -16, -15),
    }
    baseline = {"baseline": {"head": "mean"}}
    with pytest.raises(EchoLMError, match="baseline: no cell has head=mean; valid: gcn, mlp"):
        table(shifts, definition=baseline)
    grid.cells += [
        cell(f"mean.{label}", {"head": "mean", "fraction": label, "seed": "0"}, tables=())
        for label in ("100%", "10%")
    ]
    built = table(shifts, definition=baseline)
    want = (
        "- the baseline (head mean, fraction 100%/10%) has no run, so what is not better than "
        "the mean contour is not told"
    )
    assert (
        f"{want}; type: `echolm launch small --on local --where head=mean --where "
        "fraction=100%,10%`"
    ) in markdown(built)
    same = np.random.default_rng(3).normal(90, 4, PATIENTS)
    for label, mean in (("100%", -10), ("10%", -20)):
        results.run(f"mean.{label}", table=dice_at_ed(same + mean))
    built = build(grid, "main", results.folder)
    assert [row.values[0].baseline is not None for row in built.rows] == [True, False, True, True]
    assert [row.values[0].not_better for row in built.rows] == [False, False, False, False]
    assert "has no run" not in markdown(built)
    assert len(built.rows) == 4
    results.run("mean.100%", end=1, table=dice_at_ed(same[:-1] - 5))
    other = build(grid, "main", results.folder).rows[0].values[0]
    assert other.baseline is None
    assert (
        other.notes[-1]
        == "the mean contour has other test samples, so nothing is told of which is better"
    )


def test_a_run_with_nan_is_shown_and_never_left_out(table: Any) -> None:
    value = (
        table({"tiny-r3d.mlp": (0, float("nan"), 0), "tiny-r3d.gcn": (0, 0, 0)}).rows[0].values[0]
    )
    assert np.isnan(value.number.estimate)
    assert [run.seed for run in value.diverged] == ["1"]
    assert not value.bold


class TestVerdict:
    """The published R3D-18, MLP, no augmentation: Dice ED 91.55 over 1,264 test videos."""

    @pytest.fixture
    def beside(self, table: Any, grid: Any, patients: np.ndarray) -> Any:
        for cell in grid.cells:
            cell.coordinates.update(
                trainable="all",
                encoder={"tiny-r3d": "r3d-18"}.get(cell.coordinates["encoder"], "mvit-v2-s"),
            )
        mean = patients.mean()

        def make(*values: float, labels: Any = None, **change: Any) -> Any:
            source = {"paper": "bhoodoo2026", "table": "2", "labels": labels or {}}
            found = table(
                {"tiny-r3d.mlp": tuple(value - mean for value in values)},
                definition={"published": source},
                **change,
            )
            return found.rows[0].values[0].verdict

        return make

    def test_of_another_test_set_counts_both_patient_intervals(self, beside: Any) -> None:
        found = beside(91.0, 91.2, 91.1)
        assert found.outcome == "reproduced"
        assert "our patients" in found.text
        assert "their patients" in found.text
        assert found.test_set == "another test set (1,264 patients, ours 60)"

    def test_differs_with_the_arithmetic(self, beside: Any) -> None:
        found = beside(71.0, 71.2, 71.1)
        assert found.outcome == "differs"
        assert found.distance > found.allowed
        assert "S = 3" in found.text

    def test_under_three_seeds_is_not_decidable(self, beside: Any) -> None:
        assert beside(91.0, 91.2).text == "not decidable: run 1 more seed"

    def test_phantom_data_are_never_comparable(self, beside: Any) -> None:
        assert (
            beside(91.5, 91.5, 91.6, synthetic=True).text
            == "not comparable: ours is from phantom data"
        )
        assert beside(91.5, synthetic=True).outcome == "not comparable"

    def test_nor_is_what_stands_in_for_something_else(self, beside: Any, grid: Any) -> None:
        for cell in grid.cells:
            cell.coordinates.update(
                encoder={"r3d-18": "mine"}.get(
                    cell.coordinates["encoder"], cell.coordinates["encoder"]
                )
            )
        found = beside(91.5, 91.5, 91.6, labels={"encoder": {"mine": "r3d-18"}})
        assert found.text == "not comparable: mine stands in for r3d-18"

    def test_a_test_set_of_which_only_the_size_is_published_is_named_as_that(
        self, beside: Any, grid: Any, results: Any, patients: np.ndarray
    ) -> None:
        many = np.random.default_rng(5).normal(91.5, 3.5, 1264)
        for seed in range(3):
            results.run(f"tiny-r3d.mlp.{seed}", table=dice_at_ed(many + seed / 10))
        beside()
        found = build(grid, "main", results.folder).rows[0].values[0].verdict
        assert found is not None
        assert found.outcome == "reproduced"
        assert "patients 0" not in found.text
        assert found.test_set == "same number of patients (1,264)"
        assert found.text.endswith("S = 3; same number of patients (1,264))")
        assert (
            "named as that. On" in (text := markdown(build(grid, "main", results.folder)))
            and "beside ours: same number of patients (1,264)." in text
        )


def test_statistics_of_truth_and_prediction_against_scikit_learn(grid: Any, results: Any) -> None:
    random, found = np.random.default_rng(6), []
    for seed in "012":
        truth, noise = random.uniform(20, 70, 50), random.normal(0, 6, 50)
        ids = [f"p{at}" for at in range(50)]
        same = {
            name: [text] * 50 for name, text in (("split", "test"), ("target", "ef"), ("slot", ""))
        }
        lists = {
            "truth": truth[:, None].tolist(),
            "prediction": (truth + noise)[:, None].tolist(),
            "score": noise[:, None].tolist(),
        }
        low = (truth < 40).astype(float)
        results.run(
            f"tiny-r3d.mlp.{seed}",
            table=pa.table({"sample": ids, "patient": ids, **same, **lists, "low": low}),
        )
        found.append(
            (
                mean_absolute_error(truth, truth + noise),
                r2_score(truth, truth + noise),
                roc_auc_score(low, noise),
            )
        )
    columns = [
        {"statistic": "mae"},
        {"statistic": "r2", "label": "R²"},
        {"statistic": "auc", "options": {"truth": "low"}},
    ]
    grid.tables["main"] = TableDefinition.model_validate(
        {"title": "EF", "rows": ["encoder", "head"], "columns": columns}
    )
    values = build(grid, "main", results.folder).rows[0].values
    assert [value.number.estimate for value in values if value.number] == pytest.approx(
        list(np.mean(found, 0))
    )
    with pytest.raises(
        EchoLMError,
        match="table main of grid small: std-over-patients: r2 has no value for each patient",
    ):
        build(grid, "main", results.folder, "std-over-patients")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statistic": "r22"}, "no statistic is called 'r22'; did you mean 'r2'"),
        ({"statistic": "mean"}, "statistic mean takes column; given: none"),
        (
            {"statistic": "r2", "metric": "dice"},
            "statistic r2 takes truth, prediction; given: column",
        ),
    ],
)
def test_a_column_whose_statistic_cannot_be_made_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ColumnDefinition.model_validate(change)


def test_a_kind_of_spread_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of ± is called 'std'"):
        TableDefinition.model_validate(
            {"title": "T", "rows": ["a"], "columns": [{"metric": "dice"}], "spread": "std"}
        )


def test_no_interval_of_a_table_is_beyond_what_its_metric_can_be(grid: Any, results: Any) -> None:
    """Dice of two patients; the task says where its metrics lie. What was cut is told."""
    for cell in grid.cells:
        seed = int(cell.coordinates["seed"])
        table = dice_at_ed(np.array([60.0 + seed, 98.0]), mke=np.array([0.1, 9.0 - seed]))
        results.run(cell.id, table=table)
    columns = [{"metric": "dice", "label": "Dice"}, {"metric": "mke", "label": "MKE"}]
    for spread in ("crossed-95", "bootstrap-95"):
        definition = {"title": "T", "rows": ["encoder", "head"], "columns": columns}
        grid.tables["main"] = TableDefinition.model_validate({**definition, "spread": spread})
        built = build(grid, "main", results.folder)
        for value in built.values:
            assert value.number is not None
            low, high = value.number.low, value.number.high
            assert low is not None and high is not None
            assert low >= 0
            assert low <= value.number.estimate <= high
        assert all(row.values[0].number.high <= 100 for row in built.rows)
        text = markdown(built, "full")
        assert ("at 100, the largest possible value" in text) == (spread == "crossed-95")
        assert ("cut at 0, the least possible value" in text) == (spread == "crossed-95")
    assert grid.tables["main"].columns[0].bounds == Bounds(0, 100)
    assert grid.tables["main"].columns[1].bounds == Bounds(low=0)
