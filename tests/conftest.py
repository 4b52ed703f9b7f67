"""What every test may use: one thread, and a small phantom data set that is made once."""

from __future__ import annotations

import gc
import os
from contextlib import ExitStack
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings

from echolm.garbage import look_for_garbage_seldom

os.environ["OMP_NUM_THREADS"] = (
    "1"  # before the first import of torch, and for every process that tests start
)
# Else Ray's workers have niceness 15, and get next to nothing beside the other tests.
os.environ["RAY_worker_niceness"] = "0"


look_for_garbage_seldom()
settings.register_profile("echolm", deadline=None, max_examples=50)  # no test judges speed
settings.load_profile("echolm")

FIRST_LAB = (
    "tests/slurm/test_chaos.py",
    "tests/slurm/test_failures.py",
    "tests/slurm/test_lab.py",
    "tests/slurm/test_promises.py",
    "tests/slurm/test_search.py",
    "tests/slurm/test_siblings.py",
)
"""Files of the first SLURM lab. A lab mostly waits, so two of them share the machine well."""
LAB = ("tests/slurm/", "tests/ray/test_on_slurm.py", "tests/cluster/test_executors.py")
"""Where tests of SLURM are. Those that are not of the first lab are of the second."""
RAY = (
    "tests/ray/test_launch.py",
    "tests/ray/test_losses.py",
    "tests/ray/test_stages.py",
    "tests/cluster/test_ray_search.py",
)
"""Files of the Ray cluster that tests share. Tests of all executors join them by their name.

Each further cluster would cost the machine what a minute of tests does.
"""
LONG = (
    *RAY,
    "tests/test_docs.py",
    "tests/test_end_to_end.py",
    "tests/test_old_workspace.py",
    "tests/test_wheel.py",
    "tests/test_containers.py",
    "tests/grid/tracking/test_server.py",
)
"""Files with long tests: at the end of a run, one process would work on them alone."""

SHARES_TESTS = "PYTEST_XDIST_WORKER" in os.environ
"""Whether this process is one of several that share the tests."""

if SHARES_TESTS:  # each process has a lab of its own
    os.environ.setdefault(
        "ECHOLM_SLURM_LAB", f"{gettempdir()}/echolm-slurm-lab-{os.environ['PYTEST_XDIST_WORKER']}"
    )


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later search for garbage: a tenth of the CPU time."""
    gc.collect()
    gc.freeze()


def _is_of_ray(nodeid: str) -> bool:
    """Return whether a test is of the Ray cluster that tests share."""
    return nodeid.startswith(RAY) or nodeid.endswith("[ray]")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """``--dist loadfile``: a worker takes a whole file, or all files of a SLURM lab or of Ray."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(FIRST_LAB):
                return "first lab"
            if _is_of_ray(nodeid):
                return "ray"
            if nodeid.startswith(LAB):
                return "second lab"
            return super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order and mark the tests of the SLURM lab.

    They come first, since they take longest, then other long files. They are skipped where system
    tests are, and their time does not count the wait for the lab.
    """
    items.sort(key=lambda item: (not item.nodeid.startswith(LAB), not item.nodeid.startswith(LONG)))
    skip = pytest.mark.skip(reason="installs and starts SLURM; set ECHOLM_TEST_SYSTEM=1 to run it")
    for item in items:
        if "slurm" in getattr(item, "fixturenames", ()):
            if os.environ.get("ECHOLM_TEST_SYSTEM") != "1":
                item.add_marker(skip)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(900, func_only=True))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``source`` and ``store``.

    They hold 24 phantom clips in EchoNet-Dynamic's layout: 14 train, 5 val, 5 test. Frames have 64
    pixels a side, a third of the work of 112.
    """
    from echolm.datasets.phantom.generate import generate_phantom
    from echolm.stores.prepare_clips import prepare

    base = tmp_path_factory.getbasetemp()
    root = (base.parent if SHARES_TESTS else base) / "tiny"
    with FileLock(f"{root}.lock"):
        if not (root / "store" / "store.json").exists():
            generate_phantom(root / "source", videos=24, seed=0, size=64)
            prepare("echonet-dynamic", root / "source", root / "store", workers=1, progress=False)
    return root


class _RayCluster:
    """The Ray cluster that the tests of a process share. It starts with the first that asks."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def address(self) -> str:
        """Return where it is. It is started where it is not there."""
        import ray

        from cluster.ray.connection import connected

        if not ray.is_initialized():
            own = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("TEST_")}
            settings = {"health_check_period_ms": 1000}
            self._stack.enter_context(
                connected(None, num_cpus=4, num_gpus=0, _system_config=settings)
            )
            os.environ.update(own)  # they are the first test's alone
        return str(ray.get_runtime_context().gcs_address)

    def stop(self) -> None:
        """Stop it, if it is there."""
        self._stack.close()


_ray_cluster = _RayCluster()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """Stop the Ray cluster after the last test of Ray: an idle one costs the machine CPU time.

    A process among several has all tests of Ray in a row. One alone has others between them.
    """
    is_over = SHARES_TESTS and nextitem is not None and not _is_of_ray(nextitem.nodeid)
    if nextitem is None or is_over:
        _ray_cluster.stop()


@pytest.fixture
def ray_cluster() -> str:
    """The address of a Ray cluster of this machine with four CPUs; this process is connected to it.

    It takes a while to start, so there is one for all tests. It asks its nodes every second whether
    they are there, not every three, and starts no process before one is needed.
    """
    return _ray_cluster.address()
