"""``echolm compare``, ``seeds-needed`` and what they tell one to type.

``tables`` with further tables and figures.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from launch_support import Shell

from echolm.training.prepare import prepare_run
from grid.api import Results
from grid.definition.grid import load_grid
from grid.plan import save_cells

TABLES = """
tables:
  main:
    title: Heads
    rows: [head]
    columns: [{metric: dice, slot: ED, label: Dice ED (%)}, {metric: mke, slot: ES}]
    figure: {x: head, y: Dice ED (%)}
"""
FURTHER = """
tables:
  medians:
    title: Medians
    rows: [head]
    columns: [{metric: dice, slot: ES, statistic: median}]
"""


@pytest.fixture(scope="module")
def two(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Two heads with one seed, launched and collected."""
    shell = Shell(tmp_path_factory.mktemp("two"), tiny / "store")
    grid = shell.grid({"head": ["mlp", "gcn"], "seed": [0]}, name="two", epochs=1)
    grid.write_text(grid.read_text() + TABLES)
    done = shell("launch", grid, "--on", "local")
    assert done.status == 0, done.err
    return shell


def means(shell: Shell, grid: str, column: str, slot: str) -> dict[str, float]:
    """Head -> mean over test patients, from the stored predictions alone."""
    found = {}
    for cell in load_grid(str(shell.root / f"{grid}.yaml")).cells:
        rows = pq.read_table(shell.record(cell).file("predictions.parquet")).to_pylist()
        values = [row[column] for row in rows if row["split"] == "test" and row["slot"] == slot]
        found[cell.coordinates["head"]] = float(np.mean(values))
    return found


def test_a_grid_that_was_never_launched_here_is_collected_as_it_is_told_and_then_known_by_its_name(
    two: Shell,
) -> None:
    """Its file has the cells of another grid, so there are runs."""
    assert two.inside("grid", "copy", "two.yaml", "same.yaml").status == 0
    told = two.inside("tables", "same.yaml")
    assert told.status == 0, told
    assert "the run was not collected; type: `echolm collect same.yaml`" in told.out, told
    line = told.out.partition("the run was not collected; type: `")[2].partition("`")[0]
    refused = two.inside("tables", "same")
    assert refused.status == 1
    assert "'same' was never launched" in refused.err
    assert two.inside(*shlex.split(line)[1:]).status == 0
    for given in ("same.yaml", "same"):
        shown = two.inside("tables", given)
        assert shown.status == 0, shown
        assert "missing" not in shown.out, shown
        of_the_other = two.inside("tables", "two").out
        assert shown.out == of_the_other.replace("echolm claims two", "echolm claims same"), shown
        assert two.inside("collect", given).status == 0
    frame = Results(two.workspace.root).tables("same")
    assert frame["n_seeds"].tolist() == [1, 1, 1, 1]
    grids = Results(two.workspace.root).grids().set_index("grid")
    assert grids.loc["same", ["launched", "runs"]].tolist() == [False, 2]
    assert grids.loc["two", "launched"]


def test_a_difference_of_one_seed_says_what_it_cannot_claim(two: Shell) -> None:
    told = two.inside("compare", "two", "head=gcn", "head=mlp")
    assert told.status == 0
    verdict, difference, *others = told.out.splitlines()
    assert verdict.split("  ")[0] in ("better", "worse", "undecided")
    assert verdict.endswith("Dice ED (%): head=gcn - head=mlp")
    assert difference.startswith("difference  ")
    assert verdict.index("Dice") == difference.index(difference.split()[1])
    assert "5 patients" in difference
    assert any(line.startswith("claim ") for line in others)
    assert "- head=gcn and head=mlp: synthetic data (phantom)" in told.out
    assert "not adjusted for others" in told.out
    found = json.loads(
        two.inside(
            "compare",
            "two",
            "head=gcn",
            "head=mlp",
            "--column",
            "mke ES",
            "--margin",
            "50",
            "--json",
        ).out
    )
    expected = means(two, "two", "mke", "ES")
    assert found["difference"] == pytest.approx(expected["gcn"] - expected["mlp"], abs=1e-4)
    assert found["verdict"] == "equal within the margin"
    assert found["low"] <= found["difference"] <= found["high"]
    assert found["patients"] == 5
    assert not found["crossed"]
    assert found["claim"], "one seed: networks as trained, no claim about the method"
    assert found["equivalent"] is True
    assert found["synthetic"] == [True, True]
    assert len(found["diverged"]) == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["head=gcn", "head=gcn"], "are the same cells"),
        (["head=gnc", "head=mlp"], "did you mean 'gcn'"),
        (["head=gcn", "head=mlp", "--column", "dice EX"], "--column 'dice EX'"),
    ],
)
def test_what_cannot_be_compared_is_named(two: Shell, words: list[str], message: str) -> None:
    for command in ("compare", "seeds-needed"):
        done = two.inside(command, "two", *words)
        assert done.status == 1
        assert message in done.err
        assert not done.out


