"""The lab for the tests of this folder. Other folders import the fixtures in the same way."""

from tests.slurm.fixtures import lab, slurm

__all__ = ["lab", "slurm"]
