"""What results/pretrain-phantom/ holds is made again from what is kept of the collected runs.

Its training takes half an hour of two cores and is no part of the suite. Its table, and the paired
comparisons that README.md tells, are.
"""

from __future__ import annotations

import json
import re
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
STORED: list[dict[str, Any]] = json.loads((FOLDER / "tables.md.json").read_text(encoding="utf-8"))[
    "tables"
]
STARTS = ("pretrained", "random")
COMPARISONS: list[dict[str, Any]] = json.loads(
    (FOLDER / "comparisons.json").read_text(encoding="utf-8")
)


def test_the_tables_are_those_of_the_grid_in_every_format() -> None:
    grid = load_grid(NAME)
    assert [stored["table"] for stored in STORED] == list(grid.tables)
    tables = [rebuilt(grid, stored) for stored in STORED]
    made_again = json.loads(json.dumps([plain(table) for table in tables]))
    assert is_close(made_again, STORED)
    shown = "\n".join(markdown(table) for table in tables).rstrip("\n")
    texts = {
        "tables.md": shown + "\n",
        "tables.tex": "\n".join(latex(table) for table in tables).rstrip("\n") + "\n",
        "tables.csv": csv_text(tables),
    }
    for name, text in texts.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, name
    assert shown in (FOLDER / "README.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for line in shown.splitlines():
        assert not line.startswith("|") or line in readme


@pytest.mark.parametrize("stored", STORED, ids=[stored["table"] for stored in STORED])
def test_every_number_is_made_again_from_the_collected_files(stored: dict[str, Any]) -> None:
    logs = {}
    for row in stored["rows"]:
        for value in row["values"].values():
            assert value["synthetic"] and len(value["sources"]) == 3
            for source in value["sources"]:
                logs[source["cell"], source["fingerprint"]] = source["logs"]
    collected = FOLDER / "collected"
    table = build(
        load_grid(NAME), stored["table"], collected, stored["kind"], logs=lambda *run: logs[run]
    )
    assert is_close(json.loads(json.dumps(plain(table))), stored)


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
    """From what is kept, as ``results/pretrain-phantom/README.md`` tells them."""
    words = ["--workspace", str(workspace.root), "compare", NAME, stored["first"], stored["second"]]
    done = CliRunner().invoke(main, [*words, "--column", stored["column"], "--json"])
    assert done.exit_code == 0, done.output
    made = {**json.loads(done.stdout), "first": stored["first"], "second": stored["second"]}
    assert is_close(made, stored)
    assert interval(stored) in (FOLDER / "README.md").read_text(encoding="utf-8")


def interval(stored: dict[str, Any]) -> str:
    """A difference with its interval, as the pages tell it."""
    return f"{stored['difference']:+.2f} [{stored['low']:+.2f}, {stored['high']:+.2f}]"


def test_the_readme_tells_no_other_intervals_and_a_frozen_pretrained_encoder_is_better() -> None:
    known = {interval(stored) for stored in COMPARISONS}
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"[+-]\d+\.\d+ \[[+-][\d.]+, [+-][\d.]+\]", readme)
    assert len(told) == 9 and known.issuperset(told)
    by_words = {(one["first"], one["second"], one["column"]): one for one in COMPARISONS}
    for measure, column, sign in (("EDV", "mae", -1), ("landmarks", "dice ED", 1)):
        labels = [f"measure={measure},start={start},trainable=k0" for start in STARTS]
        stored = by_words[labels[0], labels[1], column]
        assert sign * stored["low"] > 0 and sign * stored["high"] > 0