def test_the_labels_of_an_axis_are_compared_with_the_best(two: Shell) -> None:
    expected = means(two, "two", "dice", "ED")
    best = max(expected, key=expected.__getitem__)
    told = two.inside("compare", "two", "head")
    assert told.status == 0, told
    headline, header, first, second, *_ = told.out.splitlines()
    assert headline.startswith("Dice ED (%): main effect of head, mean over 1 setting; 5 patients")
    assert header.split()[:2] == ["verdict", "label"]
    assert first.split()[:2] == ["best", f"head={best}"]
    assert second.split()[0] in ("worse", "undecided")
    facts = json.loads(two.inside("compare", "two", "head", "--json").out)
    assert {one["label"]: one["mean"] for one in facts["labels"]} == pytest.approx(
        expected, abs=1e-4
    )
    for words, message in (
        (["hea"], "did you mean 'head'"),
        (["head=gcn"], "name a second one to compare it with"),
        (["seed"], "'seed' is no axis"),
    ):
        done = two.inside("compare", "two", *words)
        assert done.status == 1, done
        assert message in done.err, done


def test_the_commands_that_are_told_run_the_missing_seeds(two: Shell) -> None:
    """Typed as they are printed.

    What was run before is not run again, and counts in the new grid's table.
    """
    told = two.inside("seeds-needed", "two", "head=gcn", "head=mlp")
    commands = [
        line.strip() for line in told.out.splitlines() if line.strip().startswith("echolm ")
    ]
    *commands, again = commands
    assert [shlex.split(line)[1] for line in commands] == ["grid", "launch", "launch"], told.out
    assert all("seed=1-2" in line for line in commands[1:])
    assert "to get these 4 runs" in told.out
    assert told.out.startswith("unknown ")
    cost = [line for line in told.out.splitlines() if line.startswith("cost ")]
    assert len(cost) == 1
    assert "4 runs, about " in cost[0]
    assert "from 2 stored runs" in cost[0]
    found = json.loads(two.inside("seeds-needed", "two", "head=gcn", "head=mlp", "--json").out)
    assert found["cost_seconds"] > 0
    assert (found["commands"], found["again"]) == (commands, again)
    assert told.out.endswith(f"{again}\n")
    for line in commands:
        done = two(*shlex.split(line)[1:])
        assert done.status == 0, done
    cells = load_grid(str(two.root / "two-seeds-0-2.yaml")).cells
    assert sorted(cell.coordinates["seed"] for cell in cells) == ["0", "0", "1", "1", "2", "2"]
    assert [two.record(cell).attempts() for cell in cells] == [[1]] * 6
    table = json.loads(two.inside("tables", "two-seeds-0-2", "--json").out)
    assert "3 seeds" in two.inside("compare", "two-seeds-0-2", "head=gcn", "head=mlp").out, table
    asked = two(*shlex.split(again)[1:])
    answered = asked.status == 0 and "is not known" not in asked.out and "seeds" in asked.out
    assert answered, asked


def test_seeds_of_a_block_that_has_one_by_its_definition_get_no_command(two: Shell) -> None:
    """Its copy would have no more, and the launch of that would run nothing."""
    blocks = "subgrids:\n" + "".join(
        f"  {head}: {{tables: [main], axes: {{head: [{head}], seed: {seeds}}}}}\n"
        for head, seeds in (("mlp", [0]), ("gcn", [0, 9]))
    )
    base = (two.root / "two.yaml").read_text().partition("axes:")[0]
    (two.root / "fixed.yaml").write_text(base + blocks + TABLES)
    assert two.inside("collect", "fixed.yaml").status == 0
    told = two.inside("seeds-needed", "fixed.yaml", "head=gcn", "head=mlp")
    assert told.status == 0, told
    assert "echolm" not in told.out, told
    assert (
        "- head=mlp: by the grid's definition it has 1 seed, which a copy with more seeds keeps"
        in told.out
    ), told
    found = json.loads(
        two.inside("seeds-needed", "fixed.yaml", "head=gcn", "head=mlp", "--json").out
    )
    assert found["commands"] == []
    assert found["again"] is None
    assert len(found["notes"]) == 1


