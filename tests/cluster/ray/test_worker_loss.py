"""What an error of Ray says of a lost process: its class, and words for it. No Ray runs here."""

from __future__ import annotations

from typing import Any

import pytest
from ray import exceptions
from ray.core.generated.common_pb2 import NodeDeathInfo

from cluster.ray.worker_loss import classify, classify_start
from echolm.states import FailureClass

HOST = "10.0.0.7"
ACTOR_DIED = "The actor died unexpectedly before finishing this task."
TASK = "ray::Rank.train() (pid=7, ip=10.0.0.7)\n  File ...\nValueError: no such file\n"


def node(alive: bool, reason: str = "UNSPECIFIED", message: str = "") -> dict[str, Any]:
    """A line of ``ray.nodes()``."""
    return {
        "Alive": alive,
        "DeathReason": NodeDeathInfo.Reason.Value(reason),
        "DeathReasonMessage": message,
    }


def preempted() -> exceptions.RayError:
    error = exceptions.RayError(ACTOR_DIED)
    error.preempted = True  # type: ignore[attr-defined]
    return error


def task_error(text: str = TASK) -> exceptions.RayTaskError:
    return exceptions.RayTaskError("train", text, ValueError("no such file"))


@pytest.mark.parametrize(
    ("error", "ray_node", "kind"),
    [
        (exceptions.OutOfMemoryError("killed"), node(True), FailureClass.OUT_OF_MEMORY),
        (exceptions.OutOfMemoryError("killed"), node(False), FailureClass.OUT_OF_MEMORY),
        (exceptions.NodeDiedError("gone"), None, FailureClass.NODE_FAILURE),
        (exceptions.RayError("its Node has died"), None, FailureClass.NODE_FAILURE),
        (exceptions.RayError(ACTOR_DIED), node(False), FailureClass.NODE_FAILURE),
        (
            exceptions.RayError(ACTOR_DIED),
            node(False, "UNEXPECTED_TERMINATION"),
            FailureClass.NODE_FAILURE,
        ),
        (
            exceptions.RayError(ACTOR_DIED),
            node(False, "EXPECTED_TERMINATION"),
            FailureClass.PREEMPTED,
        ),
        (
            exceptions.RayError(ACTOR_DIED),
            node(False, "AUTOSCALER_DRAIN_PREEMPTED"),
            FailureClass.PREEMPTED,
        ),
        (
            exceptions.RayError(ACTOR_DIED),
            node(False, "AUTOSCALER_DRAIN_IDLE"),
            FailureClass.PREEMPTED,
        ),
        (
            exceptions.NodeDiedError("the node was terminated expectedly"),
            None,
            FailureClass.PREEMPTED,
        ),
        (preempted(), node(True), FailureClass.PREEMPTED),
        (exceptions.RayError(ACTOR_DIED), node(True), FailureClass.KILLED),
        (exceptions.RayError(ACTOR_DIED), None, FailureClass.KILLED),
        (task_error(), node(True), FailureClass.KILLED),
    ],
)
def test_the_class_of_a_lost_process(
    error: Exception, ray_node: dict[str, Any] | None, kind: FailureClass
) -> None:
    loss = classify(error, HOST, ray_node)
    assert (loss.kind, loss.host) == (kind, HOST)


def test_words_name_the_node_and_what_the_process_said_last() -> None:
    assert HOST in classify(exceptions.RayError(ACTOR_DIED), HOST, None).how
    assert classify(task_error(), HOST, None).how == "it ended with ValueError: no such file"
    assert classify(exceptions.OutOfMemoryError("killed"), HOST, None).how == (
        f"killed by Ray: the memory of node {HOST} ran out"
    )


def test_the_evidence_has_the_reason_of_the_nodes_end_once() -> None:
    message = "health check failed due to missing too many heartbeats"
    gone = node(False, "UNEXPECTED_TERMINATION", message)
    loss = classify(exceptions.RayError(ACTOR_DIED), HOST, gone)
    assert loss.evidence == f"{ACTOR_DIED}\nthe node: {message}"
    known = classify(exceptions.RayError(f"{ACTOR_DIED} {message}"), HOST, gone)
    assert known.evidence == f"{ACTOR_DIED} {message}"


def test_a_process_that_never_was_ready_did_not_start() -> None:
    loss = classify_start(task_error())
    assert (loss.kind, loss.host) == (FailureClass.LAUNCH, HOST)
    assert loss.how == "it did not start: ValueError: no such file"
    nowhere = classify_start(exceptions.RayError("the environment cannot be set up"))
    assert (nowhere.kind, nowhere.host) == (FailureClass.LAUNCH, "")


def test_what_ended_a_start_from_outside_keeps_its_class() -> None:
    assert classify_start(exceptions.OutOfMemoryError("killed")).kind == FailureClass.OUT_OF_MEMORY
    assert classify_start(exceptions.NodeDiedError("gone")).kind == FailureClass.NODE_FAILURE
