"""Templates are shipped, escape what they print, and cost nothing where no HTML is made."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from grid.report.page import REPORT
from grid.tables.render.templates import TABLES, environment

ROOT = Path(__file__).parents[4]


def test_every_template_and_style_sheet_is_shipped() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["grid"]
    shipped = {path for pattern in patterns for path in (ROOT / "grid").glob(pattern)}
    files = {*(ROOT / "grid").rglob("*.j2"), *(ROOT / "grid").rglob("*.css")}
    assert len(files) > 10 and files <= shipped


def test_every_template_can_be_compiled() -> None:
    templates = environment(REPORT, TABLES)
    names = templates.list_templates(filter_func=lambda name: name.endswith(".j2"))
    assert {"report.html.j2", "table.html.j2"} <= set(names)
    for name in names:
        templates.get_template(name)


def test_what_is_printed_is_escaped_and_a_name_that_is_not_there_is_an_error() -> None:
    template = environment(TABLES).from_string("<b>{{ text }}</b>")
    assert template.render(text="<i>&'\"") == "<b>&lt;i&gt;&amp;&#39;&#34;</b>"
    with pytest.raises(UndefinedError, match="'text' is undefined"):
        template.render()


def test_jinja2_is_imported_only_when_html_is_made() -> None:
    code = "import grid.report.page, echolm.cli.report, sys; assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