@pytest.fixture
def three(tiny: Path, tmp_path: Path) -> Shell:
    """Three heads with three seeds each, whose collected predictions are made.

    Of means 90, 91 and 91.5 and std 1 over seeds.
    """
    shell = Shell(tmp_path, tiny / "store")
    path = shell.grid(
        {"head": ["mlp", "gcn", "gcnconv"], "seed": [0, 1, 2]}, name="three", epochs=1
    )
    path.write_text(path.read_text() + TABLES)
    grid, results = load_grid(str(path)), shell.workspace.results("three")
    save_cells(grid, shell.workspace)
    (results / "predictions").mkdir(parents=True)
    patients = np.random.default_rng(0).normal(0, 5, 40)
    ids, runs = [f"p{at}" for at in range(40)] * 2, []
    for cell in grid.cells:
        mean = (
            {"mlp": 90.0, "gcn": 91.0, "gcnconv": 91.5}[cell.coordinates["head"]]
            + int(cell.coordinates["seed"])
            - 1
        )
        same = {
            "split": ["test"] * 80,
            "target": ["landmarks"] * 80,
            "slot": ["ED"] * 40 + ["ES"] * 40,
        }
        table = pa.table(
            {
                "sample": ids,
                "patient": ids,
                **same,
                "dice": np.tile(mean + patients, 2),
                "mke": np.ones(80),
            }
        )
        fingerprint = prepare_run(cell.config, shell.workspace).keys["fingerprint"]
        pq.write_table(table, results / "predictions" / f"{fingerprint[:16]}.parquet")
        runs.append(
            {
                "run_id": cell.id,
                "fingerprint": fingerprint,
                "cell": cell.id,
                "commit": "c",
                "problem": "",
                "synthetic": True,
                "end": None,
            }
        )
    pq.write_table(pa.Table.from_pylist(runs), results / "runs.parquet")
    return shell


def told_commands(shell: Shell, *words: str) -> list[list[str]]:
    """The commands that ``seeds-needed`` prints, as words; the last asks again."""
    told = shell.inside("seeds-needed", "three", *words)
    assert told.status == 0, told
    return [
        shlex.split(line)[1:]
        for line in told.out.splitlines()
        if line.strip().startswith("echolm ")
    ]


def test_the_commands_of_two_questions_can_both_be_typed(three: Shell) -> None:
    """A copy is named by its seeds.

    The same question again prints no second copy, unless another file has its name.
    """
    names = []
    for other in ("gcn", "gcnconv"):
        copy, *launches, again = told_commands(three, "head=mlp", f"head={other}")
        assert copy[:3] == ["grid", "copy", "three.yaml"]
        assert len(launches) == 2
        assert {words[1] for words in (*launches, again)} == {copy[3]}
        assert three.inside(*copy).status == 0
        for words in launches:
            done = three.inside(*words, "--dry-run")
            assert done.status == 0, done
            assert "seed" not in done.err, done
        assert told_commands(three, "head=mlp", f"head={other}") == [*launches, again]
        names.append(copy[3])
    assert len(set(names)) == 2
    assert all(name.startswith("three-seeds-0-") for name in names)
    (three.root / names[0]).write_text("base: {}\n")
    copy, *_ = told_commands(three, "head=mlp", "head=gcn")
    done = three.inside(*copy)
    assert done.status == 1
    assert "is there already; choose another name" in done.err


def test_a_training_that_really_diverges_is_shown_as_such(tiny: Path, tmp_path: Path) -> None:
    """Its loss is not finite; the same would happen again, so nothing tells one to run it again."""
    shell = Shell(tmp_path, tiny / "store")
    rates = [
        {"label": label, "set": {"optimizer.lr": lr}}
        for label, lr in (("usual", 1e-3), ("hot", 1e30))
    ]
    grid = shell.grid(
        {"optimizer": rates, "seed": [0]}, name="rates", epochs=1, head="mlp", optimizer="adam"
    )
    grid.write_text(grid.read_text() + TABLES.replace("rows: [head]", "rows: [optimizer]"))
    assert shell("launch", grid, "--on", "local").status == 1
    told = shell.inside("tables", "rates")
    assert told.status == 0, told
    assert told.out.count("diverged†") == 2, told
    assert "lower learning rate" in told.out, told
    assert "retry" not in told.out, told
    for command in ("compare", "seeds-needed"):
        done = shell.inside(command, "rates", "optimizer=hot", "optimizer=usual")
        assert done.status == 1, done
        assert "seed 0 diverged" in done.err, done
        assert "nan" not in done.err, done
    assert shell.inside("report", "rates").status == 0
    page = (shell.workspace.results("rates") / "report.html").read_text()
    assert "such as to a lower learning rate" in page
    assert "echolm retry" not in page
    frame = Results(shell.workspace.root).tables("rates").set_index("optimizer")
    assert frame.loc["hot", "diverged_seeds"].tolist() == [["0"]] * 2
    assert all(" status " in command for command in frame.loc["hot", "command"])
    stored = json.loads(shell.inside("tables", "rates", "--json").out)["tables"][0]["rows"][0][
        "values"
    ]["mke ES"]["sources"][0]["logs"]
    assert [list(logs) for logs in frame.loc["usual", "logs"]] == [stored] * 2
    assert stored


