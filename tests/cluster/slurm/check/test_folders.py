"""Checks of folders and of the interpreter, on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from site_samples import profile

from cluster.slurm.check import folders
from cluster.slurm.check.folders import check_folder, check_python, file_system


@pytest.mark.parametrize("folder", ["/tmp/jobs", "/tmp", "/dev/shm/jobs", "/var/tmp/x/y"])
def test_temporary_folders_are_refused(folder: str) -> None:
    found = check_folder("work_dir", Path(folder))
    assert (
        found.severity == "error"
        and "each node has for itself" in found.text
        and "set work_dir" in found.remedy
    )


def test_the_sites_own_temporary_folder_is_refused() -> None:
    found = check_folder("work_dir", Path.home() / "jobs", temporary=str(Path.home()))
    assert found.severity == "error" and "each node has for itself" in found.text


def test_a_link_into_a_temporary_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/shm")
    found = check_folder("work_dir", tmp_path / "link" / "jobs")
    assert "/dev/shm" in found.text


def test_a_folder_that_cannot_be_written() -> None:
    found = check_folder("work_dir", Path("/proc/nowhere/jobs"))
    assert found.severity == "error" and "/proc" in found.text


@pytest.mark.parametrize(
    ("kind", "severity"),
    [
        ("ext4", "warning"),
        ("", "warning"),
        ("nfs4", "ok"),
        ("fuse.glusterfs", "ok"),
        ("lustre", "ok"),
        ("tmpfs", "error"),
    ],
)
def test_the_file_system_decides_and_nothing_is_left_behind(
    kind: str, severity: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_temporary", lambda site: [])
    monkeypatch.setattr(folders, "file_system", lambda path: kind)
    (tmp_path / "empty").mkdir()
    found = check_folder("workspace", tmp_path / "empty" / "not" / "there")
    assert (found.severity, found.topic) == (severity, "workspace")
    assert severity == "ok" or "--workspace" in found.remedy
    assert list((tmp_path / "empty").iterdir()) == []


def test_the_type_of_a_file_system() -> None:
    assert file_system(Path("/proc/self")) == "proc"
    assert file_system(Path("/")) != ""


def test_this_interpreter() -> None:
    found = list(check_python(profile()))
    assert found[-1].severity == "ok" and "Python 3." in found[-1].text


def test_interpreters_that_will_not_do(tmp_path: Path) -> None:
    [found] = check_python(profile(python="/no/such/python3"))
    assert found.severity == "error" and "/no/such/python3" in found.text
    (tmp_path / "python").write_text("#!/bin/sh\necho hello\n")
    (tmp_path / "python").chmod(0o755)
    temporary, does_not_run = check_python(profile(python=str(tmp_path / "python")))
    assert "temporary folder" in temporary.text and "does not run" in does_not_run.text
    (tmp_path / "python").write_text("#!/bin/sh\necho '[[3, 10], []]'\n")
    assert "Python 3.10" in list(check_python(profile(python=str(tmp_path / "python"))))[-1].text
    (tmp_path / "python").write_text("#!/bin/sh\necho '[[3, 12], [\"torch\"]]'\n")
    assert "has no torch" in list(check_python(profile(python=str(tmp_path / "python"))))[-1].text


def test_a_container_is_not_looked_into() -> None:
    unknown, python = check_python(
        profile(container="no-such-apptainer exec x.sif", python="python3")
    )
    assert (unknown.severity, unknown.topic, python.severity) == ("warning", "container", "ok")
    [python] = check_python(profile(container="env", python="python3"))
    assert "inside the container" in python.text
