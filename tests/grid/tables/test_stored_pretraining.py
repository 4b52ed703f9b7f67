"""What results/pretrain-phantom/ holds is made again from what is kept of the collected runs.

Its training takes half an hour of two cores and is no part of the suite. Its table, and the paired
comparisons that README.md tells, are.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stored_tables import is_close, rebuilt

from echolm.cli.main import main
from echolm.workspace import Workspace
from grid.definition.grid import load_grid
from grid.tables.build import build
from grid.tables.render.data import csv_text, plain
from grid.tables.render.latex import latex
from grid.tables.render.markdown import markdown

NAME = "pretrain-phantom"
ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "results" / NAME
[STORED] = json.loads((FOLDER / "tables.md.json").read_text(encoding="utf-8"))["tables"]
COMPARISONS: list[dict[str, Any]] = json.loads(
    (FOLDER / "comparisons.json").read_text(encoding="utf-8")
)


def test_the_table_is_that_of_the_grid_and_in_every_format() -> None:
    table = rebuilt(load_grid(NAME), STORED)
    assert plain(table) == STORED
    shown = markdown(table).rstrip("\n")
    texts = {
        "tables.md": shown + "\n",
        "tables.tex": latex(table).rstrip("\n") + "\n",
        "tables.csv": csv_text([table]),
    }
    for name, text in texts.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name
    assert shown in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_number_is_made_again_from_the_collected_files() -> None:
    logs = {}
    for row in STORED["rows"]:
        for value in row["values"].values():
            for source in value["sources"]:
                logs[source["cell"], source["fingerprint"]] = source["logs"]
    collected = FOLDER / "collected"
    table = build(
        load_grid(NAME),
        STORED["table"],
        collected,
        STORED["kind"],
        logs=lambda *run: logs[run],
    )
    assert is_close(json.loads(json.dumps(plain(table))), STORED)
    assert all(value.synthetic and len(value.sources) == 3 for value in table.values)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One that holds nothing but what is kept."""
    found = Workspace(tmp_path_factory.mktemp("stored") / "workspace")
    found.results(NAME).parent.mkdir(parents=True)
    found.results(NAME).symlink_to(FOLDER / "collected")
    return found


@pytest.mark.parametrize(
    "stored", COMPARISONS, ids=[f"{one['first']} {one['column']}" for one in COMPARISONS]
)
def test_paired_comparisons_are_made_again(stored: dict[str, Any], workspace: Workspace) -> None:
    """And what README.md says of them is what their intervals carry."""
    words = ["--workspace", str(workspace.root), "compare", NAME, stored["first"], stored["second"]]
    done = CliRunner().invoke(main, [*words, "--column", stored["column"], "--json"])
    assert done.exit_code == 0, done.output
    made = {**json.loads(done.stdout), "first": stored["first"], "second": stored["second"]}
    assert is_close(made, stored)
    low, high = stored["low"], stored["high"]
    assert low <= stored["difference"] <= high
    told = f"{stored['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"
    for page in (FOLDER / "README.md", ROOT / "docs" / "pretraining.md"):
        assert told in page.read_text(encoding="utf-8"), page
