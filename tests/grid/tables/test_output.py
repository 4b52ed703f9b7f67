"""Tables as files."""

from __future__ import annotations

from echolm.cli import tables as command
from grid.tables import output


def test_the_command_line_offers_every_layout() -> None:
    assert command.FORMATS == output.FORMATS
