"""Cases of bad input: first weights. See ``bad_input_cases.py``."""

from __future__ import annotations

from bad_input_case import FAILED_OWN, TRAIN, bad_run, failed_run, refused
from bad_input_support import code, config, cut, grid, mode, steps, tensors, weights, write

OWN = "{root}/own.pt"
FROM_OWN = config(weights=f"file:{OWN}")
PUBLISHED = {"encoder": "r3d-18", "weights": "published:kinetics400"}
REMEDY = (
    "encoder r3d-18: {workspace}/weights/r3d_18-b3b3357e.pth is not there; get it from https://",
    "(licence: BSD-3-Clause",
    "ECHOLM_WEIGHTS",
)

WEIGHTS = [
    failed_run(
        "another model's weights",
        steps(FROM_OWN, weights("tiny-mvit", OWN)),
        "{root}/own.pt: not weights of encoder tiny-r3d: missing: stem.",
        "; unexpected: ",
        leaves=FAILED_OWN,
    ),
    refused(
        "weights whose names a terminal obeys",
        tensors(OWN, {"\x1b[2J": 1}),
        f"echolm weights check tiny-r3d {OWN}",
        "Error: {root}/own.pt: not weights of encoder tiny-r3d: missing: stem.",
        "; unexpected: \\x1b[2J",
    ),
    failed_run(
        "truncated weights",
        steps(FROM_OWN, weights("tiny-r3d", OWN), cut(OWN)),
        "{root}/own.pt: ",
        "truncated, or not a checkpoint",
        leaves=FAILED_OWN,
    ),
    failed_run(
        "a pickle with code",
        steps(FROM_OWN, code(OWN)),
        "{root}/own.pt: ",
        "it holds Python objects",
        "which are never run",
        leaves=FAILED_OWN,
    ),
    refused(
        "a pickle with code, checked",
        code(OWN),
        f"echolm weights check tiny-r3d {OWN}",
        "Error: {root}/own.pt: ",
        "which are never run",
    ),
    failed_run(
        "text as weights",
        steps(FROM_OWN, write(OWN, "version https://git-lfs.github.com/spec/v1\n")),
        "{root}/own.pt: ",
        "truncated, or not a checkpoint",
        leaves=FAILED_OWN,
    ),
    failed_run(
        "empty weights",
        steps(FROM_OWN, write(OWN, "")),
        "{root}/own.pt: ",
        "the file is empty",
        leaves=FAILED_OWN,
    ),
    refused(
        "weights that are not there",
        FROM_OWN,
        TRAIN,
        (
            "Error: weights file:{root}/own.pt of encoder tiny-r3d: {root}/own.pt is not "
            "there; check the path"
        ),
    ),
    refused(
        "unreadable weights",
        steps(FROM_OWN, write(OWN, ""), mode(OWN, 0)),
        TRAIN,
        "Error: {root}/own.pt: Permission denied",
    ),
    refused("no published weights", config(**PUBLISHED), TRAIN, "Error: weights ", *REMEDY),
    refused(
        "no published weights for a grid",
        grid({name: [value] for name, value in PUBLISHED.items()} | {"seed": [0, 1]}),
        "echolm launch {grid} --no-collect",
        "2 cells cannot run (",
        *REMEDY,
        leaves=("workspace/grids/grid/cells.json",),
    ),
    failed_run(
        "another file under the published name",
        steps(config(**PUBLISHED), weights("tiny-r3d", "{workspace}/weights/r3d_18-b3b3357e.pth")),
        "r3d_18-b3b3357e.pth: not weights of encoder r3d-18: missing: ",
        "Meant is r3d_18-b3b3357e.pth (https://",
        leaves=FAILED_OWN,
    ),
    bad_run(
        "weights of a run that cannot be",
        config(weights="run:../../0"),
        "weights: 'run:../../0': a cell's id has 16 of the digits 0-9 and a-f",
    ),
    refused(
        "weights of a run that is not there",
        config(weights="run:0123456789abcdef"),
        TRAIN,
        "Error: weights run:0123456789abcdef: no complete run of that cell",
        "train it first: echolm train 0123456789abcdef",
    ),
]
