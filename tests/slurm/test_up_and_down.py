"""What the lab refuses, what it leaves behind, and that labs live side by side."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from echolm.errors import EchoLMError
from tests.slurm import configuration, foreign, hosts, packages
from tests.slurm.client import Slurm
from tests.slurm.lab import ROOT, down, session, up
from tests.slurm.settings import Settings, load, wanted


def command(where: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """``python -m tests.slurm.lab`` for a lab in ``where``."""
    environment = {**os.environ, "ECHOLM_SLURM_LAB": str(where), **variables}
    return subprocess.run(
        [sys.executable, "-m", "tests.slurm.lab", *words],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def signs(root: Path, **variables: str) -> str:
    return "\n".join(foreign.found(root, variables, names=()))


def test_a_foreign_configuration_is_found(tmp_path: Path) -> None:
    assert not signs(tmp_path)
    conf = tmp_path / "etc" / "slurm-llnl" / "slurm.conf"
    conf.parent.mkdir(parents=True)
    conf.touch()
    assert f"{conf} configures a SLURM of this machine" in signs(tmp_path)


def test_a_foreign_environment_is_found_and_a_labs_is_not(tmp_path: Path) -> None:
    settings = Settings(tmp_path / "lab", 16800)
    (tmp_path / "lab").mkdir()
    assert "unset SLURM_CONF" in signs(tmp_path, SLURM_CONF=str(settings.conf))
    assert "inside SLURM job 7" in signs(tmp_path, SLURM_JOB_ID="7")
    settings.save()
    assert not signs(tmp_path, SLURM_CONF=str(settings.conf), SLURM_JOB_ID="7")


def test_a_foreign_daemon_is_found(tmp_path: Path) -> None:
    shutil.copy(shutil.which("sleep") or "", tmp_path / "slurmtestd")
    process = subprocess.Popen([tmp_path / "slurmtestd", "60"])
    try:
        found = "\n".join(foreign.found(tmp_path, {}, names=["slurmtestd"]))
        assert (
            found == foreign.told(psutil.Process(process.pid))
            and str(process.pid) in found
            and "'service slurmtestd stop'" in found
        )
    finally:
        process.kill()
        process.wait()


def test_up_needs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EchoLMError, match="needs root"):
        up(tmp_path / "lab")
    assert not (tmp_path / "lab").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="a lab needs root")
def test_up_refuses_in_one_sentence_and_writes_nothing(tmp_path: Path) -> None:
    done = command(tmp_path / "lab", "up", SLURM_CONF="/site/slurm.conf")
    assert done.returncode == 1 and not done.stdout
    assert (
        done.stderr.startswith("error: the SLURM lab does not start beside")
        and "unset SLURM_CONF" in done.stderr
    )
    assert not (tmp_path / "lab").exists()


def test_a_folder_that_is_no_lab_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    down(tmp_path)
    assert command(tmp_path, "down").returncode == 0
    assert (tmp_path / "mine").exists()


def test_lines_in_hosts_come_and_go_and_others_stay(tmp_path: Path) -> None:
    file, settings = tmp_path / "hosts", Settings(tmp_path / "lab", 16800, nodes=2)
    file.write_text("127.0.0.1 localhost\n10.0.0.1 n11 other")
    hosts.add(settings, file)
    hosts.add(settings, file)
    assert [line.split()[:2] for line in file.read_text().splitlines()][2:4] == [
        ["127.0.77.1", "n1"],
        ["127.0.77.2", "n2"],
    ]
    hosts.remove(settings.directory, file)
    assert file.read_text() == "127.0.0.1 localhost\n10.0.0.1 n11 other\n"
    file.write_text("10.0.0.1 n2\n")
    with pytest.raises(EchoLMError, match="has '10.0.0.1 n2', and the SLURM lab needs that name"):
        hosts.add(settings, file)
    with pytest.raises(EchoLMError, match="cannot be written"):
        hosts.add(settings, Path("/proc/version"))


@pytest.mark.parametrize(
    "change", [{}, {"MaxArraySize": "7"}, {"MaxArraySize": None, "New": "word"}]
)
def test_fields_of_slurm_conf_change_and_nothing_else_does(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    before = configuration.rendered("slurm.conf", Settings(tmp_path, 16800))
    after = configuration.with_fields(before, change)
    kept = [line for line in before.splitlines() if line.split("=")[0] not in change]
    added = [f"{key}={value}" for key, value in change.items() if value]
    assert sorted(after.splitlines()) == sorted(kept + added)
    assert not added or after.index(added[-1]) < after.index("NodeName=")


def test_a_lab_without_accounting_names_none_of_it(tmp_path: Path) -> None:
    assert "Accounting" in configuration.rendered("slurm.conf", Settings(tmp_path, 16800))
    assert "Accounting" not in configuration.rendered(
        "slurm.conf", Settings(tmp_path, 16800, accounting=False)
    )
    assert not {"slurmdbd", "mariadb-server"} & set(packages.missing(False, "/nowhere"))


def test_a_path_too_long_for_a_socket_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(EchoLMError, match="set ECHOLM_SLURM_LAB to a folder with a shorter name"):
        wanted(tmp_path / ("x" * 80))


def traces(where: Path) -> list[str]:
    """What of a lab is on this machine: processes, lines, folders."""
    running = [
        f"{p.pid} {p.info['cmdline']}"
        for p in psutil.process_iter(["cmdline", "environ"])
        if str(where / "etc") in str(p.info)
    ]
    settings = load(where)
    groups = (
        [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/echolm-slurm-lab-{settings.port}")]
        if settings
        else []
    )
    lines = [line for line in Path("/etc/hosts").read_text().splitlines() if str(where) in line]
    return running + groups + lines + [str(path) for path in [where] if path.exists()]


def test_a_second_lab_lives_beside_the_first_and_leaves_nothing(
    slurm: Slurm, tmp_path: Path
) -> None:
    where = tmp_path / "lab"
    here = slurm.sbatch("exec sleep 300", "-w", "n1")
    slurm.wait_for_state(here, "RUNNING")
    with session(where, nodes=1, cpus=2, gpus=0, accounting=False) as settings:
        second = Slurm(settings)
        there = second.sbatch("exec sleep 300", "-w", "n1")
        second.wait_for_state(there, "RUNNING")
        assert (
            second.node_states().keys() == {"n1"}
            and len(second.squeue()) == len(slurm.squeue(here)) == 1
        )
        groups = [
            path for path in Path("/sys/fs/cgroup").glob(f"*/echolm-slurm-lab-{settings.port}")
        ]
        assert bool(groups) == settings.cgroups and traces(where)
        second.node_kill("n1")
        assert slurm.tasks(node="n1") and not second.tasks()
        second.node_up("n1")
    assert not traces(where) and not any(path.exists() for path in groups)
    assert slurm.state(here) == "RUNNING"
    assert not list(tmp_path.iterdir())


def test_the_last_user_takes_a_lab_down_unless_it_was_brought_up_to_stay(
    slurm: Slurm, tmp_path: Path
) -> None:
    """``slurm``: what is needed has been installed, and no other test of the lab is at work."""
    where, sizes = tmp_path / "lab", {"nodes": 1, "gpus": 0, "accounting": False}
    other = subprocess.Popen(["sleep", "300"])
    with session(where, **sizes):
        (where / "users" / str(other.pid)).touch()
    assert Slurm(load(where) or pytest.fail("down")).node_states() == {"n1": "idle"}
    other.kill()
    other.wait()
    with session(where, **sizes):
        pass
    assert not traces(where)
    try:
        done = command(where, "up", ECHOLM_SLURM_ACCOUNTING="0")
        assert done.returncode == 0, done.stderr
        with session(where):
            pass
        told = command(where, "status").stdout
        assert "slurmd.n4" in told and "n4 idle" in told and "DOWN" not in told
    finally:
        assert command(where, "down").returncode == 0
    assert not traces(where)
    assert "no SLURM lab" in command(where, "status").stdout
