"""Classification: classes of values, losses, probabilities, and labels that stand in no class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from task_items import batch_of, items_of, task_of
from torch.nn import functional

from echolm.heads import HEADS
from echolm.identity import canonical_json, cell_id
from echolm.tasks import TASKS
from echolm.tasks.class_metrics import auc, balanced_accuracy, f1, macro_auc, macro_f1
from echolm.tasks.classification import Classification

STENOSIS = {"none": ["no_AS"], "early": ["mild_AS", "mildtomod_AS"], "significant": ["severe_AS"]}
LABELS = ["no_AS", "severe_AS", "mild_AS", "mildtomod_AS", "no_AS", "severe_AS"]
INDICES = [0, 2, 1, 1, 0, 2]


def classification(**fields: Any) -> Classification:
    task: Classification = task_of("classification", **fields)
    return task


def below(threshold: float = 50) -> Classification:
    return classification(target="ef", below=threshold)


def stenosis(**fields: Any) -> Classification:
    return classification(target="diagnosis", classes=STENOSIS, **fields)


def test_the_positive_class_is_below_the_threshold() -> None:
    task = below()
    assert [task.class_of(value) for value in (49.999, 50, 50.0, 61)] == [1, 0, 0, 0]
    assert task.class_names == ("ef >= 50 %", "ef < 50 %")
    assert (task.outputs(), task.is_binary) == ((1,), True)


def test_labels_are_mapped_to_their_classes() -> None:
    task = stenosis()
    assert [task.class_of(label) for label in LABELS] == INDICES
    assert task.class_of("bicuspid") is None
    assert (task.class_names, task.outputs()) == (("none", "early", "significant"), (3,))


def test_a_label_that_is_a_number_is_no_text() -> None:
    task = classification(target="grade", classes={"low": [0, 1], "high": 2})
    assert [task.class_of(value) for value in (0, 1.0, 2, "2")] == [0, 0, 1, None]


def test_a_pair_of_labelled_classes_has_one_output() -> None:
    task = classification(target="sex", classes={"male": "M", "female": "F"})
    assert task.outputs() == (1,) and task.class_of("F") == 1


def test_the_order_of_classes_is_part_of_the_run() -> None:
    """It decides which class is the positive one, and YAML's order is lost in sorted JSON."""
    one = classification(target="sex", classes={"male": "M", "female": "F"})
    other = classification(target="sex", classes={"female": "F", "male": "M"})
    assert cell_id(one) != cell_id(other)
    again = TASKS.parse(one.model_dump(mode="json"))
    assert again == one and cell_id(again) == cell_id(one) and hash(again) == hash(one)
    assert canonical_json(one.model_dump(mode="json"))


def test_binary_loss_and_gradient_are_torch_s() -> None:
    task = below()
    batch = batch_of(task, items_of("ef", [30.0, 55.0, 49.0, 70.0]))
    logits = torch.randn(4, 1, requires_grad=True)
    losses = task.loss(logits, batch)["loss"]
    truth = torch.tensor([1.0, 0.0, 1.0, 0.0])
    plain = torch.nn.BCEWithLogitsLoss(reduction="none")(logits[:, 0], truth)
    torch.testing.assert_close(losses, plain)
    [gradient] = torch.autograd.grad(losses.sum(), logits)
    torch.testing.assert_close(gradient[:, 0], torch.sigmoid(logits[:, 0]).detach() - truth)
    assert torch.equal(task.truth(batch), truth[:, None])


def test_cross_entropy_and_gradient_are_torch_s() -> None:
    task = stenosis()
    batch = batch_of(task, items_of("diagnosis", LABELS))
    logits = torch.randn(6, 3, requires_grad=True)
    losses = task.loss(logits, batch)["loss"]
    indices = torch.tensor(INDICES)
    plain = torch.nn.CrossEntropyLoss(reduction="none")(logits, indices)
    torch.testing.assert_close(losses, plain)
    [gradient] = torch.autograd.grad(losses.sum(), logits)
    one_hot = functional.one_hot(indices, 3).float()
    torch.testing.assert_close(gradient, logits.softmax(1).detach() - one_hot)
    assert torch.equal(task.truth(batch), one_hot)


def test_rows_of_two_classes_score_the_positive_one() -> None:
    task = below()
    logits = torch.tensor([[2.0], [-1.0], [0.0]])
    rows = task.rows(logits, batch_of(task, items_of("ef", [30.0, 30.0, 70.0]))).to_pylist()
    assert [row["truth"] for row in rows] == [[1.0], [1.0], [0.0]]
    assert [row["prediction"] for row in rows] == [[1.0], [0.0], [0.0]]
    for row, logit in zip(rows, (2.0, -1.0, 0.0), strict=True):
        assert row["score"] == [pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-15)]
    assert {(row["target"], row["slot"]) for row in rows} == {("ef", "")}


def test_rows_of_several_classes_score_each() -> None:
    task = stenosis()
    logits = torch.randn(6, 3, dtype=torch.float64)
    rows = task.rows(logits, batch_of(task, items_of("diagnosis", LABELS))).to_pylist()
    assert [row["truth"] for row in rows] == [[float(index)] for index in INDICES]
    scores = np.array([row["score"] for row in rows])
    np.testing.assert_allclose(scores, logits.softmax(1).numpy(), atol=1e-15)
    assert [row["prediction"][0] for row in rows] == scores.argmax(1).tolist()


@given(st.lists(st.floats(-800, 800), min_size=1, max_size=5))
def test_probabilities_of_large_logits_are_finite(logits: list[float]) -> None:
    shares = below().probabilities(np.array(logits)[:, None])
    assert np.isfinite(shares).all()
    np.testing.assert_allclose(shares.sum(1), 1)


