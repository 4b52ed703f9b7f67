"""What every test may use: one thread, and a small phantom data set that is made once and only read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

os.environ["OMP_NUM_THREADS"] = "1"  # before the first import of torch, and for every process that tests start


LAB = ("tests/slurm/", "tests/ray/test_on_slurm.py", "tests/cluster/test_executors.py")
"""Where tests of the one SLURM lab are."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """``--dist loadfile``: a worker takes a whole file, and one worker takes all files of the SLURM lab."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "lab" if nodeid.startswith(LAB) else super()._split_scope(nodeid)

    return Scheduling(config, log) if config.getvalue("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the SLURM lab: first, since they take longest; skipped where system tests are; timed without their wait for it."""
    items.sort(key=lambda item: not item.nodeid.startswith(LAB))
    skip = pytest.mark.skip(reason="installs and starts SLURM; set ECHOLM_TEST_SYSTEM=1 to run it")
    for item in items:
        if "slurm" in getattr(item, "fixturenames", ()):
            if os.environ.get("ECHOLM_TEST_SYSTEM") != "1":
                item.add_marker(skip)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(300, func_only=True))


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``source`` (24 phantom clips in EchoNet-Dynamic's layout) and ``store`` (14 train, 5 val, 5 test)."""
    from echolm.data.phantom import phantom
    from echolm.data.prepare import prepare

    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    with FileLock(f"{root}.lock"):
        if not (root / "store" / "store.json").exists():
            phantom(root / "source", videos=24, seed=0)
            prepare("echonet-dynamic", root / "source", root / "store", workers=1, progress=False)
    return root


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[str]:
    """The address of a Ray cluster of this machine, with four CPUs, that this process is connected to. It takes a while to
    start, so there is one for all tests. It asks its nodes every second whether they are there, not every three."""
    import ray

    from cluster.ray.connection import connected

    first = {name: os.environ.pop(name) for name in [*os.environ] if name.startswith("TEST_")}  # of the test that asks first
    with connected(None, num_cpus=4, num_gpus=0, _system_config={"health_check_period_ms": 1000}):
        os.environ.update(first)
        yield ray.get_runtime_context().gcs_address
