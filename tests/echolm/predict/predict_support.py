"""A small landmark run for the tests of prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydicom.data

from echolm.config import parse_config
from echolm.training.prepare import PreparedRun, prepare_run
from echolm.workspace import Workspace

CINE = Path(str(pydicom.data.get_testdata_file("examples_ybr_color.dcm")))
"""A real echo: apical four-chamber, 30 frames of 240 x 320."""
CONSTANT = {"encoder": "none", "trainable": "k0", "head": "mean", "epochs": 1}
"""Of a run whose contours are the same for every clip."""


def prepared(workspace: Workspace, **changes: Any) -> PreparedRun:
    """A run on the store ``tiny``, ready to be trained."""
    plain = {
        "data": "tiny",
        "task": "landmarks",
        "encoder": "tiny-r3d",
        "trainable": "k2",
        "head": "mlp",
        "epochs": 4,
    }
    return prepare_run(
        parse_config(
            plain | {"batch_size": 5, "optimizer": {"name": "adam", "lr": 2e-3}} | changes
        ),
        workspace,
    )
