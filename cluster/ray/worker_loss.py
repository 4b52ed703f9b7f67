"""Say why a process that Ray started is gone: its class of ``cluster.failures``, and words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from echolm.states import FailureClass
from echolm.text import last_line_of

SILENT = "nothing was said"
"""In the place of what a lost process wrote."""

TAKEN = ("EXPECTED_TERMINATION", "AUTOSCALER_DRAIN_PREEMPTED", "AUTOSCALER_DRAIN_IDLE")
"""Ray's reasons for the end of a node that somebody took away on purpose: preempted, drained, or
told to stop."""


@dataclass(frozen=True)
class WorkerLoss:
    """What a lost process died of.

    Attributes:
        kind: a failure class.
        how: in words.
        evidence: what Ray said.
        host: the address of the process's node, '' where it is not known.
        log: the log of the process.
    """

    kind: FailureClass
    how: str
    evidence: str
    host: str = ""
    log: Path = Path()


def classify(error: Exception, host: str, node: Mapping[str, Any] | None) -> WorkerLoss:
    """Classify an error that came instead of a report.

    Args:
        error: what Ray raised.
        host: the address of the process's node.
        node: what ``ray.nodes()`` says of that node now. None where it is not known.
    """
    from ray import exceptions

    text = str(error).strip()
    if isinstance(error, exceptions.OutOfMemoryError):
        how = f"killed by Ray: the memory of node {host} ran out"
        return WorkerLoss(FailureClass.OUT_OF_MEMORY, how, text, host)
    is_gone = _is_gone(error, text, node)
    if getattr(error, "preempted", False) or (is_gone and _was_taken(text, node)):
        how = f"its node {host} was taken away"
        return WorkerLoss(FailureClass.PREEMPTED, how, _with_reason(text, node), host)
    if is_gone:
        how = f"its node {host} is gone"
        return WorkerLoss(FailureClass.NODE_FAILURE, how, _with_reason(text, node), host)
    how = f"its process on {host} is gone"
    if isinstance(error, exceptions.RayTaskError):
        how = f"it ended with {last_line_of(text, SILENT)}"
    return WorkerLoss(FailureClass.KILLED, how, text, host)


def classify_start(error: Exception) -> WorkerLoss:
    """Classify an error that came before the process was ready."""
    address = re.search(r"\bip[=:]\s*([0-9a-fA-F.:]*\w)", str(error))
    loss = classify(error, address[1] if address else "", None)
    if loss.kind != FailureClass.KILLED:
        return loss
    how = f"it did not start: {last_line_of(loss.evidence, SILENT)}"
    return replace(loss, kind=FailureClass.LAUNCH, how=how)


def _is_gone(error: Exception, text: str, node: Mapping[str, Any] | None) -> bool:
    """Tell whether the process went with its node."""
    from ray import exceptions

    if isinstance(error, exceptions.NodeDiedError) or "node has died" in text.lower():
        return True
    return node is not None and not node["Alive"]


def _was_taken(text: str, node: Mapping[str, Any] | None) -> bool:
    """Tell whether somebody took the node away on purpose."""
    from ray.core.generated.common_pb2 import NodeDeathInfo

    if "terminated expectedly" in text:
        return True
    return node is not None and NodeDeathInfo.Reason.Name(node["DeathReason"]) in TAKEN


def _with_reason(text: str, node: Mapping[str, Any] | None) -> str:
    """Add what Ray says of the node's end to what it says of the process's."""
    reason = ""
    if node:
        reason = str(node.get("DeathReasonMessage") or "")
    return text if reason in text else f"{text}\nthe node: {reason}"