def test_tables_are_the_same_wherever_the_workspace_lies_and_however_it_was_named(
    two: Shell,
) -> None:
    """Byte for byte; and the links of a page lead to the logs."""
    named = [str(two.workspace.root), os.path.relpath(two.workspace.root, two.root), None]
    moved = two.root / "moved" / "elsewhere"
    moved.parent.mkdir()
    shutil.copytree(two.workspace.root, moved, symlinks=True)
    for style in ("csv", "md"):
        found = []
        for name in (*named, str(moved)):
            done = two.inside(
                "tables",
                "two",
                "--format",
                style,
                "--out",
                f"made.{style}",
                ECHOLM_WORKSPACE=name or str(two.workspace.root),
            )
            assert done.status == 0, done
            found.append(
                [(two.root / file).read_bytes() for file in (f"made.{style}", f"made.{style}.json")]
            )
        assert all(one == found[0] for one in found)
        assert b'"runs/' in found[0][1]
        assert os.fsencode(two.root) not in b"".join(found[0])
    for out in ("page.html", "moved/page.html"):
        assert two.inside("tables", "two", "--format", "html", "--out", out).status == 0
        page = (two.root / out).read_text()
        links = [
            unquote(part.partition('"')[0])
            for part in page.split('href="')[1:]
            if "log.txt" in part.partition('"')[0]
        ]
        assert len(links) == 4, links
        assert all(((two.root / out).parent / link).resolve().is_file() for link in links), links


def test_a_new_table_is_a_file_and_figures_go_to_a_folder(two: Shell) -> None:
    (two.root / "mine.yaml").write_text(FURTHER)
    done = two.inside("tables", "two", "--table", "medians", "--definition", "mine.yaml")
    assert done.status == 0, done
    assert "| gcn " in done.out, done
    assert "Medians" in done.out, done
    done = two.inside("tables", "two", "--figures", "drawn")
    assert done.status == 0, done
    drawn = {path.suffix: path.read_bytes() for path in (two.root / "drawn").iterdir()}
    assert b"<svg" in drawn[".svg"]
    assert drawn[".pdf"].startswith(b"%PDF")
    (table,) = json.loads(drawn[".json"])["tables"]
    cells = {cell.coordinates["head"]: cell for cell in load_grid(str(two.root / "two.yaml")).cells}
    for row in table["rows"]:
        record = two.record(cells[row["labels"]["head"]])
        (source,) = row["values"]["Dice ED (%)"]["sources"]
        assert source["seed"] == "0"
        assert source["run"]
        assert source["fingerprint"] == record.identity()["fingerprint"]
        assert source["logs"] == [
            (record.attempt_path(1) / "log.txt").relative_to(two.workspace.root).as_posix()
        ], source
        assert np.isfinite(source["value"]), source
    assert (
        two.inside("tables", "two", "--json", "--format", "parquet", "--out", "x.json").status == 2
    )
    assert not (two.root / "x.json").exists()
    assert two.inside("tables", "two", "--json", "--out", "x.json").status == 0
    for option in ("--figures", "--out"):
        done = two.inside("tables", "two", option, "/proc/x/y")
        assert done.status == 1, done
        assert "cannot be written: " in done.err, done
        assert not done.out, done
    (two.root / "bad.yaml").write_text(FURTHER.replace("dice", "dcie"))
    done = two.inside("tables", "two", "--table", "medians", "--definition", "bad.yaml")
    assert done.status == 1
    assert "dcie" in done.err
    assert not done.out


def test_claims_say_how_likely_each_is_false(two: Shell) -> None:
    """One seed: over patients alone."""
    printed = two.inside("claims", "two")
    assert printed.status == 0, printed
    assert "Dice ED (%)  synthetic data (phantom)" in printed.out
    [document] = json.loads(two.inside("claims", "two", "--json").out)
    by_column = {column["column"]: column for column in document["columns"]}
    [claim] = by_column["Dice ED (%)"]["claims"]
    dice = means(two, "two", "dice", "ED")
    assert claim["better"] == max(dice, key=lambda head: dice[head])
    assert claim["advantage"] == pytest.approx(abs(dice["mlp"] - dice["gcn"]))
    assert (claim["seeds"], claim["seed_share"]) == ([1, 1], 0)
    verdict = "supported" if claim["supported"] else "may be false"
    assert verdict in printed.out
    assert f"{claim['better']} > {claim['worse']}" in printed.out


def test_claims_before_anything_ran_say_what_to_type(bare: Shell) -> None:
    told = bare.inside("claims", "demo")
    assert told.status == 1 and told.out == ""
    assert told.err.endswith(
        "grid demo: nothing was run yet; type: echolm launch demo --on local\n"
    )
