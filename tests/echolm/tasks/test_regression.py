"""Regression: losses, units, and values that cannot be learned."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from task_items import batch_of, items_of, task_of

from echolm.heads import HEADS
from echolm.tasks import Sample
from echolm.tasks.regression import Regression

EDV = [61.5, 240.0, 118.25, 97.0]
volumes = st.lists(st.floats(0.1, 1e4), min_size=2, max_size=9)


def regression(**fields: Any) -> Regression:
    task: Regression = task_of("regression", **{"target": "edv", **fields})
    return task


@pytest.mark.parametrize("criterion", ["mse", "l1"])
@pytest.mark.parametrize("log", [False, True])
def test_losses_and_gradients_are_torch_s(criterion: str, log: bool) -> None:
    task = regression(criterion=criterion, log=log, scale=2.5)
    items = items_of("edv", EDV)
    batch = batch_of(task, items)
    outputs = torch.randn(4, 1, requires_grad=True)
    task.loss(outputs, batch)["loss"].mean().backward()
    gradient = outputs.grad

    values = torch.tensor(EDV, dtype=torch.float64)
    target = ((values.log() if log else values) / 2.5).float()[:, None]
    again = outputs.detach().clone().requires_grad_()
    plain = torch.nn.MSELoss() if criterion == "mse" else torch.nn.L1Loss()
    plain(again, target).backward()
    assert torch.equal(task.truth(batch), target)
    torch.testing.assert_close(gradient, again.grad)


@given(volumes, st.booleans(), st.floats(0.01, 1e3))
def test_values_survive_the_output_s_form(values: list[float], log: bool, scale: float) -> None:
    task = regression(log=log, scale=scale)
    encoded = np.log(values) if log else np.array(values)
    np.testing.assert_allclose(task.values(encoded[:, None] / scale), values, rtol=1e-12)


@given(volumes, st.booleans())
def test_heads_start_from_the_mean_of_what_is_learned(values: list[float], log: bool) -> None:
    task = regression(log=log, scale=7.0)
    start = task.start(items_of("edv", values))
    expected = np.log(values).mean() if log else np.mean(values)
    assert start.shape == task.outputs()
    assert start.item() == pytest.approx(expected / 7.0, rel=1e-12, abs=1e-12)


@given(st.lists(st.tuples(st.floats(-99, 99), st.floats(-99, 99)), min_size=2, max_size=30))
def test_rows_and_metrics_are_in_the_value_s_own_unit(pairs: list[tuple[float, float]]) -> None:
    """The truth is the store's number, not what came back of its scaled form."""
    truth, prediction = np.array(pairs).T
    task = regression(target="ef", scale=10.0)
    items = items_of("ef", truth.tolist())
    rows = task.rows(torch.tensor(prediction / 10.0)[:, None], batch_of(task, items))
    plain = rows.to_pylist()
    assert [row["truth"] for row in plain] == [[value] for value in truth]
    assert [row["sample"] for row in plain] == [item.sample for item in items]
    assert {(row["target"], row["slot"], row["score"]) for row in plain} == {("ef", "", None)}
    metrics = task.metrics(rows)
    predicted = [row["prediction"][0] for row in plain]
    np.testing.assert_allclose(predicted, prediction, atol=1e-12)
    assert metrics["mae"] == pytest.approx(mean_absolute_error(truth, predicted), abs=1e-12)
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(truth, predicted), abs=1e-12)
    assert metrics["bias"] == pytest.approx(np.mean(predicted - truth), abs=1e-9)
    if len(set(truth)) > 1 and np.ptp(truth) > 1e-6:
        assert metrics["r2"] == pytest.approx(r2_score(truth, predicted), rel=1e-9, abs=1e-9)


def test_r2_is_left_out_where_truths_are_one_number() -> None:
    task = regression()
    rows = task.rows(torch.tensor([[1.0], [2.0]]), batch_of(task, items_of("edv", [5.0, 5.0])))
    assert set(task.metrics(rows)) == {"mae", "rmse", "bias"}


@pytest.mark.parametrize(
    ("target", "unit"), [("ef", "%"), ("esv", "ml"), ("edv", "ml"), ("blood_pressure", "")]
)
def test_metrics_have_the_unit_of_the_value(target: str, unit: str) -> None:
    described = regression(target=target).describe()
    assert [described[name]["unit"] for name in ("mae", "rmse", "bias", "r2")] == [unit] * 3 + [""]
    assert described["mae"]["better"] == "lower" and described["r2"]["better"] == "higher"


def test_the_run_s_clip_chooses_the_frames() -> None:
    sample = regression().prepare(items_of("edv", [100.0])[0], 16)
    assert isinstance(sample, Sample) and sample.frames is None and len(sample.points) == 0


@pytest.mark.parametrize(
    ("fields", "column", "reason"),
    [
        (
            {"target": "evd"},
            [],
            "no item has a value 'evd'; did you mean 'edv'? valid: edv, sex",
        ),
        ({}, [None, None], "no item has a value 'edv'"),
        (
            {"target": "sex"},
            [None, "F", "M"],
            "value 'sex' is not a number in 2 items of 3 (first: 'F'); name a value that is a",
        ),
        ({}, [1.0, True], "value 'edv' is not a number in 1 item of 2 (first: True)"),
        ({}, [1.0, math.nan], "value 'edv' is not a number in 1 item of 2 (first: nan)"),
        ({"target": "landmarks_ed"}, ["have"], "'landmarks_ed' is points, not one value"),
        (
            {"log": True},
            [80.0, 0.0, -2, None],
            "value 'edv' has no logarithm in 2 items of 4 (first: 0); valid: values above 0",
        ),
    ],
)
def test_what_cannot_be_learned_is_said(
    fields: dict[str, Any], column: list[Any], reason: str
) -> None:
    task = regression(**fields)
    assert reason in task.why_unusable({task.target: column}, ["edv", "sex", "landmarks_ed"])


def test_a_value_that_some_items_lack_can_be_learned() -> None:
    task = regression(log=True)
    assert task.why_unusable({"edv": [None, 100.0]}, ["edv"]) == ""
    assert task.needed_values() == ("edv",)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"loss": "l1"}, "the field is called criterion"),
        ({"criterion": "huber"}, "criterion"),
        ({"scale": 0}, "scale"),
        ({"scale": -1}, "scale"),
        ({"target": ""}, "target"),
    ],
)
def test_impossible_fields_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        regression(**fields)


@pytest.mark.parametrize("head", ["gcn", "gatv2"])
def test_heads_of_landmarks_are_refused(head: str) -> None:
    with pytest.raises(ValueError, match="gives landmarks"):
        regression().check_head(HEADS.parse(head))
