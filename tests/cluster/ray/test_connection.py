"""The folder of a Ray cluster of this machine."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest

from cluster.ray.connection import LONGEST_TEMPORARY_FOLDER, _folder


@pytest.mark.parametrize("length", [4, LONGEST_TEMPORARY_FOLDER, LONGEST_TEMPORARY_FOLDER + 1])
def test_rays_sessions_lie_in_a_folder_of_this_user_alone(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself opens the folder that it is given to everybody."""
    parent = "/tmp"
    if length > 4:
        parent = "/tmp/" + "x" * (length - 5)
        Path(parent).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", parent)
    try:
        with _folder() as folder:
            os.chmod(folder, 0o777)  # as Ray does
            outer = Path(folder).parent
            assert stat.S_IMODE(outer.stat().st_mode) == 0o700
            assert outer.parent == Path(parent if length <= LONGEST_TEMPORARY_FOLDER else "/tmp")
            session = "session_2026-11-29_10-00-00_123456_12345/sockets/plasma_store"
            assert len(f"{folder}/{session}") <= 107
        assert not outer.exists()
    finally:
        if length > 4:
            Path(parent).rmdir()
