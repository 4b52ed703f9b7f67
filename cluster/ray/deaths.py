"""Why a process that Ray started is gone: the class of ``cluster.failures`` and what one says of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

TAKEN = ("EXPECTED_TERMINATION", "AUTOSCALER_DRAIN_PREEMPTED", "AUTOSCALER_DRAIN_IDLE")
"""Ray's reasons for the end of a node that somebody took away on purpose: preempted, drained, or told to stop."""


@dataclass(frozen=True)
class Death:
    """``kind``: a failure class; ``how``: in words; ``evidence``: what Ray said; ``host``: address of the process's node, ''
    where it is not known; ``log``: of the process."""

    kind: str
    how: str
    evidence: str
    host: str = ""
    log: Path = Path()


def classify(error: Exception, host: str, node: Mapping[str, Any] | None) -> Death:
    """The class of an error that came instead of a report. ``node``: what ``ray.nodes()`` says of the process's node now, None
    where it is not known."""
    from ray import exceptions

    text = str(error).strip()
    if isinstance(error, exceptions.OutOfMemoryError):
        return Death("out-of-memory", f"killed by Ray: the memory of node {host} ran out", text, host)
    gone = isinstance(error, exceptions.NodeDiedError) or "node has died" in text.lower() or bool(node and not node["Alive"])
    if getattr(error, "preempted", False) or (gone and _taken(node, text)):
        return Death("preempted", f"its node {host} was taken away", _with_reason(text, node), host)
    if gone:
        return Death("node-failure", f"its node {host} is gone", _with_reason(text, node), host)
    if isinstance(error, exceptions.RayTaskError):
        return Death("killed", f"it ended with {last_line(text)}", text, host)
    return Death("killed", f"its process on {host} is gone", text, host)


def classify_start(error: Exception) -> Death:
    """The class of an error that came before the process was ready."""
    found = re.search(r"\bip[=:]\s*([0-9a-fA-F.:]*\w)", str(error))
    death = classify(error, found[1] if found else "", None)
    return replace(death, kind="launch", how=f"it did not start: {last_line(death.evidence)}") if death.kind == "killed" else death


def last_line(text: str) -> str:
    """The last line of a traceback or message that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "nothing was said")


def _taken(node: Mapping[str, Any] | None, text: str) -> bool:
    from ray.core.generated.common_pb2 import NodeDeathInfo

    return bool(node and NodeDeathInfo.Reason.Name(node["DeathReason"]) in TAKEN) or "terminated expectedly" in text


def _with_reason(text: str, node: Mapping[str, Any] | None) -> str:
    reason = str(node.get("DeathReasonMessage") or "") if node else ""
    return text if reason in text else f"{text}\nthe node: {reason}"
