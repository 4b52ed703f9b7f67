"""The class of each error that can end a run."""

from __future__ import annotations

import errno
import json

import pytest
import torch

from echolm.attempt import Superseded
from echolm.errors import EchoLMError
from echolm.states import FailureClass
from echolm.training.failures import Diverged, RankFailed, failure_class


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Diverged("the loss is nan"), FailureClass.DIVERGED),
        (EchoLMError("no store here"), FailureClass.DATA),
        (OSError(errno.ENOSPC, "No space left on device"), FailureClass.OUTAGE),
        (OSError(errno.EACCES, "Permission denied"), FailureClass.DATA),
        (MemoryError(), FailureClass.OUT_OF_MEMORY),
        (torch.OutOfMemoryError("CUDA out of memory"), FailureClass.OUT_OF_MEMORY),
        (Superseded("a newer attempt holds the run"), FailureClass.SUPERSEDED),
        (ValueError("not foreseen"), FailureClass.BUG),
        (RankFailed(1, FailureClass.OUT_OF_MEMORY, "text", "trace"), FailureClass.OUT_OF_MEMORY),
    ],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
def test_errors_have_a_class_that_files_hold_as_text(error: Exception, kind: FailureClass) -> None:
    actual = failure_class(error)
    assert actual is kind
    assert json.loads(json.dumps(actual)) == kind.value
