"""Lost processes and nodes of Ray: classes, budgets, remedies, and what is written down."""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest import mock

import psutil
import pytest
import ray
from engines import Engine, ray_engine
from launch_support import Reference, Shell, result, until

from cluster.failures import CLASSES, JobFailure, bad_nodes, failures, note
from cluster.ray.executor import RayExecutor
from cluster.ray.node import start_node
from echolm.errors import EchoLMError
from grid.definition.grid import Cell

BLANK = {"encoder": "none", "trainable": "k0"}
HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
"""Addresses of this machine that stand for other machines."""


@pytest.fixture
def engine(ray_cluster: str, shell: Shell) -> Engine:
    """Ray, in the workspace of ``shell``."""
    return ray_engine(shell)


class Node:
    """A further node, on this machine at an address of its own, that says it has so much memory:
    what asks for it runs there.
    """

    def __init__(self, cluster: str, host: str, memory_gb: int, folder: str) -> None:
        limits = {
            "num-cpus": 1,
            "num-gpus": 0,
            "memory": int(memory_gb * 1e9),
            "node-ip-address": host,
            "temp-dir": folder,
        }
        self.host = host
        self._process = start_node(cluster, log=False, **limits)

    @property
    def id(self) -> str:
        """What Ray calls it, '' while it is not there."""
        return next(
            (
                str(node["NodeID"])
                for node in ray.nodes()
                if node["Alive"] and node["NodeManagerAddress"] == self.host
            ),
            "",
        )

    def lose(self) -> None:
        """As if its power went."""
        with ExitStack() as stack:
            for process in [
                *psutil.Process(self._process.pid).children(recursive=True),
                psutil.Process(self._process.pid),
            ]:
                stack.callback(process.wait)
                process.kill()

    def commands(self) -> list[str]:
        """The commands of its processes."""
        children = psutil.Process(self._process.pid).children(recursive=True)
        return [" ".join(process.cmdline()) for process in children]

    def end(self) -> None:
        """Take it out of the cluster."""
        self._process.terminate()
        self._process.wait()


@contextmanager
def nodes(
    cluster: str, *hosts: str, memory_gb: int = 2000, **variables: str
) -> Iterator[list[Node]]:
    """Nodes at these addresses, with a CPU each."""
    with ExitStack() as stack:
        found = []
        with mock.patch.dict(os.environ, variables):
            for host in hosts:
                folder = stack.enter_context(
                    tempfile.TemporaryDirectory(prefix="n-", dir="/tmp", ignore_cleanup_errors=True)
                )
                found.append(Node(cluster, host, memory_gb, folder))
                stack.callback(found[-1].end)
        until(lambda: all(node.id for node in found), "the nodes are there")
        yield found


def host_of(process: psutil.Process) -> str:
    """The address of the node that a worker belongs to."""
    words = process.parent().cmdline()  # type: ignore[union-attr]
    return next(word.partition("=")[2] for word in words if word.startswith("--node_ip_address="))


def lost(shell: Shell) -> list[tuple[str, str]]:
    """Class and node of each failure that was written down."""
    return [(failure.kind, failure.node) for failure in failures(shell.workspace, "toy")]


