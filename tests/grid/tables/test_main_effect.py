"""The main effect of an axis: paired over all other axes, against the formula by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from echolm.errors import EchoLMError
from grid.definition.tables import ColumnDefinition
from grid.statistics import Mean, Resampled, Rows, align, compare, resample
from grid.statistics.rows import Runs
from grid.tables.main_effect import MainEffect, main_effect

PATIENTS = 50
COLUMN = ColumnDefinition.model_validate({"metric": "dice", "slot": "ED"})
GRID: Any = SimpleNamespace(name="g")
IDS = np.array([f"p{at}" for at in range(PATIENTS)])


def runs(values: np.ndarray, seeds: str = "012") -> Runs:
    """Rows of one value, (S, P)."""
    rows = {seed: Rows(IDS, {"dice": own}) for seed, own in zip(seeds, values, strict=True)}
    return align(rows, "x")


def effect(
    gains: dict[str, float],
    settings: int = 4,
    noise: float = 1.0,
    seeds: str = "012",
    margin: float | None = None,
    column: ColumnDefinition = COLUMN,
) -> MainEffect:
    """Labels of these gains, in settings that lie 10 apart each."""
    random = np.random.default_rng(0)
    patients = random.normal(60, 5, PATIENTS)
    keys, values = [], []
    for setting in range(settings):
        for label, gain in gains.items():
            trained = random.normal(0, noise, (len(seeds), 1))
            values.append(runs(patients + 10 * setting + gain + trained, seeds))
            keys.append(((f"s{setting}",), label))
    by_setting: dict[tuple[str, ...], dict[str, Resampled]] = {}
    resampled = resample(values, Mean("dice"), 2000)
    for (setting_key, label), value in zip(keys, resampled, strict=True):
        by_setting.setdefault(setting_key, {})[label] = value
    return main_effect(GRID, "head", column, ("encoder",), by_setting, list(gains), margin)


def test_labels_are_compared_by_their_means_over_settings() -> None:
    found = effect({"mlp": 0.0, "gcn": 5.0, "mean": 4.9})
    assert [one.label for one in found.labels][2] == "mlp"
    assert [one.word(COLUMN) for one in found.labels] == ["best", "undecided", "worse"]
    worst = found.labels[2]
    assert worst.comparison is not None
    assert worst.comparison.difference == pytest.approx(5, abs=1.5)
    assert worst.comparison.seeds == (3, 3)
    assert worst.comparison.crossed
    # 10 between settings is in no interval: every label has all settings.
    assert worst.comparison.high - worst.comparison.low < 5
    assert found.headline == (
        "dice ED: main effect of head, mean over 4 settings (encoder); 50 patients, 3 seeds"
    )
    facts = found.facts()
    assert facts["settings"] == [{"encoder": f"s{at}"} for at in range(4)]
    assert facts["labels"][0]["against_the_best"] is None


def test_it_is_the_comparison_of_seedwise_means() -> None:
    """By hand: what a label's seed s is, averaged over settings, patient by patient."""
    random = np.random.default_rng(1)
    table = random.normal(80, 5, (2, 3, 3, PATIENTS))  # label, setting, seed, patient
    values = [runs(table[label, setting]) for label in range(2) for setting in range(3)]
    resampled = resample(values, Mean("dice"), 500)
    by_setting = {}
    for setting in range(3):
        by_setting[(str(setting),)] = {"a": resampled[setting], "b": resampled[3 + setting]}
    found = main_effect(GRID, "head", COLUMN, ("encoder",), by_setting, ["a", "b"])
    by_hand = resample([runs(table[label].mean(0)) for label in range(2)], Mean("dice"), 500)
    best = int(by_hand[1].estimate > by_hand[0].estimate)
    wanted = compare(by_hand[best], by_hand[1 - best])
    made = found.labels[1].comparison
    assert made is not None
    for name in ("difference", "low", "high", "p", "wilcoxon"):
        assert getattr(made, name) == pytest.approx(getattr(wanted, name), rel=1e-9), name


def test_lower_is_better_where_the_column_says_so() -> None:
    column = ColumnDefinition.model_validate({"metric": "mke", "slot": "ED"})
    found = effect({"mlp": 0.0, "gcn": 5.0}, column=column)
    assert [one.label for one in found.labels] == ["mlp", "gcn"]
    assert found.labels[1].word(column) == "worse"


def test_equal_within_a_margin_and_few_seeds() -> None:
    found = effect({"mlp": 0.0, "gcn": 0.1}, noise=0.1, margin=2.0)
    assert found.labels[1].word(COLUMN) == "equal within the margin"
    few = effect({"mlp": 0.0, "gcn": 5.0}, seeds="01")
    assert any(note.startswith("Patients only") for note in few.notes)


class TestOfAGrid:
    """What is left out is told."""

    @pytest.fixture
    def read(self, grid: Any, results: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
        import grid.tables.main_effect as module
        from echolm.workspace import Workspace

        monkeypatch.setattr(module, "open_results", lambda *_: (grid, results.folder))
        workspace = Workspace(tmp_path / "none")
        return lambda axis="head", **more: module.read_main_effect(workspace, "g", axis, **more)

    def test_settings_without_every_label_are_left_out(
        self, grid: Any, results: Any, complete: Any, read: Any
    ) -> None:
        found = read()
        assert found.settings == (("tiny-r3d",), ("tiny-mvit",))
        assert found.axes == ("encoder",)
        results.runs = [run for run in results.runs if not run["cell"].startswith("tiny-mvit.gcn")]
        results.save()
        found = read()
        assert found.settings == (("tiny-r3d",),)
        assert "Left out, without a number of gcn: tiny-mvit." in found.notes
        results.runs = [run for run in results.runs if not run["cell"].startswith("tiny-r3d.mlp")]
        results.save()
        with pytest.raises(EchoLMError, match="no setting has a value of every label of head"):
            read()

    def test_a_label_that_stands_alone_is_left_out_and_told(
        self, grid: Any, results: Any, complete: Any, read: Any, cell: Any
    ) -> None:
        """As the mean contour does: a cell without an encoder, and no other head beside it."""
        coordinates = {"encoder": "none", "head": "mean", "seed": "0", "augmentation": "none"}
        grid.cells.append(cell("none.mean.0", coordinates))
        found = read()
        assert {one.label for one in found.labels} == {"mlp", "gcn"}
        assert found.settings == (("tiny-r3d",), ("tiny-mvit",))
        assert "Left out, beside no other label in any setting: mean." in found.notes

    def test_an_axis_of_one_label_or_of_none_is_refused(
        self, grid: Any, complete: Any, read: Any
    ) -> None:
        with pytest.raises(EchoLMError, match="axis augmentation of grid small has one label"):
            read("augmentation")
        with pytest.raises(EchoLMError, match="'hed' is no axis .* did you mean 'head'"):
            read("hed")
