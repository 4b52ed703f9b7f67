"""What a table says about its numbers: bold, diverged, reproduced or not; and statistics other than means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, roc_auc_score

from echolm.errors import EchoLMError
from grid.tables.build import build
from grid.tables.data import plain, records
from grid.tables.definition import ColumnDefinition, TableDefinition
from grid.tables.html import html
from grid.tables.latex import latex
from grid.tables.markdown import markdown

PATIENTS = 60


def rows(values: np.ndarray) -> pa.Table:
    """Predictions whose Dice at ED is given, one clip a patient."""
    ids = [f"p{at}" for at in range(len(values))]
    same = {name: [text] * len(ids) for name, text in (("split", "test"), ("target", "landmarks"), ("slot", "ED"))}
    return pa.table({"sample": ids, "patient": ids, **same, "dice": values})


@pytest.fixture
def patients() -> np.ndarray:
    return np.random.default_rng(3).normal(90, 4, PATIENTS)


@pytest.fixture
def table(grid: Any, results: Any, patients: np.ndarray) -> Any:
    """``table(shifts)``: the table with one column when the runs of a row are shifted by ``shifts[row]`` (seed by seed)."""

    def make(shifts: dict[str, tuple[float, ...]], **change: Any) -> Any:
        noise = np.random.default_rng(4)
        for cell in grid.cells:
            row, seed = cell.id.rsplit(".", 1)
            if row in shifts and int(seed) < len(shifts[row]):
                values = patients + shifts[row][int(seed)] + noise.normal(0, 0.5, PATIENTS)
                results.run(cell.id, table=rows(values), synthetic=change.get("synthetic", False))
        columns = [{"metric": "dice", "slot": "ED", "label": "Dice", **change.get("column", {})}]
        definition = {"title": "T", "rows": ["encoder", "head"], "columns": columns, **change.get("definition", {})}
        grid.tables["main"] = TableDefinition.model_validate(definition)
        return build(grid, "main", results.folder)

    return make


def test_bold_is_the_best_and_what_is_not_significantly_worse(table: Any) -> None:
    made = table({"tiny-r3d.mlp": (0, 0.1, -0.1), "tiny-r3d.gcn": (-0.05, 0.05, 0.0), "tiny-mvit.mlp": (-8, -8.1, -7.9)})
    assert [row.values[0].bold for row in made.rows] == [True, True, False, False]
    standing = made.rows[2].values[0].standing
    assert standing.comparison.low < 8 < standing.comparison.high and standing.adjusted < 0.05
    text = markdown(made)
    assert "Bold: the best of its column" in text and "over patients and seeds" in text


def test_every_p_of_a_table_is_adjusted_or_said_to_be_of_one_comparison_alone(table: Any) -> None:
    made = table({"tiny-r3d.mlp": (0.3, 0.4, 0.2), "tiny-r3d.gcn": (-0.05, 0.05, 0.0), "tiny-mvit.mlp": (-0.2, -0.4, -0.3)})
    second, third = (made.rows[at].values[0].standing for at in (1, 2))
    for own, adjusted in (("p", "adjusted"), ("wilcoxon", "adjusted_wilcoxon")):
        raw = sorted(getattr(one.comparison, own) for one in (second, third))
        found = sorted(getattr(one, adjusted) for one in (second, third))
        assert found == pytest.approx([min(1, 2 * raw[0]), max(min(1, 2 * raw[0]), raw[1])])
    shown = html(made)
    assert "These p are of this comparison alone; adjusted by Holm over all of the table: bootstrap p" in shown
    assert shown.count("Wilcoxon over patients") == shown.count(", Wilcoxon p") == 2
    stored = plain(made)["rows"][2]["values"]["Dice"]["against_the_best"]
    assert (stored["adjusted_p"], stored["adjusted_wilcoxon"]) == (third.adjusted, third.adjusted_wilcoxon)


def test_lower_is_better_where_a_column_says_so(table: Any) -> None:
    made = table({"tiny-r3d.mlp": (0, 0.1, -0.1), "tiny-mvit.mlp": (-8, -8.1, -7.9)}, column={"better": "lower"})
    assert [row.values[0].bold for row in made.rows] == [False, False, True, False]
    assert not any(value.bold for value in table({}, column={"statistic": "std"}).values), "no direction, nothing bold"


def test_with_one_seed_the_table_says_what_cannot_be_claimed(table: Any) -> None:
    made = table({"tiny-r3d.mlp": (0,), "tiny-r3d.gcn": (-3,)})
    assert [row.values[0].bold for row in made.rows[:2]] == [True, False]
    assert "networks as trained: seeds are too few to claim more" in markdown(made)
    assert "1 seed cannot tell what another training would give" in markdown(made)


def test_bold_over_seeds_and_over_patients_alone_in_one_table_is_told_apart(table: Any) -> None:
    """The value with two seeds is better than one with three that is bold: its seeds are not counted."""
    made = table({"tiny-r3d.mlp": (0, 1, -1), "tiny-r3d.gcn": (-1.1, -0.1, -1.4), "tiny-mvit.mlp": (-0.6, -0.5)})
    values = [row.values[0] for row in made.rows[:3]]
    assert [value.bold for value in values] == [True, True, False] and values[1].number.estimate < values[2].number.estimate
    assert [value.standing.comparison.crossed for value in values[1:]] == [True, False]
    text = markdown(made)
    assert "patients and seeds; patients only where a value or the best of its column has under 3 seeds; Holm" in text and "too few to claim" not in text
    assert "- tiny-mvit, mlp: not bold by patients alone (under 3 seeds on one side): another training might not be worse" in text
    sound = table({"tiny-mvit.mlp": (-0.6, -0.5, -0.5)})
    assert "by patients alone" not in markdown(sound) and "patients only where" not in markdown(sound)


def test_a_diverged_run_is_marked_and_told_with_the_number_without_it(table: Any) -> None:
    made = table({"tiny-r3d.mlp": (0, -30, 0.1), "tiny-r3d.gcn": (0, 0.1, -0.1)})
    value = made.rows[0].values[0]
    assert [run.seed for run in value.diverged] == ["1"] and not made.rows[1].values[0].diverged
    others = np.mean([source.value for source in value.sources if source.seed != "1"])
    assert f"counted in the number; without: {others:.2f} from 2 of 3 seeds" in value.notes[0]
    assert value.number.estimate == pytest.approx(np.mean([source.value for source in value.sources]))
    text = markdown(made)
    assert "†" in text.splitlines()[4] and "a run among its seeds diverged, so it is never bold; see the notes." in text


def test_a_run_that_diverged_in_one_column_is_diverged_in_all(grid: Any, results: Any) -> None:
    """Also where the statistic has no better direction, or its own spread hides it; what is undefined for all seeds tells nothing."""
    columns = [
        {"metric": "dice", "label": "Dice"}, {"metric": "dice", "statistic": "std", "label": "Std"}, {"metric": "mke", "label": "MKE"},
        {"statistic": "auc", "label": "AUC", "options": {"truth": "mke", "score": "dice"}},
    ]  # fmt: skip
    grid.tables["main"] = TableDefinition.model_validate({"title": "T", "rows": ["encoder", "head"], "columns": columns})
    for cell in grid.cells:
        seed = int(cell.coordinates["seed"])
        wrecked = cell.id == "tiny-r3d.mlp.1"
        random = np.random.default_rng(seed)
        ids = [f"p{at}" for at in range(40)]
        same = {name: [text] * 40 for name, text in (("split", "test"), ("target", "landmarks"), ("slot", "ED"))}
        dice = np.linspace(80, 99, 40) + random.normal(0, 0.1, 40) - 50 * wrecked
        results.run(cell.id, table=pa.table({"sample": ids, "patient": ids, **same, "dice": dice, "mke": np.ones(40)}))
    made = build(grid, "main", results.folder)
    dice, std, mke, auc = made.rows[0].values
    assert [[run.seed for run in value.diverged] for value in (dice, std, mke)] == [["1"]] * 3
    assert dice.diverged[0].reason in mke.diverged[0].reason and mke.diverged[0].reason.startswith("in Dice: ")
    assert std.diverged[0].value == pytest.approx(std.sources[1].value) and "counted in the number; without" in std.notes[0]
    assert not any(value.bold for value in (dice, std, mke, auc))
    assert np.isnan(auc.number.estimate) and [run.seed for run in auc.diverged] == ["0", "1", "2"]
    assert [len(value.diverged) for value in made.rows[1].values] == [0, 0, 0, 3]
    assert markdown(made).splitlines()[4].count("†") == 4


def test_a_run_that_diverged_in_one_table_is_diverged_in_all_that_have_its_cell(grid: Any, results: Any) -> None:
    """As in the paper: at ES a run failed, at ED it is within two std of the best; a table of ED alone has it too. Tables that cannot be
    made, or have other cells, tell nothing."""
    ids = [f"p{at}" for at in range(100)]
    for cell in grid.cells:
        ed, es = (78.5, 66.0) if cell.id == "tiny-r3d.mlp.2" else (87.8, 84.3)
        spread = np.linspace(-1, 1, 100) + np.random.default_rng(int(cell.coordinates["seed"])).normal(0, 0.02, 100)
        same = {"sample": ids * 2, "patient": ids * 2, "split": ["test"] * 200, "target": ["landmarks"] * 200, "slot": ["ED"] * 100 + ["ES"] * 100}
        results.run(cell.id, table=pa.table({**same, "dice": np.concatenate([ed + 9 * spread, es + 9 * spread])}))
    ed, es = {"metric": "dice", "slot": "ED"}, {"metric": "dice", "slot": "ES"}
    rows = {"title": "T", "rows": ["encoder", "head"]}
    broken = {"wrong axis": {"title": "T", "rows": ["encodre"], "columns": [es]}, "wrong column": {**rows, "columns": [{"metric": "dcie", "slot": "ES"}]}}
    other = {"other cells": {**rows, "columns": [es], "cells": {"encoder": ["tiny-mvit"]}}}
    apart = {"title": "T", "rows": ["encoder"], "columns": [{**es, "where": {"head": head}} for head in ("mlp", "gcn")]}
    for tables, told in (({"both": {**rows, "columns": [ed, es]}}, "in dice ES of table both: "), ({"apart": apart}, "in mlp dice ES of table apart: ")):
        named = {**broken, **other, **tables, "main": {**rows, "columns": [ed]}}
        grid.tables = {name: TableDefinition.model_validate(table) for name, table in named.items()}
        for cell in grid.cells:
            cell.tables = tuple(named)
        made = build(grid, "main", results.folder)
        failed, *sound = (row.values[0] for row in made.rows)
        assert [run.seed for run in failed.diverged] == ["2"] and not any(value.diverged for value in sound)
        assert failed.diverged[0].reason.startswith(told) and "worse than the best seed" in failed.diverged[0].reason
        assert not failed.bold and any(value.bold for value in sound) and markdown(made).splitlines()[4].count("†") == 1
    grid.tables = {name: table for name, table in grid.tables.items() if name != "apart"}
    assert not build(grid, "main", results.folder).rows[0].values[0].diverged


def test_a_value_with_a_diverged_run_is_never_bold(table: Any) -> None:
    """Its failed seed widens its interval so far that nothing is significantly better."""
    shifts = {"tiny-r3d.mlp": (0, -30, 0.1), "tiny-r3d.gcn": (0, 0.1, -0.1), "tiny-mvit.mlp": (0.05, 0.0, -0.05)}
    made = table(shifts)
    assert [row.values[0].bold for row in made.rows] == [False, True, True, False]
    assert made.rows[0].values[0].standing.comparison is None
    lines = markdown(made).splitlines()
    assert "**" not in lines[4] and "†" in lines[4] and not any("missing" in line for line in lines if line.startswith("- tiny-r3d, mlp"))


def test_what_is_no_better_than_the_mean_contour_is_told_and_judged_like_any_other(table: Any, grid: Any) -> None:
    shifts = {"tiny-r3d.mlp": (-1, -1, -1), "tiny-r3d.gcn": (-1.4, -1.2, -0.9), "tiny-mvit.mlp": (-1.1, -1, -0.5)}
    made = table(shifts, definition={"baseline": {"encoder": "tiny-r3d", "head": "mlp"}})
    mean, worse, better, _ = (row.values[0] for row in made.rows)
    assert worse.notes == (f"not better than the mean contour ({mean.number.estimate:.2f})",) and worse.baseline == mean.number.estimate
    assert (worse.not_better, better.not_better, mean.not_better) == (True, False, False), "it is not held against itself"
    assert not worse.diverged and worse.standing.comparison is not None and worse.bold and worse.number.seeds == 3
    text = markdown(made)
    assert "¶" in text.splitlines()[5] and "†" not in text and text.count("¶") == 2
    assert "¶ not better than the mean contour of the training data, which looks at no image." in text
    assert r"\P{}" in latex(made) and "¶" in html(made)
    line = records(made)[1]
    assert (line["baseline"], line["not_better"], line["diverged_seeds"]) == (mean.number.estimate, True, [])
    assert plain(made)["rows"][1]["values"]["Dice"]["not_better"] is True


def test_the_baseline_need_not_be_in_the_table_and_is_that_of_the_same_data(table: Any, grid: Any, results: Any, cell: Any) -> None:
    """A value at 10 % of the data is held against the baseline at 10 %."""
    for one in grid.cells:
        one.coordinates.update(fraction="10%" if one.coordinates["encoder"] == "tiny-mvit" else "100%")
    shifts = {"tiny-r3d.mlp": (-9, -9, -9), "tiny-mvit.mlp": (-15, -15, -15), "tiny-mvit.gcn": (-16, -16, -15)}
    baseline = {"baseline": {"head": "mean"}}
    with pytest.raises(EchoLMError, match="baseline: no cell has head=mean; valid: gcn, mlp"):
        table(shifts, definition=baseline)
    grid.cells += [cell(f"mean.{label}", {"head": "mean", "fraction": label, "seed": "0"}, tables=()) for label in ("100%", "10%")]
    made = table(shifts, definition=baseline)
    want = "- the baseline (head mean, fraction 100%/10%) has no run, so what is not better than the mean contour is not told"
    assert f"{want}; type: `echolm launch small --on local --where head=mean --where fraction=100%,10%`" in markdown(made)
    same = np.random.default_rng(3).normal(90, 4, PATIENTS)
    for label, mean in (("100%", -10), ("10%", -20)):
        results.run(f"mean.{label}", table=rows(same + mean))
    made = build(grid, "main", results.folder)
    assert [row.values[0].baseline is not None for row in made.rows] == [True, False, True, True]
    assert [row.values[0].not_better for row in made.rows] == [False, False, False, False]
    assert "has no run" not in markdown(made) and len(made.rows) == 4
    results.run("mean.100%", end=1, table=rows(same[:-1] - 5))
    other = build(grid, "main", results.folder).rows[0].values[0]
    assert other.baseline is None and other.notes[-1] == "the mean contour has other test samples, so nothing is told of which is better"


def test_a_run_with_nan_is_shown_and_never_left_out(table: Any) -> None:
    value = table({"tiny-r3d.mlp": (0, float("nan"), 0), "tiny-r3d.gcn": (0, 0, 0)}).rows[0].values[0]
    assert np.isnan(value.number.estimate) and [run.seed for run in value.diverged] == ["1"] and not value.bold


class TestVerdict:
    """The published R3D-18, MLP, no augmentation: Dice ED 91.55 over 1,264 test videos."""

    @pytest.fixture
    def beside(self, table: Any, grid: Any, patients: np.ndarray) -> Any:
        for cell in grid.cells:
            cell.coordinates.update(trainable="all", encoder={"tiny-r3d": "r3d-18"}.get(cell.coordinates["encoder"], "mvit-v2-s"))
        mean = patients.mean()

        def make(*values: float, labels: Any = None, **change: Any) -> Any:
            source = {"paper": "bhoodoo2026", "table": "2", "labels": labels or {}}
            found = table({"tiny-r3d.mlp": tuple(value - mean for value in values)}, definition={"published": source}, **change)
            return found.rows[0].values[0].verdict

        return make

    def test_of_another_test_set_counts_both_patient_intervals(self, beside: Any) -> None:
        found = beside(91.0, 91.2, 91.1)
        assert found.outcome == "reproduced" and "our patients" in found.text and "their patients" in found.text
        assert found.test_set == "another test set (1,264 patients, ours 60)"

    def test_differs_with_the_arithmetic(self, beside: Any) -> None:
        found = beside(71.0, 71.2, 71.1)
        assert found.outcome == "differs" and found.distance > found.allowed and "S = 3" in found.text

    def test_under_three_seeds_is_not_decidable(self, beside: Any) -> None:
        assert beside(91.0, 91.2).text == "not decidable: run 1 more seed"

    def test_phantom_data_are_never_comparable(self, beside: Any) -> None:
        assert beside(91.5, 91.5, 91.6, synthetic=True).text == "not comparable: ours is from phantom data"
        assert beside(91.5, synthetic=True).outcome == "not comparable"

    def test_nor_is_what_stands_in_for_something_else(self, beside: Any, grid: Any) -> None:
        for cell in grid.cells:
            cell.coordinates.update(encoder={"r3d-18": "mine"}.get(cell.coordinates["encoder"], cell.coordinates["encoder"]))
        found = beside(91.5, 91.5, 91.6, labels={"encoder": {"mine": "r3d-18"}})
        assert found.text == "not comparable: mine stands in for r3d-18"

    def test_a_test_set_of_which_only_the_size_is_published_is_named_as_that(self, beside: Any, grid: Any, results: Any, patients: np.ndarray) -> None:
        many = np.random.default_rng(5).normal(91.5, 3.5, 1264)
        for seed in range(3):
            results.run(f"tiny-r3d.mlp.{seed}", table=rows(many + seed / 10))
        beside()
        found = build(grid, "main", results.folder).rows[0].values[0].verdict
        assert found is not None and found.outcome == "reproduced" and "patients 0" not in found.text
        assert found.test_set == "same number of patients (1,264)" and found.text.endswith("S = 3; same number of patients (1,264))")
        assert "named as that. On" in (text := markdown(build(grid, "main", results.folder))) and "beside ours: same number of patients (1,264)." in text


def test_statistics_of_truth_and_prediction_against_scikit_learn(grid: Any, results: Any) -> None:
    random, found = np.random.default_rng(6), []
    for seed in "012":
        truth, noise = random.uniform(20, 70, 50), random.normal(0, 6, 50)
        ids = [f"p{at}" for at in range(50)]
        same = {name: [text] * 50 for name, text in (("split", "test"), ("target", "ef"), ("slot", ""))}
        lists = {"truth": truth[:, None].tolist(), "prediction": (truth + noise)[:, None].tolist(), "score": noise[:, None].tolist()}
        low = (truth < 40).astype(float)
        results.run(f"tiny-r3d.mlp.{seed}", table=pa.table({"sample": ids, "patient": ids, **same, **lists, "low": low}))
        found.append((mean_absolute_error(truth, truth + noise), r2_score(truth, truth + noise), roc_auc_score(low, noise)))
    columns = [{"statistic": "mae"}, {"statistic": "r2", "label": "R²"}, {"statistic": "auc", "options": {"truth": "low"}}]
    grid.tables["main"] = TableDefinition.model_validate({"title": "EF", "rows": ["encoder", "head"], "columns": columns})
    values = build(grid, "main", results.folder).rows[0].values
    assert [value.number.estimate for value in values if value.number] == pytest.approx(list(np.mean(found, 0)))
    with pytest.raises(EchoLMError, match="table main of grid small: std-over-patients: r2 has no value for each patient"):
        build(grid, "main", results.folder, "std-over-patients")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"statistic": "r22"}, "no statistic is called 'r22'; did you mean 'r2'"),
        ({"statistic": "mean"}, "statistic mean takes column; given: none"),
        ({"statistic": "r2", "metric": "dice"}, "statistic r2 takes truth, prediction; given: column"),
    ],
)  # fmt: skip
def test_a_column_whose_statistic_cannot_be_made_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ColumnDefinition.model_validate(change)


def test_a_kind_of_spread_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no kind of ± is called 'std'"):
        TableDefinition.model_validate({"title": "T", "rows": ["a"], "columns": [{"metric": "dice"}], "spread": "std"})
