"""The container recipes: both run one script on the same files, and the script runs here.

There is no container engine here. So the script is run in an empty environment, on nothing but the
files that the recipes copy. Of what EchoLM needs, it installs the packages that list a grid: torch
and the others take minutes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]
RECIPES = CHECKOUT / "containers"
SOURCE = "/opt/src"
NEEDED = (
    "click",
    "numpy",
    "pydantic",
    "pydantic_core",
    "annotated-types",
    "typing-extensions",
    "typing-inspection",
    "PyYAML",
)
"""What ``echolm grid list`` needs. Their own needs are among them."""


def dockerfile() -> list[list[str]]:
    """The instructions of the Dockerfile, each as its words."""
    text = (RECIPES / "Dockerfile").read_text(encoding="utf-8")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def section(name: str) -> list[list[str]]:
    """The lines of a section of the Apptainer definition, each as its words."""
    text = (RECIPES / "echolm.def").read_text(encoding="utf-8")
    [content] = re.findall(rf"^%{name}\n((?:    .*\n)+)", text, re.MULTILINE)
    return [line.split() for line in content.splitlines()]


def copied() -> dict[str, str]:
    """Source and target of what the Dockerfile copies."""
    return {words[1]: words[2] for words in dockerfile() if words[0] == "COPY"}


def test_both_recipes_run_the_same_script_on_the_same_files() -> None:
    assert {source: target for source, target in section("files")} == copied()
    [run] = [words[1:] for words in dockerfile() if words[0] == "RUN"]
    [post] = section("post")
    assert run[:-1] == post[:4] == ["sh", f"{SOURCE}/containers/build.sh", SOURCE, "/opt/echolm"]
    assert run[-1] == "${PIP_ARGUMENTS}" and post[4:] == ["{{", "PIP_ARGUMENTS", "}}"]
    [base] = [words[1] for words in dockerfile() if words[0] == "FROM"]
    assert f"From: {base}\n" in (RECIPES / "echolm.def").read_text(encoding="utf-8")
    for source, target in copied().items():
        assert (CHECKOUT / source).exists() and target == f"{SOURCE}/{source}"


@pytest.mark.skipif(
    os.environ.get("ECHOLM_TEST_SYSTEM") != "1",
    reason="installs packages; set ECHOLM_TEST_SYSTEM=1 to run it",
)
def test_the_script_installs_from_what_the_recipes_copy(tmp_path: Path) -> None:
    source, prefix, home = tmp_path / "src", tmp_path / "a prefix", tmp_path / "home"
    home.mkdir()
    source.mkdir()
    unneeded = shutil.ignore_patterns("__pycache__")
    for name in copied():
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, source / name, ignore=unneeded)
        else:
            shutil.copy(CHECKOUT / name, source / name)
    packages = [f"{name}=={version(name)}" for name in NEEDED]
    settings = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
    settings.append("PIP_NO_COMPILE=1")  # what is imported below is compiled then
    python = f"{sys.base_prefix}/bin"
    done = subprocess.run(
        [
            *("env", "-i", f"PATH={python}:/usr/bin:/bin", f"HOME={home}", *settings),
            *("sh", "containers/build.sh", str(source), str(prefix), "--no-deps", *packages),
        ],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^echolm, version ", done.stdout, re.MULTILINE)
    assert "nldl2026-phantom" in done.stdout.rpartition("echolm, version")[2]
    [packages_folder] = prefix.glob("lib/python*/site-packages")
    for package in ("echolm", "grid", "cluster"):
        assert (packages_folder / package / "py.typed").exists()
    assert [*packages_folder.glob("echolm-*.dist-info/licenses/LICENSE")]
