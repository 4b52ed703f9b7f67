"""The lab for the tests of this folder. Other folders import the fixtures in the same way."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "cluster"))

from tests.slurm.fixtures import lab, slurm  # noqa: E402

__all__ = ["lab", "slurm"]
