"""What the package says of itself: licence, version, how it is cited, and that it is typed."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parents[1]
LICENCE = "Apache-2.0"
APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"
"""SHA-256 of the Apache License 2.0 as Debian's /usr/share/common-licenses has it."""


def project() -> dict[str, Any]:
    """The table ``project`` of pyproject.toml."""
    content = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    return dict(content["project"])


def citation() -> dict[str, Any]:
    """The content of CITATION.cff."""
    return dict(yaml.safe_load((CHECKOUT / "CITATION.cff").read_text(encoding="utf-8")))


def test_the_licence_is_the_same_wherever_it_is_said() -> None:
    assert hashlib.sha256((CHECKOUT / "LICENSE").read_bytes()).hexdigest() == APACHE
    assert project()["license"] == citation()["license"] == LICENCE
    assert project()["license-files"] == ["LICENSE"]


def test_the_licence_that_the_readme_names_is_that_one() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "LICENSE" in line]
    if not lines:
        pytest.skip("README.md has no line that names the file LICENSE")
    assert re.findall(r"Apache[- ](?:License )?2\.0", " ".join(lines)), lines


def test_citation_and_project_agree() -> None:
    """The fields that Citation File Format 1.2.0 asks for, and what both files say."""
    said = citation()
    assert {"cff-version", "message", "title", "authors"} <= set(said)
    assert (said["cff-version"], said["type"], said["title"]) == ("1.2.0", "software", "EchoLM")
    assert str(said["version"]) == project()["version"]
    assert said["authors"] == project()["authors"]
    assert said["keywords"] == project()["keywords"]


@pytest.mark.parametrize("package", ["echolm", "grid", "cluster"])
def test_each_package_ships_that_it_is_typed(package: str) -> None:
    content = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in content["tool"]["setuptools"]["package-data"][package]
    assert (CHECKOUT / package / "py.typed").read_bytes() == b""
