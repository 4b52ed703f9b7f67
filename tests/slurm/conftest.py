import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))
from tests.slurm import lab
from tests.slurm.settings import directory


@pytest.fixture(scope="session")
def lab_settings():
    return lab.up(directory())
