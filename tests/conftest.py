"""What every test may use: one thread, and a small phantom data set that is made once and only read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from filelock import FileLock

os.environ["OMP_NUM_THREADS"] = "1"  # before the first import of torch, and for every process that tests start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With ``--dist loadgroup``: a worker takes a whole file, and one worker takes all tests of the SLURM lab, of which there is one.

    Their time counts without the waiting for the lab, which another session may have.
    """
    for item in items:
        slurm = "slurm" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("slurm" if slurm else str(item.path.relative_to(item.config.rootpath))))
        if slurm and not item.get_closest_marker("timeout"):
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