class TestProcesses:
    """Processes that die, or never start."""

    def test_a_unit_over_its_budget_waits_for_retry(
        self, ray_cluster: str, shell: Shell, reference: Reference
    ) -> None:
        """Through the command, and next to cells that are complete or fail by themselves."""
        pairs = [("mean", 8), ("dies", 9), *(("fails", seed) for seed in range(4))]
        kinds = [
            {"label": f"{head} {seed}", "set": {"head": head, "seed": seed}} for head, seed in pairs
        ]
        grid = shell.grid({"kind of cell": kinds}, epochs=1, **BLANK)
        dying = shell.cells(grid)[1]
        on = ("--on", "ray", "--ray-address", ray_cluster, "--slots", "1", "--no-collect")
        done = shell("launch", grid, *on)
        assert done.status == 1
        assert (
            done.out.splitlines()[-1]
            == "toy: 6 cells: 1 complete, 3 failed, 1 interrupted, 1 pending"
        )
        assert (
            len(
                re.findall(
                    r"worker died .*its process on [\d.]+ is gone; it starts again", done.err
                )
            )
            == CLASSES["killed"].budget
        )
        assert re.search(r"given up after 4 times; its log: .*/workers/ray-0.log", done.err)
        assert re.search(
            r"the same error ended 3 cells .* and nothing more is started: RuntimeError: "
            r"this head is broken",
            done.err,
        )
        *_, last = found = failures(shell.workspace, "toy")
        assert [(failure.kind, failure.cells, failure.job) for failure in found] == [
            ("killed", (dying.id,), "ray-0")
        ] * 4
        assert "The actor died" in last.evidence and "faulty_heads.py" in last.evidence, (
            "Ray's words and the end of the log"
        )

        why = f"killed 4 times, the last in job ray-0 on {last.node}"
        told = f"cell {dying.id[:8]} is given up: {why}\nwhen the cause is mended: echolm retry "
        assert f"{told}{grid} --on ray\n" in done.err
        assert (
            f"{told}{grid} --on ray\n"
            in shell.inside("status", grid, "--where", "kind of cell=dies 9").err
        )
        assert json.loads(shell.inside("status", grid, "--json").out)["given_up"] == {dying.id: why}
        assert "ray-0" in shell.inside("logs", dying.id).out

        only = ("--where", "kind of cell=dies 9")
        shell.healed.touch()
        again = shell("launch", grid, *only, *on)  # nothing is started: it is given up
        assert (again.status, "running 0 in 0 units" in again.out, told in again.err) == (
            1,
            True,
            True,
        )
        assert "would run 0" in shell.inside("launch", grid, *only, "--on", "ray", "--dry-run").out
        retried = shell(
            "retry", grid, "--on", "ray", "--slots", "1", "--no-collect"
        )  # a cluster of its own, whose workers know of the cure
        assert (retried.status, retried.out.splitlines()[0]) == (0, "toy: 4 cells may run again"), (
            retried
        )
        assert shell.states(grid) == ["complete"] * 5 + ["pending"]
        assert shell.record(dying).attempts() == [1, 2, 3, 4, 5]
        assert result(shell.record(dying)) == reference(dying)

    def test_processes_that_cannot_start_are_an_error_and_end_the_launch(
        self, engine: Engine, shell: Shell
    ) -> None:
        (shell.root / "cluster.py").write_text("raise ImportError('this is not the package')")
        engine.executor = RayExecutor(environment={"PYTHONPATH": str(shell.root)})
        with pytest.raises(
            EchoLMError,
            match=r"no worker starts: .*ImportError: this is not the package; see .*ray-0.log",
        ):
            engine.launch(shell.grid({"head": ["mean"]}, epochs=1, **BLANK), slots=1)
        [host] = {node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        assert lost(shell) == [("launch", host)] * (CLASSES["launch"].budget + 1)
        assert not any(failure.cells for failure in failures(shell.workspace, "toy"))

    def test_a_unit_that_exhausts_its_node_is_tried_again_with_half_the_micro_batch(
        self, engine: Engine, shell: Shell, ray_cluster: str
    ) -> None:
        """Ray's own memory monitor kills the process; the limit is what is used now and 2.5 GB.

        The process takes twice as much, so other tests may use more meanwhile, or less.
        """
        grid = shell.grid({"head": ["glutton"]}, epochs=1, **BLANK)
        memory = psutil.virtual_memory()
        limit = (memory.total - memory.available + 2.5e9) / memory.total
        with nodes(
            ray_cluster, HOSTS[0], memory_gb=4000, RAY_memory_usage_threshold=f"{limit:.4f}"
        ):
            engine.launch(grid, memory_gb=3000)
        assert shell.states(grid) == ["complete"]
        smaller = [
            report.facts["micro_batch"] for report in engine.reports if report.event == "smaller"
        ]
        assert smaller[0] == 2, "half of 5"
        assert all(
            "ran out" in report.facts["how"] for report in engine.reports if report.event == "died"
        )
        noted = failures(shell.workspace, "toy")
        assert {failure.kind for failure in noted} == {"out-of-memory"}
        # What other tests use meanwhile counts too: a process may also be killed before its first
        # step, and nothing is halved for it.
        assert len(noted) >= len(smaller), "the next launch knows, too"
        assert "memory" in noted[0].evidence and noted[0].cells == (shell.cells(grid)[0].id,)


class TestNodes:
    """Nodes that are lost or taken away."""

    def start(
        self,
        engine: Engine,
        shell: Shell,
        there: list[Node],
        act: Callable[[Cell, Node], None],
        **needs: float,
    ) -> Cell:
        """Launch one slow cell; when it has saved an epoch, act with the node that it is on (of two
        ranks, the first).
        """
        grid = shell.grid({"head": ["slow"]}, epochs=4, **BLANK)
        [cell] = shell.cells(grid)
        shell.slow(5, from_step=4)

        def meanwhile() -> None:
            until(lambda: shell.saved(cell) >= 1, "an epoch")
            host = host_of(shell.worker_of(cell))
            act(cell, next(node for node in there if node.host == host))
            shell.slow(0)

        engine.launch(grid, meanwhile=meanwhile, **needs)
        assert shell.states(grid) == ["complete"]
        return cell

    def test_ranks_go_on_elsewhere_and_a_node_that_was_lost_is_avoided(
        self,
        engine: Engine,
        shell: Shell,
        reference: Reference,
        ray_cluster: str,
    ) -> None:
        """What two ranks died of is the node of one, although the other stops by itself long before
        Ray knows.
        """
        with nodes(ray_cluster, *HOSTS) as there:
            cell = self.start(
                engine, shell, there, lambda cell, node: node.lose(), memory_gb=3000, ranks=2
            )
            [failure] = failures(shell.workspace, "toy")
            assert (failure.kind, failure.cells) == (
                "node-failure",
                (cell.id,),
            ) and failure.place >= (1, 0)
            assert "node has died" in failure.evidence
            [death] = [report.facts for report in engine.reports if report.event == "died"]
            assert death["how"] == f"its node {failure.node} is gone" and death["again"]
            started = [
                event
                for number in (1, 2)
                for event in shell.record(cell).events(number)
                if event["event"] == "started"
            ]
            assert [event["world"] for event in started] == [2, 2] and started[1]["epoch"] >= 1
            assert shell.record(cell).summary()["metrics"] == pytest.approx(
                reference(cell)[0], rel=1e-3
            )  # type: ignore[index]
            with nodes(ray_cluster, failure.node):
                self.fill(
                    engine, shell, [host for host in HOSTS if host != failure.node], failure.node
                )

    def fill(self, engine: Engine, shell: Shell, good: list[str], bad: str) -> None:
        """Three cells on three nodes of which one had failed: that one is taken last."""
        grid = shell.grid({"head": ["slow"], "seed": [1, 2, 3]}, epochs=12, **BLANK)
        shell.slow(1)

        def look() -> None:
            until(lambda: all(shell.trains(cell) for cell in shell.cells(grid)), "all three train")
            workers = sorted(
                (shell.worker_of(cell) for cell in shell.cells(grid)),
                key=lambda worker: worker.create_time(),
            )
            hosts = [host_of(worker) for worker in workers]
            shell.slow(0)
            assert (sorted(hosts[:2]), hosts[2]) == (good, bad)

        engine.launch(grid, slots=3, meanwhile=look, memory_gb=1500)
        assert shell.states(grid) == ["complete"] * 3

    def test_a_node_that_is_taken_away_costs_nothing(
        self, engine: Engine, shell: Shell, reference: Reference, ray_cluster: str
    ) -> None:
        """Drained, as autoscalers and spot markets do: a unit whose budget is used up goes on all
        the same.
        """
        from ray.core.generated import autoscaler_pb2

        def take(cell: Cell, node: Node) -> None:
            note(
                shell.workspace,
                "toy",
                [JobFailure("killed", "ray-0", "", (cell.id,), "", "")] * CLASSES["killed"].budget,
            )
            reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
            client = ray._raylet.GcsClient(address=ray_cluster)
            assert client.drain_node(
                node.id, reason, "the market wants it", int((time.time() + 1) * 1000)
            )[0]
            time.sleep(1.5)
            node.lose()

        with nodes(ray_cluster, *HOSTS[:2]) as there:
            commands = there[0].commands()
            assert any("raylet" in command for command in commands)
            assert not any("log_monitor" in command for command in commands), "nobody reads it"
            cell = self.start(engine, shell, there, take, memory_gb=1500)
        *_, failure = found = failures(shell.workspace, "toy")
        assert [(one.kind, one.cells) for one in found[3:]] == [("preempted", (cell.id,))]
        assert bad_nodes(found, time.time()) == (), "it may be used again"
        [death] = [report.facts for report in engine.reports if report.event == "died"]
        assert death["how"] == f"its node {failure.node} was taken away" and death["again"]
        assert shell.record(cell).attempts() == [1, 2]
        assert result(shell.record(cell)) == reference(cell)
