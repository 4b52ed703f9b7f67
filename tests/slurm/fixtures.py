"""pytest's fixtures of the lab: one lab a session, given to one test at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from echolm.errors import EchoLMError
from tests.slurm.client import Slurm
from tests.slurm.lab import locked, session
from tests.slurm.settings import Settings, directory


@pytest.fixture(scope="session")
def lab() -> Iterator[Settings]:
    """A lab that is up; shared by every pytest process that uses the same directory. The last one
    takes it down.
    """
    if os.geteuid() != 0 and not os.environ.get("CI"):
        pytest.skip("the SLURM lab needs root")
    try:
        with session(directory()) as settings:
            yield settings
    except (EchoLMError, TimeoutError) as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def slurm(lab: Settings) -> Iterator[Slurm]:
    """The lab, alone with it, and put back in order after the test, whatever the test did.

    It is put in order before the test too, unless the test before has left a word that it did.
    """
    in_order = lab.directory / "run" / "in-order"
    with locked(lab.directory / "run"):
        slurm = Slurm(lab)
        if not in_order.exists() or not slurm.is_idle():
            slurm.restore()
        in_order.unlink(missing_ok=True)
        yield slurm
        slurm.restore()
        in_order.touch()
