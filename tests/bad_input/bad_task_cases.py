"""Cases of bad input: tasks of values and classes, and the heads for them."""

from __future__ import annotations

from typing import Any

from bad_input_case import TRAIN, Case, bad_grid, bad_run, refused
from bad_input_support import config, grid

STORE = "Error: {workspace}/data/phantom: task "


def regression(**fields: Any) -> dict[str, Any]:
    return {"name": "regression", **fields}


def classification(**fields: Any) -> dict[str, Any]:
    return {"name": "classification", **fields}


def bad_value(name: str, task: dict[str, Any], *says: str) -> Case:
    """The store does not hold what the task learns. No record is begun."""
    return refused(name, config(task=task), TRAIN, f"{STORE}{task['name']}: ", *says)


EDV = regression(target="edv")
RATES = classification(target="fps", classes={"slow": [32], "usual": [50]})

TASKS = [
    bad_run(
        "a regression of nothing",
        config(task="regression"),
        "task: task regression needs more than its name: ",
        "name: regression, target: ...",
    ),
    bad_run(
        "a loss under another name",
        config(task=regression(target="edv", loss="l1")),
        "task: ",
        "loss: the field is called criterion; valid: criterion: mse, criterion: l1",
    ),
    bad_run("a scale of nothing", config(task=regression(target="edv", scale=0)), "task.scale: "),
    bad_run(
        "classes of nothing",
        config(task=classification(target="ef")),
        "task: ",
        "a classification has one of below and classes",
    ),
    bad_run(
        "a label of two classes",
        config(task=classification(target="fps", classes={"a": [50, 32], "b": [50]})),
        "task: ",
        "classes: label 50 is there 2 times; valid: 1",
    ),
    bad_run(
        "a class named no, which YAML reads as false",
        config(task=classification(target="fps", classes={False: [50], "yes": [32]})),
        "task.classes: class False is not named by a text; put its name in quotes",
    ),
    bad_value(
        "a value that no item has",
        regression(target="lvef"),
        "no item has a value 'lvef'; ",
        "valid: ed, edv, ef, es, es_before_ed, esv, fps",
    ),
    bad_value(
        "points as a value",
        regression(target="landmarks_ed"),
        "'landmarks_ed' is points, not one value of an item; valid: ",
    ),
    bad_value(
        "a value that is true or false",
        regression(target="es_before_ed"),
        "value 'es_before_ed' is not a number in 12 items of 12 (first: ",
    ),
    bad_value(
        "labels that stand in no class",
        RATES,
        "have a value 'fps' that stands in no class: ",
        "add them to classes, or write others: leave-out",
    ),
    bad_value(
        "a threshold that no item is below",
        classification(target="edv", below=0.5),
        "no item is of class 'edv < 0.5 ml' of value 'edv', so it cannot be learned; values of the",
    ),
    bad_run(
        "ridge regression behind an encoder that trains",
        config(task=EDV, head="ridge", trainable="k2"),
        "head ridge is fitted once to what a frozen encoder gives, and trainable is k2; valid: k0",
    ),
    bad_run(
        "ridge regression of classes",
        config(task=classification(target="ef", below=50), head="ridge"),
        "head ridge is fitted to numbers by least squares; task classification gives classes",
    ),
    bad_run(
        "attention heads that do not divide the tokens",
        config(head={"name": "attentive", "heads": 5}),
        "head.heads: 5 do not divide tokens of width 64; valid: 1, 2, 4, 8, 16, ...",
    ),
    bad_grid(
        "a head of landmarks for a value, on an axis",
        grid({"head": ["mlp", "gcn"], "task": [{"label": "edv", "set": {"task": EDV}}]}),
        "cell head=gcn task=edv: head gcn gives landmarks (phases, points, 2); task regression",
    ),
]