labels = st.lists(st.integers(0, 2), min_size=2, max_size=40)


@given(labels, st.data())
def test_metrics_are_scikit_learn_s(truth: list[int], data: st.DataObject) -> None:
    size = len(truth)
    prediction = np.array(data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    actual = np.array(truth)
    with np.errstate(all="ignore"):
        assert macro_f1(actual, prediction) == pytest.approx(
            sklearn_metrics.f1_score(actual, prediction, average="macro", zero_division=0)
        )
        assert f1(actual, prediction) == pytest.approx(
            sklearn_metrics.f1_score(actual == 1, prediction == 1, zero_division=0)
        )
    recalls = sklearn_metrics.recall_score(
        actual, prediction, labels=np.unique(actual), average=None, zero_division=0
    )
    assert balanced_accuracy(actual, prediction) == pytest.approx(np.mean(recalls))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
def test_auc_is_scikit_learn_s_also_with_ties(pairs: list[tuple[bool, int]]) -> None:
    positive = np.array([pair[0] for pair in pairs])
    score = np.array([pair[1] for pair in pairs], float)
    if positive.all() or not positive.any():
        assert auc(positive, score) is None
    else:
        expected = sklearn_metrics.roc_auc_score(positive, score)
        assert auc(positive, score) == pytest.approx(expected, abs=1e-12)


def test_macro_auc_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.arange(30) % 3)
    score = rng.dirichlet([1, 1, 1], 30)
    expected = sklearn_metrics.roc_auc_score(truth, score, multi_class="ovr")
    assert macro_auc(truth, score) == pytest.approx(expected, abs=1e-12)
    assert macro_auc(truth[truth < 2], score[truth < 2]) is None


@pytest.mark.parametrize("name", ["binary", "several"])
def test_metrics_have_the_names_that_tables_use(name: str) -> None:
    task, items = below(), items_of("ef", [30.0, 70.0, 45.0])
    if name == "several":
        task, items = stenosis(), items_of("diagnosis", LABELS)
    outputs = torch.randn(len(items), *task.outputs())
    metrics = task.metrics(task.rows(outputs, batch_of(task, items)))
    assert set(metrics) == set(task.describe())
    assert {"accuracy", "balanced accuracy"} < set(metrics)
    assert ("macro auc" in metrics) == (name == "several")


@given(st.lists(st.sampled_from(LABELS), min_size=1, max_size=30))
def test_heads_start_from_the_shares_of_the_classes(values: list[str]) -> None:
    """They are finite also where a class has no training item."""
    task = stenosis()
    start = task.start(items_of("diagnosis", values))
    counts = np.bincount([task.class_of(value) for value in values], minlength=3)  # type: ignore[arg-type]
    shares = (counts + 1) / (len(values) + 3)
    np.testing.assert_allclose(start.softmax(0).numpy(), shares, atol=1e-12)
    assert torch.isfinite(start).all()


def test_a_pair_starts_from_the_prevalence() -> None:
    start = below().start(items_of("ef", [30.0, 70.0, 70.0, 60.0]))
    assert start.shape == (1,)
    assert torch.sigmoid(start).item() == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("task", "column", "reason"),
    [
        (
            stenosis(),
            [*LABELS, "bicuspid", "bicuspid", "?", None],
            "3 items of 10 have a value 'diagnosis' that stands in no class: 'bicuspid' (2), '?' "
            "(1); add them to classes, or write others: leave-out",
        ),
        (
            stenosis(),
            ["no_AS", "mild_AS"],
            "no item is of class 'significant' of value 'diagnosis', so it cannot be learned; "
            "values of the store: mild_AS, no_AS",
        ),
        (below(), [60.0, 70.0], "no item is of class 'ef < 50 %'"),
        (below(), ["low", "high"], "value 'ef' is not a number in 2 items of 2 (first: 'low')"),
        (stenosis(), [], "no item has a value 'diagnosis'; valid: ef, label"),
    ],
)
def test_what_cannot_be_learned_is_said(
    task: Classification, column: list[Any], reason: str
) -> None:
    assert reason in task.why_unusable({task.target: column}, ["label", "ef"])


def test_items_of_no_class_may_be_left_out() -> None:
    task = stenosis(others="leave-out")
    column = [*LABELS, "bicuspid", None]
    assert task.why_unusable({"diagnosis": column}, ["diagnosis"]) == ""
    taken = [task.takes({"diagnosis": value}) for value in column[:-1]]
    assert taken == [True] * 6 + [False]
    assert stenosis().why_unusable({"diagnosis": [*LABELS, None]}, ["diagnosis"]) == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "one of below and classes"),
        ({"below": 50, "classes": {"a": ["x"], "b": ["y"]}}, "one of below and classes"),
        ({"below": 50, "others": "leave-out"}, "others"),
        ({"classes": {"a": ["x"]}}, "one class; valid: two or more"),
        ({"classes": {"a": ["x"], "b": []}}, "labels"),
        ({"classes": {"a": ["x"], "b": ["y", "x"]}}, "label 'x' is there 2 times"),
        ({"classes": {False: ["x"], "b": ["y"]}}, "class False is not named by a text"),
        ({"classes": {"a": [False], "b": ["y"]}}, "label False of class a is neither"),
        ({"classes": ["x", "y"]}, "classes"),
        ({"below": math.nan}, "below"),
        ({"below": 50, "positive": "above"}, "unknown field 'positive'"),
    ],
)
def test_impossible_fields_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        classification(target="ef", **fields)


@pytest.mark.parametrize("head", ["ridge", "gcn"])
def test_heads_of_numbers_are_refused(head: str) -> None:
    with pytest.raises(ValueError, match=f"head {head} "):
        below().check_head(HEADS.parse(head))
