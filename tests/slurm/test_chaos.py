"""Every kind of fault against a grid on the real SLURM; 25 and more of them with ECHOLM_FAULTS
(``make test-cluster``).
"""

from __future__ import annotations

import math
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from launch_support import Reference, faulty_heads

from tests.slurm.chaos import CELLS_A_FAULT, Chaos, small_disk, verify
from tests.slurm.client import Slurm
from tests.slurm.site import Site
from tests.slurm.strikes import KINDS


@pytest.fixture
def site(
    slurm: Slurm, tiny: Path, tmp_path: Path, pinned_code: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """A workspace whose runs have a small file system of their own."""
    healed = tmp_path / "always"
    healed.touch()
    monkeypatch.setenv("TEST_HEALED", str(healed))
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site", tiny / "store", slurm.settings, pinned_code)
    small_disk(site.workspace.runs)
    with faulty_heads():
        yield site
    slurm.restore()
    subprocess.run(["umount", "--lazy", str(site.workspace.runs)], check=True)


@pytest.mark.timeout(2400, func_only=True)
def test_whatever_happens_the_grid_ends_as_if_nothing_had(
    site: Site, tiny: Path, tmp_path: Path
) -> None:
    count = max(len(KINDS), int(os.environ.get("ECHOLM_FAULTS", "0")))
    chaos = Chaos(
        site,
        seed=0,
        count=count,
        cells=math.ceil(CELLS_A_FAULT * count),
        say=lambda line: print(line, flush=True),
    )
    kinds = chaos.run()
    assert sum(kinds.values()) == count and set(kinds) == set(KINDS)
    assert min(kinds.values()) >= count // len(KINDS)
    verify(chaos, Reference(tiny / "store", tmp_path / "reference"))
